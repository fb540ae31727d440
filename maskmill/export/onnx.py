"""ONNX export: normalised tiles in, foreground probabilities out, batch and sizes free, in FP32 or FP16.

Tiles and probabilities are float32 in either; INT8 files are made of FP32 ones, see `maskmill.export.quantization`.
"""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch

from maskmill.errors import MaskmillError
from maskmill.files import METADATA, atomic_path, sha256_file
from maskmill.inference.artifacts import OPSET
from maskmill.inference.members import InputMap, join_members
from maskmill.models import foreground_probabilities, load_model
from maskmill.runs import read_run

AXES = ("depth", "height", "width")


class ProbabilityModel(torch.nn.Module):
    """A network with its final activation: float32 (N, C, …) -> foreground probabilities, float32 (N, K, …).

    half: the network computes in float16; the activation never does.
    """

    def __init__(self, model: torch.nn.Module, half: bool = False):
        super().__init__()
        self.dimensions, self.half_precision = model.dimensions, half
        self.model = model.half() if half else model

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Apply the network and the activation."""
        logits = self.model(tiles.half()).float() if self.half_precision else self.model(tiles)
        return foreground_probabilities(logits)


class MeanModel(torch.nn.Module):
    """The mean of several members' probabilities; each makes its own input of the common one."""

    def __init__(self, members: Sequence[ProbabilityModel], inputs: Sequence[InputMap]):
        super().__init__()
        self.members = torch.nn.ModuleList(members)
        self.inputs = torch.nn.ModuleList(MappedInput(own, member.dimensions)
                                          for own, member in zip(inputs, members, strict=True))  # fmt: skip

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """float32 (N, C, …) -> foreground probabilities (N, K, …)."""
        outputs = [member(own(tiles)) for member, own in zip(self.members, self.inputs, strict=True)]
        return sum(outputs[1:], outputs[0]) / len(outputs)


class MappedInput(torch.nn.Module):
    """`InputMap` as a part of a network of so many dimensions."""

    def __init__(self, own: InputMap, dimensions: int):
        super().__init__()
        for name in ("rescale", "normalize"):
            pairs = getattr(own, name)
            values = None if pairs is None else torch.tensor(pairs).T.reshape(2, 1, len(pairs), *[1] * dimensions)
            self.register_buffer(name, values)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """float32 (N, C, …) -> float32 of the same shape."""
        if self.rescale is not None:
            tiles = (tiles * self.rescale[0] + self.rescale[1]).clamp(0, 1)
        return tiles if self.normalize is None else (tiles - self.normalize[0]) / self.normalize[1]


def export_members(models: Sequence[Path], configs: Sequence[Path], output: Path, precision: str = "fp32") -> None:
    """Write one member as `export_onnx` does, or several as one file that gives the mean of their probabilities.

    configs: the members' resolved configurations; precision: "fp32" or "fp16", in which each network computes. The
    file's `maskmill` property is JSON with sorted keys: run_id, classes, preprocessing and precision; of one member the
    metadata of its weights and their digest, of several the same of each below `members`. Raises MaskmillError as
    `join_members` does.
    """
    joined = join_members([read_run(config) for config in configs], tiling=None)
    preprocessing = joined.run["preprocessing"]
    if len(models) == 1:
        export_onnx(models[0], output, precision, preprocessing)
        return
    loaded = [load_model(path) for path in models]
    members = {
        name: {**metadata, "weights_sha256": sha256_file(path)}
        for name, (_, metadata), path in zip(joined.names, loaded, models, strict=True)
    }
    metadata = {
        "run_id": joined.run["run_id"],
        "classes": loaded[0][1]["classes"],
        "preprocessing": preprocessing,
        "precision": precision,
        "members": members,
    }
    half = _is_half(precision)
    mean = MeanModel([ProbabilityModel(model, half) for model, _ in loaded], joined.inputs)
    _export(mean, loaded[0][0], loaded[0][1]["channels"], metadata, output)


