"""MLflow's own pages, in a real browser against a real server: runs can be told apart and compared."""

import json
import shutil

import pytest
import yaml
from mlflow import MlflowClient
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from maskmill.tracking import create_store
from maskmill.tracking.results import EnsembleResults, MemberResults, record_results
from tests.unit.tracking.test_results import write_metrics
from tests.unit.tracking.tracking_data import picture, runs, train

pytestmark = pytest.mark.slow

PATIENCE = 120_000
"""Milliseconds that MLflow's pages may take on a busy machine."""

OPTIONS = {"model": {"width": 8, "attention": "none"}, "train": {"patch": [1, 64, 96], "lr": 0.003}}
IOUS = {"baseline": (0.5, 0.6), "cbam": (0.7, 0.8)}


@pytest.fixture
def page():
    """A page of headless Chromium; skipped where there is no browser."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1500, "height": 1400})
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield page
        browser.close()


@pytest.fixture
def compared(process, tmp_path) -> dict[str, str]:
    """Two experiments of two seeds and their ensembles, with results, on the server: name → id of the MLflow run."""
    create_store(process.uri, tmp_path / "marker.json")
    for experiment, ious in IOUS.items():
        members = []
        for seed, iou in enumerate(ious):
            run = tmp_path / experiment / f"fold0-seed{seed}"
            run.mkdir(parents=True)
            Image.fromarray(picture()).save(run / "training.png")
            options = OPTIONS | {"model": OPTIONS["model"] | {"attention": experiment}}
            train(
                process.uri, run, experiment="roofs", name=f"{experiment}/{run.name}",
                params={"seed": seed, **options},
                tags={"run_id": f"{experiment}{seed}", "experiment": experiment, "seed": str(seed)},
            )  # fmt: skip
            (run / "config.yaml").write_text(yaml.safe_dump({"run_id": f"{experiment}{seed}"}))
            tables = [write_metrics(run / f"{split}.csv", [(iou, iou)]) for split in ("validation", "test")]
            members.append(MemberResults(run / "config.yaml", *tables))
        ensemble = tmp_path / experiment / "ensemble"
        ensemble.mkdir()
        (ensemble / "operating_point.json").write_text(json.dumps({"optimism": {"apparent": 0.9, "nested": None}}))
        together = EnsembleResults(
            ensemble / "operating_point.json", write_metrics(ensemble / "test.csv", [(0.9, 0.9)])
        )
        record_results(members, process.uri, tmp_path / f"{experiment}.json", together)
    return {run.info.run_name: run.info.run_id for run in runs(process.uri)}


def test_runs_are_compared_by_the_options_that_differ_and_by_what_they_reached(process, compared, page: Page):
    assert len(compared) == 6
    members = [run for name, run in compared.items() if "seed" in name]
    experiment = MlflowClient(process.uri).get_experiment_by_name("roofs").experiment_id

    page.goto(f"{process.uri}/#/compare-runs?runs={json.dumps(members)}&experiments={json.dumps([experiment])}")

    expect(page.get_by_text("Comparing 4 Runs from 1 Experiment")).to_be_visible()
    for name in compared:
        expect(page.get_by_text(name, exact=True)).to_have_count(int("seed" in name))
    # the plot takes the options that differ by itself, the table shows them alone when it is asked to
    expect(page.get_by_text("model.attention").first).to_be_visible()
    expect(page.get_by_text("1, 64, 96", exact=True)).to_have_count(4)
    page.get_by_role("switch").first.click()
    expect(page.get_by_text("1, 64, 96", exact=True)).to_have_count(0)
    expect(page.get_by_text("train.lr", exact=True)).to_have_count(0)
    for metric in ("test/iou", "test/iou/roof", "validation/iou", "best_validation_iou"):
        expect(page.get_by_text(metric, exact=True).first).to_be_attached()
    for value in ("0.5", "0.6", "0.7", "0.8"):
        expect(page.get_by_text(value, exact=True).first).to_be_attached()
    for artifact in ("model.safetensors", "validation.png"):
        expect(page.get_by_text(artifact, exact=True).first).to_be_attached()


def test_an_ensemble_is_compared_with_the_trainings(process, compared, page: Page):
    experiment = MlflowClient(process.uri).get_experiment_by_name("roofs").experiment_id
    chosen = [compared[name] for name in ("baseline/ensemble", "cbam/ensemble", "cbam/fold0-seed0")]

    page.goto(f"{process.uri}/#/compare-runs?runs={json.dumps(chosen)}&experiments={json.dumps([experiment])}")

    expect(page.get_by_text("Comparing 3 Runs from 1 Experiment")).to_be_visible()
    expect(page.get_by_text("0, 1", exact=True).first).to_be_attached()  # the seeds of an ensemble
    expect(page.get_by_text("0.9", exact=True).first).to_be_attached()
