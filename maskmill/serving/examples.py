"""Pictures to try the page with: of a folder, or scenes of the demo for bundles that were trained on such."""

import tempfile
from pathlib import Path

from maskmill.dag.pictures import IMAGE_SUFFIXES
from maskmill.errors import MaskmillError
from maskmill.files import read_json
from maskmill.inference.recipe import Recipe

MOST = 8
"""Examples that are offered at most."""

_SEED = 1_000_003
"""Of scenes that no training has seen, unless somebody trains the demo with this very seed."""

_METRES = 1 / 3
"""Side of a pixel of the demo's scenes."""

_CORNER = (500_000, 5_400_000)
"""Where the scene on the map has its upper left corner: east and north, in metres, of UTM zone 32."""


def read_examples(folder: Path) -> dict[str, bytes]:
    """The pictures right in a folder, name of the file → content: the first `MOST` by name.

    Raises MaskmillError where there is none.
    """
    if not folder.is_dir():
        raise MaskmillError(f"{folder} is no folder; give one with example pictures")
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file())
    if not files:
        raise MaskmillError(f"{folder} has no pictures ({', '.join(IMAGE_SUFFIXES)}); give a folder with examples")
    return {file.name: file.read_bytes() for file in files[:MOST]}


def draw_examples(recipe: Recipe) -> dict[str, bytes]:
    """Scenes drawn by the demo, name of the file → content; none for a bundle that has not learnt such.

    Two pictures, and one that lies on the map.
    """
    from maskmill.demo import generate_demo
    from maskmill.demo.annotate import LABELS

    if not set(recipe.classes.names) <= set(LABELS) or recipe.preprocessing.channels != 3:
        return {}
    with tempfile.TemporaryDirectory(prefix="maskmill-") as folder:
        generate_demo(Path(folder, "demo"), _SEED, groups=4, scenes_per_group=1)
        drawn = sorted(Path(folder, "demo/images").rglob("*.jpg"), key=lambda file: -_count_shapes(file))
        *plain, placed, _ = drawn  # the last is empty
        content = {f"scene {number}.jpg": file.read_bytes() for number, file in enumerate(plain, 1)}
        return content | {"scene on the map.tif": _place(placed)}


def _count_shapes(image: Path) -> int:
    """How many objects the annotation of a scene has."""
    folder = image.parents[2]
    annotation = folder / "annotations" / image.relative_to(folder / "images").with_suffix(".json")
    return len(read_json(annotation)["shapes"])


def _place(file: Path) -> bytes:
    """A picture as a GeoTIFF file that lies somewhere on the Earth."""
    from rasterio import Affine
    from rasterio.io import MemoryFile

    from maskmill.imaging.images import read_image

    pixels = read_image(file).transpose(2, 0, 1)
    profile = {"count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2], "dtype": "uint8"}
    place = {"crs": "EPSG:32632", "transform": Affine(_METRES, 0, _CORNER[0], 0, -_METRES, _CORNER[1])}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", photometric="RGB", compress="deflate", **profile, **place) as target:
            target.write(pixels)
        return memory.read()
