"""Broken input stops the run with the whole list, which survives; `skip` goes on without."""

import json

import pytest

from maskmill.files import read_table
from tests.workflow.conftest import TINY, make_project

LABELS = ("--", "results/tiny/samples.csv")


@pytest.fixture
def broken(tmp_path):
    """A project with drawn scenes of which three are broken, each in its own way."""
    project = make_project(tmp_path / "project")
    project.snakemake("--", "results/tiny/manifest.csv")
    annotations = sorted((project.folder / "resources/tiny/annotations").rglob("*.json"))
    with_shapes = [file for file in annotations if json.loads(file.read_text(encoding="utf-8"))["shapes"]]
    with_shapes[0].write_text("{broken", encoding="utf-8")
    content = json.loads(with_shapes[1].read_text(encoding="utf-8"))
    content["shapes"][0]["label"] = "biulding"
    with_shapes[1].write_text(json.dumps(content), encoding="utf-8")
    images = project.folder / "resources/tiny/images"
    next(images.rglob(f"{with_shapes[2].parent.name}/{with_shapes[2].stem}.*")).unlink()
    return project, [str(file.relative_to(project.folder)) for file in with_shapes[:3]]


def test_all_problems_are_listed_and_the_list_survives(broken):
    project, files = broken

    output = project.snakemake(*LABELS, check=False)

    rows = read_table(project.results / "problems.csv")
    assert {row["kind"] for row in rows} == {"broken_annotation", "unknown_label", "missing_picture"}
    assert all(row["remedy"] for row in rows)
    for file in files:
        assert file in output
    assert output.count("The same list is in") == 1
    last = output[output.index("Stopped.\n") :]
    assert f"{project.folder / 'logs/tiny/check_inputs.log'}\nRun the same command again" in last
    assert "building" in next(row for row in rows if row["kind"] == "unknown_label")["remedy"] + output
    assert not (project.results / "samples.csv").exists()
    assert "Traceback" not in output


def test_skip_goes_on_without_them(broken):
    project, _ = broken
    project.write_config(TINY | {"dataset": TINY["dataset"] | {"on_problem": "skip"}})

    project.snakemake(*LABELS)

    assert len(read_table(project.results / "samples.csv")) == 10 - 3
    assert len(read_table(project.results / "problems.csv")) == 3


def test_a_mended_annotation_goes_through(broken):
    project, files = broken
    project.snakemake(*LABELS, check=False)
    text = (project.folder / files[1]).read_text(encoding="utf-8")
    (project.folder / files[1]).write_text(text.replace("biulding", "building"), encoding="utf-8")

    project.snakemake(*LABELS, check=False)

    assert {row["kind"] for row in read_table(project.results / "problems.csv")} == {
        "broken_annotation",
        "missing_picture",
    }


def test_a_table_that_is_not_there_is_named_with_its_option(tmp_path):
    split = TINY["dataset"].get("split", {}) | {"group": "column", "table": "nowhere.csv"}
    project = make_project(tmp_path / "project", TINY | {"dataset": TINY["dataset"] | {"split": split}})

    output = project.snakemake(*LABELS, check=False)

    assert "dataset.split.table: there is no file nowhere.csv; correct the path" in output
    assert "MissingInputException" not in output
