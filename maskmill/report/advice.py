"""What stands out in a run, the likely cause, and what to try: each only where a measurement says so.

A rule is a function from what was measured to remarks, none where nothing stands out. Measurements are those of
training and validation wherever there are such, so that following advice does not fit the model to the test.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskmill.metrics import SIZE_BINS
from maskmill.metrics.statistics import min_groups_for_verdict
from maskmill.wording import signed

History = Sequence[Mapping[str, float | None]]
Rows = Sequence[Mapping[str, str]]

FEWEST_EPOCHS = 9
"""A shorter training says nothing about its course."""

OSCILLATION = 0.02
"""Standard deviation of the validation IoU around its trend in the last third of the epochs."""

OSCILLATION_SHARE = 0.05
"""The same, by what the training gained."""

RISE = 1.1
"""Validation loss at the end, by its lowest."""

DROP = 0.05
"""IoU lost between the patches of training and whole pictures."""

GOOD_DICE, BLUR = 0.8, 0.15
"""Least Dice of a class that is found well; how far its boundary F1 lies below."""

MISSED = 0.2
"""How far the recall of small objects lies below that of larger ones."""

OPTIMISM = 0.02
"""IoU on validation that is owed to choosing there."""

SEAMS, SEAM_ERRORS = 1.3, 100
"""Share of errors near borders of tiles by that elsewhere; least errors near borders."""

IMBALANCE = 0.15
"""How far precision and recall are apart."""

WAITING = 0.2
"""Share of the training's time spent waiting for batches."""

FAR = 0.2
"""How far a threshold is from 0.5."""


@dataclass(frozen=True)
class Remark:
    """A symptom with its figures, its likely cause, and what to try."""

    symptom: str
    cause: str
    remedy: str


@dataclass(frozen=True)
class Evidence:
    """What was measured of a member.

    classes: names, without background. history: its epochs. kept_iou: validation IoU of the epoch kept.
    validation: rows of its metrics table on validation.
    point: its operating point and the scores behind it. seams: see `pool_seams`. config: its resolved options.
    recalls: class → recall on the test by size (`SIZE_BINS`), None where it was not measured. groups: of the test.
    """

    classes: Sequence[str]
    history: History
    kept_iou: float | None
    validation: Rows
    point: Mapping[str, Any]
    seams: Mapping[str, float | None]
    config: Mapping[str, Any]
    recalls: Mapping[str, Mapping[str, float | None]] | None
    groups: int


def advise(evidence: Evidence) -> list[Remark]:
    """Everything that stands out, in the order in which a pipeline's stages come."""
    return [remark for rule in RULES for remark in rule(evidence)]


