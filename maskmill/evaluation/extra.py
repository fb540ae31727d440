"""Measure what single tasks ask for besides (option `evaluate.extra`): see `EXTRA_METRICS` and docs/metrics.md."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.classes import IGNORE, Classes
from maskmill.data.cases import instances_path, label_paths, read_cases, read_mask
from maskmill.errors import MaskmillError
from maskmill.evaluation.measure import describe_misfit
from maskmill.files import read_json, write_json, write_table
from maskmill.imaging.images import read_instance_png
from maskmill.inference.postprocess import OperatingPoint
from maskmill.inference.temperature import scale_probabilities
from maskmill.logs import progress
from maskmill.metrics import EXTRA_METRICS, LEVELS, SIZE_BINS, Metric, significant
from maskmill.metrics.calibration import Calibration, calibration
from maskmill.metrics.cldice import cldice
from maskmill.metrics.instance import number_components, object_overlaps
from maskmill.metrics.rand import THRESHOLDS, CellAgreement, compare_borders
from maskmill.metrics.relaxed import RelaxedCurve, relaxed_curve
from maskmill.metrics.sizes import recall_by_size

FROM_PROBABILITIES = ("break_even", "ece", "brier")
"""Metrics that masks alone do not give."""

logger = logging.getLogger(__name__)


def extra_metrics(kinds: Iterable[str], probabilities: bool = True) -> dict[str, Metric]:
    """The metrics of these kinds in the order of `EXTRA_METRICS`; those that masks alone give, or all."""
    chosen = set(kinds)
    return {
        name: metric
        for kind, metrics in EXTRA_METRICS.items()
        for name, metric in metrics.items()
        if kind in chosen and (probabilities or name not in FROM_PROBABILITIES)
    }


def needs_objects(kinds: Iterable[str]) -> bool:
    """Whether metrics of these kinds look at single objects."""
    return not {"instances", "sizes"}.isdisjoint(kinds)


def measure_masks(
    kinds: Iterable[str],
    predicted: np.ndarray,
    reference: np.ndarray,
    valid: np.ndarray,
    objects: np.ndarray | None = None,
    found: np.ndarray | None = None,
) -> dict[str, float | None]:
    """What masks alone give of the metrics of these kinds, None where undefined.

    predicted, reference, valid: boolean (D, H, W) of one class; pixels that are not valid belong to neither mask.
    objects: numbers of the reference objects, (D, H, W) or of a picture (H, W); None: its components. found: those of
    the predicted objects; None, and where the class has none: its components.
    """
    predicted, reference = predicted & valid, reference & valid
    values: dict[str, float | None] = {}
    if needs_objects(kinds):
        numbers = np.where(reference, objects, 0) if objects is not None else _components(reference)
    for kind in kinds:
        match kind:
            case "relaxed":
                curve = relaxed_curve(predicted.astype(np.uint8), reference, valid)
                values |= {"relaxed_precision": curve.precision(1), "relaxed_recall": curve.recall(1)}
            case "rand":
                cells = compare_borders(predicted, reference, valid)
                values |= {"v_rand": cells.v_rand, "v_info": cells.v_info}
            case "instances":
                own = np.where(predicted, 0 if found is None else found, 0)
                values |= _object_values(own if own.any() else _components(predicted), numbers)
            case "cldice":
                values["cldice"] = cldice(_flat(predicted), _flat(reference))
            case "sizes":
                recalls = recall_by_size(predicted, numbers)
                values |= {f"recall_{name}": recalls[name] for name in SIZE_BINS}
    return values


def _object_values(prediction: np.ndarray, reference: np.ndarray) -> dict[str, float | None]:
    overlaps = object_overlaps(prediction, reference)
    return {
        "pq": overlaps.pq,
        "sq": overlaps.sq,
        "rq": overlaps.rq,
        "ap50": overlaps.average_precision(0.5),
        "ap": overlaps.mean_average_precision(),
        "aji": overlaps.aji(),
    }


def _components(mask: np.ndarray) -> np.ndarray:
    return number_components(_flat(mask)).reshape(mask.shape)


def _flat(mask: np.ndarray) -> np.ndarray:
    """A mask (D, H, W) as one of a picture (H, W) where it has one slice."""
    return mask[0] if len(mask) == 1 else mask


@dataclass(frozen=True)
class Evidence:
    """What the probabilities of a class in one picture say, or in several, which add up; None where not asked for.

    cells: agreement at each of the thresholds of V-Rand.
    """

    curve: RelaxedCurve | None
    calibration: Calibration | None
    cells: tuple[CellAgreement, ...]

    @classmethod
    def of(cls, kinds: Iterable[str], levels: np.ndarray, reference: np.ndarray, valid: np.ndarray) -> "Evidence":
        """Read the stored probabilities of a class, levels uint8 (D, H, W), against boolean masks of that shape."""
        thresholds = THRESHOLDS if "rand" in kinds else ()
        return cls(
            relaxed_curve(levels, reference, valid) if "relaxed" in kinds else None,
            calibration(levels, reference, valid) if "calibration" in kinds else None,
            tuple(compare_borders(levels >= level, reference, valid) for level in thresholds),
        )

    def values(self) -> dict[str, float | None]:
        """The metrics of `FROM_PROBABILITIES`."""
        curve = {"break_even": self.curve.break_even()} if self.curve else {}
        calibrated = self.calibration
        return curve | ({"ece": calibrated.ece(), "brier": calibrated.brier()} if calibrated else {})


def evaluate_extra(
    masks: str | PathLike,
    probabilities: str | PathLike,
    labels: Sequence[str | PathLike],
    samples: str | PathLike,
    splits: str | PathLike,
    point: str | PathLike,
    classes: Sequence[str] | Mapping[str, str],
    fold: int,
    split: str,
    kinds: Sequence[str],
    instances: bool,
    table: str | PathLike,
    pooled: str | PathLike,
) -> None:
    """Measure the cases of a split and write a table, one row a case and class, and what holds of all pixels together.

    masks, probabilities: folders of the predictions. point: operating_point.json, whose temperature probabilities are
    judged at. labels, samples, splits, classes, fold, split: as of
    `evaluate_masks`. kinds: of `EXTRA_METRICS`. instances: whether object images lie beside the labels.
    table: columns id, group, class, unit (empty: no metric is a distance), reference_pixels, then the metrics. V-Rand
    and V-Info are those at the threshold at which their mean over the cases is highest.
    pooled: class → metrics of all pixels together, the thresholds of V-Rand and V-Info, and the reliability table.

    Raises MaskmillError, naming all cases concerned, for masks and probabilities that do not fit.
    """
    names = Classes.from_config(classes).names
    temperature = OperatingPoint.from_dict(read_json(point)).temperature
    cases = read_cases(samples, splits, fold, split)
    rows, misfits = [], []
    evidence: dict[str, list[Evidence]] = {name: [] for name in names}
    for case, label in progress(list(zip(cases, label_paths(cases, labels), strict=True)), f"measured {split} masks"):
        files = case.mask_path(masks), Path(probabilities, f"{case.id}.npy"), label
        mask, levels, reference = read_mask(files[0]), np.load(files[1], mmap_mode="r"), read_mask(label)
        misfit = describe_misfit(files[0], mask, label, reference, len(names))
        if misfit or levels.shape != (len(names), *reference.shape):
            misfits.append(misfit or f"{files[1]} is of {levels.shape}, {label} of {len(names)} × {reference.shape}")
            continue
        objects = read_instance_png(instances_path(label.parents[case.id.count("/")], case.id)) if instances else None
        split_up = _told_apart(instances_path(masks, case.id))
        scaled = scale_probabilities(levels, temperature)
        for value, name in enumerate(names, 1):
            found = Evidence.of(kinds, scaled[value - 1], reference == value, reference != IGNORE)
            evidence[name].append(found)
            of_masks = [kind for kind in kinds if kind != "rand"]
            values = measure_masks(of_masks, mask == value, reference == value, reference != IGNORE, objects, split_up)
            row = {"id": case.id, "group": case.group, "class": name, "unit": ""}
            row["reference_pixels"] = int(np.count_nonzero(reference == value))
            rows.append(row | values | found.values())
    if misfits:
        raise MaskmillError(f"{len(misfits)} masks do not fit their references:\n" + "\n".join(misfits))
    write_json(pooled, {name: _pooled(found, rows, name) for name, found in evidence.items()})
    write_table(table, rows, ("id", "group", "class", "unit", "reference_pixels", *extra_metrics(kinds)))


def _told_apart(file: Path) -> np.ndarray | None:
    """The objects that post-processing has told apart in a mask; None where it has not."""
    return read_instance_png(file) if file.is_file() else None


def _pooled(found: Sequence[Evidence], rows: Sequence[dict[str, Any]], class_name: str) -> dict[str, Any]:
    """What holds of a class over all cases; sets V-Rand and V-Info of its rows."""
    curves, calibrations = (
        [getattr(one, field) for one in found if getattr(one, field)] for field in ("curve", "calibration")
    )
    whole = Evidence(reduce(add, curves) if curves else None, reduce(add, calibrations) if calibrations else None, ())
    result: dict[str, Any] = _rounded(whole.values())
    if whole.calibration:
        result["reliability"] = [_rounded(row) for row in whole.calibration.reliability()]
    if found[0].cells:
        own = [row for row in rows if row["class"] == class_name]
        for metric in EXTRA_METRICS["rand"]:
            result[f"{metric}_threshold"] = _set_best([one.cells for one in found], own, metric)
    return result


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: significant(value) if isinstance(value, float) else value for name, value in values.items()}


def _set_best(cells: Sequence[Sequence[CellAgreement]], rows: Sequence[dict[str, Any]], metric: str) -> float | None:
    """Set a metric of rows to that at the threshold with the highest mean over them, which is returned."""
    scores = np.array([[getattr(one, metric) for one in of_case] for of_case in cells], float)
    defined = ~np.isnan(scores[:, 0])
    if not defined.any():
        return None
    best = int(scores[defined].mean(axis=0).argmax())
    for row, of_case in zip(rows, cells, strict=True):
        row[metric] = getattr(of_case[best], metric)
    return round(THRESHOLDS[best] / LEVELS, 2)
