"""The search for options as jobs: planned whole, gone on with, and blind to the test."""

import copy
import shutil

import pytest

from maskmill.files import read_table
from tests.workflow.conftest import TINY, Project, make_project

OPTIONS = {"train.lr": {"low": 0.001, "high": 0.03, "log": True}, "model.attention": ["none", "cbam"]}
SEARCH = {"options": OPTIONS, "trials": 5, "parallel": 2}
TABLE = "results/tiny/experiments/tuned/search/trials.csv"


def config(**changed) -> dict:
    """A project with an experiment that is searched for, beside one that is not."""
    return copy.deepcopy(TINY) | {"experiments": {"baseline": {}, "tuned": {"search": SEARCH | changed}}}


def test_all_trials_are_planned_before_the_first_has_a_score(tmp_path):
    project = make_project(tmp_path / "project", config())
    for module in ("optuna", "torch", "mlflow"):
        (project.folder / f"{module}.py").write_text("raise SystemExit('imported while planning')\n", encoding="utf-8")

    planned = project.planned()

    assert planned["suggest_trial"] == planned["run_trial"] == 5
    assert planned["choose_trial"] == 1
    assert planned["train_model"] == planned["plan_training"] == 2
    assert planned["predict_probabilities"] == 4  # validation and test of the two trainings, none of a trial


def test_a_round_waits_for_the_scores_of_those_before_it(tmp_path):
    project = make_project(tmp_path / "project", config())

    for trial, others in (("002", 0), ("003", 2), ("005", 4)):
        planned = project.planned("--", f"results/tiny/experiments/tuned/search/{trial}/options.yaml")
        assert planned["run_trial"] == others
        assert planned["suggest_trial"] == others + 1


def test_an_experiment_with_a_search_touches_no_other(project):
    project.write_config(TINY | {"experiments": TINY["experiments"] | {"tuned": {"search": SEARCH}}})

    planned = project.planned()
    assert planned["train_model"] == planned["plan_training"] == 1
    assert planned["run_trial"] == 5


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> Project:
    """A project whose search is over. Not to be changed."""
    project = make_project(tmp_path_factory.mktemp("searched") / "project", config(trials=4))
    project.snakemake("--", "results/tiny/fingerprint.json", "results/tiny/tracking_store.json")
    _spoil_the_test(project)
    project.snakemake("--", TABLE)
    return project


def _spoil_the_test(project: Project) -> None:
    """Empty the cached pictures and label images of the test, in place, so that reading one fails."""
    tested = [row["id"] for row in read_table(project.results / "splits.csv") if row["fold0"] == "test"]
    assert tested
    for name in tested:
        spoilt = [*(project.results / "labels").glob(f"*/{name}.png"), *(project.results / "cache").glob(f"*/{name}.*")]
        assert len(spoilt) == 4  # label image; cached picture, label and places of classes
        for file in spoilt:
            file.write_bytes(b"")


@pytest.mark.slow
def test_trials_do_not_look_at_the_test_and_one_is_chosen(searched):
    rows = read_table(searched.folder / TABLE)

    assert [row["trial"] for row in rows] == ["001", "002", "003", "004"]
    assert all(row["score"] for row in rows)
    best = max(rows, key=lambda row: float(row["score"]))
    assert [row["trial"] for row in rows if row["chosen"] == "1"] == [best["trial"]]
    assert not list(searched.results.glob("runs"))


@pytest.mark.slow
def test_a_search_that_was_stopped_ends_as_it_would_have(searched, tmp_path):
    copied = tmp_path / "project"
    shutil.copytree(searched.folder, copied, symlinks=True)
    project = Project(copied)
    for trial in ("002", "003", "004"):  # of the second nothing but its score is gone, of the last two everything
        (project.results / f"experiments/tuned/search/{trial}/score.json").unlink()
    for trial in ("003", "004"):
        shutil.rmtree(project.results / f"experiments/tuned/search/{trial}")
    for name in (TABLE, TABLE.replace("trials.csv", "chosen.yaml")):
        (project.folder / name).unlink()

    output = project.snakemake("--", TABLE)

    assert output.count("Try what was suggested for trial") == 3
    assert (project.folder / TABLE).read_bytes() == (searched.folder / TABLE).read_bytes()


@pytest.mark.slow
def test_the_experiment_is_trained_with_what_was_found_and_its_report_says_so(finished, tmp_path):
    copied = tmp_path / "project"
    shutil.copytree(finished.folder, copied, symlinks=True)
    project = Project(copied)
    experiments = TINY["experiments"] | {"tuned": {"search": SEARCH | {"trials": 2}}}
    project.write_config(TINY | {"experiments": experiments})

    project.snakemake()

    (best,) = [row for row in read_table(project.folder / TABLE) if row["chosen"] == "1"]
    trained = (project.results / "runs/tuned/fold0-seed0/config.yaml").read_text(encoding="utf-8")
    assert f"lr: {best['train.lr']}" in trained
    assert f"attention: {best['model.attention']}" in trained
    assert "What the search for tuned tried" in (project.results / "report.html").read_text(encoding="utf-8")
    assert "Nothing to be done" in project.snakemake()

    more = TINY["experiments"] | {"tuned": {"search": SEARCH | {"trials": 3}}}
    project.write_config(TINY | {"experiments": more})
    assert project.planned()["run_trial"] == 1