def oscillating_iou(evidence: Evidence) -> list[Remark]:
    """Validation IoU that goes up and down around its trend late in training, by more than learning explains."""
    iou = np.array([epoch["validation_iou"] for epoch in evidence.history if epoch["validation_iou"] is not None])
    if len(iou) < FEWEST_EPOCHS:
        return []
    late = iou[-(len(iou) // 3) :]
    epochs = np.arange(len(late))
    spread = float(np.std(late - np.polyval(np.polyfit(epochs, late, 1), epochs)))
    gain = float(late.mean() - iou[0])
    if spread < OSCILLATION or spread < OSCILLATION_SHARE * gain:
        return []
    change = f"gain of all: {signed(gain)}"
    symptom = f"Validation IoU still varies by ±{spread:.3f} in the last third of the epochs ({change})"
    return [
        Remark(
            symptom,
            "the learning rate is too high, or augmentation, rotation above all, is too strong; or validation is small",
            "lower train.lr or let it fall (train.schedule), set train.ema, lower augment.rotate_limit",
        )
    ]


def overfitting(evidence: Evidence) -> list[Remark]:
    """Training loss that goes on falling while validation loss has risen from its lowest."""
    history = evidence.history
    if len(history) < FEWEST_EPOCHS:
        return []
    losses, training = (np.array([epoch[name] for epoch in history], float) for name in ("validation_loss", "loss"))
    best = int(losses.argmin())
    rise = losses[-3:].mean() / losses[best]
    if best >= len(history) - 3 or rise < RISE or training[-3:].mean() >= training[best]:
        return []
    symptom = (
        f"Validation loss rises from {losses[best]:.3f} in epoch {best + 1} to {losses[-3:].mean():.3f} at the end, "
        f"while training loss falls from {training[best]:.3f} to {training[-3:].mean():.3f}"
    )
    return [
        Remark(
            symptom,
            "overfitting: the network learns the training pictures by heart",
            "more training pictures, stronger augment options, more train.weight_decay, a smaller model.width, "
            "train.patience to end earlier",
        )
    ]


def unlike_tiles(evidence: Evidence) -> list[Remark]:
    """IoU on the patches of training far above that of whole validation pictures with all steps."""
    whole = _mean(
        [_ratio(row["tp"], row["tp"] + row["fp"] + row["fn"]) for row in _pooled(evidence.validation).values()]
    )
    if evidence.kept_iou is None or whole is None or evidence.kept_iou - whole < DROP:
        return []
    return [
        Remark(
            f"Validation IoU is {evidence.kept_iou:.3f} in training and {whole:.3f} of whole pictures after all steps",
            "tiles show the network something else than patches did, such as another size or more of the surroundings, "
            "or a step of post-processing takes away what is right",
            "set predict.tile to train.patch, raise predict.overlap, look at what each step gains (operating point)",
        )
    ]


def blurred_borders(evidence: Evidence) -> list[Remark]:
    """Classes found well whose outlines are not."""
    found = []
    for name, rows in _by_class(evidence.validation).items():
        dice, boundary = (_mean([_number(row[metric]) for row in rows]) for metric in ("dice", "boundary_f1"))
        if dice is not None and boundary is not None and dice >= GOOD_DICE and dice - boundary >= BLUR:
            found.append(f"{name} Dice {dice:.2f}, boundary F1 {boundary:.2f}")
    if not found:
        return []
    return [
        Remark(
            f"Areas are found better than outlines on validation: {'; '.join(found)}",
            "blurred borders, from downsampling or a loss that hardly sees edges; or outlines drawn loosely",
            f"raise loss.boundary (now {evidence.config['loss']['boundary']:g}), preprocess.scale nearer to 1; look at "
            "the outlines in quality/audit.html",
        )
    ]


def missed_small_objects(evidence: Evidence) -> list[Remark]:
    """Small objects that are found more rarely than larger ones; only where recall by size was measured."""
    found = []
    for name, recalls in (evidence.recalls or {}).items():
        known = [(size, recalls[f"recall_{size}"]) for size in SIZE_BINS if recalls.get(f"recall_{size}") is not None]
        smaller = [one for one in known if one[0] in ("tiny", "small")]
        larger = [one for one in known if one[0] in ("medium", "large")]
        if smaller and larger and larger[-1][1] - smaller[-1][1] >= MISSED:
            (small, low), (large, high) = smaller[-1], larger[-1]
            found.append(f"{name} {low:.2f} of {small} and {high:.2f} of {large} objects")
    if not found:
        return []
    return [
        Remark(
            f"Small objects are missed on the test: found are {'; '.join(found)}",
            "they vanish in downsampling, or are removed as too small",
            "model.downsampling: strided, a smaller model.depth, preprocess.scale nearer to 1, smaller areas of the "
            "step remove_small",
        )
    ]


def optimistic_point(evidence: Evidence) -> list[Remark]:
    """An operating point whose validation score is owed to the choice."""
    difference = evidence.point["optimism"]["difference"]
    if difference is None or difference < OPTIMISM:
        return []
    return [
        Remark(
            f"{signed(difference)} of the validation IoU is owed to choosing thresholds and steps on the same pictures",
            "too few groups in validation for so many choices",
            "more groups in validation (dataset.split.validation), fewer postprocess.steps",
        )
    ]


def visible_seams(evidence: Evidence) -> list[Remark]:
    """More errors near the borders of tiles than elsewhere."""
    ratio, errors = evidence.seams["ratio"], evidence.seams["near_errors"]
    if ratio is None or ratio < SEAMS or errors < SEAM_ERRORS:
        return []
    return [
        Remark(
            f"Errors are {ratio:.2f} times as frequent near borders of tiles as elsewhere ({errors:,} pixels, test)",
            "tiles see too little around their borders",
            "raise predict.overlap, or write exact; larger predict.tile; predict.blending: gaussian",
        )
    ]


def one_sided_errors(evidence: Evidence) -> list[Remark]:
    """Classes of which much more is missed than invented, or the other way round."""
    sides: dict[bool, list[str]] = {True: [], False: []}
    for name, row in _pooled(evidence.validation).items():
        precision, recall = _ratio(row["tp"], row["tp"] + row["fp"]), _ratio(row["tp"], row["tp"] + row["fn"])
        if precision is not None and recall is not None and abs(precision - recall) >= IMBALANCE:
            sides[precision > recall].append(f"{name} precision {precision:.2f}, recall {recall:.2f}")
    remarks = []
    if sides[True]:
        remarks.append(
            Remark(
                f"More is missed than invented on validation: {'; '.join(sides[True])}",
                "the class is rare, or hard, and hardly counts in the loss",
                "loss.class_weights: auto, a higher train.foreground, loss.ohem below 1; lower "
                "postprocess.thresholds where missing costs more than a false alarm",
            )
        )
    if sides[False]:
        remarks.append(
            Remark(
                f"More is invented than missed on validation: {'; '.join(sides[False])}",
                "the class is weighted too high, or training has few pictures without it; or annotations lack objects",
                "lower loss.class_weights and train.foreground, add pictures without the class; higher "
                "postprocess.thresholds where a false alarm costs more",
            )
        )
    return remarks


def few_test_groups(evidence: Evidence) -> list[Remark]:
    """A test too small to compare experiments."""
    needed = min_groups_for_verdict()
    if evidence.groups >= needed:
        return []
    noun = "group" if evidence.groups == 1 else "groups"
    return [
        Remark(
            f"The test has {evidence.groups} {noun}",
            f"with fewer than {needed} no difference between experiments can be told, and intervals are too narrow",
            "annotate pictures of more groups, raise dataset.split.test, or use dataset.split.folds",
        )
    ]


def waiting_for_data(evidence: Evidence) -> list[Remark]:
    """A training that waits for its batches."""
    shares = [epoch["waiting"] for epoch in evidence.history if epoch.get("waiting") is not None]
    if not shares or np.mean(shares) < WAITING:
        return []
    return [
        Remark(
            f"Training spent {100 * np.mean(shares):.0f} % of its time waiting for batches",
            "reading and augmenting pictures takes longer than the network does",
            "more train.workers (masks and numbers stay the same), results/ on a faster disk",
        )
    ]


def far_thresholds(evidence: Evidence) -> list[Remark]:
    """Thresholds far from 0.5."""
    far = [
        f"{name} {threshold:g}"
        for name, threshold in zip(evidence.classes, evidence.point["thresholds"], strict=True)
        if round(abs(threshold - 0.5), 6) >= FAR
    ]
    if not far:
        return []
    return [
        Remark(
            f"Thresholds chosen on validation are far from 0.5: {', '.join(far)}",
            "probabilities are not calibrated: too low where the threshold is low, too high where it is high",
            "look at their reliability (evaluate.extra: [calibration]) before they are used; class weights nearer to 1 "
            "(loss.class_weights), more weight on loss.ce",
        )
    ]


def _by_class(rows: Rows) -> dict[str, list[Mapping[str, str]]]:
    """Rows of a metrics table by class."""
    return {name: [row for row in rows if row["class"] == name] for name in dict.fromkeys(row["class"] for row in rows)}


def _pooled(rows: Rows) -> dict[str, dict[str, int]]:
    """tp, fp and fn of each class, over all cases together."""
    return {
        name: {count: sum(int(row[count]) for row in of_class) for count in ("tp", "fp", "fn")}
        for name, of_class in _by_class(rows).items()
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


def _mean(values: Sequence[float | None]) -> float | None:
    """Mean of the values that are defined; None where none is."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


RULES: tuple[Callable[[Evidence], list[Remark]], ...] = (
    oscillating_iou,
    overfitting,
    waiting_for_data,
    unlike_tiles,
    blurred_borders,
    one_sided_errors,
    missed_small_objects,
    visible_seams,
    far_thresholds,
    optimistic_point,
    few_test_groups,
)
"""All rules; what is said of a run is what they say of it."""
