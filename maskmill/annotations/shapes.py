"""What annotators drew on a picture, whatever the format it was stored in."""

from dataclasses import dataclass

import numpy as np

from maskmill.errors import MaskmillError
from maskmill.wording import count_of

POINT_COUNTS = {
    "polygon": (3, None),
    "rectangle": (2, 2),
    "oriented_rectangle": (4, 4),
    "circle": (2, 2),
    "ellipse": (3, 3),
    "line": (2, 2),
    "linestrip": (2, None),
    "point": (1, 1),
    "points": (1, None),
    "mask": (2, 2),
}
"""Least and greatest number of points (None: no limit) of every kind of shape."""


FARTHEST = 1e6
"""Greatest coordinate, in pixels, that can be drawn."""


@dataclass(frozen=True, eq=False)
class Shape:
    """One drawn shape.

    kind: a key of `POINT_COUNTS`. points: (N, 2) float64, x to the right and y down, in pixels of the upright picture,
    the corner of the top left pixel at (0, 0). circle: centre and a point on the edge; ellipse: centre and the ends of
    its two half-axes; rectangle and mask: two corners.
    group_id: shapes of one label and group are one object; None is an object of its own.
    mask: (h, w) bool for the kind "mask", put with its top left pixel at the first corner.
    holes: rings (N, 2) cut out of a polygon; what was drawn before shows through them.
    """

    label: str
    kind: str
    points: np.ndarray
    group_id: int | None = None
    mask: np.ndarray | None = None
    holes: tuple[np.ndarray, ...] = ()

    def defect(self) -> str | None:
        """Why the shape cannot be drawn, or None if it can."""
        least, most = POINT_COUNTS[self.kind]
        count = len(self.points)
        if count < least or (most is not None and count > most):
            needed = f"{least}" if most == least else f"at least {least}"
            return f"has {count_of(count, 'point')} where a {self.kind} needs {needed}"
        if not (np.abs(self.points) <= FARTHEST).all():
            return "has a coordinate that is no number or lies far outside of any picture"
        for ring in self.holes:
            if len(ring) < 3:
                return f"has a hole of {count_of(len(ring), 'point')} where at least 3 are needed"
            if not (np.abs(ring) <= FARTHEST).all():
                return "has a hole with a coordinate that is no number or lies far outside of any picture"
        if self.kind == "mask" and self.mask is None:
            return "is a mask without pixels"
        return None


@dataclass(frozen=True, eq=False)
class Annotation:
    """Everything annotated on one picture: either shapes in drawing order or the label values themselves.

    height, width: the picture's size as the annotation states it, None where it does not.
    label_values: (H, W) uint8 class indices (0 background, 255 ignore), of volumes (D, H, W); None where there are
    shapes. object_values: as large, int32 numbers of the objects (0: none), where the format tells objects apart.
    picture: the file name of the picture as the annotation states it, if it does.
    """

    height: int | None
    width: int | None
    shapes: tuple[Shape, ...] = ()
    label_values: np.ndarray | None = None
    object_values: np.ndarray | None = None
    picture: str | None = None


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong with a file: its kind (a snake-case word), what was found, and what to do about it."""

    kind: str
    detail: str
    remedy: str


class AnnotationError(MaskmillError):
    """An annotation that cannot be used; `findings` holds everything found wrong with it."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("; ".join(f"{finding.detail}; {finding.remedy}" for finding in findings))
        self.findings = findings
