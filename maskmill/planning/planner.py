"""From the fingerprint of the training pictures to the plan of a training."""

import logging
import math
import os
from collections.abc import Mapping
from typing import Any

from maskmill.dag.option_checks import network_stride
from maskmill.errors import MaskmillError
from maskmill.files import read_json
from maskmill.models import output_channels, summarize_model
from maskmill.models.summary import describe_summary
from maskmill.planning.memory import MB, Footprint, measure_footprint
from maskmill.planning.plan import write_plan
from maskmill.planning.proposals import (
    LARGEST_SQUARE,
    LARGEST_VOLUME,
    MEMORY_MB,
    SMALLEST_BATCH,
    Facts,
    Proposal,
    fitted,
    fitting_shape,
    ohem_advice,
    propose_batch_size,
    propose_class_shares,
    propose_class_weights,
    propose_depth,
    propose_dimensions,
    propose_foreground,
    propose_patch,
    propose_planar,
)
from maskmill.sizes import Size, as_size

logger = logging.getLogger(__name__)

FEWEST_VOXELS = 4096
"""Of a patch, however little memory there is."""

Options = Mapping[str, Mapping[str, Any]]


def plan_training(fingerprint: str | os.PathLike, fold: int, options: Options, output: str | os.PathLike) -> None:
    """Write the plan of an experiment's trainings on a fold, see `make_plan`.

    fingerprint: what `fingerprint_dataset` wrote. options: the sections model, loss and train of the experiment.
    """
    plan = make_plan(read_json(fingerprint), fold, options)
    for key, entry in plan["options"].items():
        logger.info("%s is %s (%s)", key, entry["used"], entry["source"])
    logger.info("the network has %s", describe_summary(plan["network"]))
    megabytes = plan["memory"]["estimate_mb"]
    level = logging.WARNING if megabytes > MEMORY_MB else logging.INFO
    logger.log(level, "training is estimated to take %s MB beside the libraries", f"{megabytes:,}")
    write_plan(output, plan)


def make_plan(fingerprint: Mapping[str, Any], fold: int, options: Options) -> dict[str, Any]:
    """What the training pictures of a fold propose, and what of it is used: plain values.

    The keys: `classes`; `options`, for each planned option {proposed, used, source: config or plan, reason}; `memory`,
    the estimate in MB; `network`, its summary; `notes`. Later proposals go by what is used of earlier ones.
    Raises MaskmillError where the options do not fit the pictures.
    """
    decisions = _Decisions(options)
    facts = Facts.of_fold(fingerprint, fold)
    preprocessing = fingerprint["folds"][fold]["preprocessing"]
    outputs = output_channels(len(facts.classes))
    dimensions = decisions.take("model.dimensions", propose_dimensions(facts))
    if dimensions == 3 and not facts.volumes:
        raise MaskmillError(
            "model.dimensions is 3, but no training picture has more than one slice; set it to 2, or to auto"
        )
    size, summary, footprint = _decide_network(decisions, facts, preprocessing["channels"], outputs)
    batch_size = decisions.take("train.batch_size", propose_batch_size(facts, size, footprint))
    decisions.take("train.foreground", propose_foreground(facts))
    decisions.take("train.class_shares", propose_class_shares(facts))
    decisions.take("loss.class_weights", propose_class_weights(facts))
    return {
        "classes": list(facts.classes),
        "options": decisions.entries,
        "memory": {
            "estimate_mb": footprint.megabytes(batch_size),
            "parts_mb": footprint.parts(batch_size),
            "precision": str(options["train"]["precision"]),
        },
        "network": {**summary, "patch": list(size)},
        "notes": {
            "normalization": _describe_normalization(preprocessing, fingerprint["folds"][fold]["intensities"]),
            "ohem": ohem_advice(facts),
            "advice": "; ".join(fingerprint["folds"][fold]["advice"]) or "none",
        },
    }


class _Decisions:
    """What was proposed and what is used, as it is decided."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.entries: dict[str, dict[str, Any]] = {}

    def configured(self, key: str) -> Any:
        """What the config says, "auto" where it leaves the option to the plan."""
        section, name = key.split(".")
        return self.options[section].get(name, "auto")

    def take(self, key: str, proposal: Proposal) -> Any:
        """Enter a proposal; returns what is used."""
        configured = self.configured(key)
        planned = configured == "auto"
        self.entries[key] = {
            "proposed": proposal.value,
            "used": proposal.value if planned else configured,
            "source": "plan" if planned else "config",
            "reason": proposal.reason,
        }
        return self.entries[key]["used"]


def _decide_network(
    decisions: _Decisions, facts: Facts, channels: int, outputs: int
) -> tuple[Size, dict[str, Any], Footprint]:
    """Decide depth, planar and patch; returns the patch, the network's summary and its footprint."""
    dimensions = decisions.entries["model.dimensions"]["used"]
    wanted = LARGEST_SQUARE**2 if dimensions == 2 else LARGEST_VOLUME
    configured = decisions.configured("train.patch")
    fixed = None if configured == "auto" else as_size(configured, dimensions)
    batch_size = decisions.configured("train.batch_size")
    batch_size = SMALLEST_BATCH if batch_size == "auto" else batch_size
    voxels = wanted
    for _ in range(3):  # a smaller patch may make the network shallower, hence smaller
        shape = fitting_shape(facts, dimensions, voxels)
        depth = decisions.take("model.depth", propose_depth(facts, shape, fixed))
        planar = decisions.take("model.planar", propose_planar(facts, dimensions, shape, depth, fixed))
        planar = planar if dimensions == 3 else 0
        proposed = fitted(facts, dimensions, shape, network_stride(dimensions, depth, planar), voxels)
        model = {**decisions.options["model"], "dimensions": dimensions, "depth": depth, "planar": planar}
        summary, footprint = _footprint(model, decisions.options["train"], channels, outputs, proposed)
        possible = math.prod(proposed) * (MEMORY_MB * MB - footprint.fixed) / (batch_size * footprint.patch)
        if math.prod(proposed) <= possible or voxels <= FEWEST_VOXELS:
            break
        voxels = max(FEWEST_VOXELS, min(voxels * 0.95, possible))
    patch = decisions.take("train.patch", propose_patch(facts, proposed, dimensions, batch_size, voxels < wanted))
    size = as_size(patch, dimensions)
    if size != proposed:
        summary, footprint = _footprint(model, decisions.options["train"], channels, outputs, size)
    return size, summary, footprint


def _footprint(
    model: Mapping[str, Any], train: Mapping[str, Any], channels: int, outputs: int, patch: Size
) -> tuple[dict[str, Any], Footprint]:
    summary = summarize_model(model, channels, outputs, patch)
    return summary, measure_footprint(model, train, summary, outputs, patch)


def _describe_normalization(preprocessing: Mapping[str, Any], intensities: Mapping[str, Any]) -> str:
    values = {
        "window": "the window",
        "8-bit": "0 to 255",
        "dataset": "one range of values for all pictures",
        "image": "each picture's own range of values",
    }[intensities["ranges"]]
    whose = {"dataset": "all training pictures", "image": "each picture"}[preprocessing["normalization"]]
    return f"{values} becomes 0 to 1, as {intensities['reason']}; then mean 0 and deviation 1 by {whose}"
