"""COCO files of many tools are read alike; broken ones are refused with everything that is wrong."""

import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from maskmill.annotations import coco
from maskmill.annotations.collection import ShapeError, picture_path
from maskmill.annotations.shapes import AnnotationError
from maskmill.classes import Classes
from maskmill.imaging.images import image_header
from maskmill.labels.rasterize import rasterize_annotation

SQUARE = [2, 2, 9, 2, 9, 9, 2, 9]
NAN = float("nan")


def annotation(segmentation=None, number=1, image=1, category=1, **other):
    """One annotation; without a segmentation that of a square."""
    segmentation = [SQUARE] if segmentation is None else segmentation
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
        "iscrowd": 0,
    } | other


def image(number=1, name="a.png", height=20, width=30, **other):
    return {"id": number, "file_name": name, "height": height, "width": width} | other


def content(*annotations, images=None, categories=None):
    categories = [{"id": 1, "name": "building"}] if categories is None else categories
    images = [image()] if images is None else images
    return {"info": {}, "images": images, "annotations": list(annotations), "categories": categories}


def write(path, stored):
    path.write_text(json.dumps(stored), encoding="utf-8")
    return path


def read_one(tmp_path, *annotations, **other):
    return coco.read(write(tmp_path / "c.json", content(*annotations, **other)), "a.png")


def findings(tmp_path, *annotations, **other):
    with pytest.raises(AnnotationError) as caught:
        read_one(tmp_path, *annotations, **other)
    assert all(finding.remedy for finding in caught.value.findings)
    return [(finding.kind, finding.detail) for finding in caught.value.findings]


def test_rings_of_an_annotation_are_one_object_in_the_order_of_the_file(tmp_path):
    other = [[20, 2, 25, 2, 25, 7]]
    read = read_one(tmp_path, annotation([SQUARE, [12.5, 2, 18, 2, 18, 7]], 8), annotation(other, 3))
    assert (read.height, read.width, read.picture, read.label_values) == (20, 30, "a.png", None)
    assert [(s.label, s.kind) for s in read.shapes] == [("building", "polygon")] * 3
    groups = [shape.group_id for shape in read.shapes]
    assert groups[0] == groups[1] != groups[2]
    np.testing.assert_array_equal(read.shapes[1].points, [[12.5, 2], [18, 2], [18, 7]])
    np.testing.assert_array_equal(read.shapes[2].points, np.reshape(other, (3, 2)))
    assert read.shapes[0].points.dtype == np.float64


@pytest.mark.parametrize("segmentation", [[], None, "absent"])
def test_annotation_without_segmentation_is_its_box(tmp_path, segmentation):
    stored = annotation(bbox=[243.11, 1.5, 0.2, 4]) | {"segmentation": segmentation}
    if segmentation == "absent":
        del stored["segmentation"]
    (shape,) = read_one(tmp_path, stored).shapes
    assert shape.kind == "rectangle"
    np.testing.assert_allclose(shape.points, [[243.11, 1.5], [243.31, 5.5]], atol=1e-9)


def test_box_that_cvat_turned(tmp_path):
    stored = annotation([], bbox=[4, 6, 8, 4], attributes={"rotation": 90.0})
    (shape,) = read_one(tmp_path, stored).shapes
    assert shape.kind == "oriented_rectangle"
    np.testing.assert_allclose(shape.points, [[10, 4], [10, 12], [6, 12], [6, 4]])


@pytest.mark.parametrize("crowd", [0, 1])
@pytest.mark.parametrize("compressed", [False, True])
def test_run_lengths_go_down_the_columns(tmp_path, compressed, crowd):
    pixels = np.zeros((20, 30), dtype=np.uint8)
    pixels[3:8, 10:22] = 1
    pixels[4, 12] = 0
    encoded = coco_mask.encode(np.asfortranarray(pixels))
    counts = encoded["counts"].decode() if compressed else runs_of(pixels)
    read = read_one(tmp_path, annotation({"size": [20, 30], "counts": counts}, iscrowd=crowd))
    (shape,) = read.shapes
    np.testing.assert_array_equal(shape.points, [[10, 3], [21, 7]])
    np.testing.assert_array_equal(shape.mask, pixels[3:8, 10:22] == 1)
    np.testing.assert_array_equal(rasterize_annotation(read, Classes.from_config(["building"])), pixels)


