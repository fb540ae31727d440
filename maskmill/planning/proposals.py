"""What the training pictures propose for training: values, each with its reason. Numbers in, numbers and sentences out.

The rules are those of nnU-Net [1] where it has any, cut down to what can be said in a sentence.

References
----------
[1] F. Isensee, P. F. Jaeger, S. A. A. Kohl, J. Petersen, K. H. Maier-Hein, "nnU-Net: a self-configuring method for
    deep learning-based biomedical image segmentation", Nature Methods 18, 2021.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from maskmill.planning.memory import Footprint
from maskmill.sizes import Size

MEMORY_MB = 7000
"""What a training may take: what the libraries leave of a GPU of 8 GB."""

LARGEST_SQUARE = 256
"""Longest side of a patch of pictures."""

LARGEST_VOLUME = 2**20
"""Voxels of the largest patch of volumes, 101 a side."""

LARGEST_BATCH = 16
SMALLEST_BATCH = 2

DATA_SHARE = 0.05
"""Largest share of the training pixels in a batch [1]: more of them in one step is training on few steps."""

SMALLEST_MAP = 4
"""Side of the deepest map of features, below which it holds little but padding [1]."""

LEAST_DEPTH, MOST_DEPTH = 3, 5

RARE = 0.1
"""Share of foreground below which more patches are centred on it."""

VERY_RARE = 0.01

MOST_UNEQUAL = 10
"""How many times as much as another one a class counts at most."""


@dataclass(frozen=True)
class Facts:
    """What proposals go by, of one fold of a fingerprint.

    shape: median size of the training pictures (depth, height, width). spacing: of slices, rows and columns, in any
    unit; None where unknown. extents: for each class with objects the longer side in pixels, in plane, that 95 % of
    them do not exceed. fractions: share of the pixels of background and each class. pictures: how many show each class.
    """

    volumes: bool
    shape: Size
    spacing: tuple[float, float, float] | None
    classes: tuple[str, ...]
    extents: Mapping[str, int]
    fractions: tuple[float, ...]
    pictures: tuple[int, ...]
    train_samples: int
    train_pixels: int

    @classmethod
    def of_fold(cls, fingerprint: Mapping[str, Any], fold: int) -> "Facts":
        """The facts in a fingerprint.json."""
        found = fingerprint["folds"][fold]
        return cls(
            volumes=found["volumes"],
            shape=tuple(found["sizes"][side]["median"] for side in ("depth", "height", "width")),
            spacing=tuple(found["spacing"]) if found["spacing"] else None,
            classes=tuple(fingerprint["classes"]),
            extents={
                row["class"]: max(row["extent"][side]["p95"] for side in ("height", "width"))
                for row in found["objects"]
                if row["extent"]
            },
            fractions=tuple(found["class_fractions"]),
            pictures=tuple(found["class_pictures"]),
            train_samples=found["train_samples"],
            train_pixels=found["train_pixels"],
        )

    @property
    def foreground(self) -> float:
        """Share of the pixels that belong to a class."""
        return sum(self.fractions[1:])

    @property
    def slice_distance(self) -> float:
        """Distance of slices in pixels of a slice; 1 where it is not known."""
        return 2 * self.spacing[0] / (self.spacing[1] + self.spacing[2]) if self.spacing else 1.0


@dataclass(frozen=True)
class Proposal:
    """A value, and why."""

    value: Any
    reason: str


def propose_dimensions(facts: Facts) -> Proposal:
    """2 or 3."""
    if facts.volumes:
        return Proposal(3, "samples are volumes: neighbouring slices tell of each other")
    return Proposal(2, "samples are single pictures")


def fitting_shape(facts: Facts, dimensions: int, voxels: float) -> tuple[float, float, float]:
    """Size of a patch of at most so many voxels, before it is fitted to a network: (depth, height, width).

    A square in 2D. In 3D as long in every direction of space, as far as the median volume reaches.
    """
    if dimensions == 2:
        height, width = facts.shape[1:]
        side = min(LARGEST_SQUARE, height, width, math.sqrt(voxels))
        return 1, side, side
    lengths = (facts.slice_distance, 1.0, 1.0)
    short, long = 0.0, max(side * length for side, length in zip(facts.shape, lengths, strict=True))
    for _ in range(50):
        middle = (short + long) / 2
        size = [min(side, middle / length) for side, length in zip(facts.shape, lengths, strict=True)]
        short, long = (middle, long) if math.prod(size) <= voxels else (short, middle)
    return tuple(min(side, max(1.0, long / length)) for side, length in zip(facts.shape, lengths, strict=True))


def propose_depth(facts: Facts, shape: Sequence[float], fixed: Size | None) -> Proposal:
    """Steps of downsampling for patches of about this `shape`, or of exactly the size `fixed`."""
    side = min(fixed[1:]) if fixed else min(shape[1:])
    limit = max(1, min(MOST_DEPTH, int(math.log2(max(2, side / SMALLEST_MAP)))))
    if fixed:
        limit = max(1, min(limit, *(_halvings(length) for length in fixed[1:])))
    largest = max(facts.extents.values(), default=0)
    depth = next((depth for depth in range(LEAST_DEPTH, limit) if _sight(depth) >= largest), limit)
    sight = f"the deepest of {depth + 1} levels sees {_sight(depth)} pixels"
    if _sight(depth) >= largest:
        return Proposal(depth, f"{sight}, enough for the objects, 95 % of which are at most {largest} pixels long")
    if limit == MOST_DEPTH:
        return Proposal(
            depth, f"{sight}; some objects are {largest} pixels long, but further levels add little but weights"
        )
    return Proposal(depth, f"{sight}; some objects are {largest} pixels long, but a patch of {side:.0f} allows no more")


def _sight(depth: int) -> int:
    """Receptive field of the deepest level: two 3x3 convolutions a level, halvings in between."""
    return 9 * 2**depth - 4


def _halvings(length: int) -> int:
    """How often a length can be halved."""
    return (length & -length).bit_length() - 1


def propose_planar(facts: Facts, dimensions: int, shape: Sequence[float], depth: int, fixed: Size | None) -> Proposal:
    """Steps from the top that leave the number of slices alone."""
    if dimensions == 2:
        return Proposal(0, "a network of two dimensions knows no slices")
    far = max(0, round(math.log2(facts.slice_distance)))
    slices = fixed[0] if fixed else shape[0]
    possible = int(math.log2(max(1, slices / SMALLEST_MAP)))
    if fixed:
        possible = min(possible, _halvings(fixed[0]))
    planar = min(depth, max(far, depth - possible))
    known = f"slices are {facts.slice_distance:.2g} times as far apart as pixels"
    if not facts.spacing:
        known = "the volumes do not say how far apart slices are"
    elif known.startswith("slices are 1 times"):
        known = "slices are as far apart as pixels"
    if planar > far:
        return Proposal(planar, f"{known}, but of {slices:.0f} in a patch, {SMALLEST_MAP} are to be left at the bottom")
    if planar:
        return Proposal(
            planar, f"{known}: after so many steps in plane, voxels are as long in all directions, or nearly"
        )
    return Proposal(planar, f"{known}: every step goes in all directions")


def fitted(facts: Facts, dimensions: int, shape: Sequence[float], stride: Size, voxels: float) -> Size:
    """The size nearest to a shape that a network of this stride takes: rounded up where it reaches the picture's edge.

    Other sides are rounded down, and all of them where the patch would have more than 1.2 times the voxels; but not
    below two strides in plane.
    """
    reach = facts.shape if dimensions == 3 else (1, min(facts.shape[1:]), min(facts.shape[1:]))
    least = (1, 2, 2)  # steps: a deepest map of a single pixel says nothing, and cannot be normalised
    down = [max(few, int(side / step)) * step for side, step, few in zip(shape, stride, least, strict=True)]
    up = [
        max(below, math.ceil(full / step) * step) if side > full - 1 else below
        for side, full, step, below in zip(shape, reach, stride, down, strict=True)
    ]
    return tuple(up if math.prod(up) <= 1.2 * voxels else down)


def propose_patch(facts: Facts, size: Size, dimensions: int, batch_size: int, by_memory: bool) -> Proposal:
    """The size of a patch, which `fitted` found; by_memory: whether only memory kept it from being larger."""
    depth, height, width = facts.shape
    if dimensions == 2:
        source = f"the median picture has {height} x {width} pixels"
        limit = f"a patch is at most {LARGEST_SQUARE} a side"
    else:
        source = f"the median volume has {depth} x {height} x {width} voxels"
        limit = f"a patch is at most about {LARGEST_VOLUME:,} of them and reaches equally far in all directions"
    if by_memory:
        limit = f"{batch_size} patches fit into {MEMORY_MB:,} MB (a smaller batch would leave room for larger ones)"
    objects = _cut_objects(facts, size)
    return Proposal(list(size), f"{source}; {limit}, in multiples of what the network halves{objects}")


def _cut_objects(facts: Facts, size: Size) -> str:
    large = [name for name, extent in facts.extents.items() if extent > max(size[1:])]
    if not large:
        return ""
    return f". Objects of {', '.join(large)} may be larger: preprocess.scale makes the network see more of them"


def propose_batch_size(facts: Facts, size: Size, footprint: Footprint) -> Proposal:
    """How many patches of a size make a batch, a power of two."""
    by_memory = footprint.fitting_batch(MEMORY_MB)
    by_data = int(DATA_SHARE * facts.train_pixels / math.prod(size))
    fits = max(SMALLEST_BATCH, min(LARGEST_BATCH, by_memory, by_data))
    value = 2 ** int(math.log2(fits))
    if by_memory < SMALLEST_BATCH:
        why = f"the least that is a batch; {footprint.megabytes(value):,} MB may be more than there is"
    elif fits == LARGEST_BATCH:
        why = "the most that is of use; it fits, and the pictures are many enough"
    elif by_data < by_memory:
        why = f"no more than {_percent(DATA_SHARE)} of the training pixels, but at least {SMALLEST_BATCH} patches"
    else:
        why = f"as many as fit into {MEMORY_MB:,} MB"
    return Proposal(value, why)


def propose_foreground(facts: Facts) -> Proposal:
    """Share of the patches that are centred on a class."""
    share = f"{_percent(facts.foreground)} of the training pixels are foreground"
    if facts.foreground < VERY_RARE:
        return Proposal(0.8, f"{share}: random patches would hardly show any")
    if facts.foreground < RARE:
        return Proposal(0.67, f"{share}: two patches of three show some for certain")
    return Proposal(0.5, f"{share}: one half of the patches as it comes, one half with foreground")


def propose_class_shares(facts: Facts) -> Proposal:
    """Probability of each class to be in the middle of a patch that is centred on foreground."""
    if len(facts.classes) == 1:
        return Proposal([1.0], "there is but one class")
    roots = [math.sqrt(count) for count in facts.pictures]
    total = sum(roots)
    shares = [round(root / total, 4) if total else round(1 / len(roots), 4) for root in roots]
    shown = ", ".join(f"{name} in {count}" for name, count in zip(facts.classes, facts.pictures, strict=True))
    return Proposal(
        shares,
        f"in proportion to the square root of the number of pictures (of {facts.train_samples}) that show a class: "
        f"{shown}; rare classes are drawn more often than they occur, but not as often as frequent ones, or their few "
        "pictures would be learnt by heart",
    )


def propose_class_weights(facts: Facts) -> Proposal:
    """Weights of background and classes in the cross-entropy, of mean 1."""
    least = min((fraction for fraction in facts.fractions if fraction), default=1.0)
    raw = [1 / math.sqrt(fraction or least) for fraction in facts.fractions]
    capped = [min(weight, MOST_UNEQUAL * min(raw)) for weight in raw]
    mean = sum(capped) / len(capped)
    shown = ", ".join(
        f"{name} {_percent(part)}" for name, part in zip(("background", *facts.classes), facts.fractions, strict=True)
    )
    return Proposal(
        [round(weight / mean, 3) for weight in capped],
        f"in proportion to one over the square root of the share of the pixels ({shown}), none more than "
        f"{MOST_UNEQUAL} times another. They bring rare classes forward at the price of false alarms; Dice and Lovász "
        "already weigh classes alike, so that `null` is the usual choice beside them",
    )


def ohem_advice(facts: Facts) -> str:
    """Whether hard examples should be mined, in a sentence."""
    share = f"{_percent(facts.foreground)} of the pixels are foreground"
    if facts.foreground < VERY_RARE:
        return f"{share}: background is easy and plentiful; try `loss: {{ohem: 0.25}}`"
    return f"{share}: `loss: {{ohem: 1}}`; mining pays where the classes cover less than {_percent(VERY_RARE)}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
