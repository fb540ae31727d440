"""Proposals from a finished bundle, corrected in a stand-in for labelme, through the rules."""

import json
import shutil
import stat
import sys

import pytest

from maskmill.files import read_table

STAND_IN = f"""#!{sys.executable}
import json, sys
from pathlib import Path

folder = Path(sys.argv[1])
first = min(folder.glob("*.json"))
content = json.loads(first.read_text())
content["flags"]["proposed"] = False
first.write_text(json.dumps(content))
assert json.loads(Path(sys.argv[3]).read_text())["labels"][:2] == ["road", "building"]
"""


@pytest.fixture
def archive(project, monkeypatch):
    """Three new pictures, and a labelme on PATH that confirms the first proposal."""
    pictures = sorted((project.folder / "resources/tiny/images").rglob("*.jpg"))[:3]
    for number, picture in enumerate(pictures):
        target = project.folder / f"new/site{number}/a.jpg"
        target.parent.mkdir(parents=True)
        shutil.copy(picture, target)
    program = project.folder / "bin/labelme"
    program.parent.mkdir()
    program.write_text(STAND_IN, encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setenv("DISPLAY", ":0")
    return project


def test_proposals_are_drawn_confirmed_and_not_drawn_again(archive):
    options = ("--config", "preannotate={images: new, output: drawn}", "--")
    archive.snakemake(*options, "preannotate")

    order = [row["id"] for row in read_table(archive.folder / "drawn/order.csv")]
    assert sorted(order) == ["site0/a", "site1/a", "site2/a"]
    archive.snakemake(*options, "annotate_images")

    flags = [json.loads((archive.folder / f"drawn/{sample}.json").read_text())["flags"]["proposed"] for sample in order]
    assert flags == [False, True, True]
    confirmed = (archive.folder / f"drawn/{order[0]}.json").read_bytes()
    (archive.folder / "drawn/order.csv").unlink()
    archive.snakemake(*options, "preannotate")
    assert (archive.folder / f"drawn/{order[0]}.json").read_bytes() == confirmed


def test_where_everything_is_annotated_there_is_nothing_to_propose(project):
    output = project.snakemake("--", "preannotate", check=False)

    assert "has an annotation; name others with" in output


def test_both_folders_of_new_pictures_have_to_be_named(project):
    output = project.snakemake("--config", "preannotate={images: new}", "--", "preannotate", check=False)

    assert "output" in output
    assert "rule propose_annotations" not in output
