"""Label and object images against those that labelme made of its own examples, and against its rule restated.

labelme's rule: every shape is drawn by Pillow into a picture of its own, which becomes a boolean mask; where that is
true, the class map takes the shape's class and the object map its object, in the order of the shapes.
"""

import base64
import dataclasses
import io
import json
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from maskmill.annotations import labelme
from maskmill.annotations.shapes import Annotation, Shape
from maskmill.classes import Classes
from maskmill.labels.rasterize import object_numbers, rasterize_annotation, rasterize_instances

# An older Pillow, with which labelme's files were made, drew one more pixel right of the tip of a narrow triangle:
# (104, 290) in this picture. labelme with today's Pillow draws what we draw.
OLD_TIP = {"2011_000006": 1}

PICTURES = ["2011_000003", "2011_000006", "2011_000025"]


def example_classes(folder):
    names = (folder / "labels.txt").read_text().split("\n")[2:]  # after __ignore__ and _background_
    return Classes.from_config([name for name in names if name])


@pytest.mark.real
@pytest.mark.parametrize("example", ["semantic_segmentation", "instance_segmentation"])
@pytest.mark.parametrize("picture", PICTURES)
def test_equal_to_the_class_maps_of_labelme(real_data, example, picture):
    folder = real_data / "labelme_examples" / example
    annotation = labelme.read(folder / "data_annotated" / f"{picture}.json")
    labels = rasterize_annotation(annotation, example_classes(folder))
    theirs = np.load(folder / "data_dataset_voc" / "SegmentationClassNpy" / f"{picture}.npy")
    assert len(np.unique(theirs)) > 2
    assert (labels != theirs.astype(np.uint8)).sum() == OLD_TIP.get(picture, 0)
    with Image.open(folder / "data_dataset_voc" / "SegmentationClass" / f"{picture}.png") as image:
        assert (labels != np.asarray(image)).sum() == OLD_TIP.get(picture, 0)


@pytest.mark.real
@pytest.mark.parametrize("picture", PICTURES)
def test_equal_to_the_object_maps_of_labelme(real_data, picture):
    """labelme numbers the ignored regions too, so that its numbers are compared in their order."""
    folder = real_data / "labelme_examples" / "instance_segmentation"
    annotation = labelme.read(folder / "data_annotated" / f"{picture}.json")
    objects = rasterize_instances(annotation, example_classes(folder))
    theirs = np.load(folder / "data_dataset_voc" / "SegmentationObjectNpy" / f"{picture}.npy")
    assert objects.dtype == np.int32
    assert objects.max() == len(np.unique(objects)) - 1 >= 3
    assert (objects != np.unique(theirs, return_inverse=True)[1].reshape(theirs.shape)).sum() == OLD_TIP.get(picture, 0)
    with Image.open(folder / "data_dataset_voc" / "SegmentationObject" / f"{picture}.png") as image:
        theirs = np.asarray(image)
    assert (objects != np.unique(theirs, return_inverse=True)[1].reshape(theirs.shape)).sum() == OLD_TIP.get(picture, 0)


@pytest.mark.real
@pytest.mark.parametrize("picture", PICTURES)
def test_objects_of_several_parts_have_the_areas_of_labelmes_coco_file(real_data, picture):
    folder = real_data / "labelme_examples" / "instance_segmentation"
    coco = json.loads((folder / "data_dataset_coco" / "annotations.json").read_text())
    (number,) = [image["id"] for image in coco["images"] if picture in image["file_name"]]
    theirs = [a["area"] for a in coco["annotations"] if a["image_id"] == number]
    annotation, classes = labelme.read(folder / "data_annotated" / f"{picture}.json"), example_classes(folder)
    numbers = object_numbers(annotation, classes)
    ours = []
    for wanted in range(1, max(numbers) + 1):
        parts = [shape for shape, found in zip(annotation.shapes, numbers, strict=True) if found == wanted]
        alone = rasterize_instances(dataclasses.replace(annotation, shapes=tuple(parts)), classes)
        ours.append((alone == 1).sum())
    assert ours == theirs