def runs_of(pixels):
    """Uncompressed run lengths, counted one pixel after the other."""
    runs, current = [0], 0
    for value in pixels.T.ravel().tolist():
        if value != current:
            runs.append(0)
            current = value
        runs[-1] += 1
    return runs


@given(pixels=arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, 1)))
def test_text_of_run_lengths_as_pycocotools_writes_it(pixels):
    text = coco_mask.encode(np.asfortranarray(pixels))["counts"].decode()
    assert coco._uncompressed(text) == runs_of(pixels)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools under NumPy 2
@given(
    pixels=arrays(np.uint8, (5, 4), elements=st.integers(0, 1)),
    place=st.integers(0, 20),
    change=st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=2),
)
def test_changed_text_is_the_mask_of_pycocotools_or_refused(pixels, place, change):
    text = coco_mask.encode(np.asfortranarray(pixels))["counts"].decode()
    changed = {"size": [5, 4], "counts": text[:place] + change + text[place + 1 :]}
    np.testing.assert_array_equal(coco._mask(changed | {"counts": text}, (5, 4)), pixels)
    try:
        mask = coco._mask(changed, (5, 4))
    except ShapeError:
        return
    np.testing.assert_array_equal(mask, coco_mask.decode(changed))


def test_size_is_taken_from_masks_where_the_picture_has_none(tmp_path):
    stored = annotation({"size": [4, 6], "counts": [5, 3, 16]})
    for sizes in ({"height": None, "width": None}, {"height": 0, "width": 0}):
        read = read_one(tmp_path, annotation(), stored, images=[image(**sizes)])
        assert (read.height, read.width) == (4, 6)
    read = read_one(tmp_path, annotation(), images=[{"id": 1, "file_name": "a.png"}])
    assert (read.height, read.width) == (None, None)


def test_entries_are_the_pictures_with_or_without_annotations(tmp_path):
    images = [
        image(7, "train\\b\\1.jpg"),
        image("x", "./c/1.jpg"),
        image(0, "1.png.rf.0a1b.jpg", license=1, extra={"name": "first.png"}),
        image(9, "https://host:80/a/d%20e.jpg?token=1"),
        {"id": 10, "file_name": "", "coco_url": "http://images.cocodataset.org/val2017/000000000009.jpg"},
    ]
    categories = [{"id": 0, "name": "all", "supercategory": "none"}, {"id": 1, "name": "tooth", "supercategory": "all"}]
    path = write(tmp_path / "c.json", content(annotation(image="7"), images=images, categories=categories))
    entries = coco.list_entries(path)
    names = ["train/b/1.jpg", "c/1.jpg", "1.png.rf.0a1b.jpg", "a/d e.jpg", "val2017/000000000009.jpg"]
    assert [entry.picture for entry in entries] == names
    read = [coco.read(path, entry.key) for entry in entries]
    assert [[s.label for s in a.shapes] for a in read] == [["tooth"], [], [], [], []]


@pytest.mark.parametrize(
    ("stated", "path"),
    [
        ("a.jpg", "a.jpg"),
        ("C:\\data\\a.jpg", "C:/data/a.jpg"),
        ("/data/a.jpg", "/data/a.jpg"),
        ("图片/é b.jpg", "图片/é b.jpg"),
        ("50%20.jpg", "50%20.jpg"),
        ("s3://bucket/x/a.jpg", "x/a.jpg"),
        ("https://[host/a.jpg#top", "a.jpg"),
        ("a.b/x.rf.1.jpg", "a.b/x.rf.1.jpg"),
    ],
)
def test_path_of_a_stated_picture(stated, path):
    assert picture_path(stated) == path


def test_ids_written_as_text_or_fraction_are_the_same_ids(tmp_path):
    stored = annotation(image="1", category=2.0)
    read = read_one(tmp_path, stored, images=[image(1.0)], categories=[{"id": "2", "name": "road"}])
    assert [shape.label for shape in read.shapes] == ["road"]


def test_byte_order_mark_is_read_over(tmp_path):
    path = tmp_path / "c.json"
    path.write_text("\ufeff" + json.dumps(content(annotation())), encoding="utf-8")
    assert len(coco.read(path, "a.png").shapes) == 1


def digest(tmp_path, stored):
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
    return {entry.picture: entry.digest for entry in coco.list_entries(write(path, stored))}["a.png"]


