"""What is run again, and how its files are compared."""

import signal
import subprocess
from pathlib import Path

import pytest

from maskmill.cli import main
from maskmill.files import read_json, read_table, sha256_file
from maskmill.provenance import reproduction
from maskmill.provenance.environment import environment_differences
from tests.unit.provenance.conftest import BUNDLE, CONFIG, RESULTS, RUN, describe, write


def record_of(folder):
    return read_json(folder / "provenance.json")


def test_options_are_the_recorded_ones_with_threads_resolved_and_no_server(described, working):
    config = reproduction.rerun_config(record_of(described), "base", working)

    assert config["experiments"] == {"base": {"train": {"threads": 2}}}
    assert config["train"] == {"epochs": 2, "lr": 0.5, "threads": "auto"}
    assert config["tracking"] == {"uri": "sqlite:///results/mlflow.db", "registry": None}
    assert set(reproduction.rerun_config(record_of(described), None, working)["experiments"]) == {"base", "wide"}


def test_a_state_elsewhere_is_not_gone_on_from(working):
    describe(CONFIG | {"state": str(working / "volume")})

    assert reproduction.rerun_config(record_of(RESULTS), None, working)["state"] is None


def test_files_are_compared_as_they_are_now(described):
    record, again = record_of(described), record_of(described)
    write(described / "labels/00/a.png", "tampered")
    (described / "labels/00/b.png").unlink()
    again["files"][f"{RUN}/history.csv"]["sha256"] = "0" * 64
    again["files"]["labels/00/new.png"] = again["files"]["labels/00/a.png"]

    rows = reproduction.compare_files(record, reproduction.Finished(described, None), again)

    verdicts = {row["file"]: row["verdict"] for row in rows}
    assert verdicts.pop("labels/00/a.png") == "differs"
    assert verdicts.pop("labels/00/b.png") == "missing"
    assert verdicts.pop("labels/00/new.png") == "added"
    assert verdicts.pop(f"{RUN}/history.csv") == "not promised"
    assert set(verdicts.values()) == {"same"}
    assert {f"{RUN}/model.safetensors", f"{BUNDLE}/bundle.json", "manifest.csv"} <= set(verdicts)
    row = next(row for row in rows if row["file"] == "labels/00/a.png")
    assert (row["before"], row["rule"]) == (sha256_file(described / "labels/00/a.png"), "draw")


def test_an_experiment_is_compared_without_the_others(described):
    finished = reproduction.find_finished(described / "experiments/base")
    assert finished == (described.resolve(), "base")
    record = record_of(described)
    record["files"] |= dict.fromkeys(("runs/wide/x", "comparison.csv"), record["files"]["manifest.csv"])

    files = {row["file"] for row in reproduction.compare_files(record, finished, record)}
    assert f"{RUN}/model.safetensors" in files
    assert files.isdisjoint(("runs/wide/x", "comparison.csv"))


@pytest.fixture
def rerun(described, monkeypatch):
    """Snakemake replaced by something that copies the recorded run; what it was called with."""
    calls = []

    def run(command, cwd, **options):
        calls.append((command, options["env"]))
        target = cwd / "results/tiny"
        target.mkdir(parents=True)
        (target / "provenance.json").write_bytes((described / "provenance.json").read_bytes())
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_a_run_is_reproduced_by_the_recorded_code_on_the_same_pictures(described, working, rerun, capsys):
    new = working / "new"

    assert main(["reproduce", str(described), "--output", str(new), "--cores", "1"]) == 0

    command, environment = rerun[0]
    assert command[command.index("--snakefile") + 1] == str(new / "code/Snakefile")
    assert command[command.index("--cores") + 1] == "2"  # as many as the training's threads
    assert environment["PYTHONPATH"] == str(new / "code")
    assert (new / "pictures").resolve() == working / "pictures"
    assert {row["verdict"] for row in read_table(new / "reproduction.csv")} == {"same"}
    assert "is reproduced" in capsys.readouterr().err


def test_a_tampered_artifact_is_caught(described, working, rerun, capsys):
    write(described / "labels/00/a.png", "tampered")

    assert main(["reproduce", str(described), "--output", str(working / "new")]) == 1

    said = capsys.readouterr().err
    assert "  - labels/00/a.png: differs (made by draw)" in said
    assert "nothing in environment, pins or pictures" in said


