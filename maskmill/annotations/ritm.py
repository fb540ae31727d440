"""Read the masks that the demo of RITM saves: one grey picture of all objects that were clicked.

Sofiiuk, Petrov, Konushin (2022), "Reviving Iterative Training with Mask Guidance for Interactive Segmentation", ICIP.
Its values are object numbers, not classes: number × (255 // number of objects), or with 256 objects and more the
number itself in 16 bits.
"""

import os

import numpy as np

from maskmill.annotations.formats import LabelOptions
from maskmill.annotations.masks import counted, listing, read_pixels, single_channel, unexpected
from maskmill.annotations.shapes import Annotation
from maskmill.errors import MaskmillError

_REMEDY = 'save the mask in the demo again, as PNG; if it holds object numbers, take "format: instances"'


def read(path: str | os.PathLike, options: LabelOptions) -> Annotation:
    """Read a mask of RITM's demo: every object is of the one class in `options.classes`.

    Gives `label_values` 0 and 1 and `object_values` 0 to N. AnnotationError where the values are no such multiples;
    128 to 255 objects, which the demo does not scale, cannot be told from a smoothed mask and are an error too.
    MaskmillError where there are several classes.
    """
    if len(options.classes) != 1:
        raise MaskmillError(
            f"RITM's masks tell objects apart, not classes, and dataset.classes has {len(options.classes)}; name the "
            "one class that was clicked"
        )
    pixels = single_channel(read_pixels(path, raw=True), "RITM's object values", _REMEDY)
    if pixels.dtype.kind != "u":
        raise unexpected(f"{pixels.dtype} values where RITM's object values are expected", _REMEDY)
    objects = (pixels // _scale(pixels)).astype(np.int32)
    return Annotation(*objects.shape, label_values=(objects > 0).astype(np.uint8), object_values=objects)


def _scale(pixels: np.ndarray) -> int:
    """What the object numbers were multiplied with: 255 // n for the n objects of which the last is the brightest."""
    values, counts = counted(pixels)
    brightest = int(values[-1])
    if brightest == 0 or brightest > 255:
        return 1
    for count in range(1, 128):
        scale = 255 // count
        if brightest == count * scale and not (values % scale).any():
            return scale
    raise unexpected(
        f"values that are not multiples of 255 // n, for n up to 127 objects: {listing(values.tolist(), counts)}",
        _REMEDY,
    )