def export_onnx(
    model_path: Path, output: Path, precision: str = "fp32", preprocessing: Mapping[str, Any] | None = None
) -> None:
    """Write the model as one ONNX file (opset 20); its bytes depend on the weights, these arguments and the code alone.

    precision: "fp32" or "fp16", in which the network computes. preprocessing: what tiles went through. The metadata of
    the weights (run id, classes, model options), their digest, precision and preprocessing become the file's `maskmill`
    property.
    """
    model, metadata = load_model(model_path)
    known = {**metadata, "weights_sha256": sha256_file(model_path), "precision": precision}
    known |= {"preprocessing": preprocessing} if preprocessing else {}
    _export(ProbabilityModel(model, _is_half(precision)), model, metadata["channels"], known, output)


def _is_half(precision: str) -> bool:
    if precision not in ("fp32", "fp16"):
        raise MaskmillError(
            f'precision is "{precision}"; an export computes in fp32 or fp16, and `quantize_members` makes int8 of fp32'
        )
    return precision == "fp16"


def _export(
    whole: torch.nn.Module, model: torch.nn.Module, channels: int, metadata: Mapping[str, Any], output: Path
) -> None:
    """Write `whole`, whose tiles are those of the network `model`."""
    axes = AXES[-model.dimensions :]
    sizes = [factor * stride for factor, stride in zip((3, 2, 4), model.stride, strict=True)]  # no two alike
    example = torch.zeros(2, channels, *sizes[-model.dimensions :])
    with _without_noise():
        program = torch.onnx.export(
            whole.eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["tiles"],
            output_names=["probabilities"],
            dynamic_shapes={"tiles": {0: "batch", **dict(enumerate(axes, start=2))}},
            external_data=False,
            verbose=False,
        )
    exported = program.model_proto
    _strip_traces(exported)
    place_constants(exported.graph)
    save_checked(exported, metadata, output)


def save_checked(exported: onnx.ModelProto, metadata: Mapping[str, Any], output: Path) -> None:
    """Write a model with `metadata` as its only property, `maskmill`, after the full check of ONNX."""
    del exported.metadata_props[:]
    onnx.helper.set_model_props(exported, {METADATA: json.dumps(metadata, sort_keys=True)})
    onnx.checker.check_model(exported, full_check=True)
    with atomic_path(output) as aside:
        onnx.save(exported, aside)


@contextmanager
def _without_noise() -> Iterator[None]:
    """Silence what the exporter says of its own work: its optimiser's steps, and packages that it does without."""

    def is_news(record: logging.LogRecord) -> bool:
        return "torchvision is not installed" not in record.getMessage()

    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    optimisers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir")]
    levels = [logger.level for logger in optimisers]
    registration.addFilter(is_news)
    for logger in optimisers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            yield
    finally:
        registration.removeFilter(is_news)
        for logger, level in zip(optimisers, levels, strict=True):
            logger.setLevel(level)


def _strip_traces(model: onnx.ModelProto) -> None:
    """Drop the exporter's notes: they hold stack traces with the paths of this machine."""
    del model.metadata_props[:]
    for graph in graphs(model.graph):
        del graph.metadata_props[:]
        for part in (*graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
            del part.metadata_props[:]
        for node in graph.node:
            node.doc_string = ""


def place_constants(main: onnx.GraphProto) -> None:
    """Move each constant to where it is used, and drop those that the exporter's optimiser left unused.

    ONNX Runtime fuses and lays out a convolution in a branch only if the branch itself holds the weights (1.32: the
    whole decoder of an early-exit network takes 11 % longer than without branches, and 36 % if the main graph has all).
    """
    users = {constant.name: [] for constant in main.initializer}
    for graph in graphs(main):
        names = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
        for name in names & users.keys():
            users[name].append(graph)
    constants = list(main.initializer)
    del main.initializer[:]
    for constant in constants:
        home = users[constant.name]
        if home:
            (home[0] if len(home) == 1 else main).initializer.append(constant)


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those of its conditions' branches, at any depth."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from graphs(attribute.g)
