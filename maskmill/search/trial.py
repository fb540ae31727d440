"""One trial of a search: trained, predicted and scored on validation pictures. The test is not looked at."""

import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from maskmill.classes import Classes
from maskmill.errors import MaskmillError
from maskmill.evaluation.summary import validation_score
from maskmill.evaluation.tuning import choose_operating_point
from maskmill.files import read_json, write_json
from maskmill.inference.prediction import predict_split
from maskmill.planning.planner import plan_training
from maskmill.runs import read_run
from maskmill.search.options import apply_searched
from maskmill.tracking.results import bring_results
from maskmill.training import train_model

logger = logging.getLogger(__name__)

FOLD = 0
"""Of the split that trials are trained and scored on."""


def run_trial(
    experiment: str,
    trial: str,
    tried: str | os.PathLike,
    options: Mapping[str, Mapping[str, Any]],
    tiling: Mapping[str, Any],
    postprocess: Mapping[str, Any],
    classes: Sequence[str] | Mapping[str, str],
    seed: int,
    cache: Sequence[str | os.PathLike],
    labels: Sequence[str | os.PathLike],
    samples: str | os.PathLike,
    splits: str | os.PathLike,
    fingerprint: str | os.PathLike,
    code_digest: str,
    tracking: Mapping[str, str],
    workers: int,
    folder: str | os.PathLike,
    score: str | os.PathLike,
) -> None:
    """Train with the options of a trial and write score.json.

    tried: the options that `suggest_trial` wrote, in place of those of `options`, the sections of the experiment.
    tiling: the `predict` options. code_digest: of all code that the weights follow from. folder: for what the training
    leaves, where a killed one goes on.
    score.json holds trial; options, name → value; score, the mean IoU over classes on validation pictures left out of
    the choice of thresholds and steps in turn (of those chosen on where there is one picture), None where undefined;
    run_id; failed, None or why there is no score: a trial that cannot be trained is one that is not chosen.
    """
    folder = Path(folder)
    content = yaml.safe_load(Path(tried).read_text(encoding="utf-8"))
    outcome: dict[str, Any] = {
        "trial": trial,
        "options": {f"{section}.{name}": value for section, part in content.items() for name, value in part.items()},
        "score": None,
        "run_id": None,
        "failed": None,
    }
    try:
        chosen = apply_searched(options, [tried])
        plan_training(fingerprint, FOLD, chosen, folder / "plan.yaml")
        train_model(
            cache=cache, splits=splits, fingerprint=fingerprint, plan=folder / "plan.yaml", classes=classes,
            options=chosen, experiment=f"{experiment}/trial-{trial}", fold=FOLD, seed=seed, code_digest=code_digest,
            model=folder / "model.safetensors", config=folder / "config.yaml", history=folder / "history.csv",
            figure=folder / "training.png", state=folder / "state", tensorboard=folder / "tensorboard",
            tracking=tracking, workers=workers,
        )  # fmt: skip
    except MaskmillError as error:
        logger.warning("trial %s of %s has no score: %s", trial, experiment, error)
        outcome["failed"] = str(error)
    else:
        outcome["run_id"] = read_run(folder / "config.yaml")["run_id"]
        outcome["score"] = _score(folder, samples, splits, labels, tiling, postprocess, Classes.from_config(classes))
        found = {} if outcome["score"] is None else {"validation/iou": outcome["score"]}
        bring_results(folder, outcome["run_id"], found, tracking["uri"])
        logger.info("trial %s of %s: %s, score %s", trial, experiment, outcome["options"], outcome["score"])
    write_json(score, outcome)


def _score(
    folder: Path,
    samples: str | os.PathLike,
    splits: str | os.PathLike,
    labels: Sequence[str | os.PathLike],
    tiling: Mapping[str, Any],
    postprocess: Mapping[str, Any],
    classes: Classes,
) -> float | None:
    """Predict the validation pictures and choose thresholds and steps on them, as of any member."""
    with tempfile.TemporaryDirectory(dir=folder) as aside:
        probabilities = Path(aside, "probabilities")
        model, config = folder / "model.safetensors", folder / "config.yaml"
        predict_split([model], [config], Path(samples), Path(splits), "validation", dict(tiling), probabilities)
        point = folder / "operating_point.json"
        choose_operating_point(
            probabilities, [Path(one) for one in labels], Path(samples), Path(splits), classes, [FOLD],
            postprocess, point,
        )  # fmt: skip
    return validation_score(read_json(point))
