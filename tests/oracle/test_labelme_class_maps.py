"""Label images against the class maps that labelme made of its own examples."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from maskmill.annotations import labelme
from maskmill.classes import Classes
from maskmill.rasterize import rasterize_annotation

# An older Pillow, with which labelme's files were made, drew one more pixel right of the tip of a narrow triangle:
# (104, 290) in this picture. labelme with today's Pillow draws what we draw.
OLD_TIP = {"2011_000006": 1}


@pytest.mark.real
@pytest.mark.parametrize("example", ["semantic_segmentation", "instance_segmentation"])
@pytest.mark.parametrize("picture", ["2011_000003", "2011_000006", "2011_000025"])
def test_equal_to_the_class_maps_of_labelme(real_data, example, picture):
    folder = real_data / "labelme_examples" / example
    names = (folder / "labels.txt").read_text().split("\n")[2:]  # after __ignore__ and _background_
    classes = Classes.from_config([name for name in names if name])
    labels = rasterize_annotation(labelme.read(folder / "data_annotated" / f"{picture}.json"), classes)
    theirs = np.load(folder / "data_dataset_voc" / "SegmentationClassNpy" / f"{picture}.npy")
    assert len(np.unique(theirs)) > 2
    assert (labels != theirs.astype(np.uint8)).sum() == OLD_TIP.get(picture, 0)


@pytest.mark.real
def test_equal_to_the_class_map_of_the_video_example(real_data):
    folder = real_data / "labelme_examples" / "video_annotation"
    names = (folder / "labels.txt").read_text().split("\n")[2:]
    classes = Classes.from_config([name for name in names if name])
    labels = rasterize_annotation(labelme.read(folder / "data_annotated" / "00000100.json"), classes)
    theirs = np.load(folder / "data_dataset_voc" / "SegmentationClass" / "00000100.npy")
    np.testing.assert_array_equal(labels, theirs.astype(np.uint8))
    for frame in ("00000100", "00000101", "00000102"):
        labels = rasterize_annotation(labelme.read(folder / "data_annotated" / f"{frame}.json"), classes)
        with Image.open(folder / "data_dataset_voc" / "SegmentationClassPNG" / f"{frame}.png") as image:
            np.testing.assert_array_equal(labels, np.asarray(image))


@pytest.mark.real
def test_primitives_one_array_a_shape(real_data):
    """All kinds of shapes, each drawn on its own as labelme does it, put on one another."""
    path = real_data / "labelme_examples" / "primitives" / "primitives.json"
    stored = json.loads(path.read_text())
    classes = Classes.from_config(sorted({shape["label"] for shape in stored["shapes"]}))
    annotation = labelme.read(path)
    expected = np.zeros((annotation.height, annotation.width), dtype=np.uint8)
    for shape, read in zip(stored["shapes"], annotation.shapes, strict=True):
        expected[_alone(shape, read.mask, expected.shape)] = classes.index(shape["label"])
    assert len(np.unique(expected)) == len(classes) + 1
    np.testing.assert_array_equal(rasterize_annotation(annotation, classes), expected)


def _alone(shape, mask, size):
    canvas = Image.new("1", size[::-1])
    draw, points = ImageDraw.Draw(canvas), [tuple(point) for point in shape["points"]]
    match shape["shape_type"]:
        case "polygon":
            draw.polygon(points, outline=1, fill=1)
        case "rectangle":
            draw.rectangle([*map(min, *points), *map(max, *points)], outline=1, fill=1)
        case "circle":
            (x, y), (px, py) = points
            radius = ((x - px) ** 2 + (y - py) ** 2) ** 0.5
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], outline=1, fill=1)
        case "point":
            draw.ellipse([points[0][0] - 5, points[0][1] - 5, points[0][0] + 5, points[0][1] + 5], outline=1, fill=1)
        case "line" | "linestrip":
            draw.line(points, fill=1, width=10)
        case "mask":
            alone = np.zeros(size, dtype=bool)
            (left, top), (right, bottom) = np.asarray(points).astype(int)
            alone[top : bottom + 1, left : right + 1] = mask
            return alone
    return np.asarray(canvas)
