"""What training a network and predicting with it take in memory and time, from its plan or, before that, from options.

Nothing beyond what Snakemake brings, since resources are worked out while planning. Memory is in MiB, see
`maskmill.dag.costs`. Constants were measured on cores of an AMD EPYC (Zen 4) with PyTorch 2.13; those of a GPU were
not, and say so.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from maskmill.dag.costs import COSTS, MIB, Pictures
from maskmill.planning.memory import measure_footprint
from maskmill.sizes import Size, as_size

PLANNED_MB = 7000
"""What a training whose patch or batch the plan chooses takes at most, `MEMORY_MB` of maskmill.planning.proposals."""

GUESSED_PATCH = {2: 256, 3: 96}
"""Side of a patch before the plan has chosen it; the most that it chooses."""

GUESSED_DEPTH = 5
"""Steps of downsampling before the plan has chosen them; the most that it chooses."""

PLANAR_TILE = 512
"""Side of tiles that are left open, as in `maskmill.inference.tiling`."""

PIXELS_AT_ONCE = 512 * 512
"""Pixels of tiles that a processor predicts together at most, as in `maskmill.inference.runtimes`."""

TRAINER, WORKER = 830, 650
"""MiB of a process that trains, and of each that reads for it; two a worker: for training and for validation.

Measured: 725 with a network of next to nothing, and 545 to 603. A worker shares most of this with the process that
forked it, but schedulers that sum resident sets count it in full.
"""

PREDICTOR, SEGMENTER = 345, 220
"""MiB of PyTorch, 314 measured, or of ONNX Runtime, with what reads pictures."""

EXPORTER = 540
"""MiB of PyTorch and ONNX Runtime in one process; 407 to 498 measured, small tiles included."""

WEIGHT_COPIES = 7.5
"""Copies of the weights while they are exported: 6.9 measured on 19 million."""

TIMING, TIMED = 320, 350
"""MiB of the process that times runtimes, 290 measured, and of each runtime's own, 310 to 340."""

TORCH_MAPS, ONNX_MAPS = 12, 6
"""Maps of the finest level that exist at once while predicting: 6.8 to 10.5 and 3.4 to 5.4 measured."""

CALIBRATED_MAPS = 44
"""The same while ONNX Runtime calibrates, which keeps more of them."""

LOGITS = 3
"""Maps of each output beside those: logits, probabilities, and the foreground's."""

DECODED = 3.5
"""Bytes in memory for each stored byte of a picture that is predicted: 2.8 measured of 24 megapixels in colour."""

SEEN = 9
"""Pixels that a network sees to each side, at most, by its stride: `maskmill.models.exact_halo`, from depth 3 on."""

BLENDED = {2: 6.5, 3: 4.5}
"""Copies in memory of a band of tiles, weights and 32 bits a class: 2.6 to 6 and 2.3 to 4.1 measured."""

OBJECTS = 40
"""Bytes a pixel of telling objects apart, for which the whole mask is in memory (39 measured)."""

UNSURE, UNSURE_PIXELS = 24, 1 << 21
"""Bytes a pixel of measuring entropy, and of how many pixels at once; not measured."""

BANDED_PIXELS = 1 << 23
"""Pixels of which a mask is decided at once, where it is written band by band."""

JUDGED = 85
"""Bytes for each pixel of a picture while two masks and distances of their borders are compared; 69 measured."""

GPU_HOST = 3000
"""MiB that CUDA takes of the host's memory; not measured."""

ENGINE_BUILDER = 8000
"""MiB that TensorRT takes while it builds; not measured."""

RATE, GPU_RATE = 20e9, 500e9
"""Multiply-accumulates a second of a core, where 14e9 to 60e9 were measured, and of a GPU; not measured."""

STEP = 3
"""Multiply-accumulates of a training's step by those of predicting."""

VALIDATED = 1.5
"""Time of an epoch with its validation by its time without."""

PATCH_SECONDS = 0.1
"""Of a core, to read and change a million pixels of a patch."""


@dataclass(frozen=True)
class Network:
    """A network and what it is trained on; macs and activation_bytes are of a patch, features of each level.

    planned: whether patch and batch size are known; they are guesses else, and no training goes by them.
    """

    dimensions: int
    patch: Size
    batch_size: int
    parameters: int
    macs: float
    activation_bytes: float
    features: tuple[int, ...]
    planned: bool = True


def planned_network(options: Mapping[str, Any], plan: Mapping[str, Any]) -> Network:
    """The network of a plan, what `plan_training` wrote, perhaps edited since: patch and batch are those used.

    options: the sections model and train.
    """
    found, entries = plan["network"], plan["options"]

    def used(key: str) -> Any:
        section, _, name = key.partition(".")
        configured = options[section][name]
        return entries[key]["used"] if configured == "auto" else configured

    dimensions = used("model.dimensions")
    patch = as_size(used("train.patch"), dimensions)
    ratio = math.prod(patch) / math.prod(found["patch"])
    return Network(
        dimensions,
        patch,
        used("train.batch_size"),
        found["parameters"],
        found["macs"] * ratio,
        found["activation_bytes"] * ratio,
        tuple(found["features"]),
    )


