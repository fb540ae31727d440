"""Bad files beside a good sample, and what builds them."""

import io
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nibabel
import numpy as np
import rasterio
import tifffile
from PIL import Image

from tests.unit.label_data import shape, write_labelme, write_mask, write_picture

ROWS, COLUMNS = 20, 30


@dataclass(frozen=True)
class Case:
    """A bad file beside a good sample.

    build: writes the bad sample "bad" below the data set's folder. kind, file, detail: what the row must have, file
    relative to that folder. source: of the options of the data set.
    """

    name: str
    build: Callable[[Path], object]
    kind: str
    file: str
    detail: str
    format: str = "labelme"
    classes: object = field(default_factory=lambda: ["building"])
    background: object = "rest"


def picture(root: Path, name: str = "bad.png", **save) -> Path:
    """A picture of the bad sample."""
    return write_picture(root / "images" / name, ROWS, COLUMNS, **save)


def note(root: Path, content: object, name: str = "bad.json", encoding: str = "utf-8") -> Path:
    """An annotation of the bad sample: text, bytes or JSON."""
    path = root / "annotations" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content)).encode(encoding)
    path.write_bytes(content)
    return path


def labelme(*shapes: dict, **other) -> Callable[[Path], object]:
    """Builds a good picture with these shapes."""

    def build(root: Path) -> None:
        picture(root)
        write_labelme(root / "annotations" / "bad.json", *shapes, **other)

    return build


def text(content: object, name: str = "bad.json", encoding: str = "utf-8") -> Callable[[Path], object]:
    """Builds a good picture with this annotation file."""

    def build(root: Path) -> None:
        picture(root)
        note(root, content, name, encoding)

    return build


def image(content: bytes, name: str = "bad.png") -> Callable[[Path], object]:
    """Builds a good annotation with this picture file."""

    def build(root: Path) -> None:
        write_labelme(root / "annotations" / "bad.json", shape())
        (root / "images").mkdir(exist_ok=True)
        (root / "images" / name).write_bytes(content)

    return build


def mask(values: object, name: str = "bad.png") -> Callable[[Path], object]:
    """Builds a good picture with this mask."""

    def build(root: Path) -> None:
        picture(root)
        path = root / "annotations" / name
        path.parent.mkdir(exist_ok=True)
        if name.endswith(".tif"):
            tifffile.imwrite(path, values)
        else:
            Image.fromarray(values).save(path)

    return build


