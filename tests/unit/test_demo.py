"""The demo data set: same seed, same bytes; valid labelme files; a task that colour alone does not solve."""

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskmill import demo
from maskmill.demo import generate_demo, geometry
from maskmill.demo.annotate import annotate
from maskmill.demo.layout import compose_scene
from maskmill.demo.scene import BUILDING, ROAD, Ground
from maskmill.demo.site import KINDS, draw_site
from maskmill.files import sha256_file
from tests.unit.full_disk import limited_files

GROUPS, SCENES, SIZE = 6, 2, 320
CLASSES = {"building": 1, "road": 2}


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "set"
    generate_demo(folder, seed=0, groups=GROUPS, scenes_per_group=SCENES, size=SIZE)
    return folder


@pytest.fixture(scope="module")
def annotations(demo_folder) -> dict[Path, dict]:
    return {path: json.loads(path.read_text()) for path in sorted((demo_folder / "annotations").rglob("*.json"))}


def all_shapes(annotations: dict[Path, dict]) -> list[dict]:
    return [shape for content in annotations.values() for shape in content["shapes"]]


def read_picture(path: Path, content: dict) -> np.ndarray:
    return cv2.imread(str(path.parent / content["imagePath"]))


def draw_labels(content: dict) -> np.ndarray:
    """Class indices (H, W) of a labelme file by OpenCV; later shapes cover earlier ones."""
    labels = np.zeros((content["imageHeight"], content["imageWidth"]), np.uint8)
    for shape in content["shapes"]:
        points, value = np.array(shape["points"]), CLASSES[shape["label"]]
        if shape["shape_type"] == "circle":
            centre, radius = np.rint(points[0]).astype(int), round(np.linalg.norm(points[1] - points[0]))
            cv2.circle(labels, (int(centre[0]), int(centre[1])), radius, value, -1)
        elif shape["shape_type"] == "rectangle":
            (left, top), (right, bottom) = np.rint(points).astype(int).tolist()
            cv2.rectangle(labels, (left, top), (right, bottom), value, -1)
        else:
            cv2.fillPoly(labels, [np.rint(points).astype(np.int32)], value)
    return labels


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def test_same_seed_gives_same_bytes_whatever_the_number_of_threads(tmp_path):
    threads = cv2.getNumThreads()
    try:
        for name, count, seed in (("one", 1, 7), ("two", 2, 7), ("other", 1, 8)):
            cv2.setNumThreads(count)
            generate_demo(tmp_path / name, seed=seed, groups=2, scenes_per_group=1, size=192)
    finally:
        cv2.setNumThreads(threads)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert digests(tmp_path / "one") != digests(tmp_path / "other")


def test_a_scene_does_not_depend_on_how_many_others_are_drawn(tmp_path):
    for name, groups in (("few", 3), ("more", 4)):
        generate_demo(tmp_path / name, seed=0, groups=groups, scenes_per_group=1, size=96)
    few, more = digests(tmp_path / "few"), digests(tmp_path / "more")
    in_both = [path for path in few if path.endswith(".json") and _has_shapes(tmp_path, path)]
    assert len(in_both) >= 1
    for path in in_both:
        picture = path.replace("annotations", "images").replace(".json", ".jpg")
        assert (few[path], few[picture]) == (more[path], more[picture])


def _has_shapes(folder: Path, path: str) -> bool:
    """Whether the scene is settled in both sets; which scenes are empty depends on their number."""
    return all(json.loads((folder / name / path).read_text())["shapes"] for name in ("few", "more"))


