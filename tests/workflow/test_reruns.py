"""A change reruns exactly what it affects."""

import json
import re
from pathlib import Path

import pytest
import yaml

from maskmill.dag.codedigest import imported_modules
from tests.workflow.conftest import TINY, planned_jobs

TRAINED = {
    *("train_model", "predict_probabilities", "choose_operating_point", "postprocess_masks", "evaluate_masks"),
    *("summarize_experiment", "compare_experiments", "export_onnx", "check_parity", "benchmark_runtimes"),
    *("evaluate_extra", "measure_seams", "measure_uncertainty", "record_results", "pack_bundle", "render_report"),
    "describe_provenance",
}


def importing_rules(root: Path, module: str) -> set[str]:
    """Rules whose scripts import a module of the library, directly or not."""
    target = root / module
    return {
        script.stem for script in (root / "workflow/scripts").glob("*.py") if target in imported_modules(script, root)
    }


def changed_rules(output: str) -> set[str]:
    """Rules that a dry run reruns because their own params changed, from the summary at its end."""
    found = re.search(r"^ +params have changed.*:\n +(.+)$", output, re.MULTILINE)
    return set(found[1].split(", ")) if found else set()


def test_a_second_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.snakemake()


def test_state_and_events_are_in_the_run_and_nothing_is_beside_the_results(finished):
    run = finished.results / "runs/baseline/fold0-seed0"

    assert list(run.glob("state/*.pt"))
    assert list(run.glob("tensorboard/events*"))
    assert not list(finished.folder.glob("*<*"))


def test_bundles_are_registered_where_the_config_names_a_model_and_once(project):
    assert "register_bundle" not in project.planned()
    project.write_config(TINY | {"tracking": {"registry": "roofs"}})
    assert project.planned() == {"register_bundle": 2, "describe_provenance": 1}

    project.snakemake()

    assert "Nothing to be done" in project.snakemake()
    for experiment in TINY["experiments"]:
        marker = json.loads((project.results / f"experiments/{experiment}/registered.json").read_text())
        assert (marker["model"], marker["version"]) == (f"roofs-{experiment}", "1")
    (project.results / "experiments/cbam/registered.json").unlink()
    project.snakemake()
    assert json.loads((project.results / "experiments/cbam/registered.json").read_text())["version"] == "1"


def test_a_training_option_touches_nothing_before_training(project):
    project.edit("tiny.yaml", "epochs: 2", "epochs: 3")

    assert set(project.planned()) <= TRAINED
    assert project.planned()["train_model"] == 2


def test_an_option_that_the_plan_goes_by_plans_anew(project):
    project.edit("tiny.yaml", "batch_size: 4", "batch_size: 8")

    planned = project.planned()
    assert set(planned) <= TRAINED | {"plan_training"}
    assert planned["plan_training"] == planned["train_model"] == 2


def test_an_edited_plan_trains_its_members_again(project):
    plan = project.results / "experiments/cbam/plan/fold0.yaml"
    text = plan.read_text(encoding="utf-8")
    plan.write_text(text.replace("used: 0.5\n    source: plan", "used: 0.9\n    source: plan"), encoding="utf-8")
    assert plan.read_text(encoding="utf-8") != text

    planned = project.planned()
    assert set(planned) <= TRAINED
    assert planned["train_model"] == 1

    project.snakemake("--", "results/tiny/runs/cbam/fold0-seed0/model.safetensors")
    config = yaml.safe_load((project.results / "runs/cbam/fold0-seed0/config.yaml").read_text(encoding="utf-8"))
    assert config["train"]["foreground"] == 0.9


def test_an_override_touches_its_experiment_alone(project):
    project.edit("tiny.yaml", "attention: cbam", "attention: cbam\n      act: silu")

    planned = project.planned()
    assert planned["plan_training"] == planned["train_model"] == 1
    assert planned["predict_probabilities"] <= 2


def test_reading_processes_do_not_train_again(project):
    project.edit("tiny.yaml", "workers: 0", "workers: 1")

    assert project.planned() == {}


def test_a_postprocessing_option_does_not_predict_again(project):
    project.edit("tiny.yaml", "predict:", "postprocess: {steps: [{step: remove_small, area: 7}]}\npredict:")

    planned = project.planned()
    assert planned["choose_operating_point"] == 2
    assert not {"train_model", "predict_probabilities", "export_onnx"} & set(planned)


ON_DEMAND = {
    *("segment", "segment_images", "preannotate", "propose_annotations"),
    *("suggest_trial", "run_trial", "choose_trial", "quantize_onnx", "build_tensorrt_engine", "register_bundle"),
}
"""Rules that a run has only where the config or the command asks for them."""


@pytest.mark.parametrize("module", ["inference/postprocess", "splits", "metrics/surface"])
def test_an_edited_module_reruns_exactly_the_rules_that_import_it(project, module):
    with open(project.folder / f"maskmill/{module}.py", "a", encoding="utf-8") as file:
        file.write("\nADDED = 1\n")
    importing = importing_rules(project.folder, f"maskmill/{module}.py") - ON_DEMAND

    output = project.snakemake("--dry-run")

    changed = changed_rules(output)  # a rule that also has newer input is listed under that reason only
    assert changed
    assert changed <= importing <= set(planned_jobs(output))


def test_a_comment_in_the_library_reruns_nothing(project):
    for module in ("splits", "training/loop", "demo/scene"):
        with open(project.folder / f"maskmill/{module}.py", "a", encoding="utf-8") as file:
            file.write("\n# A comment about everything.\n")

    assert project.planned() == {}


def test_an_edited_template_writes_the_pages_again_and_no_more(project):
    with open(project.folder / "maskmill/templates/style.css", "a", encoding="utf-8") as file:
        file.write("p { color: red; }\n")

    planned = set(project.planned())
    assert {"compare_experiments", "render_report"} <= planned
    assert planned.isdisjoint(
        ("rasterize_labels", "cache_samples", "train_model", "summarize_experiment", "pack_bundle")
    )


def test_a_fresh_checkout_reruns_nothing(project):
    for part in ("workflow", "maskmill", "config"):
        for file in (project.folder / part).rglob("*.*"):
            file.touch()

    assert project.planned() == {}


def test_a_changed_annotation_draws_and_caches_its_shard_alone(project):
    annotation = sorted((project.folder / "resources/tiny/annotations").rglob("*.json"))[0]
    content = json.loads(annotation.read_text(encoding="utf-8"))
    content["shapes"] = content["shapes"][:-1]
    annotation.write_text(json.dumps(content), encoding="utf-8")

    output = project.snakemake("--", "results/tiny/fingerprint.json")

    assert output.count("Draw the label images of shard") == 1
    assert output.count("Cache the pictures and labels of shard") == 1


def test_a_further_picture_touches_its_shard_alone(project):
    for kind, suffix in (("images", None), ("annotations", "json")):
        folder = project.folder / "resources/tiny" / kind / "site_01"
        files = sorted(folder.iterdir())
        source = files[0]
        text = source.read_bytes()
        if suffix:
            content = json.loads(text)
            content["imagePath"] = content["imagePath"].replace(Path(content["imagePath"]).stem, "another")
            text = json.dumps(content).encode()
        (folder / f"another{source.suffix}").write_bytes(text)

    output = project.snakemake("--", "results/tiny/fingerprint.json")

    assert output.count("Draw the label images of shard") == 1
    assert output.count("Cache the pictures and labels of shard") == 1
