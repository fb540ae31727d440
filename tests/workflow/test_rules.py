"""What every rule must have, and that every shipped configuration plans."""

import re
from pathlib import Path

import pytest
import yaml

from maskmill.dag.costs import COSTS
from maskmill.dag.networks import NETWORK_RULES
from maskmill.dag.resources import GPU_RULES
from tests.workflow.conftest import ROOT, TINY, make_project, planned_jobs

RULES = {
    name: body
    for file in sorted((ROOT / "workflow/rules").glob("*.smk"))
    for name, body in re.findall(
        r"^ *(?:rule|checkpoint) (\w+):\n((?:[ ].*\n|\n)+)", file.read_text(encoding="utf-8"), re.M
    )
}

INTERACTIVE = ("annotate_images",)
"""Rules that open a program for a person: they make nothing that could be reused or timed."""


def test_the_snakefile_is_a_table_of_contents():
    assert len((ROOT / "Snakefile").read_text(encoding="utf-8").splitlines()) <= 60


def test_every_script_is_a_rule_and_every_rule_a_script():
    assert {file.stem for file in (ROOT / "workflow/scripts").glob("*.py")} == set(RULES)


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_rule_is_complete(name):
    body = RULES[name]

    made = () if name in INTERACTIVE else ("output", "benchmark")
    for directive in (*made, "log", "conda", "threads", "resources", "params", "message", "script"):
        assert re.search(rf"^ +{directive}:", body, re.M), directive
    assert f'"../scripts/{name}.py"' in body
    assert re.search(rf'"<logs>/{name}(\.log|/.+)"', body)  # by which the record of a run knows the rule
    assert f"<benchmarks>/{name}" in body or name in INTERACTIVE
    assert f'digest("{name}")' in body or name in ("create_tracking_store", *INTERACTIVE)


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_script_ends_and_tidies_up_as_every_job_does(name):
    script = (ROOT / f"workflow/scripts/{name}.py").read_text(encoding="utf-8")

    assert "    begin_job(snakemake.log[0], snakemake.output)\n" in script


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_rule_asks_for_what_it_was_measured_to_take(name):
    assert name in COSTS or name in NETWORK_RULES
    assert re.search(rf'mem_mb=memory\("{name}"[,)]', RULES[name])
    assert re.search(rf'runtime=minutes\("{name}"[,)]', RULES[name]) or name in INTERACTIVE
    assert ("gpu=" in RULES[name]) == (name in (*GPU_RULES, "benchmark_runtimes"))


@pytest.mark.parametrize("file", sorted(ROOT.glob("tests/real/*.yaml")), ids=lambda file: file.stem)
@pytest.mark.real
def test_real_configurations_plan(file, real_data, tmp_path):
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    config["dataset"]["source"]["root"] = str(real_data)
    project = make_project(tmp_path / "project", config)

    assert project.planned()["index_samples"] == 1


@pytest.mark.parametrize("file", sorted(ROOT.glob("config/datasets/*.yaml")), ids=lambda file: file.stem)
def test_ready_data_sets_plan(file, tmp_path):
    project = make_project(tmp_path / "project", yaml.safe_load(file.read_text(encoding="utf-8")))

    assert project.planned()["retrieve_dataset"] == 1


def test_extra_metrics_are_measured_of_every_member_where_the_config_names_them(tmp_path):
    plain = make_project(tmp_path / "plain", TINY | {"evaluate": {"extra": []}})
    asked = make_project(tmp_path / "asked", TINY | {"evaluate": {"extra": ["sizes", "cldice"]}})

    assert "evaluate_extra" not in plain.planned()
    assert asked.planned()["evaluate_extra"] == 2


