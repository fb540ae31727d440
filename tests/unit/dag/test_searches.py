"""Searches in the configuration: how their jobs take them, and what is wrong with them."""

from pathlib import Path

import pytest
import yaml

from maskmill.dag.configuration import experiment_options, resolve_config, searches
from maskmill.dag.searches import earlier_trials, search_mistakes, trial_names
from maskmill.errors import MaskmillError

ROOT = Path(__file__).parents[3]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
PRESETS = {"satellite": yaml.safe_load((ROOT / "config/presets/satellite.yaml").read_text(encoding="utf-8"))}
DATASET = {"name": "roofs", "source": {"images": "i", "annotations": "a"}, "classes": ["roof"]}


def resolve(search: str, **overrides) -> dict:
    """The resolved config of an experiment `a` with a search, given as YAML."""
    experiments = {"a": {"search": yaml.safe_load(search), **overrides}}
    return resolve_config({"dataset": DATASET, "experiments": experiments}, PRESETS, SCHEMA)


def test_a_search_is_completed_for_its_jobs_by_what_its_options_are():
    text = (
        "{options: {train.lr: {low: 0.001, high: 1, log: true}, model.depth: {low: 3, high: 5}, train.patch: [64, 96]}"
    )

    search = searches(resolve(text + ", trials: 9}"), SCHEMA)["a"]

    assert search == {
        "options": {
            "train.lr": {"whole": False, "low": 0.001, "high": 1, "log": True},
            "model.depth": {"whole": True, "low": 3, "high": 5, "log": False},
            "train.patch": {"choices": [64, 96]},
        },
        "trials": 9,
        "parallel": 4,
        "seed": 0,
    }


def test_the_options_of_the_experiment_do_not_know_of_the_search():
    config = resolve("{options: {model.width: [8, 16]}, trials: 2}", train={"epochs": 7})

    options = experiment_options(config, "a")
    assert "search" not in options
    assert options["train"]["epochs"] == 7


def test_a_trial_goes_by_whole_rounds_alone():
    names = trial_names(10)

    assert names[0] == "001"
    assert [len(earlier_trials(name, parallel=4)) for name in names] == [0, 0, 0, 0, 4, 4, 4, 4, 8, 8]
    assert earlier_trials("010", parallel=4) == names[:8]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("{trian.lr: [1, 2]}", "unknown option `trian.lr`; did you mean `train.lr`?"),
        ("{train.threads: [1, 2]}", "`train.threads` cannot be searched; write options of model, loss, augment, train, "
                                    "but for train.threads, train.devices, train.nodes, train.workers"),
        ("{predict.tile: [64, 96]}", "`predict.tile` cannot be searched; write options of model, loss, augment, train, "
                                     "but for train.threads, train.devices, train.nodes, train.workers"),
        ("{train.epochs: [3, x]}", "train.epochs: x is not possible; write a whole number"),
        ("{model.norm: {low: 1, high: 2}}", "model.norm is no number, so that it has no range; write a list of values"),
        ("{model.width: {low: 4.5, high: 9}}", "model.width: 4.5 is not possible; write a whole number"),
        ("{train.lr: {low: 0.1, high: 0.1}}", "train.lr: low 0.1 is not below high 0.1; swap them"),
        ("{loss.dice: {low: 0, high: 1, log: true}}", "loss.dice: log needs a low above 0, not 0; raise it, or leave "
                                                      "out log"),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_with_what_to_write(options, line):
    experiments = {"a": {"search": {"options": yaml.safe_load(options), "trials": 2}}}

    assert list(search_mistakes(experiments, SCHEMA)) == [f"experiments.a.search: {line}"]


def test_more_trials_than_there_are_combinations_are_refused():
    search = {"options": {"model.width": [8, 16], "model.attention": ["none", "cbam"]}, "trials": 5}

    (line,) = search_mistakes({"a": {"search": search}}, SCHEMA)
    assert line == "experiments.a.search: 5 trials, but the choices have 4 combinations; write fewer"
    assert list(search_mistakes({"a": {"search": search | {"trials": 4}}}, SCHEMA)) == []


def test_a_sweep_beside_a_search_is_refused():
    content = {"sweep": {"train.lr": [0.1, 0.2]}, "search": {"options": {"model.width": [8, 16]}, "trials": 2}}

    assert list(search_mistakes({"a": content}, SCHEMA)) == [
        "experiments.a: has a sweep and a search; write them as two experiments"
    ]


def test_values_that_do_not_go_together_are_told_before_anything_is_trained():
    message = r"72 is no multiple of .* \(experiment a, where its search tries model.depth 5, train.patch 72\); use 64"

    with pytest.raises(MaskmillError, match=message):
        resolve("{options: {model.depth: [3, 5], train.patch: [72, 160]}, trials: 3}")


def test_a_patch_that_fits_the_searched_depths_alone_is_right():
    resolve("{options: {model.depth: [2, 3], train.patch: [72, 136]}, trials: 3}")
