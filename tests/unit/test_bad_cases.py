"""Every way we know in which a user's files are wrong ends in problems.csv with file, kind, detail and remedy."""

import base64
import io
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nibabel
import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image

from maskmill.errors import MaskmillError
from maskmill.files import read_table
from tests.unit.label_data import SQUARE, run_labels, shape, write_labelme, write_mask, write_picture

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


MASK = base64.b64encode(encoded("PNG", (4, 4))).decode()
EISEG = {"name": "building", "labelIdx": 1, "color": [1, 2, 3], "points": [[2, 2], [9, 2], [9, 9]]}
B, P, A = "broken_annotation", "broken_image", "annotations/bad.json"

CASES = [
    Case("empty file", text(""), B, A, "is empty"),
    Case("cut file", text('{"shapes": ['), B, A, "not valid JSON"),
    Case("no JSON", text("shapes"), B, A, "not valid JSON"),
    Case("UTF-16 file", text({"shapes": []}, encoding="utf-16"), B, A, "UTF-8"),
    Case("a list", text([1]), B, A, "labelme"),
    Case("no shapes", text({"version": "5.0"}), B, A, "shapes"),
    Case("COCO as labelme", text({"images": [], "annotations": [], "categories": []}), B, A, "COCO"),
    Case("shape without label", labelme({"points": SQUARE}), B, A, "label"),
    Case("label is a number", labelme(shape(5)), B, A, "5"),
    Case("unknown kind of shape", labelme(shape(kind="star")), B, A, '"star" is unknown'),
    Case("points are words", labelme(shape(points="many")), B, A, "points"),
    Case("points in space", labelme(shape(points=[[1, 2, 3]] * 3)), B, A, "points"),
    Case("polygon of two points", labelme(shape(points=SQUARE[:2])), "degenerate_shape", A, "2 points"),
    Case("circle of one point", labelme(shape(points=[[1, 1]], kind="circle")), "degenerate_shape", A, "1 points"),
    Case("coordinate is infinite", labelme(shape(points=[[1, 1], [9, 9], [1, 1e400]])), B, A, ""),
    Case(
        "coordinate far away", labelme(shape(points=[[1, 1], [9, 9], [1, 1e9]])), "degenerate_shape", A, "far outside"
    ),
    Case(
        "mask without pixels", labelme(shape(kind="mask", points=SQUARE[:2])), "degenerate_shape", A, "without pixels"
    ),
    Case("mask is no picture", labelme(shape(kind="mask", points=SQUARE[:2], mask="AAAA")), B, A, "base64 PNG"),
    Case("mask larger than its box", labelme(shape(kind="mask", points=SQUARE[:2], mask=MASK)), B, A, "mask"),
    Case("hole of nothing", labelme(shape(flags={"hole": True})), "hole_without_object", A, "hole"),
    Case("unknown label", labelme(shape("tree")), "unknown_label", A, '"tree" (1 shape)'),
    Case("label in capitals", labelme(shape("Building")), "unknown_label", A, 'did you mean "building"'),
    Case("of another picture", labelme(shape(), height=40, width=50), "size_mismatch", A, "50 × 40"),
    Case("turned", labelme(shape(), height=COLUMNS, width=ROWS), "size_mismatch", A, "exchanged"),
    Case("empty picture", image(b""), P, "images/bad.png", ""),
    Case("text called picture", image(b"no picture", "bad.jpg"), P, "images/bad.jpg", "no picture in a known format"),
    Case("cut JPEG", image(encoded("JPEG")[:9000], "bad.jpg"), P, "images/bad.jpg", "truncated"),
    Case("cut PNG", image(encoded("PNG")[:90000]), P, "images/bad.png", ""),
    Case("cut TIFF", image(encoded("TIFF")[:90000], "bad.tif"), P, "images/bad.tif", ""),
    Case(
        "animated picture",
        image(encoded("PNG", save_all=True, append_images=[Image.new("RGB", (300, 200))])),
        P,
        "images/bad.png",
        "animated",
    ),
    Case("decompression bomb", image(bomb()), P, "images/bad.png", "more than the 1,000,000,000"),
    Case("picture with NaN", nan_picture, P, "images/bad.tif", "NaN"),
    Case(
        "no picture",
        lambda root: write_labelme(root / A, shape()),
        "missing_picture",
        A,
        'no picture with the id "bad"',
    ),
    Case("no annotation", picture, "missing_annotation", "images/bad.png", 'no annotation with the id "bad"'),
    Case("one stem twice", twins("bad.png", "bad.jpg"), "duplicate_id", "images/bad.jpg", "images/bad.png"),
    Case("differ in case alone", twins("bad.png", "BAD.png"), "duplicate_id", "images/bad.png", "BAD.png"),
    Case("too long a name", twins("b" * 230 + ".png"), "odd_name", f"images/{'b' * 230}.png", "230 bytes"),
    Case("control character", twins("ba\x07d.png"), "odd_name", "images/ba\x07d.png", "cannot be printed"),
    Case("index beyond the classes", mask(SOME * 7), "unexpected_value", "annotations/bad.png", "7", "png"),
    Case("0/255 as indices", mask(SOME * 255), "unexpected_value", "annotations/bad.png", "0/255", "png"),
    Case("colours as indices", mask(RGB), "unexpected_value", "annotations/bad.png", "#3c1098", "png"),
    Case(
        "indices as colours",
        mask(SOME),
        "unexpected_value",
        "annotations/bad.png",
        "",
        "png",
        {"building": "#ffffff"},
    ),
    Case(
        "colour that is not listed",
        mask(RGB),
        "unexpected_value",
        "annotations/bad.png",
        "#3c1098",
        "png",
        {"building": "#ffffff"},
        ["#000000"],
    ),
    Case(
        "grey levels",
        mask(np.arange(600, dtype=np.uint16).reshape(20, 30), "bad.tif"),
        "unexpected_value",
        "annotations/bad.tif",
        "",
        "png",
    ),
    Case("fractions", mask(SOME * np.float32(0.5), "bad.tif"), "unexpected_value", "annotations/bad.tif", "0.5", "png"),
    Case("mask of another size", mask(SOME[:10].copy()), "size_mismatch", "annotations/bad.png", "30 × 10", "png"),
    Case("cut mask", text(encoded("PNG")[:90000], "bad.png"), B, "annotations/bad.png", "", "png"),
    Case("colour without a name", mask(RGB), "unexpected_value", "annotations/bad.png", "#3c1098", "voc"),
    Case("EISeg without points", text([{"name": "building"}]), B, A, "", "eiseg"),
    Case(
        "EISeg label unknown",
        text([EISeg | {"name": "tree"} for EISeg in [EISEG]]),
        "unknown_label",
        A,
        "tree",
        "eiseg",
    ),
    Case("RITM values", mask(SOME * 7), "unexpected_value", "annotations/bad.png", "7", "ritm"),
    Case("object without pixels", objects(SOME * 255, SOME * 0), "empty_object", "annotations/bad", "", "instances"),
    Case(
        "objects of several sizes",
        objects(SOME * 255, SOME[:9] * 255),
        "size_mismatch",
        "annotations/bad",
        "",
        "instances",
    ),
    Case("grey object mask", objects(SOME * 255, RAMP), "unexpected_value", "annotations/bad", "", "instances"),
    Case("category unknown", coco({"category_id": 9}), "unknown_label", "annotations/all.json", "9", "coco"),
    Case("odd coordinates", coco({"segmentation": [[1, 2, 3]]}), B, "annotations/all.json", "", "coco"),
    Case(
        "run lengths of another size",
        coco({"segmentation": {"size": [9, 9], "counts": [81]}}),
        "size_mismatch",
        "annotations/all.json",
        "",
        "coco",
    ),
    Case(
        "run lengths too short",
        coco({"segmentation": {"size": [ROWS, COLUMNS], "counts": [5]}}),
        B,
        "annotations/all.json",
        "",
        "coco",
    ),
    Case(
        "COCO label unknown",
        coco({"category_id": 2}, categories=[{"id": 1, "name": "building"}, {"id": 2, "name": "tree"}]),
        "unknown_label",
        "annotations/all.json",
        "tree",
        "coco",
    ),
    Case(
        "CVAT video",
        other_xml('<?xml version="1.0"?><annotations><track id="0"/></annotations>'),
        B,
        "annotations/bad.xml",
        "",
        "cvat",
    ),
    Case("CVAT cut", other_xml('<?xml version="1.0"?><annotations><image'), B, "annotations/bad.xml", "", "cvat"),
    Case(
        "CVAT entities",
        other_xml('<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><annotations/>'),
        B,
        "annotations/bad.xml",
        "",
        "cvat",
    ),
    Case("CVAT points", cvat('<polygon label="building" points="1,2;x,y"/>'), B, "annotations/all.xml", "", "cvat"),
    Case(
        "CVAT cuboid",
        cvat('<cuboid label="building" xtl1="1"/>'),
        "unsupported_shape",
        "annotations/all.xml",
        "cuboid",
        "cvat",
    ),
    Case(
        "map over a plain picture",
        geojson(place=None),
        "missing_georeference",
        "annotations/bad.geojson",
        "",
        "geojson",
    ),
    Case(
        "feature without label", geojson(properties={}), "unknown_label", "annotations/bad.geojson", "label", "geojson"
    ),
    Case(
        "map in an unknown system",
        geojson(crs={"type": "name", "properties": {"name": "nowhere"}}),
        "crs_mismatch",
        "annotations/bad.geojson",
        "",
        "geojson",
    ),
    Case("no features", geojson(features=5), B, "annotations/bad.geojson", "", "geojson"),
    Case(
        "label map elsewhere",
        nifti(np.ones((6, 5, 4), np.uint8), np.diag([2.0, 1, 1, 1])),
        "affine_mismatch",
        "annotations/bad.nii.gz",
        "",
        "nifti",
    ),
    Case(
        "label map of another size",
        nifti(np.ones((6, 5, 3), np.uint8)),
        "size_mismatch",
        "annotations/bad.nii.gz",
        "",
        "nifti",
    ),
    Case(
        "label map of fractions",
        nifti(np.full((6, 5, 4), 0.5, np.float32)),
        "unexpected_value",
        "annotations/bad.nii.gz",
        "",
        "nifti",
    ),
    Case(
        "label map index",
        nifti(np.full((6, 5, 4), 9, np.uint8)),
        "unexpected_value",
        "annotations/bad.nii.gz",
        "9",
        "nifti",
    ),
]


