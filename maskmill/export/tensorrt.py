"""TensorRT engines of ONNX exports: parsed, given the shapes that prediction asks for, tuned, tagged.

Networks are strongly typed: precision is what the ONNX model says (FP32, FP16 and, by pairs of QuantizeLinear and
DequantizeLinear, INT8), in TensorRT 10 and 11 alike. TF32 is off, as in the PyTorch reference. One code path for both
backends, see `maskmill.inference.engines`. Reference: NVIDIA, TensorRT developer guide.
"""

import logging
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx

from maskmill.dag.backends import BACKENDS
from maskmill.errors import MaskmillError
from maskmill.files import atomic_path, sha256_file
from maskmill.inference.cuda import Gpu
from maskmill.inference.engines import (
    INPUT,
    Backend,
    EngineTag,
    Profile,
    message_logger,
    tag_path,
    written,
)
from maskmill.inference.tiling import Tiling
from maskmill.sizes import Size

logger = logging.getLogger(__name__)

MB = 2**20
ALGORITHMS_MB = 256
"""Scratch memory that algorithms take whatever the tiles are, generously."""

TURING = "7.5"

WORKSPACE_ERRORS = re.compile("OutOfMemory|workspace|out of memory|insufficient memory", re.IGNORECASE)


def tile_profile(tiling: Tiling, channels: int, stride: Size, dimensions: int) -> Profile:
    """The shapes that prediction with this tiling asks for, for a network of so many dimensions.

    From one tile of the network's stride, for pictures that are hardly larger, to a whole batch of whole tiles, for
    which the engine is tuned. Where `predict.tta` turns tiles, height and width take each other's place.
    """
    least, tile = stride[-dimensions:], tiling.tile[-dimensions:]
    most = tile
    if tiling.tta == "rotations":
        most, least = tile[:-2] + (max(tile[-2:]),) * 2, least[:-2] + (min(least[-2:]),) * 2
    batch = tiling.batch_size
    return Profile((1, channels, *least), (batch, channels, *tile), (batch, channels, *most))


def build_engine(
    onnx_path: Path,
    profile: Profile,
    output: Path,
    backend: Backend,
    gpu: Gpu | None,
    timings: Path | None = None,
    workspace: int | None = None,
) -> EngineTag:
    """Build the engine of an ONNX model, written to `output` with its tag beside it.

    gpu: that of this machine; None builds for every GPU that the backend `tensorrt_rtx` knows. timings: folder where
    measured times of operations are kept for the next build on the same GPU. workspace: bytes of GPU memory that the
    engine may take; by default what all its maps at once would, as far as the GPU has it. Raises MaskmillError, with
    what to do, for operations that TensorRT does not know, too little workspace, and GPUs that the backend does not
    build for.
    """
    trt, messages = backend.module, message_logger(backend.module)
    builder = trt.Builder(messages)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, messages)
    if not parser.parse_from_file(str(onnx_path)):
        raise MaskmillError(_unparsed(parser, onnx_path))
    if workspace is None:
        workspace = workspace_bytes(onnx_path, profile.most)
        workspace = min(workspace, gpu.free) if gpu else workspace
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
    config.clear_flag(trt.BuilderFlag.TF32)
    shapes = builder.create_optimization_profile()
    shapes.set_shape(INPUT, profile.least, profile.usual, profile.most)
    config.add_optimization_profile(shapes)
    capabilities = _target(config, backend, gpu)
    kept = _timing_file(timings, backend, gpu) if timings and gpu and backend.keeps_timings else None
    if kept:
        load_timings(config, kept)
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise MaskmillError(_unbuilt(messages.errors, onnx_path, profile, workspace))
    if kept:
        save_timings(config, kept)
    with atomic_path(output) as aside:
        aside.write_bytes(serialized)
    name = gpu.name if gpu else None
    tag = EngineTag(
        backend.name, backend.version, name, capabilities, sha256_file(onnx_path), sha256_file(output), profile
    )
    tag.write(tag_path(output))
    logger.info(
        "%s %s built an engine of %.1f MB for tiles %s to %s",
        backend.name, backend.version, output.stat().st_size / 1e6, written(profile.least), written(profile.most),
    )  # fmt: skip
    return tag