def encoded(file_format: str, size: tuple[int, int] = (300, 200), **save) -> bytes:
    """A picture file of noise."""
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, **save)
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG of 60,000 × 60,000 zeros in some kilobytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    side = 60_000
    header = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    row = zlib.compress(bytes(1 + side // 8), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", row) + chunk(b"IEND", b"")


def nan_picture(root: Path) -> None:
    pixels = np.zeros((ROWS, COLUMNS), np.float32)
    pixels[3, 4] = np.nan
    (root / "images").mkdir(exist_ok=True)
    tifffile.imwrite(root / "images" / "bad.tif", pixels)
    write_labelme(root / "annotations" / "bad.json", shape())


def twins(*names: str) -> Callable[[Path], object]:
    """Builds several pictures, each with an annotation of its name."""

    def build(root: Path) -> None:
        for name in names:
            picture(root, name)
            write_labelme(root / "annotations" / Path(name).with_suffix(".json").name, shape())

    return build


BOX = {"bbox": [1, 1, 5, 5], "category_id": 1, "image_id": 1, "iscrowd": 0}


def coco(annotation: dict | None = None, **other) -> Callable[[Path], object]:
    """Builds a good picture with a COCO file for it and the good one."""

    def build(root: Path) -> None:
        picture(root)
        size = {"height": ROWS, "width": COLUMNS}
        content = {
            "images": [{"id": 0, "file_name": "good.png"} | size, {"id": 1, "file_name": "bad.png"} | size],
            "categories": [{"id": 1, "name": "building"}],
            "annotations": [{"id": 7, "segmentation": [[2, 2, 9, 2, 9, 9]]} | BOX | (annotation or {})],
        }
        content["annotations"].append(content["annotations"][0] | {"id": 1, "image_id": 0, "category_id": 1})
        content["annotations"][1]["segmentation"] = [[2, 2, 9, 2, 9, 9]]
        (root / "annotations" / "good.json").unlink()
        note(root, content | other, "all.json")

    return build


def cvat(element: str) -> Callable[[Path], object]:
    """Builds a good picture with a CVAT file for it and the good one."""
    good = '<polygon label="building" points="2,2;9,2;9,9" z_order="0"/>'

    def build(root: Path) -> None:
        picture(root)
        (root / "annotations" / "good.json").unlink()
        images = f'<image id="0" name="good.png" width="{COLUMNS}" height="{ROWS}">{good}</image>'
        images += f'<image id="1" name="bad.png" width="{COLUMNS}" height="{ROWS}">{element}</image>'
        note(root, f"<annotations>{images}</annotations>", "all.xml")

    return build


def raster(path: Path, crs: str | None) -> None:
    """A TIFF, of one metre a pixel if it has a place on the map."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if crs is None:
        return tifffile.imwrite(path, np.full((ROWS, COLUMNS), 9, np.uint8))
    options = {"driver": "GTiff", "height": ROWS, "width": COLUMNS, "count": 1, "dtype": "uint8"}
    options |= {"crs": crs, "transform": rasterio.Affine(1, 0, 500_000, 0, -1, 5_000_000)}
    with rasterio.open(path, "w", **options) as file:
        file.write(np.full((1, ROWS, COLUMNS), 9, np.uint8))


def geojson(place: str | None = "EPSG:32633", properties: dict | None = None, **other) -> Callable[[Path], object]:
    """Builds georeferenced pictures and a map for each."""

    def feature(properties: dict) -> dict:
        ring = [[500_002 + x, 4_999_998 - y] for x, y in [(0, 0), (8, 0), (8, 8), (0, 8), (0, 0)]]
        return {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}

    def build(root: Path) -> None:
        (root / "images" / "good.png").unlink()
        (root / "annotations" / "good.json").unlink()
        raster(root / "images" / "good.tif", "EPSG:32633")
        raster(root / "images" / "bad.tif", place)
        utm = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
        content = {"type": "FeatureCollection", "crs": utm, "features": [feature({"label": "building"})]}
        note(root, content, "good.geojson")
        wrong = [feature({"label": "building"} if properties is None else properties), feature({"label": "building"})]
        note(root, content | {"features": wrong} | other, "bad.geojson")

    return build


def nifti(values: np.ndarray, affine: np.ndarray | None = None) -> Callable[[Path], object]:
    """Builds volumes with label maps, of which the one of "bad" is given."""

    def save(path: Path, values: np.ndarray, affine: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(values, affine), path)

    def build(root: Path) -> None:
        (root / "images" / "good.png").unlink()
        (root / "annotations" / "good.json").unlink()
        for name in ("good", "bad"):
            save(root / "images" / f"{name}.nii.gz", np.zeros((6, 5, 4), np.int16), np.eye(4))
        save(root / "annotations" / "good.nii.gz", np.ones((6, 5, 4), np.uint8), np.eye(4))
        save(root / "annotations" / "bad.nii.gz", values, np.eye(4) if affine is None else affine)

    return build


def objects(*masks: np.ndarray) -> Callable[[Path], object]:
    """Builds pictures with a folder of object masks each."""

    def build(root: Path) -> None:
        picture(root)
        (root / "annotations" / "good.json").unlink()
        write_mask(root / "annotations" / "good" / "0.png", SOME * 255)
        for number, values in enumerate(masks):
            write_mask(root / "annotations" / "bad" / f"{number}.png", values)

    return build


SOME = np.zeros((ROWS, COLUMNS), np.uint8)
SOME[3:9, 3:9] = 1
RAMP = (np.arange(ROWS * COLUMNS) % 200).astype(np.uint8).reshape(ROWS, COLUMNS)
RGB = np.stack([SOME * 60, SOME * 16, SOME * 152], axis=2)


def other_xml(content: str) -> Callable[[Path], object]:
    """Builds a good picture with this file beside the good one's CVAT file."""

    def build(root: Path) -> None:
        cvat("")(root)
        path = root / "annotations" / "all.xml"
        path.write_text(
            path.read_text().replace(f'<image id="1" name="bad.png" width="{COLUMNS}" height="{ROWS}"></image>', "")
        )
        note(root, content, "bad.xml")

    return build
