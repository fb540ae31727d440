"""The parity gate: an export is compared with PyTorch on whole validation pictures, through everything around it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from maskmill.classes import BACKGROUND, IGNORE, Classes
from maskmill.data.cases import Case, label_paths, read_cases, read_mask
from maskmill.evaluation.scores import iou
from maskmill.files import atomic_path, write_json
from maskmill.imaging.overlay import blend_mask
from maskmill.inference.members import join_members
from maskmill.inference.recipe import Recipe
from maskmill.inference.runtimes import OnnxRuntime, Runtime
from maskmill.inference.sliding_window import LEVELS
from maskmill.logs import progress
from maskmill.runs import read_run


@dataclass(frozen=True)
class Agreement:
    """Of one picture: largest difference of a probability, share of pixels whose class differs, difference of IoU."""

    id: str
    probability_difference: float
    mask_disagreement: float
    iou_difference: float


def check_parity(
    reference: Runtime,
    candidate: Runtime,
    recipe: Recipe,
    cases: Sequence[tuple[Case, Path]],
    limits: Mapping[str, float],
    verdict: Path,
    worst_picture: Path,
) -> None:
    """Compare `candidate` with `reference` on whole pictures; write the verdict and a picture of the worst case.

    cases: each with its label image. limits: "mask_disagreement" (share of a picture's pixels) and "iou_difference", of
    the worst picture. Of a volume, the slice that differs most is drawn. Never raises for a failed comparison: the
    verdict is an artifact, `maskmill.export.verdict.require_parity` is the gate.
    """
    compared: list[Agreement] = []
    worst: tuple[float, np.ndarray] | None = None
    for case, label in progress(cases, "parity"):
        image, truth = case.pixels(), read_mask(label)
        pair = [recipe.probabilities(image, runtime) for runtime in (reference, candidate)]
        masks = [recipe.decide(probabilities, image, case.image) for probabilities in pair]
        agreement = _compare(case.id, pair, masks, truth, len(recipe.classes))
        compared.append(agreement)
        if worst is None or agreement.mask_disagreement > worst[0]:
            number = _most_different_slice(masks)
            drawn = _picture(image[number], [mask[number] for mask in masks], recipe.classes)
            worst = agreement.mask_disagreement, drawn
    write_json(verdict, _verdict(compared, limits))
    with atomic_path(worst_picture) as aside:
        Image.fromarray(worst[1]).save(aside)


def check_member_parity(
    onnx: Path,
    models: Sequence[Path],
    configs: Sequence[Path],
    point: Path,
    samples: Path,
    splits: Path,
    labels: Sequence[Path],
    tiling: Mapping[str, Any],
    limits: Mapping[str, float],
    verdict: Path,
    worst_picture: Path,
) -> None:
    """Compare an ONNX export with its PyTorch model on the validation pictures of a fold, of several the first.

    models, configs: of one member, or of several, whose mean in PyTorch is the reference.
    tiling: the `predict` options.
    """
    joined = join_members([read_run(config) for config in configs], tiling)
    run, threads = joined.run, joined.run["train"]["threads"]
    reference = joined.torch_runtime(models, threads)
    cases = read_cases(samples, splits, run["fold"], "validation")
    labelled = list(zip(cases, label_paths(cases, labels), strict=True))
    recipe = Recipe.of_member(run, tiling, any(case.is_volume for case in cases), joined.stride, point)
    check_parity(reference, OnnxRuntime(onnx, threads), recipe, labelled, limits, verdict, worst_picture)


def _compare(
    name: str, probabilities: list[np.ndarray], masks: list[np.ndarray], truth: np.ndarray, classes: int
) -> Agreement:
    difference = int((np.maximum(*probabilities) - np.minimum(*probabilities)).max()) / LEVELS
    disagreement = np.count_nonzero((masks[0] != masks[1]) & (truth != IGNORE)) / truth.size
    ious = [[iou(mask == value, truth, value) for value in range(1, classes + 1)] for mask in masks]
    # a class that one mask has and the other has not, where the truth has none: as far apart as can be
    gaps = [0.0 if a is b is None else 1.0 if None in (a, b) else abs(a - b) for a, b in zip(*ious, strict=True)]
    return Agreement(name, difference, disagreement, max(gaps))


def _verdict(cases: list[Agreement], limits: Mapping[str, float]) -> dict[str, Any]:
    worst = {
        measure: max(cases, key=lambda case: getattr(case, measure))
        for measure in ("probability_difference", "mask_disagreement", "iou_difference")
    }
    return {
        "limits": dict(limits),
        "passed": all(getattr(worst[measure], measure) <= limit for measure, limit in limits.items()),
        "pictures": len(cases),
        "worst": {measure: {"id": case.id, "value": getattr(case, measure)} for measure, case in worst.items()},
        "cases": [vars(case) for case in cases],
    }


def _most_different_slice(masks: list[np.ndarray]) -> int:
    """The slice of two masks (D, H, W) that differs in most pixels, the one with most classes among equals."""
    differing = (masks[0] != masks[1]).sum(axis=(1, 2))
    areas = (masks[0] != BACKGROUND).sum(axis=(1, 2))
    return int(np.lexsort((areas, differing))[-1])


def _picture(image: np.ndarray, masks: list[np.ndarray], classes: Classes) -> np.ndarray:
    """PyTorch's mask, the export's mask, and where they differ (white), side by side: uint8 (H, 3W + 16, 3)."""
    panels = [blend_mask(image, mask, classes) for mask in masks]
    differ = np.repeat(((masks[0] != masks[1]) * np.uint8(255))[..., None], 3, axis=2)
    gap = np.full((image.shape[0], 8, 3), 255, np.uint8)
    return np.concatenate([panels[0], gap, panels[1], gap, differ], axis=1)
