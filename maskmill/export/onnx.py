"""ONNX export: normalised tiles in, foreground probabilities out, batch, height and width free."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch

from maskmill.files import atomic_path
from maskmill.models import foreground_probabilities, load_model

OPSET = 20


class ProbabilityModel(torch.nn.Module):
    """A network with its final activation: float32 (N, C, H, W) -> foreground probabilities (N, K, H, W)."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.model = model

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Apply the network and the activation."""
        return foreground_probabilities(self.model(tiles))


def export_onnx(model_path: Path, output: Path) -> None:
    """Write the model as one ONNX file (opset 20) whose bytes depend on the weights and the code alone.

    The metadata of the weights (run id, classes, model options) becomes the file's `maskmill` property.
    """
    model, metadata = load_model(model_path)
    side = 2 * model.stride
    example = torch.zeros(2, metadata["channels"], side, side + model.stride)
    with _without_noise():
        program = torch.onnx.export(
            ProbabilityModel(model).eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["tiles"],
            output_names=["probabilities"],
            dynamic_shapes={"tiles": {0: "batch", 2: "height", 3: "width"}},
            external_data=False,
            verbose=False,
        )
    graph = program.model_proto
    _strip_traces(graph)
    onnx.helper.set_model_props(graph, {"maskmill": json.dumps(metadata, sort_keys=True)})
    onnx.checker.check_model(graph, full_check=True)
    with atomic_path(output) as aside:
        onnx.save(graph, aside)


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
    del model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.initializer, *model.graph.value_info, *model.graph.input):
        del part.metadata_props[:]
    for output in model.graph.output:
        del output.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
