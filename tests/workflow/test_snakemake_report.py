"""The page of `snakemake --report`: the results of a run by category, each with its caption."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

CATEGORIES = {
    "problems.csv": "Data",
    "splits.csv": "Data",
    "audit.csv": "Data",
    "audit.html": "Data",
    "index.html": "Data",  # of the leaks
    "training.png": "Training",
    "comparison.html": "Comparison",
    "report.html": "Summary",
    "runtimes.csv": "Export",
    "onnxruntime-fp32.png": "Export",
}
EXPERIMENTS = {"baseline", "cbam"}


@pytest.fixture(scope="module")
def archive(finished, tmp_path_factory) -> Iterator[zipfile.Path]:
    """The folder inside the archive that `--report` writes."""
    file = tmp_path_factory.mktemp("archive") / "tiny.zip"
    finished.snakemake("--report", str(file))
    with zipfile.ZipFile(file) as opened:
        yield zipfile.Path(opened, "tiny/")


@pytest.fixture(scope="module")
def page(archive) -> str:
    return (archive / "report.html").read_text(encoding="utf-8")


def shown(page: str, name: str) -> dict:
    """What the page's script has in the variable `name`."""
    return json.JSONDecoder().raw_decode('{"' + page.partition(f'var {name} = {{"')[2])[0]


def test_every_result_is_in_its_category(page):
    assert {Path(file).name for file in shown(page, "results")} == set(CATEGORIES)
    listed = {
        (Path(file).name, category)
        for category, parts in shown(page, "categories").items()
        for files in parts.values()
        for file in files
    }
    assert listed == set(CATEGORIES.items())


def test_every_result_has_a_caption_and_those_of_one_name_are_told_apart(page):
    results = shown(page, "results")
    for file, result in results.items():
        assert len(result["caption"]) > 50, file
    for name in ("training.png", "runtimes.csv", "onnxruntime-fp32.png"):
        labels = [result["labels"]["experiment"] for result in results.values() if result["name"] == name]
        assert sorted(labels) == sorted(EXPERIMENTS), name
    assert "Loss and validation IoU over the epochs of cbam, fold0-seed0" in page
    assert "Maskmill turned annotated pictures into a segmentation model" in page


def test_pages_and_pictures_are_in_it_as_the_run_has_them(archive, page, finished):
    for file, result in shown(page, "results").items():
        assert (archive / result["data_uri"]).read_bytes() == (finished.folder / file).read_bytes(), file
    assert "<script src=" not in page
