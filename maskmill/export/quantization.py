"""INT8 by static quantisation of an FP32 ONNX file, calibrated on pictures of the training split only.

Weights are signed 8-bit integers, each output channel with a scale of its own; activations are quantised a tensor at a
time, over the range from the least to the largest value that the calibration tiles gave. The graph keeps float32
operators between pairs of QuantizeLinear and DequantizeLinear (QDQ), from which each runtime makes its own integer
kernels.

Reference: Jacob et al. (2018), "Quantization and training of neural networks for efficient integer-arithmetic-only
inference", CVPR.
"""

import json
import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from maskmill.data.cases import Case, read_cases
from maskmill.export.onnx import graphs, place_constants, save_checked
from maskmill.files import METADATA
from maskmill.imaging.lazy import open_pixels
from maskmill.inference.members import JoinedMembers, join_members
from maskmill.inference.preprocess import Preprocessing
from maskmill.inference.sliding_window import predict_bands
from maskmill.inference.tiling import Tiling, resolve_tiling
from maskmill.logs import progress
from maskmill.runs import read_run

TILES_A_CASE = 4
"""Tiles of a calibration case, evenly spread over it: neighbours tell the same."""

OPERATORS = ("Conv", "ConvTranspose", "Relu", "MaxPool", "Resize", "Concat", "Add")
"""What is quantised. The rest, such as normalisation, attention and gates, costs little and needs its precision."""


def quantize_members(
    onnx_path: Path,
    configs: Sequence[Path],
    samples: Path,
    splits: Path,
    tiling: dict[str, Any],
    cases: int,
    output: Path,
    symmetric: bool = False,
) -> None:
    """Write an INT8 file of an FP32 export, of one member or of several.

    configs: of the members; tiling: the `predict` options. cases: training cases to calibrate with, see `spread`; those
    of the first member's fold, on whose validation cases the result is then judged. symmetric: as of `quantize`.
    """
    joined = join_members([read_run(config) for config in configs], tiling)
    chosen = spread(read_cases(samples, splits, joined.run["fold"], "train"), cases)
    tiles = calibration_tiles(joined, replace(resolve_tiling(tiling, joined.run), tta="none", batch_size=1), chosen)
    quantize(onnx_path, tiles, output, symmetric, [case.id for case in chosen])


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """So many of the items, evenly spread over their order; all of them where there are no more."""
    if len(items) <= count:
        return list(items)
    return [items[place] for place in np.linspace(0, len(items) - 1, count).round().astype(int)]


def calibration_tiles(joined: JoinedMembers, tiling: Tiling, cases: Sequence[Case]) -> Iterator[np.ndarray]:
    """At most `TILES_A_CASE` tiles of each case as the network sees them: normalised float32 (1, C, …)."""
    preprocessing = Preprocessing.from_dict(joined.run["preprocessing"])
    for case in progress(cases, "calibration"):
        kept = _Thinned(TILES_A_CASE)
        with open_pixels(case.image, case.is_volume) as image:
            dimensions = joined.run["model"]["dimensions"]
            for _ in predict_bands(image, preprocessing, tiling, joined.stride, dimensions, kept):
                pass
        yield from spread(kept.tiles, TILES_A_CASE)


class _Thinned:
    """A runtime that computes nothing, and remembers from `least` to twice as many evenly spread tiles."""

    def __init__(self, least: int) -> None:
        self.tiles: list[np.ndarray] = []
        self._least, self._seen, self._step = least, 0, 1

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        if self._seen % self._step == 0:
            self.tiles.append(batch)
        self._seen += 1
        if len(self.tiles) > 2 * self._least:
            self.tiles, self._step = self.tiles[::2], 2 * self._step
        return np.zeros((len(batch), 1, *batch.shape[2:]), np.float32)


def quantize(
    onnx_path: Path, tiles: Iterable[np.ndarray], output: Path, symmetric: bool = False, cases: Sequence[str] = ()
) -> None:
    """Write an INT8 file of an FP32 ONNX file that takes `tiles`; equal arguments give equal bytes.

    tiles: float32 (N, C, …), one shape a batch. symmetric: activations are signed and zero is their zero point, and
    none is quantised between a convolution and what follows it, as TensorRT wants it; CPUs are faster, and closer to
    the model, with unsigned ones. cases: names of what the tiles are from, for the metadata.
    """
    source = onnx.load(onnx_path)
    metadata = json.loads(next(entry.value for entry in source.metadata_props if entry.key == METADATA))
    kind = QuantType.QInt8 if symmetric else QuantType.QUInt8
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        whole, made = Path(folder, "whole.onnx"), Path(folder, "int8.onnx")
        onnx.save(source, whole)
        quantize_static(
            whole,
            made,
            _Tiles(tiles),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=kind,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            op_types_to_quantize=list(OPERATORS),
            extra_options={
                "ActivationSymmetric": symmetric,
                "WeightSymmetric": True,
                "QuantizeBias": False,  # runtimes do it where their kernels need it, and TensorRT refuses it
                "OpTypesToExcludeOutputQuantization": ["Conv", "ConvTranspose"] if symmetric else [],
            },
        )
        quantized = onnx.load(made)
    _reach_into_branches(quantized)
    place_constants(quantized.graph)
    quantized.producer_name = source.producer_name
    known = {**metadata, "precision": "int8", "calibration": list(cases)}
    save_checked(quantized, known, output)


class _Tiles(CalibrationDataReader):
    def __init__(self, tiles: Iterable[np.ndarray]) -> None:
        self._tiles = iter(tiles)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch, None after the last."""
        batch = next(self._tiles, None)
        return None if batch is None else {"tiles": batch}


def _reach_into_branches(model: onnx.ModelProto) -> None:
    """Let the branches of conditions, which stay in float32, read what was quantised, as the main graph does.

    The quantiser leaves them at the output of a convolution whose ReLU it has made part of the quantisation.
    """
    main, *branches = graphs(model.graph)
    suffix = "_DequantizeLinear_Output"
    made = {name for node in main.node for name in node.output if name.endswith(suffix)}
    for branch in branches:
        own = {part.name for part in branch.initializer} | {name for node in branch.node for name in node.output}
        for node in branch.node:
            for place, name in enumerate(node.input):
                if name not in own and name + suffix in made:
                    node.input[place] = name + suffix


@contextmanager
def _without_advice() -> Iterator[None]:
    """Silence the advice to optimise the graph first, which the exporter did."""

    def is_news(record: logging.LogRecord) -> bool:
        return "pre-processing before quantization" not in record.getMessage()

    root = logging.getLogger()
    root.addFilter(is_news)
    try:
        yield
    finally:
        root.removeFilter(is_news)
