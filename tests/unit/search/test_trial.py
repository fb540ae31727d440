"""A trial is trained and scored on validation, without a look at the test."""

from pathlib import Path

import pytest

from maskmill.files import read_json, read_table, write_table
from maskmill.search.options import write_options
from maskmill.search.trial import run_trial
from maskmill.tracking import create_store
from tests.unit.tracking.tracking_data import runs
from tests.unit.training.runs import SPLITS
from tests.unit.training_data import options, write_data

POSTPROCESS = {"temperatures": [1], "thresholds": [0.3, 0.5, 0.7], "steps": []}


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Arguments of `run_trial`, but for the options tried; pictures and labels of the test are not there."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    data = write_data(tmp_path, SPLITS)
    parts = {row["id"]: row["fold0"] for row in read_table(tmp_path / "splits.csv")}
    shards = {row["id"]: file.stem for file in (tmp_path / "shards").iterdir() for row in read_table(file)}
    rows = [
        row | {"group": row["id"].partition("/")[0], "shard": shards[row["id"]], "fold0": parts[row["id"]]}
        for row in read_table(tmp_path / "samples.csv")
    ]
    for name in ("samples.csv", "splits.csv"):
        write_table(tmp_path / name, rows, list(rows[0]))
    tested = [row for row in rows if row["fold0"] == "test"]
    assert tested
    for row in tested:
        Path(row["image"]).unlink()
        (tmp_path / f"labels/{row['shard']}/{row['id']}.png").unlink()
        for file in (tmp_path / f"cache/{row['shard']}").glob(f"{row['id']}.*.npy"):
            file.write_bytes(b"")
    store = f"sqlite:///{tmp_path}/store/mlflow.db"
    create_store(store, tmp_path / "store/marker.json")
    return data | {
        "experiment": "tuned",
        "trial": "001",
        "options": {name: options()[name] for name in ("model", "loss", "augment", "train")},
        "tiling": {**options()["predict"], "tta": "none"},
        "postprocess": POSTPROCESS,
        "seed": 0,
        "labels": [str(tmp_path / "labels/00"), str(tmp_path / "labels/01")],
        "samples": str(tmp_path / "samples.csv"),
        "code_digest": "code",
        "tracking": {"uri": store, "experiment": "roofs"},
        "workers": 0,
        "folder": tmp_path / "run",
        "score": tmp_path / "score.json",
    }


def test_a_trial_is_scored_on_validation_with_what_it_tries(given, tmp_path):
    write_options(tmp_path / "tried.yaml", {"train.lr": 0.004, "model.attention": "cbam"})

    run_trial(tried=tmp_path / "tried.yaml", **given)

    outcome = read_json(tmp_path / "score.json")
    assert outcome["options"] == {"train.lr": 0.004, "model.attention": "cbam"}
    assert outcome["failed"] is None
    optimism = read_json(tmp_path / "run/operating_point.json")["optimism"]
    assert outcome["score"] == optimism["nested"] > 0
    assert not list((tmp_path / "run").rglob("probabilities"))
    (run,) = runs(given["tracking"]["uri"])
    assert run.info.run_name == "tuned/trial-001/fold0-seed0"
    assert run.data.params["train.lr"] == "0.004"
    assert run.data.metrics["validation/iou"] == outcome["score"]


def test_a_trial_that_cannot_be_trained_says_why_and_is_no_error(given, tmp_path):
    write_options(tmp_path / "tried.yaml", {"train.lr": 1e30})

    run_trial(tried=tmp_path / "tried.yaml", **given)

    outcome = read_json(tmp_path / "score.json")
    assert outcome["score"] is None
    assert "the training loss became" in outcome["failed"]