@pytest.mark.real
def test_equal_to_the_class_map_of_the_video_example(real_data):
    folder = real_data / "labelme_examples" / "video_annotation"
    labels = rasterize_annotation(
        labelme.read(folder / "data_annotated" / "00000100.json"), classes := example_classes(folder)
    )
    theirs = np.load(folder / "data_dataset_voc" / "SegmentationClass" / "00000100.npy")
    np.testing.assert_array_equal(labels, theirs.astype(np.uint8))
    for frame in ("00000100", "00000101", "00000102"):
        labels = rasterize_annotation(labelme.read(folder / "data_annotated" / f"{frame}.json"), classes)
        with Image.open(folder / "data_dataset_voc" / "SegmentationClassPNG" / f"{frame}.png") as image:
            np.testing.assert_array_equal(labels, np.asarray(image))


@pytest.mark.real
@pytest.mark.parametrize(
    "pattern",
    [
        "labelme_examples/primitives/*.json",
        "labelme_examples/*/data_annotated/*.json",
        "labelme_nuts/images/*.json",
        "labelme_devices/train/*0.json",
        "labelme_oddities/*/*.json",
        "labelme_old_chinese/sample_jsons/*.json",
        "one_scene_many_formats/labelme/*.json",
    ],
)
def test_real_files_against_one_array_a_shape(real_data, pattern):
    paths = sorted(real_data.glob(pattern))
    assert paths
    for path in paths:
        stored = json.loads(path.read_text())
        annotation = labelme.read(path)
        classes = Classes.from_config(sorted({shape["label"] for shape in stored["shapes"]} - {"__ignore__"}))
        size = annotation.height or 1920, annotation.width or 2560
        annotation = dataclasses.replace(annotation, height=size[0], width=size[1])
        values = {name: classes.index(name) for name in classes.names} | {"__ignore__": 255}
        labels, objects = labelmes_rule(stored["shapes"], size, values)
        assert labels.any()
        np.testing.assert_array_equal(rasterize_annotation(annotation, classes), labels)
        np.testing.assert_array_equal(rasterize_instances(annotation, classes), objects)


HEIGHT, WIDTH = 40, 50

coordinates = st.one_of(st.integers(-15, 65), st.floats(-20, 70, width=32), st.integers(-60, 260).map(lambda v: v / 4))
points = st.tuples(coordinates, coordinates).map(list)
COUNTS = {"polygon": (3, 12), "oriented_rectangle": (4, 4), "rectangle": (2, 2), "circle": (2, 2), "line": (2, 2)}
COUNTS |= {"linestrip": (2, 6), "point": (1, 1)}


@st.composite
def stored_shapes(draw):
    """A shape as labelme stores it: parts of objects, ignored and background regions and masks among them."""
    kind = draw(st.sampled_from([*COUNTS, "mask"]))
    group = draw(st.sampled_from([None, 0, 1]))
    shape = {"label": draw(st.sampled_from(["a", "b", "__ignore__", "_background_"])), "shape_type": kind}
    if kind != "mask":
        least, most = COUNTS[kind]
        return shape | {"points": draw(st.lists(points, min_size=least, max_size=most)), "group_id": group}
    left, top = draw(st.integers(0, WIDTH - 1)), draw(st.integers(0, HEIGHT - 1))
    right, bottom = draw(st.integers(left, WIDTH - 1)), draw(st.integers(top, HEIGHT - 1))
    bits = draw(st.integers(0, 2**32 - 1))
    pixels = np.random.default_rng(bits).integers(0, 2, (bottom - top + 1, right - left + 1), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    mask = base64.b64encode(file.getvalue()).decode()
    offset = draw(st.sampled_from([0, 0.25, 0.75]))
    corners = [[left + offset, top + offset], [right + offset, bottom + offset]]
    return shape | {"points": corners, "group_id": group, "mask": mask}


@settings(max_examples=300)
@given(st.lists(stored_shapes(), max_size=6))
def test_any_shapes_against_one_array_a_shape(tmp_path_factory, stored):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps({"shapes": stored, "imageHeight": HEIGHT, "imageWidth": WIDTH}))
    annotation, classes = labelme.read(path), Classes.from_config(["a", "b"])
    values = {"a": 1, "b": 2, "__ignore__": 255, "_background_": 0}
    labels, objects = labelmes_rule(stored, (HEIGHT, WIDTH), values)
    np.testing.assert_array_equal(rasterize_annotation(annotation, classes), labels)
    np.testing.assert_array_equal(rasterize_instances(annotation, classes), objects)