def test_folder_appears_complete_or_not_at_all(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(demo, "photograph", fail)
    with pytest.raises(OSError, match="disk full"):
        generate_demo(tmp_path / "set", seed=0, groups=1, scenes_per_group=1, size=96)
    assert not list(tmp_path.iterdir())


def test_one_folder_for_each_group_and_every_picture_annotated(demo_folder, annotations):
    groups = [f"site_{number:02d}" for number in range(1, GROUPS + 1)]
    assert sorted(path.name for path in (demo_folder / "images").iterdir()) == groups
    pictures = {path.relative_to(demo_folder / "images").with_suffix("") for path in demo_folder.rglob("*.jpg")}
    assert pictures == {path.relative_to(demo_folder / "annotations").with_suffix("") for path in annotations}
    assert len(pictures) == GROUPS * SCENES
    assert (demo_folder / "labels.txt").read_text().split() == ["__ignore__", "_background_", "building", "road"]


def test_files_are_labelme_5_and_points_lie_in_the_picture(annotations):
    for path, content in annotations.items():
        assert set(content) == {
            "version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth",
        }  # fmt: skip
        assert content["version"].startswith("5.")
        assert read_picture(path, content).shape == (content["imageHeight"], content["imageWidth"], 3)
        for shape in content["shapes"]:
            assert set(shape) == {"label", "points", "group_id", "description", "shape_type", "flags", "mask"}
            points = np.array(shape["points"])
            assert points.min() >= 0
            assert points.max() <= SIZE - 1
            if shape["shape_type"] == "polygon":
                assert len(points) >= 3
            else:
                assert points.shape == (2, 2)


def test_both_labels_all_shape_types_overlaps_and_empty_scenes_occur(annotations):
    kinds = Counter((shape["label"], shape["shape_type"]) for shape in all_shapes(annotations))
    assert set(kinds) == {
        ("road", "polygon"), ("building", "polygon"), ("building", "rectangle"), ("building", "circle"),
    }  # fmt: skip
    assert sum(not content["shapes"] for content in annotations.values()) == 1
    corner_counts = {len(shape["points"]) for shape in all_shapes(annotations) if shape["shape_type"] == "polygon"}
    assert {4, 6} <= corner_counts  # plain and L-shaped outlines
    overlapping = [content for content in annotations.values() if _overlap(content)]
    assert overlapping


def _overlap(content: dict) -> bool:
    layers = [draw_labels(content | {"shapes": [shape]}) > 0 for shape in content["shapes"]]
    return bool(layers) and np.sum(layers, axis=0).max() > 1


def test_sizes_are_those_promised():
    for group in range(1, len(KINDS) + 1):
        scene = compose_scene(draw_site(3, group), np.random.default_rng((3, group, 1)), 512, empty=False)
        assert len(scene.buildings) > 12
        for building in scene.buildings:
            sides = cv2.minAreaRect(building.outline.astype(np.float32))[1]
            assert 19.9 < min(sides) <= max(sides) < 90.1
        assert all(10 <= road.width <= 22 for road in scene.roads)


@pytest.mark.parametrize("group", range(1, len(KINDS) + 1))
def test_annotations_follow_the_outlines_of_roofs(group):
    scene = compose_scene(draw_site(1, group), np.random.default_rng((1, group, 1)), 512, empty=False)
    content = annotate(scene, "picture.jpg", np.random.default_rng(0))
    drawn = np.zeros((512, 512), np.uint8)
    for road in scene.roads:
        cv2.fillPoly(drawn, [np.rint(geometry.ribbon(road.curve, road.width)).astype(np.int32)], CLASSES["road"])
    for building in scene.buildings:
        cv2.fillPoly(drawn, [np.rint(building.outline).astype(np.int32)], CLASSES["building"])
    labels = draw_labels(content)
    for value in CLASSES.values():
        assert _iou(labels == value, drawn == value) > 0.93


def test_colour_alone_finds_neither_buildings_nor_roads(annotations):
    """Bayes classifier on a 16³ RGB histogram, trained on four sites and tested on the other two."""
    bins, labels, held_out = [], [], []
    for path, content in annotations.items():
        cells = (read_picture(path, content) // 16).astype(np.int64)
        bins.append((cells @ (256, 16, 1)).ravel())
        labels.append(draw_labels(content).ravel())
        held_out.append(path.parent.name in ("site_03", "site_06"))
    bins, labels, held_out = np.array(bins), np.array(labels), np.array(held_out)
    counts = np.stack([np.bincount(bins[~held_out][labels[~held_out] == k], minlength=4096) for k in range(3)])
    truth = labels[held_out]
    for weights in (np.ones(3), 1 / counts.sum(axis=1)):  # class shares as found, and all classes equal
        found = (counts * weights[:, None]).argmax(axis=0)[bins[held_out]]
        for value in CLASSES.values():
            assert (truth == value).mean() > 0.02
            assert _iou(found == value, truth == value) < 0.45


def _iou(found: np.ndarray, truth: np.ndarray) -> float:
    return (found & truth).sum() / (found | truth).sum()


def test_clipping_keeps_what_lies_inside():
    square = geometry.rectangle(np.array([0.0, 5.0]), 0.0, 10, 4)
    assert geometry.area(geometry.clip_box(square, 0, 20)) == pytest.approx(20)
    assert len(geometry.clip_box(square - 100, 0, 20)) == 0


def test_ribbon_has_the_width_asked_for():
    curve = geometry.smooth_curve([[0, 0], [50, 20], [100, 0], [150, -20]], 3.0)
    left, right = np.split(geometry.ribbon(curve, 12.0), 2)
    assert np.linalg.norm(left - right[::-1], axis=1) == pytest.approx(12.0)
    assert np.linalg.norm(np.diff(curve, axis=0), axis=1) == pytest.approx(3.0, abs=0.15)


def test_ground_knows_what_it_is_taken_by():
    ground = Ground(100)
    ground.take(geometry.rectangle(np.array([50.0, 50.0]), 0.0, 20, 10), BUILDING)
    beside = geometry.rectangle(np.array([50.0, 61.0]), 0.0, 20, 6)
    assert ground.is_free(beside)
    assert not ground.is_free(beside, 5)
    assert ground.is_free(beside, 5, of=ROAD)
    assert not ground.is_free(beside + 1000)


def test_a_full_disk_leaves_no_half_data_set(tmp_path, demo_folder):
    pictures, others = ([file.stat().st_size for file in demo_folder.rglob(name)] for name in ("*.jpg", "*.json"))
    assert max(others) < min(pictures)

    with limited_files(min(pictures) - 1), pytest.raises(OSError, match="large"):
        generate_demo(tmp_path / "set", seed=0, groups=GROUPS, scenes_per_group=SCENES, size=SIZE)

    assert list(tmp_path.iterdir()) == []