def test_a_folder_with_something_in_it_is_left_alone(described, working, rerun, capsys):
    write(working / "full/mine.txt")

    assert main(["reproduce", str(described), "--output", str(working / "full")]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert not rerun


def test_pictures_that_are_gone_are_told_before_anything_is_written(described, working, rerun, capsys):
    (working / "pictures/b.png").rename(working / "b.png")
    command = ["reproduce", str(described), "--output", str(working / "new")]

    assert main(command) == 1
    assert "1 of 4 recorded pictures and annotations" in capsys.readouterr().err
    write(working / "pictures/b.png", "another")
    write(working / "pictures/a.json", "another")
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "  - pictures/b.png: differs from its record" in said
    assert "  - pictures/a.json: differs from its record" in said
    assert not rerun
    assert not (working / "new").exists()

    (working / "b.png").rename(working / "pictures/b.png")
    write(working / "pictures/a.json", "{}")
    assert main(command) == 0


def test_other_code_than_the_recorded_is_not_run(described, working, rerun, capsys):
    command = ["reproduce", str(described), "--output", str(working / "new")]
    write(described / "code/maskmill/__pycache__/train.pyc")
    write(described / "code/torch.py", "")
    text = (described / "code/maskmill/train.py").read_text()
    write(described / "code/maskmill/train.py", "RULE = 'edited'")

    assert main(command) == 1
    assert "  - code/maskmill/train.py: differs from its record" in capsys.readouterr().err
    assert not rerun

    write(described / "code/maskmill/train.py", text)
    assert main(command) == 0
    copied = {path.name for path in (working / "new/code").rglob("*") if path.is_file()}
    assert copied == {"Snakefile", "run.txt", *(f"{rule}.py" for rule in ("draw", "train", "pack"))}


def test_a_run_without_notes_on_its_jobs_is_reproduced(working, rerun):
    Path(".snakemake/metadata").rename(".snakemake/other")
    describe()

    assert main(["reproduce", str(RESULTS), "--output", "new", "--cores", "1"]) == 0
    command = rerun[0][0]
    assert command[command.index("--cores") + 1] == "2"


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("experiments/bose", "bose is none of the recorded experiments: base, wide"),
        (BUNDLE, "is a bundle: give the folder around it"),
    ],
)
def test_what_is_no_recorded_experiment_is_told(described, working, rerun, capsys, place, words):
    assert main(["reproduce", str(described / place), "--output", str(working / "new")]) == 1
    assert words in capsys.readouterr().err


def test_results_are_not_reproduced_within_themselves(described, rerun, capsys):
    assert main(["reproduce", str(described), "--output", str(described / "again")]) == 1
    assert "name another folder" in capsys.readouterr().err


def test_pictures_are_found_where_the_results_are_a_link_to_another_disk(described, working, rerun):
    (working / "results").rename(working / "disk")
    (working / "results").symlink_to("disk")

    assert main(["reproduce", str(described), "--output", str(working / "new")]) == 0


def test_ctrl_c_is_left_to_snakemake_and_a_lock_that_stays_is_told(described, working, monkeypatch, capsys):
    def interrupted(command, cwd, **options):
        signal.raise_signal(signal.SIGINT)
        write(cwd / ".snakemake/locks/0.input.lock")
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", interrupted)
    handler = signal.getsignal(signal.SIGINT)

    assert main(["reproduce", str(described), "--output", str(working / "new")]) == 1

    said = capsys.readouterr().err
    assert "Give the same command to go on from there. The folder is locked." in said
    assert f"--directory {working / 'new'} " in said
    assert " --unlock" in said
    assert signal.getsignal(signal.SIGINT) == handler


def test_sources_and_a_table_that_lead_out_of_the_folder_are_read_where_they_are(described, working, rerun):
    manifest, out = RESULTS / "manifest.csv", f"../{working.name}"
    manifest.write_text(manifest.read_text().replace("pictures/", f"{out}/pictures/"))
    source = CONFIG["dataset"]["source"] | {"root": out}
    dataset = CONFIG["dataset"] | {"source": source, "split": {"table": f"{out}/table.csv"}}
    write(working / "table.csv", "id,split\n")
    describe(CONFIG | {"dataset": dataset})
    beside, new = set(working.iterdir()), working / "new"

    assert main(["reproduce", str(described), "--output", str(new)]) == 0

    given = read_json(new / "config.json")["dataset"]
    assert given["source"]["images"] == given["source"]["annotations"] == str(working / "pictures")
    assert given["split"]["table"] == str(working / "table.csv")
    assert set(working.iterdir()) == beside | {new}
    assert not [path for path in new.rglob("*") if path.is_symlink()]


def test_a_folder_is_linked_whole_where_pictures_lie_below_it(described, working, rerun):
    (working / "pictures/close").mkdir()
    source = {"images": "pictures/close", "annotations": "pictures"}
    describe(CONFIG | {"dataset": CONFIG["dataset"] | {"source": source}})

    assert main(["reproduce", str(described), "--output", str(working / "new")]) == 0
    assert (working / "new/pictures").is_symlink()


def test_without_snakemake_it_is_said_where_to_get_it(described, working, monkeypatch, capsys):
    monkeypatch.setattr(reproduction, "find_spec", lambda name: None)

    assert main(["reproduce", str(described), "--output", str(working / "new")]) == 1
    assert "requirements/run.txt" in capsys.readouterr().err


def test_differences_of_environments_are_named():
    one = {"python": "3.11.7", "features": ["avx2"], "packages": {"numpy": "2.4.5", "torch": "2.13.0"}}
    other = {"python": "3.11.7", "features": ["avx2", "fma"], "packages": {"numpy": "2.4.6", "scipy": "1.0"}}

    assert environment_differences(one, one) == []
    assert environment_differences(one, other) == [
        "features: avx2, then avx2 fma",
        "numpy: 2.4.5, then 2.4.6",
        "scipy: missing, then 1.0",
        "torch: 2.13.0, then missing",
    ]