def test_another_address_fetches_again_and_shows_no_licence_as_the_reason(tmp_path):
    file = {"path": "a.png", "url": "http://127.0.0.1:1/a.png"}
    texts = {"licence": "Free for all.", "citation": "Somebody, 2020.", "homepage": "https://example.org"}
    dataset = TINY["dataset"] | {"name": "fetched"}
    config = {key: value for key, value in TINY.items() if key != "demo"} | {"dataset": dataset}
    project = make_project(tmp_path / "project", config | {"retrieve": texts | {"files": [file]}})
    (project.folder / "resources/fetched").mkdir(parents=True)
    (project.folder / "resources/fetched/a.png").write_bytes(b"put there by hand")
    project.snakemake("--", "resources/fetched/retrieved.txt")
    project.write_config(config | {"retrieve": texts | {"files": [file | {"url": "http://127.0.0.1:2/a.png"}]}})

    output = project.snakemake("--dry-run", "--", "resources/fetched/retrieved.txt")

    assert planned_jobs(output)["retrieve_dataset"] == 1
    assert "127.0.0.1:2" in output
    assert "Free for all" not in output


@pytest.mark.parametrize("preset", ["satellite", "medical", "cell", "inspection"])
def test_presets_plan(preset, tmp_path):
    project = make_project(tmp_path / "project", {"preset": preset, "dataset": TINY["dataset"]})

    assert project.planned()["index_samples"] == 1


def test_a_sweep_trains_each_combination(tmp_path):
    sweep = {"train.lr": [0.001, 0.003], "model.width": [4, 8]}
    project = make_project(tmp_path / "project", TINY | {"experiments": {"base": {}, "rates": {"sweep": sweep}}})

    output = project.snakemake("--dry-run", "--", "compare")

    planned = planned_jobs(output)
    assert planned["train_model"] == 5
    assert planned["compare_experiments"] == 1
    assert "runs/rates-lr_0.003-width_8/fold0-seed0/model.safetensors" in output


def test_the_demo_is_read_only_without_a_config_file(tmp_path):
    project = make_project(tmp_path / "project", {"dataset": TINY["dataset"]})

    own = project.snakemake("--dry-run")
    assert "generate_demo" not in own
    assert "results/demo" not in own
    assert "cbam" not in own


def test_mistakes_in_the_configuration_are_listed_before_anything_runs(tmp_path):
    project = make_project(tmp_path / "project", TINY | {"trian": {}, "seeds": ["x"]})

    output = project.snakemake("--dry-run", check=False)
    assert "unknown key `trian`; did you mean `train`?" in output
    assert "seeds.0" in output
    assert "Traceback" not in output


def test_a_path_with_spaces_and_umlauts(tmp_path):
    project = make_project(tmp_path / "a pröject", TINY)

    assert project.planned()["index_samples"] == 1


def test_the_default_profile_is_found_from_elsewhere(finished, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    output = finished.snakemake(
        "--dry-run", "--directory", str(tmp_path / "elsewhere"), "--snakefile", str(Path(finished.folder, "Snakefile"))
    )

    assert "generate_demo" in output


@pytest.mark.parametrize(("wanted", "engines"), [(True, 2), (False, 0)])
def test_engines_are_planned_where_they_are_asked_for_whatever_this_machine_has(wanted, engines, tmp_path):
    project = make_project(tmp_path / "project", TINY | {"export": {"tensorrt": wanted, "precisions": ["int8"]}})

    planned = project.planned()
    assert (planned["build_tensorrt_engine"], planned["pack_bundle"]) == (engines, 2)
    assert planned["quantize_onnx"] == 2 + engines  # for TensorRT anew, with zero points of 0


@pytest.mark.parametrize("name", ["check_inputs", "check_leaks", "pack_bundle"])
def test_a_gate_that_says_no_is_not_tried_again(name):
    assert re.search(r"^ +retries: 0$", RULES[name], re.M)


def test_a_run_whose_mlflow_database_lies_on_a_network_file_system_says_so(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    project = make_project(tmp_path / "project", TINY)
    target = "results/tiny/shards"
    assert "network file system" not in project.snakemake("--until", "generate_demo", "--", target)
    project.edit("maskmill/dag/filesystems.py", "return kind if kind in NETWORK else None", "return kind")

    output = project.snakemake("--until", "index_samples", "--", target)

    assert f"{project.folder}/results/mlflow.db lies on a network file system" in output
    assert "Run an MLflow server" in output