def workspace_bytes(onnx_path: Path, shape: Sequence[int]) -> int:
    """A bound of the GPU memory that a network takes beside its weights, for a batch of this shape.

    All maps at once, though most of them never exist at the same time, and what algorithms need besides. It is a limit,
    not what is taken: building chooses among the algorithms that stay below it.
    """
    model = onnx.load(onnx_path)
    for dimension, side in zip(model.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        dimension.dim_value = side
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    return sum(_map_bytes(inferred.graph)) + ALGORITHMS_MB * MB


def _map_bytes(graph: onnx.GraphProto) -> Iterator[int]:
    """Bytes of every map in a graph, and in the branches of its conditions, as far as its shape is known."""
    for value in (*graph.value_info, *graph.output):
        kind = value.type.tensor_type
        itemsize = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize if kind.elem_type else 0
        yield itemsize * math.prod(dimension.dim_value for dimension in kind.shape.dim)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _map_bytes(attribute.g)


def _target(config: Any, backend: Backend, gpu: Gpu | None) -> tuple[str, ...]:
    """Tell the builder what compute capabilities the engine is for, and return them.

    Only `tensorrt_rtx` takes them: that of the GPU; without one all but Turing's, for which version 1.7 multiplies no
    matrices in FP32. `tensorrt` builds for the GPU that it tunes on.
    """
    if backend.name == "tensorrt":
        if gpu is None:
            raise MaskmillError(
                "the backend tensorrt tunes an engine on the GPU that it is for, and there is none here; build it on a "
                f"machine with that GPU, or install the backend that needs none: {BACKENDS['tensorrt_rtx'][1]}"
            )
        return (gpu.compute_capability,)
    names = backend.module.ComputeCapability.__members__
    known = {f"{name[2:-1]}.{name[-1]}": value for name, value in names.items() if name.startswith("SM")}
    chosen = [gpu.compute_capability] if gpu else [capability for capability in known if capability != TURING]
    if gpu and gpu.compute_capability not in known:
        raise MaskmillError(
            f"tensorrt_rtx {backend.version} builds for compute capabilities {', '.join(known)}, and {gpu.name} has "
            f"{gpu.compute_capability}; use the other backend: {BACKENDS['tensorrt'][1]}"
        )
    config.num_compute_capabilities = len(chosen)
    for index, capability in enumerate(chosen):
        config.set_compute_capability(known[capability], index)
    return tuple(chosen)


def _timing_file(folder: Path, backend: Backend, gpu: Gpu) -> Path:
    name = re.sub(r"\W+", "-", gpu.name)
    return folder / f"{backend.name}-{backend.version}-{name}.timings"


def load_timings(config: Any, path: Path) -> None:
    """Give the builder the times kept in a file; none where it is missing, or the builder refuses it, and says so."""
    cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    if cache is None or not config.set_timing_cache(cache, False):
        logger.warning("%s cannot be used here; all operations are timed anew, which takes longer", path)
        config.set_timing_cache(config.create_timing_cache(b""), False)


def save_timings(config: Any, path: Path) -> None:
    """Keep the builder's times, with those that it was given."""
    with atomic_path(path) as aside:
        aside.write_bytes(config.get_timing_cache().serialize())


def _unparsed(parser: Any, onnx_path: Path) -> str:
    """What TensorRT does not understand in a model, and what to do."""
    errors = [parser.get_error(number) for number in range(parser.num_errors)]
    if not any(error.node_operator() for error in errors):
        reasons = "; ".join(error.desc() for error in errors)
        return f"{onnx_path} is no whole ONNX model ({reasons}); delete it and export it again"
    lines = [
        f"  - {error.node_operator()} {error.node_name()}: {error.code().name.lower()}, {error.desc()}"
        for error in errors
    ]
    return (
        f"TensorRT has operations of {onnx_path} not, or not in this form:\n" + "\n".join(lines) + "\nUse ONNX Runtime "
        "(export: {tensorrt: false}), or choose other options of `model` or export.precisions, and report these."
    )


def _unbuilt(errors: Sequence[str], onnx_path: Path, profile: Profile, workspace: int) -> str:
    """Why no engine came out, and what to do."""
    reasons = "\n".join(f"  - {error}" for error in errors) or "  - it gives no reason"
    if any(WORKSPACE_ERRORS.search(error) for error in errors):
        return (
            f"tiles {written(profile.most)} need more than the {workspace // MB:,} MiB of GPU memory that the engine "
            f"may take: choose a smaller predict.batch_size (now {profile.most[0]}) or predict.tile, or a GPU with "
            f"more free memory. TensorRT says:\n{reasons}"
        )
    return f"TensorRT builds no engine of {onnx_path}; use ONNX Runtime (export: {{tensorrt: false}}):\n{reasons}"
