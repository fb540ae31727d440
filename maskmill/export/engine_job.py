"""The engines of what an experiment deploys: built, and compared with PyTorch on the GPU where they were built."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskmill.export.parity import check_member_parity
from maskmill.export.tensorrt import build_engine, tile_profile
from maskmill.inference.artifacts import Artifact
from maskmill.inference.cuda import find_gpu
from maskmill.inference.engines import find_backend
from maskmill.inference.members import join_members
from maskmill.inference.tiling import resolve_tiling
from maskmill.runs import read_run


def build_checked_engines(
    onnx: Sequence[Path],
    precisions: Sequence[str],
    models: Sequence[Path],
    configs: Sequence[Path],
    point: Path,
    samples: Path,
    splits: Path,
    labels: Sequence[Path],
    tiling: Mapping[str, Any],
    limits: Mapping[str, Mapping[str, float | None]],
    timings: Path,
    verdict: Path,
    pictures: Path,
) -> None:
    """Build the engine of each precision beside its ONNX file, and compare it as `check_member_parity` does.

    In one job, since a cluster may run the next on another GPU, where the engines do not run. onnx: files in one
    folder, named as `Artifact.onnx` says; models, configs: of one member, or of several; tiling: the `predict` options;
    timings: folder of times kept between builds. Raises MaskmillError where TensorRT or a GPU is missing; an engine
    that differs is told by the verdict alone.
    """
    backend, gpu = find_backend(), find_gpu()
    joined = join_members([read_run(config) for config in configs], tiling)
    model = joined.run["model"]
    profile = tile_profile(
        resolve_tiling(tiling, joined.run), joined.run["preprocessing"]["channels"], joined.stride, model["dimensions"]
    )
    artifacts = [Artifact("tensorrt", precision) for precision in precisions]
    engines = [onnx[0].parent / artifact.file for artifact in artifacts]
    for artifact, engine in zip(artifacts, engines, strict=True):
        build_engine(engine.with_name(artifact.onnx), profile, engine, backend, gpu, timings)
    check_member_parity(
        engines, artifacts, models, configs, point, samples, splits, labels, tiling, limits, verdict, pictures
    )