def guessed_network(options: Mapping[str, Any], volumes: bool) -> Network:
    """The network that options mean where there is no plan: rather larger than smaller, by what any block takes.

    volumes: whether samples are, which decides about dimensions that are left to the plan. The constants are the most
    that `summarize_model` gives for a pixel, a map as wide as the finest level, and a square of that width.
    """
    model, train = options["model"], options["train"]
    dimensions = model["dimensions"] if model["dimensions"] != "auto" else 3 if volumes else 2
    depth = GUESSED_DEPTH if model["depth"] == "auto" else model["depth"]
    patch = as_size(GUESSED_PATCH[dimensions] if train["patch"] == "auto" else train["patch"], dimensions)
    width, voxels = model["width"], math.prod(patch)
    maps, macs, weights = {2: (29, 45 * (depth + 1), 33), 3: (20, 231, 96)}[dimensions]
    return Network(
        dimensions,
        patch,
        2 if train["batch_size"] == "auto" else train["batch_size"],
        weights * width**2 * 4**depth,
        macs * width**2 * voxels,
        4 * maps * width * voxels,
        (width,),
        planned="auto" not in (train["patch"], train["batch_size"]),
    )


@dataclass(frozen=True)
class Work:
    """What a job with a network does.

    options: the sections model, train and predict. pictures: all, or those of its shard; scale: factor on their sides
    before the network sees them. classes: without the background. runtimes: how many are tried. threads: cores. gpu:
    whether it has one. members: how many are predicted with. splits: whether new pictures' objects are told apart.
    """

    options: Mapping[str, Any]
    network: Network
    pictures: Pictures
    scale: float = 1
    classes: int = 1
    runtimes: int = 2
    members: int = 1
    gpu: bool = False
    splits: bool = False

    @property
    def outputs(self) -> int:
        """Channels of the logits."""
        return 1 if self.classes == 1 else self.classes + 1

    def tiles(self, maps: float, batch_size: int) -> float:
        """MiB of predicting so many tiles at once on a processor, weights included."""
        network, largest = self.network, 1.3 * self.pictures.pixels * self.scale**2
        tile = min(math.prod(self.tile), max(largest, 1))
        voxels = max(tile, min(batch_size * tile, PIXELS_AT_ONCE))
        numbers = self.members * network.parameters + (maps * network.features[0] + LOGITS * self.outputs) * voxels
        return 4 * numbers / MIB

    @property
    def tile(self) -> Size:
        """Size of a tile (depth, height, width)."""
        tile, network = self.options["predict"]["tile"], self.network
        if tile == "auto":
            return network.patch if network.dimensions == 3 else (1, PLANAR_TILE, PLANAR_TILE)
        return as_size(tile, network.dimensions)

    def decoded(self) -> float:
        """MiB of the largest picture."""
        return DECODED * self.pictures.values / MIB

    def picture(self) -> float:
        """MiB of the largest picture and of what its tiles are summed in: a band as deep as a tile."""
        pictures, scale, dimensions = self.pictures, self.scale, self.network.dimensions
        depth, height, _ = self.tile
        band = depth * pictures.area * scale if dimensions == 3 else height * pictures.width
        pixels = min(pictures.pixels * max(1, scale**2), band * max(scale, 1 / scale))
        return self.decoded() + 4 * BLENDED[dimensions] * (self.classes + 1) * pixels / MIB

    def predicting_seconds(self, threads: int, share: float = 0.5) -> float:
        """Time to predict this share of the pictures; a half is more than a split has."""
        predict, network = self.options["predict"], self.network
        turns = {"none": 1, "flips": 2**network.dimensions, "rotations": 8}[predict["tta"]]
        repeated = self._overlapping() * turns * self.members
        pixels = share * self.pictures.together * self.scale**2 * repeated
        return pixels * network.macs / math.prod(network.patch) / self._rate(threads)

    def _overlapping(self) -> float:
        """How many tiles a pixel is in, those included that it is only seen from."""
        overlap, sides = self.options["predict"]["overlap"], self.tile[-self.network.dimensions :]
        if overlap != "exact":
            return (1 - overlap) ** -len(sides)
        depth = self.options["model"]["depth"]
        stride = 2 ** (GUESSED_DEPTH if depth == "auto" else depth)
        return math.prod(side / max(stride, side - 2 * SEEN * stride) for side in sides)

    def training_seconds(self, threads: int) -> float:
        """Time of all epochs."""
        train, network = self.options["train"], self.network
        voxels = math.prod(network.patch)
        patches = train["patches_per_epoch"]
        if patches == "auto":
            patches = self.pictures.together * self.scale**2 / voxels + self.pictures.count
        step = STEP * network.macs / self._rate(threads) + PATCH_SECONDS * voxels / 1e6
        return VALIDATED * train["epochs"] * patches * step

    def _rate(self, threads: int) -> float:
        return GPU_RATE if self.gpu else RATE * threads


