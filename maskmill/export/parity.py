"""The parity gate: each export is compared with PyTorch on whole validation pictures, through everything around it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from maskmill.classes import IGNORE, Classes
from maskmill.data.cases import Case, label_paths, read_cases, read_mask
from maskmill.evaluation.measure import distance_unit
from maskmill.export.agreement import MEASURES, Agreement, Scores, compare, draw_difference, score
from maskmill.files import atomic_path, sha256_file, write_json
from maskmill.imaging.volumes import stack_header
from maskmill.inference.artifacts import Artifact
from maskmill.inference.members import join_members
from maskmill.inference.recipe import Recipe
from maskmill.inference.runtimes import Runtime
from maskmill.logs import progress
from maskmill.metrics import PIXELS
from maskmill.runs import read_run


class Cases(NamedTuple):
    """Cases with their label images; unit of distances, such as "px" or "mm"."""

    labelled: Sequence[tuple[Case, Path]]
    unit: str = PIXELS

    def spacing(self, case: Case) -> tuple[float, ...] | None:
        """Size of a voxel along each axis in the unit; None: distances are in pixels."""
        return None if self.unit == PIXELS else tuple(stack_header(case.image).spacing)


@dataclass
class _Trial:
    """An artifact in comparison: its runtime, what was found, and the picture of the worst case."""

    runtime: "_Finite"
    scores: list[Scores] = field(default_factory=list)
    agreements: list[Agreement] = field(default_factory=list)
    worst: tuple[float, np.ndarray] | None = None


class _Finite:
    """A runtime whose probabilities that are no numbers become 0, and are counted."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.broken = 0

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        found = self._runtime(batch)
        finite = np.isfinite(found)
        if finite.all():
            return found
        self.broken += int(np.count_nonzero(~finite))
        return np.where(finite, found, np.float32(0))


def check_parity(
    reference: Runtime,
    candidates: Mapping[Artifact, Runtime],
    recipe: Recipe,
    cases: Cases,
    limits: Mapping[str, Mapping[str, float | None]],
    verdict: Path,
    pictures: Path,
    files: Mapping[str, str] | None = None,
) -> None:
    """Compare candidates with `reference` on whole pictures; write the verdict and a picture of each one's worst case.

    limits: precision → measure of `MEASURES` → the most that the worst picture may have, None for no limit.
    verdict: JSON, see `_judge`. pictures: folder of `<artifact>.png`; of a volume the slice that differs most.
    files: digests of the candidates' files. Never raises for a failed comparison: the verdict is an artifact,
    `maskmill.export.verdict.require_parity` is the gate.
    """
    trials = {artifact: _Trial(_Finite(runtime)) for artifact, runtime in candidates.items()}
    own: list[Scores] = []
    for case, label in progress(cases.labelled, "parity"):
        image, truth = case.pixels(), read_mask(label)
        expected = recipe.probabilities(image, reference)
        mask = recipe.decide(expected, image, case.image)
        own.append(score(mask, truth, len(recipe.classes), cases.spacing(case)))
        for trial in trials.values():
            found = recipe.probabilities(image, trial.runtime)
            other = recipe.decide(found, image, case.image)
            _record(trial, case, (expected, found), (mask, other), truth, own[-1], recipe.classes, image, cases)
    judged = [_judge(artifact, trial, limits[artifact.precision]) for artifact, trial in trials.items()]
    content = {
        "passed": all(one["passed"] for one in judged),
        "pictures": len(cases.labelled),
        "unit": cases.unit,
        "cases": [{"id": case.id} for case, _ in cases.labelled],
        "reference": {"iou": _mean_iou(own)},
        "files": dict(files or {}),
        "artifacts": judged,
    }
    write_json(verdict, content)
    with atomic_path(pictures) as aside:
        aside.mkdir(parents=True)
        for artifact, trial in trials.items():
            Image.fromarray(trial.worst[1]).save(aside / f"{artifact.name}.png")


