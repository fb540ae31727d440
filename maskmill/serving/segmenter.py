"""Pictures that people hand in, from their bytes to masks at any thresholds: what is behind the page.

A picture is predicted once; its mask at other thresholds is decided anew from the probabilities that are kept. At the
bundle's own thresholds files have the bytes that `maskmill predict` writes.
"""

import hashlib
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from maskmill.classes import IGNORE, Classes
from maskmill.dag.pictures import IMAGE_SUFFIXES, strip_suffix
from maskmill.data.cases import write_mask
from maskmill.deployment.bundle import Bundle
from maskmill.deployment.segmentation import needs_tiff, require_finite
from maskmill.errors import MaskmillError
from maskmill.imaging.georeference import read_georeference
from maskmill.imaging.images import ImageError, image_header, read_bands, read_values
from maskmill.imaging.lazy import open_pixels
from maskmill.imaging.pixel_area import pixel_area
from maskmill.imaging.signatures import LONGEST, suffix_by_signature
from maskmill.imaging.volumes import is_stack
from maskmill.inference.recipe import Recipe
from maskmill.inference.runtimes import OnnxRuntime, Runtime
from maskmill.serving.drawing import draw_picture

LARGEST_PICTURE = 50_000_000
"""Pixels of a picture at most: it is kept whole, with its probabilities, as long as somebody looks at it."""

KEPT_BYTES = 1 << 30
"""Pictures and probabilities that are kept together, beside the newest."""

TOLERANCE = 1.0
"""How far outlines may lie from those of the mask, in pixels: the default of `maskmill predict`."""


