"""From fingerprint to plan."""

import logging
import math

import pytest

from maskmill.errors import MaskmillError
from maskmill.files import write_json
from maskmill.models import build_model
from maskmill.planning.plan import ENTRIES, read_plan, resolve_options
from maskmill.planning.planner import make_plan, plan_training
from maskmill.planning.proposals import MEMORY_MB
from tests.unit.plan_data import fingerprint, options
from tests.unit.training_data import write_data


def used(plan) -> dict:
    return {key: entry["used"] for key, entry in plan["options"].items()}


def test_everything_can_be_left_to_the_plan():
    plan = make_plan(fingerprint(), 0, options())

    assert used(plan) == {
        "model.dimensions": 2,
        "model.depth": 4,
        "model.planar": 0,
        "train.patch": [1, 256, 256],
        "train.batch_size": 16,
        "train.foreground": 0.5,
        "train.class_shares": [0.5858, 0.4142],
        "loss.class_weights": [0.41, 0.948, 1.642],
    }
    assert set(used(plan)) == set(ENTRIES)
    assert {entry["source"] for entry in plan["options"].values()} == {"plan"}
    assert all(len(entry["reason"]) > 20 for entry in plan["options"].values())
    assert plan["network"]["stride"] == [1, 16, 16]
    assert plan["memory"]["estimate_mb"] == pytest.approx(sum(plan["memory"]["parts_mb"].values()), abs=5)
    assert plan["notes"]["normalization"].startswith("0 to 255 becomes 0 to 1, as all pictures have 8 bits")


def test_volumes_can_be_taken_slice_by_slice():
    values = used(make_plan(fingerprint((10, 256, 216), (10, 1.5, 1.5)), 0, options(model={"dimensions": 2})))

    assert (values["model.planar"], values["train.patch"]) == (0, [1, 224, 224])


def test_what_the_config_says_is_used_and_the_proposal_shown_beside():
    said = options(model={"depth": 2}, train={"patch": 64, "batch_size": 3}, loss={"class_weights": None})

    plan = make_plan(fingerprint(), 0, said)

    for key, value in {"model.depth": 2, "train.patch": 64, "train.batch_size": 3, "loss.class_weights": None}.items():
        assert (plan["options"][key]["used"], plan["options"][key]["source"]) == (value, "config")
    assert plan["options"]["model.depth"]["proposed"] == 4
    assert plan["options"]["train.patch"]["proposed"] == [1, 256, 256]
    assert plan["options"]["train.foreground"]["source"] == "plan"
    assert plan["network"]["patch"] == [1, 64, 64]
    assert plan["network"]["levels"] == 3


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((36, 50, 35), (1, 1, 1)),
        ((120, 512, 512), (3, 0.8, 0.8)),
        ((10, 256, 216), (10, 1.5, 1.5)),
        ((7, 40, 40), None),
    ],
)
@pytest.mark.parametrize(
    "said", [{}, {"model": {"depth": 3}, "train": {"batch_size": 8}}], ids=["all planned", "depth and batch"]
)
def test_a_planned_network_takes_the_planned_patch_of_any_volume(shape, spacing, said):
    asked = options(**said)

    plan = make_plan(fingerprint(shape, spacing), 0, asked)

    values = used(plan)
    model = asked["model"] | {name: values[f"model.{name}"] for name in ("dimensions", "depth", "planar")}
    network = build_model(model, 1, 1)
    patch = values["train.patch"]
    assert not any(side % step for side, step in zip(patch, network.stride, strict=True))
    assert values["model.dimensions"] == 3
    assert math.prod(patch) <= 1.2 * 2**20
    assert all(side < 2 * length + step for side, length, step in zip(patch, shape, network.stride, strict=True))
    assert plan["memory"]["estimate_mb"] <= 1.05 * MEMORY_MB


def test_a_patch_that_is_planned_fits_into_memory_with_the_batch_that_is_said():
    large, small = (
        make_plan(fingerprint((120, 512, 512), (3, 0.8, 0.8)), 0, options(model={"width": 32}, train={"batch_size": n}))
        for n in (2, 12)
    )

    assert math.prod(used(small)["train.patch"]) < 0.5 * math.prod(used(large)["train.patch"])
    assert "12 patches fit" in small["options"]["train.patch"]["reason"]
    assert small["memory"]["estimate_mb"] <= 1.05 * MEMORY_MB


def test_planned_steps_in_plane_fit_a_patch_that_is_said():
    plan = make_plan(fingerprint((40, 64, 64)), 0, options(model={"depth": 4}, train={"patch": [6, 64, 64]}))

    assert used(plan)["model.planar"] == 4
    assert plan["network"]["stride"] == [1, 16, 16]


def test_three_dimensions_need_volumes():
    with pytest.raises(MaskmillError, match="no training picture has more than one slice; set it to 2, or to auto"):
        make_plan(fingerprint(), 0, options(model={"dimensions": 3}))


def test_precision_is_in_the_estimate():
    full, mixed = (make_plan(fingerprint(), 0, options(train={"precision": name})) for name in ("32", "bf16"))

    assert mixed["memory"]["parts_mb"]["activations"] == pytest.approx(
        full["memory"]["parts_mb"]["activations"] / 2, 0.1
    )


def test_the_plan_of_generated_volumes_says_what_it_decided(tmp_path, caplog):
    data = write_data(tmp_path, ["train"] * 4 + ["validation"], size=32, classes=2, volumes=True)

    with caplog.at_level(logging.INFO):
        plan_training(data["fingerprint"], 0, options(), tmp_path / "plan.yaml")

    plan = read_plan(tmp_path / "plan.yaml")
    assert plan["classes"] == ["class 1", "class 2"]
    assert used(plan)["model.dimensions"] == 3
    assert used(plan)["train.patch"] == [16, 32, 32]
    assert resolve_options(options(), tmp_path / "plan.yaml")["train"]["patch"] == [16, 32, 32]
    assert "model.dimensions is 3 (plan)" in caplog.text
    assert "training is estimated to take" in caplog.text


def test_more_memory_than_a_small_gpu_has_is_a_warning(tmp_path, caplog):
    write_json(tmp_path / "fingerprint.json", fingerprint())

    plan_training(tmp_path / "fingerprint.json", 0, options(train={"batch_size": 3000}), tmp_path / "plan.yaml")

    (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "training is estimated to take" in warning.message