def test_digest_changes_with_what_is_drawn_only(tmp_path):
    box = annotation([], 2, bbox=[1, 2, 3, 4])
    before = digest(tmp_path, content(annotation(), box))
    same = [
        content(annotation(number=50, image=4, category=9, iscrowd=1, area=3, bbox=[0, 0, 1, 1]), box | {"image_id": 4})
        | {"images": [image(4), image(5, "other.png")]}
        | {"categories": [{"id": 9, "name": "building"}, {"id": 1, "name": "building"}]},
        content(annotation(), box, annotation(number=3, image=2), images=[image(), image(2, "b.png")]),
    ]
    for stored in same:
        assert digest(tmp_path, stored) == before
    other = [
        content(box, annotation()),
        content(annotation([[2, 2, 9, 2, 9, 9.5, 2, 9]]), box),
        content(annotation(), box | {"bbox": [1, 2, 3, 5]}),
        content(annotation(), box | {"attributes": {"rotation": 5}}),
        content(annotation(), box, categories=[{"id": 1, "name": "road"}]),
        content(annotation(), box, images=[image(height=21)]),
        content(annotation()),
    ]
    digests = {digest(tmp_path, stored) for stored in other}
    assert len(digests) == len(other)
    assert before not in digests


def test_changed_file_is_read_again(tmp_path):
    path = write(tmp_path / "c.json", content(annotation()))
    assert len(coco.read(path, "a.png").shapes) == 1
    write(path, content(annotation(), annotation(number=2)))
    os.utime(path, ns=(1, 1))
    assert len(coco.read(path, "a.png").shapes) == 2


def test_file_is_parsed_once(tmp_path, monkeypatch):
    path = write(tmp_path / "c.json", content(annotation()))
    coco.list_entries(path)
    monkeypatch.setattr(coco.json, "loads", None)
    assert len(coco.read(path, "a.png").shapes) == 1


