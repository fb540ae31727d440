"""The last words of a run."""

from maskmill.dag.closing import closing_words, failure_words

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


def test_an_interrupted_run_without_a_failed_job_says_how_to_go_on():
    assert failure_words([]) == "Stopped.\nRun the same command again to go on from here."
