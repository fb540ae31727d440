"""Every way we know in which a user's files are wrong ends in problems.csv with file, kind, detail and remedy."""

import base64

import numpy as np
import pytest
from PIL import Image

from maskmill.errors import MaskmillError
from maskmill.files import read_table
from tests.unit.bad_case import (
    COLUMNS,
    RAMP,
    RGB,
    ROWS,
    SOME,
    Case,
    bomb,
    coco,
    cvat,
    encoded,
    geojson,
    image,
    labelme,
    mask,
    nan_picture,
    nifti,
    note,
    objects,
    other_xml,
    picture,
    text,
    twins,
)
from tests.unit.label_data import SQUARE, run_labels, shape, write_labelme, write_mask, write_picture

MASK = base64.b64encode(encoded("PNG", (4, 4))).decode()
EISEG = {"name": "building", "labelIdx": 1, "color": [1, 2, 3], "points": [[2, 2], [9, 2], [9, 9]]}
FRACTIONS = [[0.2, 0.2], [0.9, 0.3], [0.5, 0.9]]
NORMALISED = "normalised_coordinates"
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
    Case("circle of one point", labelme(shape(points=[[1, 1]], kind="circle")), "degenerate_shape", A, "1 point where"),
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
    Case("fractions of the sides", labelme(shape(points=FRACTIONS)), NORMALISED, A, "between 0.2 and 0.9,"),
    Case("circle in fractions", labelme(shape(points=FRACTIONS[:2], kind="circle")), NORMALISED, A, "fractions"),
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
        "COCO in fractions",
        coco({"segmentation": [np.ravel(FRACTIONS).tolist()], "bbox": [0.2, 0.2, 0.7, 0.7]}),
        NORMALISED,
        "annotations/all.json",
        "fractions",
        "coco",
    ),
    Case(
        "COCO box in fractions",
        coco({"segmentation": [], "bbox": [0.2, 0.2, 0.7, 0.7]}),
        NORMALISED,
        "annotations/all.json",
        "fractions",
        "coco",
    ),
    Case(
        "CVAT in fractions",
        cvat('<polygon label="building" points="0.2,0.2;0.9,0.3;0.5,0.9"/>'),
        NORMALISED,
        "annotations/all.xml",
        "fractions",
        "cvat",
    ),
    Case("EISeg in fractions", text([EISEG | {"points": FRACTIONS}]), NORMALISED, A, "fractions", "eiseg"),
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