@settings(max_examples=200)
@given(st.lists(st.lists(points, min_size=3, max_size=8), min_size=2, max_size=4))
@example([[[0, -1], [0, -1], [0, -1]], [[0, -1], [0, -1], [0, -0.5]]])
def test_holes_against_one_array_a_ring(rings):
    """A hole is what a polygon of its ring would cover, outline included."""
    under = Shape("a", "rectangle", np.array([[5.0, 5.0], [30.0, 30.0]]))
    outer, *holes = (np.array(ring, dtype=np.float64) for ring in rings)
    annotation = Annotation(HEIGHT, WIDTH, (under, Shape("b", "polygon", outer, holes=tuple(holes))))
    cut = np.any([_alone({"shape_type": "polygon", "points": ring}, (HEIGHT, WIDTH)) for ring in rings[1:]], axis=0)
    expected = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    expected[5:31, 5:31] = 1
    expected[_alone({"shape_type": "polygon", "points": rings[0]}, expected.shape) & ~cut] = 2
    classes = Classes.from_config(["a", "b"])
    np.testing.assert_array_equal(rasterize_annotation(annotation, classes), expected)
    np.testing.assert_array_equal(rasterize_instances(annotation, classes), expected)


def labelmes_rule(shapes, size, values):
    """Class map and object map (numbers from 1 on without the ignored and background shapes)."""
    labels, objects, known = np.zeros(size, dtype=np.uint8), np.zeros(size, dtype=np.int32), []
    for index, shape in enumerate(shapes):
        name = (shape["label"], shape.get("group_id"))
        name = (index, None) if name[1] is None else name
        value = values[shape["label"]]
        if name not in known and value not in (0, 255):
            known.append(name)
        alone = _alone(shape, size)
        labels[alone] = value
        objects[alone] = 0 if value in (0, 255) else known.index(name) + 1
    return labels, objects


def _alone(shape, size):
    """Where a shape lies, drawn by Pillow on its own."""
    points = [tuple(point) for point in shape["points"]]
    kind = shape.get("shape_type") or "polygon"
    if kind == "mask":
        alone = np.zeros(size, dtype=bool)
        (left, top), (right, bottom) = np.asarray(points).astype(int)
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as image:
            alone[top : bottom + 1, left : right + 1] = np.asarray(image).astype(bool)[
                : size[0] - top, : size[1] - left
            ]
        return alone
    canvas = Image.fromarray(np.zeros(size, dtype=np.uint8))
    draw = ImageDraw.Draw(canvas)
    match kind:
        case "polygon" | "oriented_rectangle":
            draw.polygon(points, outline=1, fill=1)
        case "rectangle":
            (x0, y0), (x1, y1) = points
            draw.rectangle(((min(x0, x1), min(y0, y1)), (max(x0, x1), max(y0, y1))), outline=1, fill=1)
        case "circle":
            (x, y), (px, py) = points
            radius = math.sqrt((x - px) ** 2 + (y - py) ** 2)
            draw.ellipse(((x - radius, y - radius), (x + radius, y + radius)), outline=1, fill=1)
        case "point":
            ((x, y),) = points
            draw.ellipse(((x - 5, y - 5), (x + 5, y + 5)), outline=1, fill=1)
        case "line" | "linestrip":
            draw.line(points, fill=1, width=10)
    return np.array(canvas, dtype=bool)
