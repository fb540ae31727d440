"""Folds that cannot be one model are told before they are trained."""

import pytest

from maskmill.errors import MaskmillError
from maskmill.files import read_json, write_json
from maskmill.planning.ensemble import plan_ensemble
from maskmill.planning.planner import plan_training
from tests.unit.plan_data import fingerprint, options

TILING = {"tile": "auto", "overlap": 0.2, "blending": "gaussian", "batch_size": 1, "tta": "none"}
PREPROCESSING = {
    "channels": 1, "scale": 1.0, "intensity_ranges": [[0, 255]], "intensity_floor": 0.0, "crop_border": False,
    "normalization": "dataset", "pixel_types": ["uint8"],
}  # fmt: skip


def plan(folder, shapes, tiling=TILING, ranges=(255, 255)):
    """Plan two folds whose volumes have these shapes, and their ensemble."""
    content = fingerprint(shapes[0]) | {"folds": [fingerprint(shape)["folds"][0] for shape in shapes]}
    for number, fold in enumerate(content["folds"]):
        moments = {"mean": [0.5 - number / 10], "std": [0.2], "intensity_ranges": [[0, ranges[number]]]}
        fold["preprocessing"] = PREPROCESSING | moments
    write_json(folder / "fingerprint.json", content)
    plans = [folder / f"fold{fold}.yaml" for fold in (0, 1)]
    for fold, file in enumerate(plans):
        plan_training(folder / "fingerprint.json", fold, options(), file)
    plan_ensemble(folder / "fingerprint.json", plans, 3, options(), tiling, folder / "ensemble.json")
    return read_json(folder / "ensemble.json")


def test_what_members_have_in_common_is_written(tmp_path):
    planned = plan(tmp_path, [(1, 256, 256)] * 2)

    assert planned["preprocessing"] == PREPROCESSING | {"mean": [0], "std": [1], "intensity_ranges": [[0, 255]]}
    assert planned["inputs"] == {
        "fold0-seed3": {"rescale": None, "normalize": [[0.5, 0.2]]},
        "fold1-seed3": {"rescale": None, "normalize": [[0.4, 0.2]]},
    }


def test_planned_patches_that_differ_are_told_with_the_remedy(tmp_path):
    with pytest.raises(MaskmillError, match=r"tiles: .* of fold0-seed3, .* of fold1-seed3; give predict\.tile"):
        plan(tmp_path, [(40, 48, 48), (40, 96, 96)])


def test_a_tile_in_the_config_makes_them_alike(tmp_path):
    assert plan(tmp_path, [(40, 64, 64), (40, 96, 96)], TILING | {"tile": [32, 64, 64]})["inputs"]
