"""The last words of a run."""

import pytest

from maskmill.dag.closing import closing_words, failure_words, segmentation_words

FAILED = """\
Error in rule check_inputs:
    message: None
    jobid: 2
    input: results/tiny/problems.csv
    output: results/tiny/samples.csv
    log: logs/tiny/check_inputs.log (check log file(s) for error details)
"""


def test_everything_that_was_made_is_named(tmp_path):
    (tmp_path / "report.html").touch()
    (tmp_path / "masks").mkdir()
    places = {name: str(tmp_path / file) for name, file in (
        ("report", "report.html"), ("test masks", "masks"), ("bundle", "none"))}  # fmt: skip

    assert closing_words(places, []).splitlines() == [
        "Done. This is where everything is:",
        f"  report     {tmp_path}/report.html",
        f"  test masks {tmp_path}/masks",
    ]


def test_what_was_asked_for_is_named_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "report.html").touch()  # of an earlier run

    words = closing_words({"report": "report.html"}, {"splits.csv", "quality/audit.html"})

    assert words.splitlines()[1:] == [f"  {tmp_path}/quality/audit.html", f"  {tmp_path}/splits.csv"]
    assert "report" not in words


def test_results_in_an_object_store_are_there_and_not_on_this_machine(tmp_path):
    store = "s3://bucket/roofs/results/roofs"

    assert closing_words({"report": str(tmp_path)}, ["report.html"], store).splitlines()[1:] == [f"  {store}"]


def test_logs_in_an_object_store_are_named_by_their_address(tmp_path):
    log = "s3://bucket/roofs/logs/tiny/check_inputs.log"
    told = FAILED.replace("logs/tiny/check_inputs.log", f"{log} (send to storage)")
    (tmp_path / "snakemake.log").write_text(told, encoding="utf-8")

    assert failure_words([tmp_path / "snakemake.log"]).splitlines()[2] == f"  {log}"


def test_a_failed_run_names_the_logs_of_its_jobs_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "snakemake.log").write_text(
        "Job 2\n    log: logs/fine.log\n" + FAILED * 2 + FAILED.replace("check_inputs.log", "a b.log"), encoding="utf-8"
    )

    assert failure_words(["snakemake.log"]).splitlines() == [
        "Stopped.",
        "The reason is above and in:",
        f"  {tmp_path}/logs/tiny/check_inputs.log",
        f"  {tmp_path}/logs/tiny/a b.log",
        "Run the same command again to go on from here.",
    ]


@pytest.mark.parametrize("how", ["died with <Signals.SIGKILL: 9>", "returned non-zero exit status 137"])
def test_a_killed_training_is_told_what_takes_less_memory(tmp_path, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "snakemake.log").write_text(
        "Plan the training\n    output: results/a/experiments/b/plan/fold1.yaml\n"
        f"Command 'set -euo pipefail;  /a/python /a/.snakemake/scripts/tmpw.train_model.py' {how}.\n"
        "Error in rule train_model:\n    jobid: 3\n"
        "    input: results/a/splits.csv, results/a/experiments/b/plan/fold0.yaml, c\n"
        "    log: logs/t.log (check log file(s) for error details)\n"
    )

    assert failure_words(["snakemake.log"]).splitlines() == [
        "Stopped.",
        "The reason is above and in:",
        f"  {tmp_path}/logs/t.log",
        "train_model was killed from outside, as systems do where memory runs out.",
        "In `train`, halve batch_size and double accumulate, or take a smaller patch. What training takes, beside",
        "some 500 MB, is estimated under `memory` in:",
        f"  {tmp_path}/results/a/experiments/b/plan/fold0.yaml",
        "Run the same command again to go on from here.",
    ]


def test_another_killed_job_is_said_to_be_killed(tmp_path):
    log = tmp_path / "snakemake.log"
    log.write_text("Command 'python /a/tmpw.cache_samples.py' died with <Signals.SIGKILL: 9>.\n")

    assert failure_words([log]).splitlines() == [
        "Stopped.",
        "cache_samples was killed from outside, as systems do where memory runs out.",
        "Run the same command again to go on from here.",
    ]


def test_an_interrupted_run_without_a_failed_job_says_how_to_go_on():
    assert failure_words([]) == "Stopped.\nRun the same command again to go on from here."


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_a_segmentation_says_how_many_pictures_have_no_mask(tmp_path, failures):
    (tmp_path / "masks.csv").write_text("picture,mask\n" + "a,b\n" * 1234, encoding="utf-8")
    (tmp_path / "failed.csv").write_text("file,reason,remedy\n" + "ü.png,it is damaged,mend it\n" * failures, "utf-8")

    words = segmentation_words(tmp_path / "masks", tmp_path / "masks.csv", tmp_path / "failed.csv").splitlines()

    assert words[:2] == [f"Done: 1,234 of {1234 + failures:,} pictures have their masks in", f"  {tmp_path}/masks"]
    if failures:
        has = {1: "1 picture has", 2: "2 pictures have"}[failures]
        assert words[2:5] == [
            f"{has} none. File, reason and remedy of each:",
            f"  {tmp_path}/failed.csv",
            "The first is ü.png: it is damaged; mend it.",
        ]
    else:
        assert len(words) == 2
