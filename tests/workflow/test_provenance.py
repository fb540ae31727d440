"""Every artifact of a run is recorded, verified, and made again with the same bytes."""

import json
from collections import Counter
from pathlib import Path

import pytest
from safetensors import safe_open

from maskmill.cli import main
from maskmill.files import METADATA, read_json, read_table, sha256_file
from maskmill.provenance.digests import files_below
from maskmill.provenance.stability import CRATE, RECORD
from tests.workflow.conftest import TINY


def test_every_file_of_a_run_is_recorded_with_the_job_that_made_it(finished):
    record = read_json(finished.results / RECORD)

    assert set(files_below(finished.results)) - {RECORD, CRATE} == set(record["files"])
    unknown = {name for name, entry in record["files"].items() if entry["job"] is None}
    assert {name.partition("/")[0] for name in unknown} == {"code"}
    assert {job["rule"] for job in record["jobs"] if job["code"] is None} == {"create_tracking_store"}
    assert len(record["sources"]) == 20
    rules = {job["rule"] for job in record["jobs"]}
    assert {"generate_demo", "rasterize_labels", "train_model", "check_parity", "pack_bundle", "render_report"} <= rules
    assert not [name for name, entry in record["files"].items() if "changed" in entry]


def test_an_untouched_run_is_verified(finished, capsys):
    assert main(["verify", str(finished.results)]) == 0
    assert "are as recorded" in capsys.readouterr().err


def test_a_touched_mask_is_named_with_its_rule(project, capsys):
    mask = next((project.results / "runs/baseline/fold0-seed0/masks/test").rglob("*.png"))
    mask.write_bytes(mask.read_bytes() + b"\0")
    name = mask.relative_to(project.results).as_posix()

    assert main(["verify", str(project.results)]) == 1

    said = capsys.readouterr().err
    assert f"  - {name}: differs from its record (made by postprocess_masks" in said
    assert "1 fault" in said


def test_the_run_id_stands_in_everything_that_a_training_leaves(finished):
    record = read_json(finished.results / RECORD)
    run = record["runs"]["runs/cbam/fold0-seed0"]["run_id"]
    folder, experiment = finished.results / "runs/cbam/fold0-seed0", finished.results / "experiments/cbam"

    with safe_open(folder / "model.safetensors", "pt") as weights:
        assert json.loads(weights.metadata()[METADATA])["run_id"] == run
    assert f"run_id: {run}" in (folder / "config.yaml").read_text(encoding="utf-8")
    assert run in (experiment / "export/model.onnx").read_bytes().decode("utf-8", "replace")
    assert read_json(experiment / "bundle/bundle.json")["run_id"] == run
    assert run in [name.name for name in (folder / "tracking").iterdir()]
    assert run in (finished.results / "report.html").read_text(encoding="utf-8")
    assert run in (finished.results / CRATE).read_text(encoding="utf-8")


@pytest.mark.slow
def test_an_experiment_is_reproduced_byte_by_byte_and_a_touched_file_is_caught(project, tmp_path, capsys):
    experiment, again = project.results / "experiments/baseline", tmp_path / "again"

    status = main(["reproduce", str(experiment), "--output", str(again), "--cores", "2"])

    rows = {row["file"]: row for row in read_table(again / "reproduction.csv")}
    assert status == 0, [row for row in rows.values() if row["verdict"] not in ("same", "not promised")]
    assert Counter(row["verdict"] for row in rows.values())["same"] > 80
    weights = "runs/baseline/fold0-seed0/model.safetensors"
    assert rows[weights]["verdict"] == "same"
    assert rows[weights]["after"] == sha256_file(again / "results/tiny" / weights)
    assert not [name for name in rows if "cbam" in name]
    assert list(read_json(again / "config.json")["experiments"]) == ["baseline"]
    assert set(TINY["experiments"]) == {"baseline", "cbam"}
    capsys.readouterr()

    Path(project.results, weights).write_bytes(b"other weights")
    assert main(["reproduce", str(experiment), "--output", str(again), "--cores", "2"]) == 1  # has nothing left to run
    assert f"  - {weights}: differs (made by train_model)" in capsys.readouterr().err
