"""The plan as a file to edit, and options resolved by it."""

import copy
import logging
from functools import cache

import pytest
import yaml

from maskmill.errors import MaskmillError
from maskmill.planning.plan import read_plan, resolve_options, write_plan
from maskmill.planning.planner import make_plan
from tests.unit.plan_data import fingerprint, options

PICTURE, VOLUME = (1, 512, 512), (64, 64, 64)


@cache
def planned(shape) -> dict:
    """The plan of pictures of this shape, all left to it."""
    return make_plan(fingerprint(shape), 0, options())


@pytest.fixture
def plan(tmp_path):
    """A function that writes the plan of some options, some values edited, and returns its path."""

    def write(asked, edits=None, shape=PICTURE):
        made = copy.deepcopy(planned(shape)) if asked == options() else make_plan(fingerprint(shape), 0, asked)
        for key, value in (edits or {}).items():
            made["options"][key]["used"] = value
        write_plan(tmp_path / "plan.yaml", made)
        return tmp_path / "plan.yaml"

    return write


def test_a_plan_reads_as_it_was_written_and_says_how_to_edit_it(plan, tmp_path):
    path = plan(options())

    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert "edit its value `used`" in text
    assert (
        "  train.patch:\n    proposed: [1, 256, 256]\n    used: [1, 256, 256]\n    source: plan\n    reason: " in text
    )
    assert "&id" not in text
    assert max(map(len, text.splitlines())) <= 120
    assert read_plan(path) == make_plan(fingerprint(), 0, options())
    first = path.read_bytes()
    plan(options())
    assert path.read_bytes() == first


def test_nothing_planned_is_left_open(plan):
    asked = options()

    resolved = resolve_options(asked, plan(asked))

    assert (resolved["model"]["dimensions"], resolved["model"]["depth"], resolved["model"]["planar"]) == (2, 4, 0)
    assert resolved["train"]["patch"] == [1, 256, 256]
    assert resolved["train"]["batch_size"] == 16
    assert resolved["train"]["class_shares"] == [0.5858, 0.4142]
    assert resolved["loss"]["class_weights"] == [0.41, 0.948, 1.642]
    assert resolved["train"]["precision"] == "auto"  # the machine decides it, not the plan
    assert asked == options()


def test_the_config_wins_and_the_rest_is_left_alone(plan):
    asked = options(model={"depth": 3, "planar": 2}, train={"patch": [64, 96]}, loss={"class_weights": None})
    asked["augment"] = {"flip": 0.5}

    resolved = resolve_options(asked, plan(asked))

    assert (resolved["model"]["depth"], resolved["model"]["planar"]) == (3, 0)
    assert resolved["train"]["patch"] == [1, 64, 96]
    assert resolved["loss"]["class_weights"] is None
    assert resolved["augment"] == {"flip": 0.5}


def test_an_edited_value_is_used(plan):
    path = plan(options(), {"train.patch": 64, "model.depth": 2, "train.class_shares": [0, 1], "train.batch_size": 5})

    resolved = resolve_options(options(), path)

    assert resolved["train"]["patch"] == [1, 64, 64]
    assert resolved["train"]["batch_size"] == 5
    assert resolved["train"]["class_shares"] == [0, 1]
    assert resolved["model"]["depth"] == 2


def test_an_edit_of_what_the_config_says_is_said_to_be_void(plan, caplog):
    asked = options(model={"depth": 3})

    with caplog.at_level(logging.WARNING):
        resolved = resolve_options(asked, plan(asked, {"model.depth": 2}))

    assert resolved["model"]["depth"] == 3
    assert "model.depth is 2 there, but the config says 3, which wins" in caplog.text


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("model.dimensions", "3D", "model.dimensions: 3D is not possible; write 2 or 3"),
        ("model.depth", 0, "write a whole number above 0"),
        ("model.planar", -1, "write a whole number"),
        ("train.patch", [1, 64, 64.5], "write [depth, height, width], [height, width] or one number"),
        ("train.patch", "big", "[depth, height, width]"),
        ("train.batch_size", True, "train.batch_size: True is not possible"),
        ("train.foreground", 50, "write a number from 0 to 1"),
        ("train.class_shares", [0, 0], "not all 0"),
        ("train.class_shares", [float("inf"), 1], "a list of finite numbers"),
        ("train.class_shares", [1e308, 1e308], "a list of finite numbers"),
        ("loss.class_weights", [float("inf"), 1, 1], "null, or a list of finite numbers"),
        ("train.class_shares", [1], "train.class_shares: 1 numbers; write 2, one for each class"),
        ("loss.class_weights", [1, -1, 1], "write null, or a list"),
    ],
)
def test_an_impossible_edit_is_answered_with_what_to_write(plan, key, value, words):
    with pytest.raises(MaskmillError) as caught:
        resolve_options(options(), plan(options(), {key: value}))

    assert "plan.yaml has mistakes:" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "edits", "words"),
    [
        (PICTURE, {"train.patch": 72}, "72 is no multiple of 2^model.depth = 2^4 = 16; use 64 or 80"),
        (PICTURE, {"model.depth": 6, "train.patch": [1, 96, 128]}, "use [1, 128, 128]"),
        (PICTURE, {"loss.class_weights": [1, 1]}, "2 weights for 2 classes; write 3, the first for the background"),
        (VOLUME, {"train.patch": [20, 64, 64], "model.planar": 0, "model.depth": 3}, "use [24, 64, 64]"),
        (VOLUME, {"model.planar": 9}, "model.planar: 9 steps of only"),
        (VOLUME, {"model.dimensions": 2}, "has a depth, but the network is 2D; write [64, 64]"),
    ],
)
def test_edits_that_do_not_go_together_are_found_before_training(plan, shape, edits, words):
    with pytest.raises(MaskmillError) as caught:
        resolve_options(options(), plan(options(), edits, shape))

    assert "plan.yaml does not go together:" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["", "options: {}", "classes: [a]\noptions: {model.depth: 3}", "a: [", "- 1"])
def test_a_broken_plan_is_no_plan(tmp_path, text):
    (tmp_path / "plan.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(MaskmillError, match=r"(?s)is no plan any more .*; delete it, and it is written anew"):
        read_plan(tmp_path / "plan.yaml")


def test_an_edited_file_keeps_its_comments_apart_from_its_values(plan):
    path = plan(options())
    path.write_text(path.read_text(encoding="utf-8").replace("used: 16", "used: 12  # fits my card"), encoding="utf-8")

    assert resolve_options(options(), path)["train"]["batch_size"] == 12
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["options"]["train.batch_size"]["proposed"] == 16
