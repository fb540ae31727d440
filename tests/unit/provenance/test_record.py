"""The record says of every file what it is and how it was made, and nothing that it cannot know."""

import base64
import hashlib
import json
import os
from pathlib import Path

from maskmill.files import read_json
from maskmill.provenance.jobs import jobs_behind, read_jobs
from maskmill.provenance.verification import verify_results
from tests.unit.provenance.conftest import BUNDLE, CONFIG, ENDED, RESULTS, RUN, describe, note_job, write


def read():
    return read_json(RESULTS / "provenance.json")


def test_every_artifact_has_its_digest_and_its_job(described):
    record = read()

    entry = record["files"]["labels/00/a.png"]
    job = record["jobs"][entry["job"]]
    assert entry["sha256"] == hashlib.sha256(b"label a").hexdigest()
    assert entry["bytes"] == 7
    assert (job["rule"], job["inputs"], job["params"][0]) == ("draw", ["results/tiny/manifest.csv"], "{'a': 1}")
    assert (job["started"], job["ended"]) == ("2001-09-09T01:46:30+00:00", "2001-09-09T01:46:40+00:00")
    assert job["environment"] == hashlib.sha256(b"dependencies: []\n").hexdigest()
    assert [job["rule"] for job in record["jobs"]] == ["draw", "train", "pack"]
    assert record["files"]["manifest.csv"]["job"] is None
    assert record["files"][f"{BUNDLE}/bundle.json"]["job"] == 2
    assert not [name for name in record["files"] if "state" in name or name.startswith(".")]


def test_pictures_in_folders_that_are_called_as_jobs_call_theirs_are_recorded(working):
    names = [f"labels/00/{folder}/scene.png" for folder in ("state", "x/tracking", "tensorboard", "runs/a/b/state")]
    names += [f"{RUN}/masks/test/state/scene.png", "labels/00/code/__pycache__/scene.png"]
    for name in names:
        write(RESULTS / name, "a mask")
    masks = f"{RESULTS.as_posix()}/{RUN}/masks"
    note_job("mask", [f"{RESULTS.as_posix()}/{RUN}/model.safetensors"], [masks], [], ENDED + 300)
    describe(targets=(f"{RESULTS}/{BUNDLE}", masks))

    assert read()["files"].keys() > set(names)
    assert not verify_results(RESULTS).faults
    (RESULTS / names[0]).unlink()
    assert [fault.partition(":")[0] for fault in verify_results(RESULTS).faults] == [names[0]]


def test_the_code_of_a_job_is_the_copy_s_where_the_job_carries_its_digest(described):
    record = read()
    codes = {job["rule"]: job["code"] for job in record["jobs"]}

    assert len(codes["draw"]) == len(codes["train"]) == 16
    assert codes["draw"] != codes["train"]
    assert codes["pack"] is None
    assert record["lock"] == hashlib.sha256(b"numpy==1.0\n").hexdigest()
    assert (described / "code/maskmill/train.py").read_text() == "RULE = 'train'\n"


def test_rules_are_called_by_their_own_names_where_another_workflow_uses_them_as_a_module(described):
    own = [(job["rule"], job["code"]) for job in read()["jobs"]]
    for file in Path(".snakemake/metadata").iterdir():
        noted = file.read_text().replace('"rule": "', '"rule": "maskmill_')
        file.write_text(noted.replace("logs/train.log", "logs/train/base/fold0-seed3.log"))
    describe()

    assert [(job["rule"], job["code"]) for job in read()["jobs"]] == own


def test_pictures_trainings_and_options_are_recorded(described):
    record = read()

    assert sorted(record["sources"]) == ["pictures/a.json", "pictures/a.png", "pictures/b.json", "pictures/b.png"]
    assert record["runs"][RUN] == {
        **{"run_id": "0123456789ab", "experiment": "base", "fold": 0, "seed": 3},
        **{"threads": 2, "precision": "fp32", "device": "cpu", "deterministic": True},
    }
    assert list(json.loads(record["config"]).items()) == list(CONFIG.items())
    assert not record["files"][f"{RUN}/history.csv"]["stable"]
    assert record["files"][f"{RUN}/model.safetensors"]["stable"]


def test_what_was_written_after_its_job_is_marked(working):
    os.utime(RESULTS / "labels/00/b.png", (ENDED + 1000, ENDED + 1000))
    describe()

    files = read()["files"]
    assert files["labels/00/b.png"]["changed"] == "2001-09-09T02:03:20+00:00"
    assert "changed" not in files["labels/00/a.png"]


def test_without_notes_on_jobs_the_files_are_recorded_all_the_same(working, caplog):
    Path(".snakemake/metadata").rename(".snakemake/other")
    describe()

    assert "names no job" in caplog.text
    assert read()["jobs"] == []
    assert {entry["job"] for entry in read()["files"].values()} == {None}
    assert f"{RUN}/model.safetensors" in read()["files"]
    assert read()["runs"][RUN]["threads"] == 2


def test_links_to_folders_and_pipes_are_not_recorded_and_stop_nobody(working):
    (RESULTS / "labels/00/link").symlink_to(Path("pictures").resolve())
    os.mkfifo(RESULTS / "labels/00/pipe")
    describe()

    assert not [name for name in read()["files"] if name.startswith(("labels/00/link", "labels/00/pipe"))]


def test_notes_that_cannot_be_read_are_left_out(working, caplog):
    write(Path(".snakemake/metadata/!!"), "{}")
    write(Path(".snakemake/metadata", base64.urlsafe_b64encode(b"x").decode()), json.dumps({"other": "format"}))

    assert [job.rule for job in read_jobs(Path(".snakemake/metadata"), Path("logs"))] == ["draw", "pack", "train"]
    assert caplog.text.count("says nothing of its job") == 2


def test_long_names_of_outputs_are_read_from_nested_folders(working):
    output = "results/tiny/" + "n" * 400
    encoded = base64.urlsafe_b64encode(output.encode()).decode()
    short = Path(".snakemake/metadata", base64.urlsafe_b64encode(b"results/tiny/labels/00").decode())
    write(Path(".snakemake/metadata", "@" + encoded[:254], "@" + encoded[254:508], encoded[508:]), short.read_bytes())

    outputs = {output for job in read_jobs(Path(".snakemake/metadata"), Path("logs")) for output in job.outputs}
    assert output in outputs


def test_jobs_of_other_targets_are_no_part_of_it(working):
    write(RESULTS / "runs/old/model.safetensors")
    note_job("train", [f"{RESULTS}/labels/00"], [f"{RESULTS}/runs/old/model.safetensors"], [])

    jobs = jobs_behind([f"{RESULTS}/labels/00"], read_jobs(Path(".snakemake/metadata"), Path("logs")))
    assert [job.rule for job in jobs] == ["draw"]
