"""How much memory is left."""

import resource

import pytest

from maskmill.training import free_memory
from maskmill.training.free_memory import free_megabytes, group_bytes, mapped_bytes

VERSIONS = {
    1: ("3:cpu:/\n4:devices,memory:{}\n", "memory/", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    2: ("0::{}\n", "", "memory.max", "memory.current", ""),
}


def write_group(root, version, group, limit, used, files):
    """A control group below a folder, `files` bytes of what it uses being files."""
    _, mount, of_limit, of_used, prefix = VERSIONS[version]
    folder = root / "sys/fs/cgroup" / mount / group
    folder.mkdir(parents=True, exist_ok=True)
    (folder / of_limit).write_text(f"{limit}\n")
    (folder / of_used).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 7\n{prefix}inactive_file {files - 1}\n{prefix}active_file 1\n")


def write_place(root, version, group):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(VERSIONS[version][0].format(group))


@pytest.mark.parametrize("version", [1, 2])
def test_groups_count_with_those_above_them(tmp_path, version):
    write_place(tmp_path, version, "/job/step")
    write_group(tmp_path, version, "job/step", 1000, 900, 300)
    write_group(tmp_path, version, "job", 800, 700, 200)
    assert list(group_bytes(tmp_path)) == [400, 300]


def test_a_container_that_does_not_show_its_group_has_the_limit_of_the_outermost(tmp_path):
    write_place(tmp_path, 1, "/docker/4711")
    write_group(tmp_path, 1, ".", 1000, 900, 100)
    assert list(group_bytes(tmp_path)) == [200]


def test_a_group_without_a_limit_says_nothing(tmp_path):
    write_place(tmp_path, 2, "/job")
    write_group(tmp_path, 2, "job", "max", 900, 100)
    assert list(group_bytes(tmp_path)) == []
    assert list(group_bytes(tmp_path / "a system without groups")) == []


def test_free_memory_is_the_least_of_all_limits(monkeypatch):
    assert 10 < free_megabytes("cpu") < 1e8
    monkeypatch.setattr(free_memory, "group_bytes", lambda: [5 * 2**20, 9 * 2**20])
    assert free_megabytes("cpu") == 5
    monkeypatch.setattr(resource, "getrlimit", lambda _: (mapped_bytes() + 2 * 2**20, -1))
    assert 0 <= free_megabytes("cpu") <= 2.5
    monkeypatch.setattr(free_memory, "group_bytes", lambda: [-7])
    assert free_megabytes("cpu") == 0
