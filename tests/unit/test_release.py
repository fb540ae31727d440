"""One version, `maskmill.__version__`, which all that names one repeats; and what catalogs and citations read."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from maskmill import __version__
from maskmill.cli import main

ROOT = Path(__file__).parents[2]
HEADINGS = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)


def parts(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def test_the_command_and_the_package_name_the_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])

    assert capsys.readouterr().out.strip() == __version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "maskmill.__version__"}


def test_the_citation_names_the_version_and_the_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))

    assert citation["version"] == __version__
    assert citation["license"] == "Apache-2.0"


def test_the_changelog_begins_with_what_is_not_released_or_with_this_version():
    releases = [re.fullmatch(r"(\d+\.\d+\.\d+) \(\d{4}-\d{2}-\d{2}\)", heading) for heading in HEADINGS]
    assert HEADINGS[0] == "Unreleased" or releases[0][1] == __version__
    assert all(releases[1:])
    versions = [parts(release[1]) for release in releases if release]
    assert versions == sorted(versions, reverse=True)
    assert not versions or versions[0] <= parts(__version__)


def test_the_catalog_is_told_how_the_workflow_is_run():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))["usage"]

    assert usage["software-stack-deployment"]["conda"] is True
    assert {"desc", "flags"} == set(usage["mandatory-flags"])
    assert (ROOT / "config/README.md").is_file()
    # reports need a package that Snakemake does not bring
    pins = (ROOT / "requirements/run.txt").read_text(encoding="utf-8").lower()
    assert usage["software-stack-deployment"]["report"]
    assert re.search(r"^pygments==", pins, re.M)
