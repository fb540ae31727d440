"""Processes that train together."""

import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import maskmill.training.state
import maskmill.training.team
from maskmill.errors import MaskmillError
from maskmill.files import read_table, sha256_file
from maskmill.training.learner import Learner
from tests.unit.training.runs import SPLITS, arguments, start, train
from tests.unit.training.test_resume import Killed, kill_at, killed_at
from tests.unit.training_data import options, write_data

pytestmark = pytest.mark.slow


def smooth(**changed):
    """Options with which large batches may be taken in parts."""
    chosen = options(optimizer="sgd", lr=0.01, **changed)
    chosen["model"]["norm"], chosen["loss"]["per_sample"] = "group", True
    return chosen


def difference(first, second):
    """Largest difference of two runs' weights."""
    ours, theirs = load_file(first / "model.safetensors"), load_file(second / "model.safetensors")
    return max((ours[name] - theirs[name]).abs().max().item() for name in theirs)


@pytest.fixture(scope="module")
def alone(data, store, tmp_path_factory):
    """Folder of a training of one process, batch 4."""
    folder = tmp_path_factory.mktemp("alone")
    train(data, folder, store, smooth(batch_size=4))
    return folder


@pytest.mark.parametrize("workers", [0, 1])
def test_two_processes_give_the_weights_of_one_with_the_doubled_batch(alone, data, store, tmp_path, workers):
    """After 15 steps of SGD, weights of up to 1 differ by less than 1e-5: sums are rounded in another order."""
    train(data, tmp_path, store, smooth(batch_size=2, devices=2), workers=workers)
    assert difference(tmp_path, alone) < 1e-5
    ours, theirs = (read_table(folder / "history.csv") for folder in (tmp_path, alone))
    for name in ("loss", "validation_loss", "validation_iou", "lr"):
        assert [float(row[name]) for row in ours] == pytest.approx([float(row[name]) for row in theirs], abs=1e-4)


def test_accumulated_batches_give_the_weights_of_the_large_batch(alone, data, store, tmp_path):
    train(data, tmp_path, store, smooth(batch_size=1, accumulate=4))
    assert difference(tmp_path, alone) < 1e-5


def test_two_processes_killed_in_the_middle_go_on_to_the_same_bytes(data, store, tmp_path, monkeypatch):
    chosen = options(batch_size=2, devices=2, ema=0.9)
    expected = train(data, tmp_path / "undisturbed", store, chosen)
    monkeypatch.setattr(maskmill.training.state, "SECONDS_BETWEEN_SAVES", -1)
    with killed_at(monkeypatch, Learner, "step", 8):
        train(data, tmp_path / "killed", store, chosen)
    assert train(data, tmp_path / "killed", store, chosen) == expected


def started_assistants(monkeypatch):
    """The processes that will be started beside this one."""
    assistants, original = [], maskmill.training.team._start

    def recording(*given):
        assistants.append(original(*given))
        return assistants[-1]

    monkeypatch.setattr(maskmill.training.team, "_start", recording)
    return assistants


def test_a_process_that_is_killed_ends_the_training_with_a_word(data, store, tmp_path, monkeypatch):
    assistants = started_assistants(monkeypatch)
    original, calls = Learner.step, []

    def killing(self, rate):
        calls.append(rate)
        if len(calls) == 3:
            assistants[0].process.kill()
        original(self, rate)

    monkeypatch.setattr(Learner, "step", killing)
    with pytest.raises(MaskmillError, match="the process of device 1 failed: it was killed"):
        train(data, tmp_path, store, options(batch_size=2, devices=2))


def test_a_process_that_does_not_start_ends_the_training_at_once(data, store, tmp_path, monkeypatch):
    monkeypatch.setattr(maskmill.training.team, "COMMAND", "import sys; sys.exit(3)")
    with pytest.raises(MaskmillError, match="the process of device 1 failed: it ended with exit code 3"):
        train(data, tmp_path, store, options(batch_size=2, devices=2))


FAIL_TO_MEET = """
import maskmill.training.team as team
team.PATIENCE = 1
team.COMMAND = "print('ready'); print('no such GPU'); raise SystemExit(1)"
"""


def test_a_process_that_never_comes_is_not_waited_for(data, store, tmp_path):
    given = arguments(data, tmp_path, store, options(batch_size=2, devices=2))
    with start(tmp_path / "train.py", given, FAIL_TO_MEET) as process:
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert "ERROR the process of device 1 failed: no such GPU" in said


def test_this_process_failing_ends_the_others(data, store, tmp_path, monkeypatch):
    assistants = started_assistants(monkeypatch)
    kill_at(monkeypatch, Learner, "step", 2)
    with pytest.raises(Killed):
        train(data, tmp_path, store, options(batch_size=2, devices=2))
    assert [assistant.process.poll() is not None for assistant in assistants] == [True]
    assert not torch.distributed.is_initialized()


def children(process):
    """Numbers of the processes that a process started."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=False)
    return [int(line) for line in listed.stdout.split()]


def test_a_training_killed_by_force_leaves_no_process_behind(data, store, tmp_path):
    given = arguments(data, tmp_path, store, options(batch_size=2, devices=2, epochs=1000))
    with start(tmp_path / "train.py", given) as process:
        next(line for line in process.stderr if "epoch 2 of" in line)
        left = children(process.pid)
        assert left
        process.send_signal(signal.SIGKILL)
    end = time.monotonic() + 20
    while any(Path(f"/proc/{number}").exists() for number in left):
        assert time.monotonic() < end
        time.sleep(0.2)


def test_volumes_train_on_two_processes(store, tmp_path):
    data = write_data(tmp_path / "data", SPLITS, size=32, volumes=True)
    chosen = options(batch_size=1, devices=2, epochs=1, patch=[8, 16, 16], patches_per_epoch=4)
    chosen["model"] |= {"dimensions": 3, "norm": "instance"}
    train(data, tmp_path / "run", store, chosen)
    assert sha256_file(tmp_path / "run/model.safetensors")
