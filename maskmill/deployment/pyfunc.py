"""A bundle as a model of MLflow's `python_function` flavour: picture files in, mask files out, as bytes.

MLflow calls `_load_pyfunc` with the bundle's folder; there is no pickle. The masks are the bytes that
`maskmill predict` writes of the same files.
"""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskmill.deployment.bundle import load_bundle
from maskmill.deployment.segmentation import mask_file, segment_picture
from maskmill.errors import MaskmillError
from maskmill.imaging.images import ImageError
from maskmill.imaging.signatures import KINDS, LONGEST, suffix_by_signature
from maskmill.imaging.volumes import forget_stack

if TYPE_CHECKING:
    from pandas import DataFrame

IMAGE, MASK, SUFFIX = "image", "mask", "suffix"
"""Columns: of the input the bytes of picture files; of the output those of mask files, and the files' suffixes."""


def _load_pyfunc(data_path: str) -> "BundleModel":
    """What MLflow asks for: the model whose bundle is in this folder."""
    return BundleModel(Path(data_path))


class BundleModel:
    """A bundle whose digests have been checked and whose network is loaded."""

    def __init__(self, folder: Path) -> None:
        bundle = load_bundle(folder)
        self._recipe, self._runtime = bundle.recipe, bundle.open(os.cpu_count() or 1)

    def predict(self, model_input: "DataFrame", params: dict[str, Any] | None = None) -> "DataFrame":
        """Masks of picture files, a row each, see `IMAGE` for the columns.

        A GeoTIFF's mask is a GeoTIFF, a volume's a NIfTI file, another picture's a PNG. Raises MaskmillError that lists
        the rows whose picture cannot be segmented, with reasons; there are no masks then.
        """
        from pandas import DataFrame

        masks, failed = [], []
        for row, content in enumerate(model_input[IMAGE]):
            try:
                masks.append(self._segment(content))
            except MaskmillError as error:
                failed.append(f"row {row}: {error.reason if isinstance(error, ImageError) else error}")
        if failed:
            raise MaskmillError(f"{len(failed)} of {len(model_input)} pictures have no mask; {'; '.join(failed)}")
        return DataFrame(masks, columns=[MASK, SUFFIX])

    def _segment(self, content: bytes) -> tuple[bytes, str]:
        """The bytes and the suffix of the mask file of a picture file with these bytes."""
        suffix = suffix_by_signature(content[:LONGEST])
        if suffix is None:
            raise MaskmillError(f"it is no picture of a kind that is read: {KINDS}")
        with tempfile.TemporaryDirectory() as folder, ExitStack() as leaving:
            picture = Path(folder, f"image{suffix}")
            leaving.callback(forget_stack, picture)
            picture.write_bytes(content)
            target = mask_file(Path(folder), "mask", picture)
            segment_picture(self._recipe, self._runtime, picture, target, {})
            return target.read_bytes(), "".join(target.suffixes)
