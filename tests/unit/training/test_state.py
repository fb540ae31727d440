"""The training state on disk."""

import errno
import os
import time

import pytest
import torch

import maskmill.training.state
from maskmill.errors import MaskmillError
from maskmill.training.state import StateFolder
from tests.unit.full_disk import limited_files

DIGEST = "a" * 64


def state(epoch):
    return {"epoch": epoch, "weights": {"w": torch.full((500,), float(epoch))}, "history": [{"iou": None}], "name": "ä"}


@pytest.fixture
def saved(tmp_path):
    """A folder where epochs 1 and 2 were saved."""
    with StateFolder(tmp_path, DIGEST) as states:
        states.save(state(1))
        states.save(state(2))
    return tmp_path


def load(folder, digest=DIGEST):
    with StateFolder(folder, digest) as states:
        return states.load()


def test_nothing_saved_is_none(tmp_path):
    assert load(tmp_path / "folder") is None


def test_the_last_state_comes_back(saved):
    loaded = load(saved)
    assert loaded["epoch"] == 2
    assert torch.equal(loaded["weights"]["w"], torch.full((500,), 2.0))
    assert loaded["history"] == [{"iou": None}]
    assert loaded["name"] == "ä"


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwrite(path):
    path.write_bytes(b"no state at all")


def empty(path):
    path.write_bytes(b"")


def flip_a_weight(path):
    content = bytearray(path.read_bytes())
    place = content.find(torch.full((500,), 2.0).numpy().tobytes())
    assert place > 0
    content[place + 100] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, overwrite, empty, flip_a_weight])
def test_a_damaged_state_falls_back_to_the_previous_one(saved, caplog, damage):
    damage(saved / "state.pt")
    with StateFolder(saved, DIGEST) as states:
        assert states.load()["epoch"] == 1
        assert "state.pt cannot be read" in caplog.text
        states.save(state(2))
        assert states.load()["epoch"] == 2
    truncate(saved / "state.pt")
    assert load(saved)["epoch"] == 1, "the damaged state must not have taken the place of the previous one"


def test_two_damaged_states_are_none(saved):
    truncate(saved / "state.pt")
    truncate(saved / "previous.pt")
    assert load(saved) is None


def test_a_damaged_state_stays_to_be_looked_at(saved):
    truncate(saved / "state.pt")
    damaged = (saved / "state.pt").read_bytes()
    load(saved)
    assert (saved / "damaged.state.pt").read_bytes() == damaged


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), r"out of memory while reading .*state\.pt \(0 MB\)"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory while reading"),
        (OSError(errno.EIO, "Input/output error"), r"state\.pt cannot be read at present \(Input/output error\)"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
    ],
)
def test_what_may_pass_is_not_taken_for_damage(saved, monkeypatch, error, words):
    def fail(*_arguments, **_named):
        raise error

    with monkeypatch.context() as patched, StateFolder(saved, DIGEST) as states:
        patched.setattr(torch, "load", fail)
        with pytest.raises(MaskmillError, match=words):
            states.load()
    assert load(saved)["epoch"] == 2


def test_a_state_that_finds_no_room_leaves_the_last_one_and_says_how_large_it_is(saved):
    large = {"weights": torch.zeros(2**20)}
    with StateFolder(saved, DIGEST) as states:
        with limited_files(2**20), pytest.raises(MaskmillError, match=r"no room .* \(4 MB\) in .* \(File too large"):
            states.save(large)
        assert not (saved / "next.pt").exists()
        assert states.load()["epoch"] == 2
        states.save(large)
        assert len(states.load()["weights"]) == 2**20


def test_a_foreign_state_is_set_aside(saved, caplog):
    assert load(saved, "b" * 64) is None
    assert "belongs to other options, data or code" in caplog.text
    assert (saved / "aaaaaaaaaaaa.state.pt").exists()
    assert (saved / "aaaaaaaaaaaa.previous.pt").exists()
    assert load(saved) is None


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_a_kill_while_saving_loses_at_most_that_epoch(saved, monkeypatch, moment):
    class Killed(BaseException):
        pass

    calls = []

    def count(function):
        def counted(*arguments):
            calls.append(arguments)
            if len(calls) == moment:
                raise Killed
            return function(*arguments)

        return counted

    with monkeypatch.context() as patched, StateFolder(saved, DIGEST) as states:
        patched.setattr(os, "fsync", count(os.fsync))
        patched.setattr(os, "replace", count(os.replace))
        with pytest.raises(Killed):
            states.save(state(3))
    assert load(saved)["epoch"] == 2


def test_no_code_is_run_from_a_state(saved):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(saved / "hacked"),)

    torch.save({"digest": DIGEST, "state": Evil()}, saved / "state.pt")
    assert load(saved)["epoch"] == 1
    assert not (saved / "hacked").exists()


def test_a_training_that_was_taken_over_saves_no_more(saved):
    with StateFolder(saved, DIGEST) as states:
        (saved / "owner").write_text("{}")
        with pytest.raises(MaskmillError, match="another process took over"):
            states.save(state(3))
        assert states.load()["epoch"] == 2


def test_a_state_is_due_some_time_after_the_last(saved, monkeypatch):
    with StateFolder(saved, DIGEST) as states:
        assert not states.is_due()
        monkeypatch.setattr(maskmill.training.state, "SECONDS_BETWEEN_SAVES", 0.02)
        time.sleep(0.03)
        assert states.is_due()
        states.save(state(3))
        assert not states.is_due()


def test_all_but_the_last_state_can_be_forgotten(saved):
    for name in ("damaged.state.pt", "bbbbbbbbbbbb.state.pt", "bbbbbbbbbbbb.previous.pt"):
        (saved / name).touch()
    with StateFolder(saved, DIGEST) as states:
        states.forget_others()
        assert states.load()["epoch"] == 2
    assert sorted(path.name for path in saved.iterdir()) == ["lock", "state.pt"]


def test_what_was_half_saved_takes_no_room_any_more(tmp_path):
    (tmp_path / "next.pt").write_bytes(b"half")

    with StateFolder(tmp_path, "digest"):
        assert not (tmp_path / "next.pt").exists()