BAD_ANNOTATIONS = {
    "unknown category": (annotation(category=5), "unknown_label", "category_id 5; the ids of the categories are 1"),
    "no category": ({"id": 1, "image_id": 1, "segmentation": [SQUARE]}, "unknown_label", "category_id None"),
    "odd number": (annotation([[*SQUARE, 4]]), "broken_annotation", "ring 1 of 9 numbers, an odd count"),
    "odd second ring": (annotation([SQUARE, [1, 2, 3]]), "broken_annotation", "ring 2 of 3 numbers"),
    "two points": (annotation([[1, 2, 3, 4]]), "degenerate_shape", "annotation 1 has 2 points where a polygon needs"),
    "short second ring": (annotation([SQUARE, []]), "degenerate_shape", "annotation 1, ring 2, has 0 points"),
    "NaN": (annotation([[NAN, *SQUARE[1:]]]), "degenerate_shape", "a coordinate that is no number"),
    "infinite": (annotation([[float("inf"), *SQUARE[1:]]]), "degenerate_shape", "a coordinate that is no number"),
    "far outside": (annotation([[1e9, *SQUARE[1:]]]), "degenerate_shape", "far outside of any picture"),
    "null coordinate": (annotation([[None, *SQUARE[1:]]]), "broken_annotation", "not a list of numbers"),
    "text coordinates": (annotation([[str(n) for n in SQUARE]]), "broken_annotation", "not a list of numbers"),
    "flat list": (annotation(SQUARE), "broken_annotation", "not a list of numbers"),
    "list of pairs": (annotation([[[2, 2], [9, 2], [9, 9]]]), "broken_annotation", "not a list of numbers"),
    "ragged": (annotation([[2, [2, 9], 2]]), "broken_annotation", "not a list of numbers"),
    "segmentation of text": (annotation("polygon"), "broken_annotation", "neither a list nor an object"),
    "no segmentation, no box": (annotation([]), "broken_annotation", "neither a segmentation nor a bbox"),
    "box of three": (annotation([], bbox=[1, 2, 3]), "broken_annotation", "not four numbers"),
    "box of text": (annotation([], bbox="1,2,3,4"), "broken_annotation", "not four numbers"),
    "box with null": (annotation([], bbox=[1, None, 3, 4]), "broken_annotation", "not four numbers"),
    "box with NaN": (annotation([], bbox=[1, NAN, 3, 4]), "broken_annotation", "not four numbers"),
    "huge box": (annotation([], bbox=[1, 2, 10**400, 4]), "broken_annotation", "not four numbers"),
    "rotation of text": (annotation([], bbox=[1, 2, 3, 4], attributes={"rotation": "x"}), "broken_annotation", "four"),
    "empty box": (annotation([], bbox=[1, 2, 0, 4]), "degenerate_shape", "is a box of 0 × 4 pixels"),
    "negative box": (annotation([], bbox=[9, 2, -3, 4]), "degenerate_shape", "is a box of -3 × 4 pixels"),
    "mask without size": (annotation({"counts": [600]}), "broken_annotation", "size is not [height, width]"),
    "mask of text size": (annotation({"size": "20,30", "counts": [600]}), "broken_annotation", "size is not [height"),
    "mask of other size": (
        annotation({"size": [30, 20], "counts": [0, 600]}),
        "size_mismatch",
        "is a mask of 20 × 30 pixels on a picture of 30 × 20",
    ),
    "mask without counts": (annotation({"size": [20, 30]}), "broken_annotation", "mask without counts"),
    "short mask": (annotation({"size": [20, 30], "counts": [5, 3]}), "broken_annotation", "cover 8 pixels of 30 × 20"),
    "long mask": (annotation({"size": [20, 30], "counts": [5, 596]}), "broken_annotation", "cover 601 pixels"),
    "negative run": (annotation({"size": [20, 30], "counts": [-5, 605]}), "broken_annotation", "whole numbers from 0"),
    "broken run": (annotation({"size": [20, 30], "counts": [0.5, 599.5]}), "broken_annotation", "whole numbers from 0"),
    "nested run": (annotation({"size": [20, 30], "counts": [5, [595]]}), "broken_annotation", "whole numbers from 0"),
    "huge run": (annotation({"size": [20, 30], "counts": [10**30]}), "broken_annotation", "whole numbers from 0"),
    "empty mask": (annotation({"size": [20, 30], "counts": [600]}), "degenerate_shape", "mask without pixels"),
    "cut text": (annotation({"size": [20, 30], "counts": "X"}), "broken_annotation", "end within a number"),
    "short text": (annotation({"size": [20, 30], "counts": "55"}), "broken_annotation", "cover 10 pixels"),
    "no text": (annotation({"size": [20, 30], "counts": ""}), "broken_annotation", "cover 0 pixels"),
    "foreign text": (annotation({"size": [20, 30], "counts": "é"}), "broken_annotation", "hold the character 'é'"),
    "endless text": (annotation({"size": [20, 30], "counts": "o" * 99}), "broken_annotation", "too large"),
}


@pytest.mark.parametrize("case", BAD_ANNOTATIONS)
def test_bad_annotation_is_refused(tmp_path, case):
    stored, kind, detail = BAD_ANNOTATIONS[case]
    ((found_kind, found),) = findings(tmp_path, annotation(number=4), stored)
    assert (found_kind, detail in found, found.startswith("annotation 1")) == (kind, True, True), found


def test_all_bad_annotations_of_a_picture_are_found(tmp_path):
    stored = [case[0] for case in BAD_ANNOTATIONS.values()]
    found = findings(tmp_path, *(one | {"id": number} for number, one in enumerate(stored)))
    assert len(found) == len(BAD_ANNOTATIONS)
    assert {detail.split()[1].rstrip(",") for _, detail in found} == set(map(str, range(len(stored))))


@pytest.mark.parametrize("size", ["20", -20, 20.5, True, NAN])
def test_bad_size_of_a_picture_is_refused(tmp_path, size):
    ((kind, detail),) = findings(tmp_path, images=[image(height=size)])
    assert kind == "broken_annotation"
    assert "picture's height" in detail


def test_masks_of_two_sizes_are_refused_where_the_picture_has_none(tmp_path):
    stored = [annotation({"size": size, "counts": [0, 24]}) for size in ([4, 6], [6, 4])]
    ((kind, _),) = findings(tmp_path, *stored, images=[image(height=None, width=None)])
    assert kind == "size_mismatch"