def training_memory(work: Work) -> float:
    """A training's processes, readers included; the network itself is not in the host's memory where a GPU has it."""
    train, network = work.options["train"], work.network
    if network.planned:
        summary = vars(network)
        footprint = measure_footprint(work.options["model"], train, summary, work.outputs, network.patch)
        beside = footprint.megabytes(network.batch_size)
    else:
        beside = PLANNED_MB
    return train["devices"] * (TRAINER + 2 * train["workers"] * WORKER + (GPU_HOST if work.gpu else beside))


def predicting_memory(work: Work) -> float:
    """PyTorch on whole pictures."""
    tiles = GPU_HOST if work.gpu else work.tiles(TORCH_MAPS, work.options["predict"]["batch_size"])
    return PREDICTOR + tiles + work.picture()


def trial_memory(work: Work) -> float:
    """A training, then predictions and the operating point, in one process."""
    after = work.picture() + work.tiles(TORCH_MAPS, work.options["predict"]["batch_size"])
    return max(
        training_memory(work),
        TRAINER + max(after, COSTS["choose_operating_point"].mebibytes(work.pictures, work.classes)),
    )


def parity_memory(work: Work) -> float:
    """PyTorch and every other runtime on whole pictures, and masks of all of them."""
    batch_size = work.options["predict"]["batch_size"]
    tiles = work.tiles(TORCH_MAPS, batch_size) + (work.runtimes - 1) * work.tiles(ONNX_MAPS, batch_size)
    return EXPORTER + tiles + work.picture() + JUDGED * work.pictures.pixels / MIB


def timing_memory(work: Work) -> float:
    """A process for each runtime."""
    batch_size = max(8, work.options["predict"]["batch_size"])
    return TIMING + work.runtimes * (TIMED + work.tiles(TORCH_MAPS, batch_size) + work.picture() + _deciding(work))


def exporting_memory(work: Work) -> float:
    """The weights, the graph that holds them, and what writes it."""
    return EXPORTER + WEIGHT_COPIES * work.members * 4 * work.network.parameters / MIB


def calibrating_memory(work: Work) -> float:
    """Calibration on tiles, one at a time."""
    return EXPORTER + work.tiles(CALIBRATED_MAPS, 1) + work.decoded()


def building_memory(work: Work) -> float:
    """TensorRT's build, then parity."""
    return ENGINE_BUILDER + parity_memory(work)


def segmenting_memory(work: Work) -> float:
    """ONNX Runtime on new pictures, whose masks are decided band by band."""
    tiles = work.tiles(ONNX_MAPS, work.options["predict"]["batch_size"])
    objects = OBJECTS * work.pictures.pixels / MIB if work.splits else 0
    entropy = UNSURE * min(work.pictures.pixels, UNSURE_PIXELS) / MIB
    return SEGMENTER + tiles + work.picture() + _deciding(work) + entropy + objects


def _deciding(work: Work) -> float:
    """A mask decided band by band."""
    return COSTS["postprocess_masks"].a_pixel(work.classes) * min(work.pictures.pixels, BANDED_PIXELS) / MIB


def trial_seconds(work: Work, threads: int) -> float:
    """A training, predictions and the operating point."""
    deciding = COSTS["choose_operating_point"].time(work.pictures)
    return 60 + work.training_seconds(threads) + work.predicting_seconds(threads) + deciding


def parity_seconds(work: Work, threads: int) -> float:
    """Predictions of every runtime, and masks."""
    deciding = work.runtimes * COSTS["postprocess_masks"].time(work.pictures)
    return 60 + work.runtimes * work.predicting_seconds(threads) + deciding


def timing_seconds(work: Work, threads: int) -> float:
    """Tiles for a while, then one picture some ten times, in every runtime."""
    picture = work.predicting_seconds(threads, share=1 / max(1, work.pictures.count))
    return 60 + work.runtimes * (60 + 10 * picture)


def segmenting_seconds(work: Work, threads: int) -> float:
    """All pictures of the shard, and their masks."""
    return 30 + work.predicting_seconds(threads, share=1) + COSTS["postprocess_masks"].time(work.pictures)


NETWORK_RULES: dict[str, tuple[Callable[[Work], float], Callable[[Work, int], float]]] = {
    "train_model": (training_memory, lambda work, threads: 60 + work.training_seconds(threads)),
    "run_trial": (trial_memory, trial_seconds),
    "predict_probabilities": (predicting_memory, lambda work, threads: 30 + work.predicting_seconds(threads)),
    "export_onnx": (exporting_memory, lambda work, threads: 60),
    "export_half_onnx": (exporting_memory, lambda work, threads: 60),
    "quantize_onnx": (calibrating_memory, lambda work, threads: 120 + work.predicting_seconds(1)),
    "check_parity": (parity_memory, parity_seconds),
    "benchmark_runtimes": (timing_memory, timing_seconds),
    "build_tensorrt_engine": (building_memory, lambda work, threads: 1200 + parity_seconds(work, threads)),
    "segment_images": (segmenting_memory, segmenting_seconds),
    "propose_annotations": (segmenting_memory, segmenting_seconds),
}
"""Memory in MiB and seconds of the rules that a network decides about."""
