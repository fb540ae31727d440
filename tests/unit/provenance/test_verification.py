"""`maskmill verify` of a results folder names whatever is not as recorded, all at once."""

import os

import pytest

from maskmill.cli import main
from maskmill.files import read_json, sha256_file, write_json
from maskmill.provenance.verification import verify_results
from tests.unit.provenance.conftest import BUNDLE, RUN, weights, write


def said_by(described, capsys, status: int) -> str:
    assert main(["verify", str(described)]) == status
    return capsys.readouterr().err


def faults_of(described) -> str:
    return "\n".join(verify_results(described).faults)


def test_an_untouched_folder_is_as_recorded(described, capsys):
    said = said_by(described, capsys, 0)

    count = len(read_json(described / "provenance.json")["files"]) + 4
    assert f"all {count} files are as recorded" in said
    assert sha256_file(described / "provenance.json") in said


def test_everything_that_does_not_match_is_named_at_once(described, working, capsys):
    (described / "labels/00/a.png").write_text("touched")
    (described / RUN / "history.csv").unlink()
    write(described / "labels/00/c.png", "mine")
    (working / "pictures/a.png").write_text("another")
    (working / "pictures/b.json").unlink()

    said = said_by(described, capsys, 1)

    assert "5 faults" in said
    assert "  - labels/00/a.png: differs from its record (made by draw, 2001-09-09T01:46:40+00:00)" in said
    assert f"  - {RUN}/history.csv: missing (made by train" in said
    assert "  - labels/00/c.png: never recorded" in said
    assert "  - pictures/a.png: differs from its record (a picture or an annotation)" in said
    assert "  - pictures/b.json: missing (a picture or an annotation)" in said
    assert "b.png" not in said


def test_what_jobs_keep_for_themselves_and_what_is_made_on_demand_are_no_fault(described, capsys):
    write(described / RUN / "state/state.pt", "another state")
    write(described / "experiments/tensorrt_timings/x.timings")
    write(described / "experiments/wide/search/3/run/model.safetensors", "a trial")
    write(described / "code/maskmill/__pycache__/train.pyc")
    write(described / "segmented/00/x.png")

    assert "no record covers what was made on demand: segmented/00/x.png" in said_by(described, capsys, 0)


def test_what_is_no_file_or_no_text_any_more_is_named(described):
    for name in ("a", "b"):
        (described / f"labels/00/{name}.png").unlink()
    (described / "labels/00/a.png").symlink_to("gone")
    os.mkfifo(described / "labels/00/b.png")
    (described / "elsewhere").symlink_to("/")
    write(described / "code/maskmill/train.py", "def (")
    write(described / "ro-crate-metadata.json")

    faults = faults_of(described)

    assert "labels/00/a.png: is no file that can be read (made by draw" in faults
    assert "labels/00/b.png: is no file that can be read (made by draw" in faults
    assert "elsewhere: never recorded" in faults
    assert "code/: is not the code that ran, it cannot be read: invalid syntax" in faults
    assert "ro-crate-metadata.json: cannot be read" in faults


def test_a_folder_that_was_never_recorded_is_one_fault(described, capsys):
    for number in range(3):
        write(described / f"runs/old/fold0-seed0/masks/{number}.png")
    write(described / "labels/00/deep/x/c.png")

    said = said_by(described, capsys, 1)

    assert "(2 faults)" in said
    assert "  - runs/old/ (3 files): never recorded" in said
    assert "  - labels/00/deep/ (1 file): never recorded" in said
    assert "Bring the files back from a copy" in said


def test_a_folder_that_was_moved_behind_a_link_is_as_recorded(described, working):
    (described / "labels").rename(working / "disk")
    (described / "labels").symlink_to(working / "disk")

    assert not faults_of(described)


def test_pictures_are_found_where_the_results_are_a_link_to_another_disk(described, working):
    (working / "results").rename(working / "disk")
    (working / "results").symlink_to("disk")
    write(working / "pictures/a.png", "another")

    assert "pictures/a.png: differs from its record (a picture or an annotation)" in faults_of(described)