class Upload:
    """A picture that was handed in, in a file that lasts as long as the object.

    The file is named by what it holds, `suffix`, whatever it was called. name: as it was handed in, without suffix.
    digest: of content and suffix, by which it is known again.
    """

    def __init__(self, filename: str, content: bytes, suffix: str) -> None:
        folder = Path(tempfile.mkdtemp(prefix="maskmill-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.name = strip_suffix(Path(filename).name)
        self.digest = hashlib.sha256(suffix.encode() + b"\0" + content).hexdigest()
        self.file = folder / f"picture{suffix}"
        self.file.write_bytes(content)


@dataclass(frozen=True, eq=False)
class Prediction:
    """A picture with its probabilities.

    pixels: as stored (1, H, W, C). shown: as `draw_picture` gives it. probabilities: uint8 (K, 1, H, W). pixel_area:
    square metres of a pixel, None where the picture does not lie on the map.
    """

    upload: Upload
    pixels: np.ndarray
    shown: np.ndarray
    probabilities: np.ndarray
    pixel_area: float | None

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self.pixels.nbytes + self.shown.nbytes + self.probabilities.nbytes


@dataclass(frozen=True, eq=False)
class Result:
    """A mask as it is downloaded.

    thresholds: that it was decided at, in class order. content: of its file, whose suffix is ".png" or ".tif". labels:
    uint8 (H, W), what the file says: class indices, 255 where the picture has no data.
    """

    prediction: Prediction
    thresholds: tuple[float, ...]
    classes: Classes
    suffix: str
    content: bytes
    labels: np.ndarray

    def polygons(self) -> bytes:
        """A GeoJSON file of the mask's outlines, on the map where the picture is."""
        from maskmill.imaging.polygons import write_polygons

        place = read_georeference(self.prediction.upload.file)
        with tempfile.TemporaryDirectory(prefix="maskmill-") as folder:
            mask, polygons = Path(folder, f"mask{self.suffix}"), Path(folder, "mask.geojson")
            mask.write_bytes(self.content)
            write_polygons(polygons, mask, self.classes, place, TOLERANCE)
            return polygons.read_bytes()

    def areas(self) -> list["ClassArea"]:
        """What each class takes, in class order."""
        counts = np.bincount(self.labels.ravel(), minlength=256)
        known = max(1, int(counts.sum() - counts[IGNORE]))
        metres = self.prediction.pixel_area
        return [
            ClassArea(int(count), float(count / known), None if metres is None else float(count * metres))
            for count in counts[1 : len(self.classes) + 1]
        ]


@dataclass(frozen=True)
class ClassArea:
    """What a class takes of a picture. share: of the pixels that have data; square_metres: None if not on the map."""

    pixels: int
    share: float
    square_metres: float | None


class Segmenter:
    """A bundle ready for pictures, for several threads: they are predicted one after another."""

    def __init__(self, recipe: Recipe, runtime: Runtime) -> None:
        if recipe.dimensions == 3:
            raise MaskmillError(
                "the bundle's network works on whole volumes, and the page shows single pictures; use maskmill predict"
            )
        self.recipe = recipe
        self._runtime = runtime
        self._kept: OrderedDict[str, Prediction] = OrderedDict()
        self._in_use = threading.Lock()

    @classmethod
    def of_bundle(cls, bundle: Bundle, threads: int) -> "Segmenter":
        """Raises MaskmillError where the network is one for volumes."""
        return cls(bundle.recipe, OnnxRuntime(bundle.onnx, threads))

    def admit(self, filename: str, content: bytes) -> Upload:
        """Take in a picture after decoding it once; raises MaskmillError that says what is wrong with it."""
        if not filename.lower().endswith(IMAGE_SUFFIXES):
            raise MaskmillError(f"it is no {', '.join(suffix[1:] for suffix in IMAGE_SUFFIXES[:-1])} or webp file")
        if not content:
            raise MaskmillError("it is empty; hand in the file once it is complete")
        suffix = suffix_by_signature(content[:LONGEST])
        if suffix not in IMAGE_SUFFIXES:
            raise MaskmillError("it is no picture in a known format; save or copy it anew, as JPEG, PNG or TIFF")
        upload = Upload(filename, content, suffix)
        try:
            self._check(upload.file)
        except MaskmillError as error:
            raise MaskmillError(_reason(error, upload)) from error
        return upload

    def _check(self, file: Path) -> None:
        if is_stack(file):
            raise MaskmillError("it is a stack of slices, and the page shows single pictures; use maskmill predict")
        width, height, channels, dtype = image_header(file)
        if width * height > LARGEST_PICTURE:
            raise MaskmillError(
                f"it has {width:,} × {height:,} pixels, and the page takes up to {LARGEST_PICTURE:,}; use maskmill "
                "predict, which takes any size"
            )
        self.recipe.preprocessing.check_channels(channels)
        self.recipe.preprocessing.check_pixel_type(np.dtype(dtype))
        for band in read_bands(file):
            require_finite(band[np.newaxis])

    def predict(self, upload: Upload) -> Prediction:
        """The picture with its probabilities, from memory where it has been predicted a short while ago.

        Raises MaskmillError that says what is wrong with the picture.
        """
        with self._in_use:
            found = self._kept.get(upload.digest)
            if found is None:
                try:
                    found = self._predict(upload)
                except MaskmillError as error:
                    raise MaskmillError(_reason(error, upload)) from error
                self._kept[upload.digest] = found
            self._kept.move_to_end(upload.digest)
            while len(self._kept) > 1 and sum(one.nbytes for one in self._kept.values()) > KEPT_BYTES:
                self._kept.popitem(last=False)
        return replace(found, upload=upload)  # which may have another name

    def _predict(self, upload: Upload) -> Prediction:
        with open_pixels(upload.file, is_volume=False) as image:
            pixels = np.asarray(image)
        probabilities = self.recipe.probabilities(pixels, self._runtime)
        return Prediction(upload, pixels, draw_picture(pixels[0]), probabilities, _ground_area(upload.file))

    def decide(self, prediction: Prediction, thresholds: Sequence[float]) -> Result:
        """The mask at other thresholds, one for each class in class order, from what has been predicted.

        Raises MaskmillError where a step of the bundle cannot work on the picture.
        """
        file, classes = prediction.upload.file, self.recipe.classes
        point = replace(self.recipe.point, thresholds=tuple(thresholds))
        suffix = ".tif" if needs_tiff(file) else ".png"
        try:
            mask = replace(self.recipe, point=point).decide(prediction.probabilities, prediction.pixels, file)
            with tempfile.TemporaryDirectory(prefix="maskmill-") as folder:
                target = Path(folder, f"mask{suffix}")
                write_mask(target, mask, classes, like=file)
                content, labels = target.read_bytes(), read_values(target)[..., 0]
        except MaskmillError as error:
            raise MaskmillError(_reason(error, prediction.upload)) from error
        return Result(prediction, point.thresholds, classes, suffix, content, labels)


def _ground_area(file: Path) -> float | None:
    """Square metres of a pixel; None too where nobody knows the picture's coordinate reference system."""
    with suppress(MaskmillError):
        return pixel_area(file, is_volume=False)
    return None


def _reason(error: MaskmillError, upload: Upload) -> str:
    """The error with what to do, and without the place where the page keeps the picture."""
    reason = error.reason if isinstance(error, ImageError) else str(error)
    reason += "" if ";" in reason else "; save or copy the picture anew, as JPEG, PNG or TIFF"
    return reason.replace(str(upload.file), upload.name)
