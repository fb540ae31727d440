"""Thresholds, competing classes, steps one after another, what they may see and must not do."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from maskmill.classes import Classes
from maskmill.errors import MaskmillError
from maskmill.files import write_json, write_table
from maskmill.imaging.images import read_instance_png, read_label_png
from maskmill.inference.postprocess import (
    OperatingPoint,
    Picture,
    Step,
    apply_step,
    decide_mask,
    postprocess_masks,
    split_objects,
    step_region,
    threshold_level,
)
from maskmill.steps import KINDS
from tests.unit.imaging.test_pixel_area import write_geotiff

UNSEEN = Picture(None, is_volume=False)
PICTURES = arrays(np.uint8, (1, 12, 14), elements=st.integers(0, 2))
VOLUMES = arrays(np.uint8, (4, 5, 7), elements=st.sampled_from([0, 0, 0, 1, 2]))
PARAMETERS = {"radius": 1, "area": 5, "tolerance": 1, "depth": 0.5}


def decide(probabilities, *thresholds, steps=()):
    return decide_mask(np.array(probabilities, np.uint8), OperatingPoint(thresholds, steps), UNSEEN)


def a_step(name, value=1):
    return Step(name, value, PARAMETERS.get(KINDS[name].parameter))


def test_the_threshold_itself_counts_as_the_class():
    assert threshold_level(0.5) == 128
    assert decide([[[[127, 128, 129]]]], 0.5).tolist() == [[[0, 1, 1]]]


def test_the_class_that_exceeds_its_threshold_most_wins():
    probabilities = [[[[100, 100, 20]]], [[[100, 140, 20]]]]

    assert decide(probabilities, 0.2, 0.2).tolist() == [[[1, 2, 0]]]
    assert decide(probabilities, 0.2, 0.5).tolist() == [[[1, 1, 0]]]


@given(arrays(np.uint8, (2, 3, 4, 5)), st.sampled_from([0.2, 0.35, 0.5, 0.8]))
def test_with_equal_thresholds_the_most_probable_class_wins(probabilities, threshold):
    mask = decide(probabilities, threshold, threshold)

    expected = np.where(probabilities.max(axis=0) >= threshold_level(threshold), probabilities.argmax(axis=0) + 1, 0)
    assert np.array_equal(mask, expected)


def test_steps_follow_one_another():
    columns = np.zeros((1, 1, 5, 9), np.uint8)
    columns[..., [2, 4]] = 200
    closing, removal = Step("closing", 1, 1), Step("remove_small", 1, 6)

    assert decide(columns, 0.5, steps=(closing, removal))[0, 2].tolist() == [0, 0, 1, 1, 1, 0, 0, 0, 0]
    assert not decide(columns, 0.5, steps=(removal, closing)).any()


def test_a_class_gains_background_alone():
    columns = np.zeros((2, 1, 5, 5), np.uint8)
    columns[0, ..., [1, 3]] = 200
    columns[1, 0, 2, 2] = 200

    mask = decide(columns, 0.5, 0.5, steps=(Step("closing", 1, 1),))[0]

    assert mask[:, 2].tolist() == [0, 1, 2, 1, 0]


@given(PICTURES | VOLUMES, st.sampled_from(sorted(KINDS)), st.sampled_from([1, 2]))
def test_no_step_touches_another_class(mask, name, value):
    assume(len(mask) == 1 or KINDS[name].volumes)
    image = np.linspace(0, 255, mask.size).reshape(*mask.shape, 1)
    probabilities = np.stack([np.where(mask == one, 180, 90) for one in (1, 2)]).astype(np.uint8)
    after = mask.copy()

    apply_step(after, a_step(name, value), probabilities, (0.5, 0.5), Picture(None, len(mask) > 1, image))

    other = 3 - value
    assert np.array_equal(after == other, mask == other)
    assert set(np.unique(after)) <= {0, 1, 2}


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_step_is_written_and_read_alike(name):
    step = a_step(name, 2)

    assert Step.from_dict(step.as_dict()) == step
    assert OperatingPoint.from_dict(OperatingPoint((0.5, 0.3), (step,)).as_dict()).steps == (step,)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not kind.volumes])
def test_steps_for_pictures_refuse_volumes(name):
    mask = np.ones((3, 5, 5), np.uint8)

    with pytest.raises(MaskmillError, match=f"{name} works on pictures, and a mask has 3 slices; leave the step out"):
        split_objects(mask, [a_step(name)]) if name == "split_touching" else step_region(
            mask, a_step(name), np.zeros((1, *mask.shape)), (0.5,), UNSEEN
        )


@given(arrays(bool, (1, 25, 25)), st.sampled_from(["closing", "opening"]), st.integers(1, 3))
def test_what_lies_beyond_the_reach_changes_nothing(region, name, radius):
    step = Step(name, 1, radius)
    mask = region.astype(np.uint8)
    changed = mask.copy()
    outside = np.ones((25, 25), bool)
    outside[12 - step.reach : 13 + step.reach, 12 - step.reach : 13 + step.reach] = False
    changed[0, outside] ^= 1

    before, after = (step_region(one, step, None, (0.5,), UNSEEN)[0, 12, 12] for one in (mask, changed))

    assert before == after


def test_steps_without_bounds_have_no_reach():
    assert {name for name in KINDS if a_step(name).reach is None} == set(KINDS) - {"closing", "opening"}


def test_an_area_with_a_unit_needs_a_place():
    picture = Picture("roofs.png", is_volume=False, pixels=np.zeros((1, 4, 4, 3)))

    assert picture.count_pixels(20) == 20
    with pytest.raises(
        MaskmillError, match=r"area 20 m2 needs square metres of a georeferenced picture, and roofs\.pn"
    ):
        picture.count_pixels("20 m2")


def test_an_area_on_the_ground_is_that_of_the_picture(tmp_path):
    # pixels of 0.5 m, nearly: 25 m2 are 100 pixels
    path = write_geotiff(tmp_path / "a.tif", "EPSG:32632", 500_000, 5_300_000, 0.5, rows=20, columns=30)
    picture = Picture(path, is_volume=False)
    mask = np.zeros((1, 20, 30), np.uint8)
    mask[0, 2:11, 2:13], mask[0, 15:19, 20:30] = 1, 1

    assert picture.count_pixels("25 m2") == pytest.approx(100, rel=0.001)
    apply_step(mask, Step("remove_small", 1, "24 m2"), None, (0.5,), picture)
    assert mask.sum() == 99
    with pytest.raises(MaskmillError, match="needs cubic millimetres of a volume"):
        picture.count_pixels("5 mm3")


@pytest.fixture
def two_touching(tmp_path):
    """Files of a picture with two discs that touch, of radius 10, and the folder that they are in."""
    rows, columns = np.mgrid[:40, :60]
    discs = [(rows - 20) ** 2 + (columns - middle) ** 2 <= 100 for middle in (20, 38)]
    (tmp_path / "p").mkdir()
    np.save(tmp_path / "p/a.npy", np.where(discs[0] | discs[1], 230, 10).astype(np.uint8)[np.newaxis, np.newaxis])
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(tmp_path / "a.png")
    row = {"id": "a", "group": "g", "shard": "00", "image": str(tmp_path / "a.png"), "depth": 1}
    write_table(tmp_path / "samples.csv", [row], list(row))
    return tmp_path, discs


def test_objects_are_written_where_a_step_tells_them_apart(two_touching):
    folder, discs = two_touching
    classes = Classes.from_config(["cell"])
    write_json(folder / "point.json", OperatingPoint((0.5,), (Step("split_touching", 1, 1),)).as_dict())

    postprocess_masks(folder / "p", folder / "point.json", folder / "samples.csv", classes, folder / "masks")

    objects = read_instance_png(folder / "masks/a.instances.png")
    assert np.array_equal(objects > 0, discs[0] | discs[1])
    assert np.array_equal(read_label_png(folder / "masks/a.png") == 1, objects > 0)
    assert objects.max() == 2
    assert objects[20, 20] != objects[20, 38]


def test_objects_of_several_classes_have_numbers_of_their_own():
    mask = np.zeros((1, 9, 30), np.uint8)
    mask[0, 2:7, 2:7], mask[0, 2:7, 10:15], mask[0, 2:7, 20:25] = 1, 2, 3

    objects = split_objects(mask, [Step("split_touching", value, 1) for value in (1, 3)])

    assert objects[0, 4, [4, 12, 22]].tolist() == [1, 0, 2]
    assert split_objects(mask, [Step("keep_largest", 1)]) is None