def test_a_broken_record_is_told_with_the_remedy(described, capsys):
    record = described / "provenance.json"
    for content, words in (("", "Expecting value"), ("[]", "a list"), ('{"schema_version": 2}', "without dataset,")):
        record.write_text(content)
        said = said_by(described, capsys, 1)
        assert words in said
        assert "bring it back from a copy, or remove it and run `snakemake`" in said


def test_a_seed_is_compared_whole(described):
    record = read_json(described / "provenance.json")
    (described / RUN).rename(described / f"{RUN}2")
    record["runs"] = {f"{RUN}2": record["runs"][RUN]}
    write_json(described / "provenance.json", record)

    assert f"{RUN}2/config.yaml: seed 3 is not that of its folder" in faults_of(described)


def test_a_model_of_another_run_is_named_whatever_the_record_says_of_its_bytes(described):
    write(described / RUN / "model.safetensors", weights("ba9876543210"))
    card = read_json(described / BUNDLE / "bundle.json")
    write_json(described / BUNDLE / "bundle.json", card | {"members": [{"run_id": "ffffffffffff"}]})
    record = read_json(described / "provenance.json")
    for name in (f"{RUN}/model.safetensors", f"{BUNDLE}/bundle.json"):
        record["files"][name]["sha256"] = sha256_file(described / name)
    write_json(described / "provenance.json", record)

    faults = verify_results(described).faults
    assert f"{RUN}/model.safetensors: is of run ba9876543210, and the record names 0123456789ab" in faults
    assert f"{BUNDLE}/bundle.json: is of run ffffffffffff, and the record names 0123456789ab" in faults


def test_weights_that_are_cut_off_are_named(described):
    (described / RUN / "model.safetensors").write_bytes(b"\xff\xff")

    faults = "\n".join(verify_results(described).faults)
    assert f"{RUN}/model.safetensors: its run id cannot be read" in faults


def test_edited_code_no_longer_backs_what_it_made(described):
    write(described / "code/maskmill/train.py", "RULE = 'edited'\n")

    faults = "\n".join(verify_results(described).faults)
    assert f"{RUN}/model.safetensors" in faults
    assert "the code in code/ is not what train ran" in faults
    assert "not what draw ran" not in faults


def test_another_lock_is_named(described):
    write(described / "code/requirements/run.txt", "numpy==2.0\n")

    assert "code/requirements/run.txt: is not the lock of the environment that was recorded" in (
        verify_results(described).faults
    )


def test_a_changed_record_and_its_crate_contradict_one_another(described):
    record = read_json(described / "provenance.json")
    write_json(described / "provenance.json", record | {"dataset": "another"})

    assert "ro-crate-metadata.json: tells another story than provenance.json" in verify_results(described).faults


def test_installed_code_that_is_another_is_a_note(described, working):
    assert not any("installed" in note for note in verify_results(described, own=working / "root").notes)
    write(working / "root/maskmill/draw.py", "RULE = 'new'\n")

    # digests are kept for the time of a process, hence a copy
    (working / "root").rename(working / "later")
    found = verify_results(described, own=working / "later")
    assert "the Maskmill that is installed has other code for draw" in found.notes
    assert not found.faults


def test_results_without_their_pictures_are_verified_with_a_note(described, tmp_path):
    found = verify_results(described, working=tmp_path / "elsewhere")

    assert not found.faults
    assert any("4 pictures and annotations are not below" in note for note in found.notes)


@pytest.mark.parametrize(("content", "words"), [(None, "has no provenance.json"), ({"schema_version": 0}, "version 0")])
def test_what_has_no_record_or_one_of_another_version_is_told(tmp_path, capsys, content, words):
    if content:
        write_json(tmp_path / "provenance.json", content)

    assert main(["verify", str(tmp_path)]) == 1
    assert words in capsys.readouterr().err
