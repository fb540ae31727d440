"""What `POST /predict` answers, in the form that was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from werkzeug.exceptions import UnprocessableEntity

from maskmill.classes import IGNORE, Classes
from maskmill.data.cases import read_mask
from maskmill.deployment.segmentation import Extras, mask_file, open_picture, segment_picture
from maskmill.files import write_json
from maskmill.imaging.georeference import read_georeference
from maskmill.imaging.images import read_values
from maskmill.imaging.volumes import is_stack
from maskmill.inference.recipe import Recipe
from maskmill.inference.runtimes import Runtime
from maskmill.inference.sliding_window import write_bands

FORMATS = {
    "mask": "the mask as `maskmill predict` writes it: PNG, of a picture on the map GeoTIFF, of a volume NIfTI",
    "png": "8-bit palette PNG whose values are class indices; of pictures",
    "npy": "NumPy array, uint8: class indices (H, W) or (D, H, W)",
    "geojson": "outlines with the fields class and value; on the map, or in pixels with y down; of pictures",
    "json": "pixels of each class, and their share of those that have data",
}
"""Name and meaning of what can be asked for."""

_ARRAY = "application/octet-stream"
_TYPES = {".png": "image/png", ".tif": "image/tiff", ".gz": "application/gzip"}
_TRUE, _FALSE = ("", "1", "true", "yes"), ("0", "false", "no")


@dataclass(frozen=True)
class Wish:
    """How a request wants its answer.

    format: one of FORMATS. probabilities: with npy, the rounded 255-fold probability of each class, uint8 (K, D, H, W),
    D = 1 of a picture. tolerance: of outlines, how far they may lie from the mask's, in pixels.
    """

    format: str = "mask"
    probabilities: bool = False
    tolerance: float = 1.0

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "Wish":
        """From the query string. Raises UnprocessableEntity that lists everything that is wrong with it."""
        wrong = [f"unknown parameter `{name}`; known are {', '.join(cls.__annotations__)}"
                 for name in query if name not in cls.__annotations__]  # fmt: skip
        form = query.get("format", "mask")
        if form not in FORMATS:
            wrong.append(f"format is `{form}`; give one of {', '.join(FORMATS)}")
        said = query.get("probabilities", "0").lower()
        if said not in _TRUE + _FALSE:
            wrong.append(f"probabilities is `{said}`; give true or false")
        if said in _TRUE and form != "npy":
            wrong.append("probabilities come as an array; ask for format=npy with them")
        tolerance = _number(query.get("tolerance", "1"))
        if tolerance is None:
            wrong.append(f"tolerance is `{query['tolerance']}`; give a number of pixels, 0 or more")
        if wrong:
            raise UnprocessableEntity("; ".join(wrong))
        return cls(form, said in _TRUE, tolerance)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


@dataclass(frozen=True)
class Answer:
    """An answer, in a file, and its media type. warning: why the mask may be wrong, None where nothing says so."""

    file: Path
    media_type: str
    warning: str | None = None


def make_answer(recipe: Recipe, runtime: Runtime, file: Path, wish: Wish) -> Answer:
    """Segment a picture, in a folder of its own, and put the result beside it in the form wished.

    Raises UnprocessableEntity where a picture of its kind has no such form, MaskmillError where it cannot be segmented.
    """
    if wish.format in ("png", "geojson") and is_stack(file):
        raise UnprocessableEntity(f"the upload is a stack of slices, which has no {wish.format}; ask for mask or npy")
    if wish.probabilities:
        return _probabilities(recipe, runtime, file)
    target = mask_file(file.parent, "mask", file) if wish.format != "png" else file.parent / "mask.png"
    extras = Extras(polygons="geojson", tolerance=wish.tolerance) if wish.format == "geojson" else Extras()
    warning = segment_picture(recipe, runtime, file, target, extras.files(target, "mask"), extras)
    if wish.format == "geojson":
        return Answer(file.with_name("mask.geojson"), "application/geo+json", warning)
    if wish.format in ("mask", "png"):
        return Answer(target, _TYPES[target.suffix], warning)
    mask = read_values(target)[np.newaxis, ..., 0] if target.suffix == ".tif" else read_mask(target)
    if wish.format == "json":
        return _areas(mask, recipe.classes, file, warning)
    answer = Answer(file.with_name("mask.npy"), _ARRAY, warning)
    np.save(answer.file, mask if is_stack(file) else mask[0], allow_pickle=False)
    return answer


def _probabilities(recipe: Recipe, runtime: Runtime, file: Path) -> Answer:
    with open_picture(recipe, file) as image:
        if len(image) > 1 and not recipe.volumes:
            raise UnprocessableEntity("the network takes the stack slice by slice; send the slices for probabilities")
        answer = Answer(file.with_name("probabilities.npy"), _ARRAY, recipe.preprocessing.doubt(image.dtype))
        write_bands(answer.file, recipe.bands(image, runtime), image.shape[:3])
    return answer


def _areas(mask: np.ndarray, classes: Classes, file: Path, warning: str | None) -> Answer:
    named = ("background", *classes.names)
    counts = np.bincount(mask.ravel(), minlength=IGNORE + 1)
    known = max(1, int(counts[: len(named)].sum()))
    content = {
        "depth": mask.shape[0],
        "height": mask.shape[1],
        "width": mask.shape[2],
        "georeferenced": read_georeference(file) is not None,
        "classes": [
            {"value": value, "class": name, "pixels": int(count), "share": round(count / known, 6)}
            for value, (name, count) in enumerate(zip(named, counts[: len(named)], strict=True))
        ],
        "pixels_without_data": int(counts[IGNORE]),
        "warning": warning,
    }
    answer = Answer(file.with_name("mask.json"), "application/json", warning)
    write_json(answer.file, content)
    return answer