def test_there_are_enough_cases():
    assert len(CASES) == len({case.name for case in CASES}) >= 60


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_case_is_listed_and_the_good_sample_goes_on(tmp_path, case):
    write_picture(tmp_path / "images" / "good.png", ROWS, COLUMNS)
    if case.format == "labelme":
        write_labelme(tmp_path / "annotations" / "good.json", shape())
    elif case.format in ("png", "voc", "ritm"):
        colours = isinstance(case.classes, dict) or case.format != "png"
        write_mask(tmp_path / "annotations" / "good.png", SOME * (255 if colours else 1))
        if case.format == "voc":
            note(tmp_path, "building:255,255,255::", "labelmap.txt")
    else:
        note(tmp_path, [EISEG], "good.json")
    case.build(tmp_path)
    source = {"format": case.format, "images": f"{tmp_path}/images", "annotations": f"{tmp_path}/annotations"}
    run_labels(source, tmp_path / "skip", case.classes, case.background, "skip")
    rows = [
        row
        for row in read_table(tmp_path / "skip" / "problems.csv")
        if row["file"].split("#page")[0] == f"{tmp_path}/{case.file}"
    ]
    assert [row for row in rows if row["kind"] == case.kind and case.detail in row["detail"]], rows
    assert all(row["remedy"] for row in rows)
    accepted = {row["id"].split("/")[0] for row in read_table(tmp_path / "skip" / "samples.csv")}
    assert accepted == {"good"}
    with pytest.raises(MaskmillError, match=case.kind):
        run_labels(source, tmp_path / "fail", case.classes, case.background)
