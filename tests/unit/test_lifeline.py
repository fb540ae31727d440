"""Jobs end with the run that started them, and leave nothing half written."""

import os
import signal
import subprocess
import sys
import time

import pytest

from maskmill.lifeline import RUN, announce_run, end_with_run

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the system has no pidfd_open")

JOB = """
import sys, time
from pathlib import Path
from maskmill.files import atomic_path
from maskmill.jobs import begin_job
begin_job(sys.argv[1] + "/log", [])
with atomic_path(sys.argv[1] + "/output") as aside:
    aside.write_text("half")
    print("working", flush=True)
    time.sleep(60)
"""

RUN_OF_ONE_JOB = """
import subprocess, sys
from maskmill.lifeline import announce_run
announce_run()
command = [sys.executable, "-c", sys.argv[1], sys.argv[2]]
subprocess.run(["bash", "-c", '"$@"; exit $?', "bash", *command])  # in a shell, as Snakemake does
"""


@pytest.fixture
def run(tmp_path):
    """A process that started one, which is at work."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN_OF_ONE_JOB, JOB, str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "working\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def wait_for(condition, seconds=8):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_a_job_ends_with_its_killed_run_and_tidies_up(run, tmp_path):
    assert len(list(tmp_path.iterdir())) == 2

    run.kill()

    assert run.stdout.read() == ""  # which ends when the last process that holds it does
    assert [file.name for file in tmp_path.iterdir()] == ["log"]
    log = (tmp_path / "log").read_text()
    assert f"the run that started this job has ended (process {run.pid})" in log
    assert "interrupted" in log


def test_a_job_goes_on_while_its_run_lives(run, tmp_path):
    time.sleep(0.3)

    assert len(list(tmp_path.iterdir())) == 2
    assert run.poll() is None


def end_of_job(**environment):
    """Exit status of a process that would end with a run, and else by itself with 7."""
    code = "import time; from maskmill.lifeline import end_with_run; end_with_run(); time.sleep(1); raise SystemExit(7)"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | environment, capture_output=True, check=False)
    return done.returncode


def test_a_job_whose_run_is_gone_ends_at_once(monkeypatch):
    monkeypatch.setenv(RUN, "")
    announce_run()
    namespace = os.environ[RUN].partition(" ")[2]
    ended = subprocess.Popen(["true"])
    ended.wait()
    other = subprocess.Popen(["sleep", "60"])  # as where the number was given to another process since
    try:
        assert end_of_job(**{RUN: f"{ended.pid} {namespace}"}) == -signal.SIGTERM
        assert end_of_job(**{RUN: f"{other.pid} {namespace}"}) == -signal.SIGTERM
    finally:
        other.kill()
        other.wait()


def test_of_no_run_and_of_one_in_another_namespace_nothing_happens():
    assert end_of_job(**{RUN: ""}) == 7
    assert end_of_job(**{RUN: f"{os.getpid()} pid:[1]"}) == 7


def test_without_a_run_no_thread_is_started(monkeypatch):
    import threading

    monkeypatch.delenv(RUN, raising=False)
    before = threading.active_count()
    end_with_run()
    assert threading.active_count() == before
