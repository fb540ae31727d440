"""The digest of a source folder changes with its files, and is taken with the standard library alone."""

import os
import subprocess
import sys

import pytest

from maskmill.dag.sources import list_files, source_digest


@pytest.fixture
def source(tmp_path):
    for file in ("images/a.png", "images/b/c.png", "annotations/a.json"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(file)
    return {"images": f"{tmp_path}/images", "annotations": f"{tmp_path}/annotations"}


def test_files_are_relative_sorted_and_not_hidden(source, tmp_path):
    for hidden in (".DS_Store", "._a.png", ".ipynb_checkpoints/a.png"):
        (tmp_path / "images" / hidden).parent.mkdir(exist_ok=True)
        (tmp_path / "images" / hidden).write_text("")
    assert list_files(source["images"]) == ["a.png", "b/c.png"]
    assert list_files(tmp_path / "none") == []


def test_linked_folders_are_followed_but_not_in_circles(source, tmp_path):
    (tmp_path / "images" / "linked").symlink_to(tmp_path / "annotations")
    (tmp_path / "images" / "circle").symlink_to(tmp_path / "images")
    (tmp_path / "images" / "broken.png").symlink_to(tmp_path / "nothing")
    assert list_files(source["images"]) == ["a.png", "b/c.png", "linked/a.json"]


def test_digest_stays_while_nothing_changes(source):
    assert source_digest(source) == source_digest(dict(reversed(source.items())))


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "images/b/d.png").write_text(""),
        lambda root: (root / "images/b/c.png").unlink(),
        lambda root: (root / "images/b/c.png").rename(root / "images/c.png"),
        lambda root: (root / "annotations/a.json").write_text("longer than before"),
        lambda root: os.utime(root / "annotations/a.json", ns=(1, 1)),
        lambda root: (root / "images").rename(root / "elsewhere"),
    ],
    ids=["added", "removed", "moved", "edited", "touched", "folder-gone"],
)
def test_digest_changes_with_the_files(source, tmp_path, change):
    before = source_digest(source)
    change(tmp_path)
    assert source_digest(source) != before


def test_missing_and_empty_folder_differ(tmp_path):
    (tmp_path / "images").mkdir()
    source = {"images": f"{tmp_path}/images", "annotations": f"{tmp_path}/images"}
    assert source_digest(source) != source_digest(source | {"annotations": f"{tmp_path}/none"})


def test_imports_nothing_but_the_standard_library():
    code = (
        "import sys, maskmill.dag.sources, maskmill.dag.sharding; "
        "print(*{name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))"
    )
    output = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True).stdout
    assert set(output.split()) <= {"maskmill", "__main__"}