BAD_FILES = {
    "not JSON": ('{"images": [', "broken_annotation", "not valid JSON"),
    "empty": ("", "broken_annotation", "not valid JSON"),
    "too deep": ("[" * 100_000, "broken_annotation", "not valid JSON"),
    "list of results": ([annotation()], "broken_annotation", 'no list "images", "annotations", "categories"'),
    "no categories": ({"images": [], "annotations": []}, "broken_annotation", 'it has no list "categories"'),
    "annotations by id": (content() | {"annotations": {"1": annotation()}}, "broken_annotation", 'list "annotations"'),
    "panoptic": (
        content({"image_id": 1, "segments_info": [], "file_name": "a.png"}),
        "broken_annotation",
        "panoptic",
    ),
    "image without name": (content(images=[image(), {"id": 2}]), "broken_annotation", "(1) image 2"),
    "image without id": (content(images=[{"file_name": "a.png"}]), "broken_annotation", "(1) image 1"),
    "image as text": (content(images=["a.png"]), "broken_annotation", "(1) image 1"),
    "image id twice": (content(images=[image(), image(1, "b.png")]), "duplicate_id", "(1) 1 (a.png, b.png)"),
    "file name twice": (
        content(images=[image(1, "t/a.png"), image(2, "t\\a.png")]),
        "duplicate_id",
        "twice: (1) t/a.png",
    ),
    "stray annotation": (content(annotation(number=9, image=5)), "missing_picture", "(1) 9 (image_id 5)"),
    "annotation without image": (content({"id": 9}), "missing_picture", "(1) 9 (image_id None)"),
    "annotation as text": (content("x"), "missing_picture", "(1) number 1 (not an object)"),
    "category without name": (content(categories=[{"id": 1}]), "broken_annotation", "category 1 has no id or no name"),
    "category twice": (
        content(categories=[{"id": 1, "name": "road"}, {"id": 1, "name": "roof"}]),
        "broken_annotation",
        'id 1 is "road" and "roof"',
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_is_refused(tmp_path, case):
    stored, kind, detail = BAD_FILES[case]
    path = tmp_path / "c.json"
    path.write_text(stored if isinstance(stored, str) else json.dumps(stored))
    for look in (coco.list_entries, lambda path: coco.read(path, "a.png")):
        with pytest.raises(AnnotationError) as caught:
            look(path)
        (finding,) = caught.value.findings
        assert (finding.kind, detail in finding.detail) == (kind, True), finding
        assert finding.remedy


def test_all_that_is_wrong_with_a_file_is_found(tmp_path):
    strays = [annotation(number=number, image=5) for number in range(20)]
    path = write(tmp_path / "c.json", content(*strays, images=[image(), image(), {}], categories=[{}]))
    with pytest.raises(AnnotationError) as caught:
        coco.list_entries(path)
    assert len(caught.value.findings) == 4
    assert "(20) 0 (image_id 5), 1 (image_id 5)" in str(caught.value)
    assert "and 8 more" in str(caught.value)


def test_missing_file_and_missing_entry_are_refused(tmp_path):
    with pytest.raises(AnnotationError, match="cannot be read"):
        coco.list_entries(tmp_path / "none.json")
    with pytest.raises(AnnotationError, match=r'does not list the picture "b\.png"'):
        coco.read(write(tmp_path / "c.json", content()), "b.png")


@pytest.mark.real
def test_real_file_of_long_names_and_scattered_ids(real_data):
    path = real_data / "cvat_coco_dental" / "annotations" / "instances_default.json"
    folder = real_data / "cvat_coco_dental" / "images"
    entries = coco.list_entries(path)
    assert {entry.picture for entry in entries} == {file.name for file in folder.iterdir()}
    assert len({entry.digest for entry in entries}) == len(entries) == 95
    read = [coco.read(path, entry.key) for entry in entries]
    assert sum(len(a.shapes) for a in read) == 115
    assert {s.label for a in read for s in a.shapes} == {"CShaped", "Normal"}
    assert all(image_header(folder / a.picture)[:2] == (a.width, a.height) for a in read)


@pytest.mark.real
def test_coordinates_are_those_of_the_upright_picture(real_data):
    """The photographs lie on their side in the files; CVAT annotates what EXIF says to show, and so do we."""
    folder = real_data / "cvat_coco_screws_exif"
    path = folder / "annotations" / "instances_default.json"
    for entry in coco.list_entries(path):
        read = coco.read(path, entry.key)
        assert image_header(folder / "images" / entry.picture)[:2] == (read.width, read.height) == (3024, 4032)
        assert all((s.points >= 0).all() and (s.points <= (3024, 4032)).all() for s in read.shapes)
