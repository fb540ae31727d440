"""Members that act as one model give what averaging their own probabilities gives, or are refused with words."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from maskmill.errors import MaskmillError
from maskmill.inference.members import InputMap, join_members
from maskmill.inference.prediction import predict_split
from maskmill.inference.preprocess import Preprocessing
from tests.unit.member import TILING, VOLUME_TILING, make_ensemble

PREPROCESSING = {
    "channels": 2,
    "scale": 1.0,
    "intensity_ranges": [[0, 255], [0, 255]],
    "intensity_floor": 0.0,
    "crop_border": False,
    "normalization": "dataset",
    "mean": [0.5, 0.25],
    "std": [0.3, 0.1],
    "pixel_types": ["uint16"],
}
MODEL = {"architecture": "unet", "dimensions": 2, "depth": 2, "planar": 0, "norm": "batch", "attention": "none"}
IMAGE = np.random.default_rng(0).integers(0, 300, (1, 24, 16, 2)).astype(np.uint16)


def run_of(fold=0, seed=0, model=(), patch=32, **preprocessing):
    """The configuration of a member as far as joining looks at it."""
    return {
        "run_id": f"run{fold}{seed}",
        "fold": fold,
        "seed": seed,
        "model": MODEL | dict(model),
        "train": {"patch": patch},
        "preprocessing": PREPROCESSING | preprocessing,
    }


def inputs_of(runs, image=IMAGE):
    """What each member gets through the ensemble, and what it gets by itself: pairs of (1, C, H, W)."""
    joined = join_members(runs, TILING)
    common = Preprocessing.from_dict(joined.run["preprocessing"]).prepare(image)[0].transpose(0, 3, 1, 2)
    owns = [Preprocessing.from_dict(run["preprocessing"]).prepare(image)[0].transpose(0, 3, 1, 2) for run in runs]
    return [(own_input(common), own) for own_input, own in zip(joined.inputs, owns, strict=True)]


def test_seeds_of_one_fold_share_their_input_as_it_is():
    runs = [run_of(seed=0), run_of(seed=1)]
    joined = join_members(runs, TILING)

    assert joined.run["preprocessing"] == PREPROCESSING
    assert joined.names == ["fold0-seed0", "fold0-seed1"]
    assert (joined.folds, joined.stride) == ([0], (1, 4, 4))
    assert joined.run["run_id"] not in ("run00", "run01")
    for through, own in inputs_of(runs):
        np.testing.assert_array_equal(through, own)


def test_a_single_member_is_what_it_is():
    joined = join_members([run_of(fold=1, normalization="image")], TILING)

    assert joined.run == run_of(fold=1, normalization="image")


def test_each_fold_gets_its_own_normalisation_to_the_bit():
    runs = [run_of(), run_of(fold=1, mean=[0.4, 0.3], std=[0.2, 0.0])]

    assert join_members(runs, TILING).run["preprocessing"]["mean"] == [0, 0]
    for through, own in inputs_of(runs):
        np.testing.assert_array_equal(through, own)


def test_together_they_take_what_any_of_them_was_trained_on():
    runs = [run_of(), run_of(fold=1, pixel_types=["float32", "int16"])]

    joined = join_members(runs, TILING)

    assert joined.run["preprocessing"] == PREPROCESSING | {"pixel_types": ["float32", "int16", "uint16"]}
    assert joined.inputs == (InputMap(), InputMap())


def test_pictures_normalised_by_themselves_need_no_map():
    runs = [run_of(fold=fold, normalization="image", mean=[fold / 10, 0]) for fold in (0, 1)]

    for through, own in inputs_of(runs):
        np.testing.assert_array_equal(through, own)


@given(st.lists(st.tuples(st.integers(-100, 200), st.integers(20, 400)), min_size=4, max_size=4))
def test_each_fold_gets_its_own_range_of_intensities(pairs):
    ranges = [[float(low), float(low + width)] for low, width in pairs]
    runs = [run_of(intensity_ranges=ranges[:2]), run_of(fold=1, intensity_ranges=ranges[2:], mean=[0.4, 0.3])]

    for through, own in inputs_of(runs):
        np.testing.assert_allclose(through, own, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("other", "tiling", "words"),
    [
        ({"intensity_ranges": None}, TILING, r"intensity_ranges.*of fold0-seed0.*of fold1-seed0; set preprocess"),
        ({"intensity_ranges": [[0, 200]] * 2, "normalization": "image"}, TILING, "preprocess.window"),
        ({"model": {"depth": 3}}, TILING, r"\(1, 4, 4\) of fold0-seed0, \(1, 8, 8\) of fold1-seed0; give model.depth"),
        ({"model": {"dimensions": 3}, "patch": [8, 16, 16]}, VOLUME_TILING, "give predict.tile"),
    ],
)
def test_members_that_look_at_pictures_otherwise_are_refused(other, tiling, words):
    first = {"normalization": other["normalization"]} if "normalization" in other else {}
    with pytest.raises(MaskmillError, match=f"(?s){words}.*members: best"):
        join_members([run_of(**first), run_of(fold=1, **other)], tiling)


@pytest.mark.parametrize("option", [{"crop_border": True}, {"intensity_floor": 0.1}])
def test_ranges_that_decide_more_than_the_scale_are_refused(option):
    with pytest.raises(MaskmillError, match=r"intensity_ranges.*\[\[0, 255\].*\[\[0, 200\]"):
        join_members([run_of(**option), run_of(fold=1, intensity_ranges=[[0, 200]] * 2, **option)], TILING)


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """Two members of two folds whose normalisation differs."""
    return make_ensemble(tmp_path_factory.mktemp("ensemble"), folds=(0, 1))


def predict(ensemble, folder, split, places=(0, 1)):
    """Probabilities of a split by the members at these places: id → uint8 (K, 1, H, W)."""
    chosen = {name: [ensemble.inputs[name][place] for place in places] for name in ("models", "configs")}
    tables = {name: ensemble.tables[name] for name in ("samples", "splits")}
    predict_split(**chosen, **tables, split=split, tiling=TILING, output=folder)
    return {file.stem: np.load(file).astype(int) for file in sorted(folder.glob("*.npy"))}


def test_the_ensemble_is_the_mean_of_the_members(ensemble, tmp_path):
    together = predict(ensemble, tmp_path / "together", "test")
    apart = [predict(ensemble, tmp_path / str(place), "test", [place]) for place in (0, 1)]

    assert list(together) == ["c"]
    np.testing.assert_allclose(together["c"], (apart[0]["c"] + apart[1]["c"]) / 2, rtol=0, atol=1)
    assert np.abs(apart[0]["c"] - apart[1]["c"]).max() > 10


def test_a_validation_picture_is_predicted_only_by_members_that_did_not_see_it(ensemble, tmp_path):
    together = predict(ensemble, tmp_path / "together", "validation")
    apart = [predict(ensemble, tmp_path / str(place), "validation", [place]) for place in (0, 1)]

    assert [sorted(one) for one in (together, *apart)] == [["a", "b"], ["a"], ["b"]]
    np.testing.assert_array_equal(together["a"], apart[0]["a"])
    np.testing.assert_array_equal(together["b"], apart[1]["b"])


def test_seeds_of_a_fold_are_averaged_on_its_validation(tmp_path):
    seeds = make_ensemble(tmp_path / "seeds", folds=(0, 0))
    together = predict(seeds, tmp_path / "together", "validation")
    apart = [predict(seeds, tmp_path / str(place), "validation", [place]) for place in (0, 1)]

    np.testing.assert_allclose(together["a"], (apart[0]["a"] + apart[1]["a"]) / 2, rtol=0, atol=1)
