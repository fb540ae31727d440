"""Files that appear whole or not at all, and what is left of those that did not."""

import subprocess
import sys

import pytest

from maskmill.files import atomic_path, remove_leftovers

KILLED = """
import os, signal, sys
from maskmill.files import atomic_path
with atomic_path(sys.argv[1]) as aside:
    if sys.argv[2] == "folder":
        aside.mkdir()
        aside = aside / "part.bin"
    aside.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def write_and_be_killed(path, kind="file"):
    subprocess.run([sys.executable, "-c", KILLED, str(path), kind], check=False)


@pytest.mark.parametrize(("name", "kind"), [("table.csv", "file"), ("03", "folder"), ("a [b].tif", "file")])
def test_what_a_killed_process_left_is_removed(tmp_path, name, kind):
    write_and_be_killed(tmp_path / name, kind)
    assert len(list(tmp_path.iterdir())) == 1
    assert not (tmp_path / name).exists()

    remove_leftovers(tmp_path / name)

    assert list(tmp_path.iterdir()) == []


def test_what_is_being_written_or_belongs_to_others_stays(tmp_path):
    write_and_be_killed(tmp_path / "table.csv")
    (leftover,) = tmp_path.iterdir()
    others = [tmp_path / "table.csv", tmp_path / ".table.csv", tmp_path / ".table.v1-2.csv"]
    for file in others:
        file.write_text("whole")
    with atomic_path(tmp_path / "table.csv") as aside:
        aside.write_text("being written")

        remove_leftovers(tmp_path / "table.csv")
        remove_leftovers(tmp_path / "other.csv")

        assert sorted(tmp_path.iterdir()) == sorted([aside, *others])
    assert not leftover.exists()


def test_a_folder_that_does_not_exist_has_no_leftovers(tmp_path):
    remove_leftovers(tmp_path / "absent/table.csv")

    assert list(tmp_path.iterdir()) == []
