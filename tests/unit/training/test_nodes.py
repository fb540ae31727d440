"""Trainings on several nodes, by stand-ins for the programs of SLURM; tests/cluster has the real ones."""

import os

import pytest

from maskmill.errors import MaskmillError
from maskmill.training.compute import Place
from maskmill.training.learner import Learner
from maskmill.training.nodes import environment_for_srun, nodes_beside, on_node
from tests.unit.training.runs import train
from tests.unit.training.test_team import started_assistants
from tests.unit.training_data import options

PROGRAMS = {
    # a process whose standard input and output are those of srun, and whose end is told by srun's
    "srun": """
        for word; do
          case $word in
            --nodelist=*) export SLURMD_NODENAME=${word#--nodelist=};;
            --*) ;;
            *) break;;
          esac
          shift
        done
        [ -z "$SLURM_NTASKS" ] || exit 3
        export SLURM_LAUNCH_NODE_IPADDR=127.0.0.1 SLURM_NTASKS=1 SLURM_PROCID=0
        exec 3<&0
        "$@" <&3 3<&- &
        echo $! >>"$STARTED"
        wait $!
    """,
    "squeue": """[ "$*" = "--noheader --jobs=7 --format=%N" ] && echo 'node[1-2]'""",
    "scontrol": """[ "$*" = "show hostnames node[1-2]" ] && printf 'node1\\nnode2\\n'""",
}


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job of SLURM on node1 and node2, this process on the first; the file of the processes started on the other."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, script in PROGRAMS.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    environment = {
        "SLURM_JOB_ID": "7",
        "SLURMD_NODENAME": "node1",
        "SLURM_NTASKS": "1",
        "STARTED": tmp_path / "started",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    return tmp_path / "started"


def test_places_are_counted_node_by_node():
    places = [Place(rank, devices=2, nodes=3) for rank in range(6)]
    assert [(place.node, place.device) for place in places] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert {place.world for place in places} == {6}


def test_one_node_asks_nobody(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert nodes_beside(1) == []


def test_nodes_beside_this_one(job):
    assert nodes_beside(2) == ["node2"]


def test_outside_of_slurm_there_are_no_other_nodes(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(
        MaskmillError, match=r"train\.nodes is 2, but this process is in no job of SLURM.*profiles/slurm"
    ):
        nodes_beside(2)


def test_a_job_of_fewer_nodes_is_refused(job):
    with pytest.raises(MaskmillError, match=r"train\.nodes is 3, but SLURM's job 7 has 2: node1, node2"):
        nodes_beside(3)


def test_a_program_of_slurm_that_fails_is_named(job, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    with pytest.raises(MaskmillError, match=r"squeue --noheader --jobs=8"):
        nodes_beside(2)


def test_srun_takes_no_options_from_this_process():
    given = {"SLURM_JOB_ID": "7", "SLURM_CONF": "/c", "SLURM_NTASKS": "1", "SRUN_CPUS_PER_TASK": "2", "HOME": "/h"}
    assert environment_for_srun(given) == {"SLURM_JOB_ID": "7", "SLURM_CONF": "/c", "HOME": "/h"}
    assert on_node("node2")[-1] == "--nodelist=node2"


@pytest.mark.slow
def test_two_nodes_give_the_bytes_of_two_processes_on_one(job, data, store, tmp_path):
    expected = train(data, tmp_path / "one", store, options(batch_size=2, devices=2))
    assert not job.exists()
    assert train(data, tmp_path / "two", store, options(batch_size=2, nodes=2)) == expected
    assert len(job.read_text().split()) == 1


@pytest.mark.slow
def test_a_process_killed_on_another_node_ends_the_training_which_goes_on(job, data, store, tmp_path, monkeypatch):
    chosen = options(batch_size=2, nodes=2)
    expected = train(data, tmp_path / "undisturbed", store, chosen)
    original, calls = Learner.step, []

    def killing(self, rate):
        calls.append(rate)
        if len(calls) == 9:
            os.kill(int(job.read_text().split()[-1]), 9)
        original(self, rate)

    with monkeypatch.context() as patched:
        patched.setattr(Learner, "step", killing)
        with pytest.raises(MaskmillError, match="the process of device 0 of node node2 failed: it was killed"):
            train(data, tmp_path / "killed", store, chosen)
    assert not (tmp_path / "killed/model.safetensors").exists()

    assert train(data, tmp_path / "killed", store, chosen) == expected


@pytest.mark.slow
def test_a_node_that_cannot_be_had_ends_the_training_at_once(job, data, store, tmp_path, monkeypatch):
    assistants = started_assistants(monkeypatch)
    (tmp_path / "bin/srun").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(MaskmillError, match="the process of device 0 of node node2 failed: it ended with exit code 1"):
        train(data, tmp_path / "run", store, options(batch_size=2, nodes=2))
    assert [assistant.process.poll() for assistant in assistants] == [1]
    assert not (tmp_path / "run/model.safetensors").exists()