def check_member_parity(
    onnx: Sequence[Path],
    artifacts: Sequence[Artifact],
    models: Sequence[Path],
    configs: Sequence[Path],
    point: Path,
    samples: Path,
    splits: Path,
    labels: Sequence[Path],
    tiling: Mapping[str, Any],
    limits: Mapping[str, Mapping[str, float | None]],
    verdict: Path,
    pictures: Path,
) -> None:
    """Compare ONNX exports with their PyTorch model on the validation pictures of a fold, of several the first.

    onnx: files in one folder, named as `Artifact.file` says. models, configs: of one member, or of several, whose mean
    in PyTorch is the reference. tiling: the `predict` options.
    """
    joined = join_members([read_run(config) for config in configs], tiling)
    run, threads = joined.run, joined.run["train"]["threads"]
    found = read_cases(samples, splits, run["fold"], "validation")
    cases = Cases(list(zip(found, label_paths(found, labels), strict=True)), distance_unit(samples))
    recipe = Recipe.of_member(run, tiling, any(case.is_volume for case in found), joined.stride, point)
    candidates = {artifact: artifact.open(onnx[0].parent, threads) for artifact in artifacts}
    files = {file.name: sha256_file(file) for file in onnx}
    reference = joined.torch_runtime(models, threads)
    check_parity(reference, candidates, recipe, cases, limits, verdict, pictures, files)


def _record(
    trial: _Trial,
    case: Case,
    probabilities: tuple[np.ndarray, np.ndarray],
    masks: tuple[np.ndarray, np.ndarray],
    truth: np.ndarray,
    expected: Scores,
    classes: Classes,
    image: np.ndarray,
    cases: Cases,
) -> None:
    """Enter what a trial gave for a case. probabilities, masks: of the reference and of the trial."""
    same = np.array_equal(*masks)
    found = expected if same else score(masks[1], truth, len(classes), cases.spacing(case))
    agreement = compare(case.id, probabilities, masks, truth != IGNORE, (expected, found), classes.names)
    trial.scores.append(found)
    trial.agreements.append(agreement)
    if trial.worst is None or agreement.mask_disagreement > trial.worst[0]:
        trial.worst = agreement.mask_disagreement, draw_difference(image, masks, classes)


def _judge(artifact: Artifact, trial: _Trial, limits: Mapping[str, float | None]) -> dict[str, Any]:
    """The verdict on an artifact.

    worst: measure → the case (and class) with the largest value; None where no case has one. iou: mean over classes of
    means over cases. not_finite: how many probabilities were NaN or infinite; one is enough to fail.
    """
    worst = {measure: _worst(trial.agreements, measure) for measure in MEASURES}
    exceeded = [
        measure
        for measure, limit in limits.items()
        if limit is not None and worst[measure] and worst[measure]["value"] > limit
    ]
    return {
        "runtime": artifact.runtime,
        "precision": artifact.precision,
        "label": artifact.label,
        "file": artifact.file,
        "picture": f"{artifact.name}.png",
        "limits": dict(limits),
        "exceeded": exceeded,
        "not_finite": trial.runtime.broken,
        "passed": not exceeded and not trial.runtime.broken,
        "iou": _mean_iou(trial.scores),
        "worst": worst,
        "cases": [asdict(agreement) for agreement in trial.agreements],
    }


def _worst(agreements: Sequence[Agreement], measure: str) -> dict[str, Any] | None:
    largest = [(*agreement.largest(measure), agreement.id) for agreement in agreements]
    defined = [entry for entry in largest if entry[0] is not None]
    if not defined:
        return None
    value, name, case = max(defined, key=lambda entry: entry[0])
    return {"id": case, "value": value} | ({"class": name} if name else {})


def _mean_iou(scores: Sequence[Scores]) -> float | None:
    """Mean over the classes of the mean over the cases in which a class's IoU is defined."""
    by_class = zip(*[[one.iou for one in of_case] for of_case in scores], strict=True)
    means = [_mean([value for value in values if value is not None]) for values in by_class]
    return _mean([mean for mean in means if mean is not None])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
