"""Pictures and volumes by name, before anything of them is read."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from maskmill.dag.pictures import dicom_files, find_pictures, strip_suffix
from maskmill.errors import MaskmillError
from tests.unit.volume_data import write_series


@pytest.fixture
def folder(tmp_path):
    """A folder with pictures, volumes and a DICOM series, some in folders below, and other files."""
    for name in ("a.png", "notes.txt", "deep/b.TIF", "deep/c.nii", "deep/d.e.nii.gz"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    write_series(tmp_path / "in/patient/ct", np.zeros((3, 4, 4), np.int16))
    return tmp_path / "in"


def test_pictures_are_named_by_their_path_below_the_folder(folder):
    assert find_pictures([folder]) == {
        "a": folder / "a.png",
        "deep/b": folder / "deep/b.TIF",
        "deep/c": folder / "deep/c.nii",
        "deep/d.e": folder / "deep/d.e.nii.gz",
        "patient/ct": folder / "patient/ct",
    }


def test_files_and_series_named_have_their_own_names(folder, monkeypatch):
    assert find_pictures([folder / "deep/d.e.nii.gz", folder / "patient/ct"]) == {
        "d.e": folder / "deep/d.e.nii.gz",
        "ct": folder / "patient/ct",
    }
    monkeypatch.chdir(folder / "patient/ct")
    assert list(find_pictures(["."])) == ["ct"]


def test_linked_folders_are_looked_into_once(folder, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far/z.png").touch()
    (folder / "linked").symlink_to(tmp_path / "far")
    (tmp_path / "far/back").symlink_to(folder)

    assert {"linked/z", "a", "deep/b"} <= set(find_pictures([folder]))
    assert len(find_pictures([folder])) == 6


def test_a_name_that_is_no_utf8_is_told_with_the_others(tmp_path):
    (tmp_path / os.fsdecode(b"stra\xdfe.png")).touch()

    with pytest.raises(MaskmillError, match=r"stra\\xdfe\.png': a name that is not UTF-8; rename it"):
        find_pictures([tmp_path])


def test_masks_of_one_name_and_empty_places_are_all_listed(folder, tmp_path):
    for name in ("empty", "twin"):
        (tmp_path / name).mkdir()
    (tmp_path / "twin/a.png").touch()

    with pytest.raises(MaskmillError) as error:
        find_pictures([folder / "a.png", tmp_path / "twin/a.png", tmp_path / "empty", tmp_path / "missing"])

    assert str(error.value).splitlines()[1:] == [
        f"  - {tmp_path / 'empty'}: a folder without pictures (.bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp, .npy, "
        ".nii, .nii.gz, DICOM files)",
        f"  - {tmp_path / 'missing'}: no such file or folder",
        f"  - {folder / 'a.png'}: several masks would be called a",
        f"  - {tmp_path / 'twin/a.png'}: several masks would be called a",
    ]


def test_names_that_differ_in_the_suffix_alone_keep_it(folder):
    for name in ("a.jpg", "deep/c.tif", "deep/c.png", "e"):
        (folder / name).touch()

    found = find_pictures([folder])

    assert {name: file.relative_to(folder).as_posix() for name, file in found.items()} == {
        "a.jpg": "a.jpg",
        "a.png": "a.png",
        "deep/b": "deep/b.TIF",
        "deep/c.nii": "deep/c.nii",
        "deep/c.png": "deep/c.png",
        "deep/c.tif": "deep/c.tif",
        "deep/d.e": "deep/d.e.nii.gz",
        "patient/ct": "patient/ct",
    }


def test_a_name_kept_with_its_suffix_may_be_another_pictures(folder):
    for name in ("a.jpg", "a.png.tif"):
        (folder / name).touch()

    with pytest.raises(MaskmillError) as error:
        find_pictures([folder])

    assert str(error.value).splitlines()[1:] == [
        f"  - {folder / name}: several masks would be called a.png" for name in ("a.png", "a.png.tif")
    ]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.png", ["a"]),
        ("deep/*.nii*", ["c", "d.e"]),
        ("[b-e]*/?.TIF", ["deep/b"]),
        ("**/*.TIF", ["deep/b"]),
        ("d*", ["deep/b", "deep/c", "deep/d.e"]),
        ("**", ["a", "deep/b", "deep/c", "deep/d.e", "patient/ct"]),
        ("patient/*", ["ct"]),
        ("patient/ct/*.dcm", ["ct"]),
    ],
)
def test_what_a_pattern_finds_is_named_below_the_folders_that_it_spells_out(folder, pattern, names, monkeypatch):
    found = find_pictures([folder / pattern])

    assert list(found) == names
    below = {file for name, file in find_pictures([folder]).items() if name.endswith(tuple(names))}
    assert set(found.values()) == below
    monkeypatch.chdir(folder)
    assert {name: Path(folder, file) for name, file in find_pictures([pattern]).items()} == found


def test_a_name_that_looks_like_a_pattern_is_that_file(tmp_path):
    for name in ("a[1].png", "a1.png"):
        (tmp_path / name).touch()

    assert find_pictures([tmp_path / "a[1].png"]) == {"a[1]": tmp_path / "a[1].png"}


def test_a_folder_whose_name_looks_like_a_pattern_may_be_part_of_one(folder):
    folder.rename(folder.with_name("in [1]"))

    assert find_pictures([folder.with_name("in [1]") / "d*/*.TIF"]) == {
        "deep/b": folder.with_name("in [1]") / "deep/b.TIF"
    }


def test_patterns_without_pictures_are_listed(folder):
    with pytest.raises(MaskmillError, match=r"\*\.txt: a pattern that no picture has"):
        find_pictures([folder / "*.txt"])


def test_what_is_named_twice_counts_once(folder):
    assert find_pictures([folder / "a.png", folder / "a.png", folder / "*.png"]) == {"a": folder / "a.png"}


def test_suffixes_are_stripped_whole():
    assert [strip_suffix(name) for name in ("a.b.png", "x/a.NII.GZ", "a.gz")] == ["a.b", "x/a", "a"]


def test_a_series_is_its_files(folder):
    (folder / "patient/ct/preview.jpg").touch()
    (folder / "patient/ct/DICOMDIR").touch()

    assert [file.suffix for file in dicom_files(folder / "patient/ct")] == [".dcm"] * 3


def test_finding_needs_the_standard_library_alone():
    code = "import sys, maskmill.dag.pictures; print(*{'numpy', 'PIL', 'pydicom'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_masks_of_another_run_are_no_pictures(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.png", "in/deep/b.png", "in/masks/a.png", "in/masks/deep/b.png", "in/masks2/c.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    Path("link").symlink_to("in", target_is_directory=True)
    names = {"a", "deep/b", "masks2/c"}

    for place in ("in", tmp_path / "in", "link", "in/**/*.png", "in/*"):
        caplog.clear()
        assert set(find_pictures([place], Path("in/masks"))) == names
        assert caplog.messages == ["left out 2 pictures below in/masks, where masks are written"]
    caplog.clear()
    assert set(find_pictures(["in"], Path("link/masks"))) == names
    assert set(find_pictures(["in"], Path("elsewhere"))) == {*names, "masks/a", "masks/deep/b"}
    assert len(caplog.messages) == 1


def test_pictures_that_are_named_are_taken_wherever_masks_go(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.png", "in/deep/b.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()

    for output in (".", "in"):
        assert set(find_pictures(["in"], output)) == set(find_pictures(["in/**/*.png"], output)) == {"a", "deep/b"}
    assert set(find_pictures(["in/deep/b.png"], "in/deep")) == {"b"}
