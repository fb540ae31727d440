"""What stands out in a run, the likely cause, and what to try: each only where a measurement says so.

A rule is a function from what was measured to remarks, none where nothing stands out. Measurements are those of
training and validation wherever there are such, so that following advice does not fit the model to the test.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from maskmill.metrics import SIZE_BINS
from maskmill.metrics.statistics import min_groups_for_verdict
from maskmill.report.remarks import Evidence, Remark, Rows
from maskmill.report.training_advice import broken_loss, oscillating_iou, overfitting, waiting_for_data
from maskmill.wording import count_of, signed

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

RARE = 0.01
"""Share of the pixels of validation below which a class is called rare."""

GAP = 0.1
"""IoU lost between validation and test."""

FAR = 0.2
"""How far a threshold is from 0.5."""


def advise(evidence: Evidence) -> list[Remark]:
    """Everything that stands out, in the order in which a pipeline's stages come."""
    return [remark for rule in RULES for remark in rule(evidence)]


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


def never_found(evidence: Evidence) -> list[Remark]:
    """Classes that are in validation and of which not one pixel is found, with the likeliest reason that is seen."""
    found: dict[str, list[str]] = {"lost": [], "rare": [], "unlearnt": []}
    for name, row in _pooled(evidence.validation).items():
        if row["tp"] or not row["fn"]:
            continue
        scores = [score or 0.0 for score in evidence.point["validation"][name]["threshold_iou"]]
        share = row["fn"] / sum(row.values())
        if max(scores) > 0:
            threshold = evidence.point["candidates"]["thresholds"][int(np.argmax(scores))]
            found["lost"].append(f"{name}, which has an IoU of {max(scores):.3f} at the threshold {threshold:g}")
        else:
            found["rare" if share < RARE else "unlearnt"].append(f"{name}, {100 * share:.2g} % of the pixels")
    weights = evidence.config["loss"]["class_weights"]
    reasons = {
        "lost": (
            "the network sees it, and the threshold chosen or a step takes it away",
            "set postprocess.thresholds, smaller areas of the step remove_small, fewer postprocess.steps",
        ),
        "rare": (
            "it is rare, so that the loss loses little by leaving it out",
            f"loss.class_weights: auto (now {weights or 'all alike'}), a higher train.foreground, "
            "loss.ohem below 1, more pictures with it",
        ),
        "unlearnt": (
            "it has not been learnt: trained too shortly, or annotated in ways that pictures do not show",
            f"more train.epochs, loss.class_weights: auto (now {weights or 'all alike'}); look at its outlines in "
            "quality/audit.html",
        ),
    }
    return [
        Remark(f"Not one pixel is found on validation of {'; '.join(names)}", *reasons[reason])
        for reason, names in found.items()
        if names
    ]


def worse_on_test(evidence: Evidence) -> list[Remark]:
    """A validation far above the test, with the interval of the difference.

    The interval is put together from those of the two, which are of different groups [1]_.

    References
    ----------
    .. [1] Zou & Donner (2008), "Construction of confidence limits about effect measures", Stat. in Medicine 27(10).
    """
    validation, test = evidence.means
    if validation.estimate is None or test.estimate is None or validation.estimate - test.estimate < GAP:
        return []
    difference = validation.estimate - test.estimate
    groups = f"{count_of(validation.n_groups, 'group')} and {test.n_groups}"
    interval, chance = "too few pictures for an interval", True
    if validation.low is not None and test.low is not None:
        low = difference - np.hypot(validation.estimate - validation.low, test.high - test.estimate)
        high = difference + np.hypot(validation.high - validation.estimate, test.estimate - test.low)
        over_groups = validation.resampled == test.resampled == "groups"
        interval = f"interval{'' if over_groups else ' over single pictures'} {signed(low)} to {signed(high)}"
        chance = low <= 0 or not over_groups
    causes = ["too few groups to tell it from chance" if chance else "the groups of the test differ from the others"]
    owed = evidence.point["optimism"]["difference"]
    if owed is not None and owed >= OPTIMISM:
        causes.append("thresholds and steps were chosen on validation, which is too kind")
    return [
        Remark(
            f"Mean IoU is {validation.estimate:.3f} on validation and {test.estimate:.3f} on the test, of {groups}: "
            f"{signed(difference)} ({interval})",
            "; ".join(causes),
            "more groups of all kinds in training and validation, dataset.split.folds; look at what "
            "the worst test pictures have in common",
        )
    ]


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
    """tp, fp, fn and tn of each class, over all cases together."""
    return {
        name: {count: sum(int(row[count]) for row in of_class) for count in ("tp", "fp", "fn", "tn")}
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
    broken_loss,
    oscillating_iou,
    overfitting,
    waiting_for_data,
    unlike_tiles,
    blurred_borders,
    never_found,
    one_sided_errors,
    missed_small_objects,
    visible_seams,
    far_thresholds,
    optimistic_point,
    worse_on_test,
    few_test_groups,
)
"""All rules; what is said of a run is what they say of it."""
