"""The cases of a split, their files, and what stands between a volume's probabilities and its mask."""

import nibabel
import numpy as np
import pytest

from maskmill.classes import Classes
from maskmill.data.cases import label_paths, mask_path, read_cases, read_mask, write_mask
from maskmill.errors import MaskmillError
from maskmill.files import write_json, write_table
from maskmill.imaging.images import write_label_png
from maskmill.inference.postprocess import postprocess_masks
from maskmill.inference.prediction import predict_split
from tests.unit.member import VOLUME_TILING, VOLUMES, make_member
from tests.unit.volume_data import turned_affine, write_nifti, write_series

CLASSES = Classes.from_config(["roof", "road"])


@pytest.fixture
def tables(tmp_path):
    """A picture and a volume of the test and one of the training, of samples.csv and splits.csv."""
    write_label_png(tmp_path / "p.png", np.full((3, 4), 7, np.uint8), CLASSES)
    pixels = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    write_nifti(tmp_path / "v.nii.gz", pixels.transpose(2, 1, 0), turned_affine())
    rows = [
        {"id": "v", "group": "own", "shard": "01", "image": tmp_path / "v.nii.gz", "depth": 3},
        {"id": "p", "group": "own", "shard": "00", "image": tmp_path / "p.png", "depth": 1},
        {"id": "t", "group": "own", "shard": "00", "image": "nowhere", "depth": 1},
    ]
    write_table(tmp_path / "samples.csv", rows, list(rows[0]))
    splits = [{"id": row["id"], "group": "united", "shard": row["shard"], "fold0": "test"} for row in rows]
    splits[2]["fold0"] = "train"
    write_table(tmp_path / "splits.csv", splits, list(splits[0]))
    return tmp_path / "samples.csv", tmp_path / "splits.csv"


def test_cases_are_those_of_the_split_by_id_with_its_groups(tables):
    cases = read_cases(*tables, 0, "test")

    assert [(case.id, case.group, case.is_volume) for case in cases] == [("p", "united", False), ("v", "united", True)]
    assert [case.pixels().shape for case in cases] == [(1, 3, 4, 3), (3, 4, 5, 1)]
    for case, number in zip(cases, (0, 2), strict=True):
        np.testing.assert_array_equal(case.page(number), case.pixels()[number])


def test_a_split_without_cases_is_refused(tables):
    with pytest.raises(MaskmillError, match="no validation case in column fold0; change"):
        read_cases(*tables, 0, "validation")


def test_labels_lie_in_the_folder_of_the_shard(tables, tmp_path):
    cases = read_cases(*tables, 0, "test")
    folders = [tmp_path / "labels/01", tmp_path / "labels/00"]

    assert label_paths(cases, folders) == [folders[1] / "p.png", folders[0] / "v.nii.gz"]
    with pytest.raises(MaskmillError, match=r"1 shards have no label folder; draw their labels:\n00$"):
        label_paths(cases, folders[:1])


def test_masks_come_back_as_they_were_written(tables, tmp_path):
    series = write_series(tmp_path / "series", np.zeros((3, 4, 5), np.int16), turned_affine())
    for name, shape, like in (("p", (1, 3, 4), "p.png"), ("v", (3, 4, 5), "v.nii.gz"), ("s", (3, 4, 5), series)):
        mask = np.random.default_rng(0).integers(0, 3, shape).astype(np.uint8)
        path = mask_path(tmp_path / "masks/deep", name, is_volume=shape[0] > 1)
        write_mask(path, mask, CLASSES, like=tmp_path / like)
        np.testing.assert_array_equal(read_mask(path), mask)
        if shape[0] > 1:
            np.testing.assert_allclose(nibabel.load(path).affine, turned_affine(), atol=1e-5)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_split_of_volumes_is_predicted_and_decided(tmp_path, dimensions):
    member = make_member(tmp_path, volumes=True, dimensions=dimensions)
    tables = [member.tables[name] for name in ("samples", "splits")]

    files = [member.files["model"]], [member.files["config"]]
    predict_split(*files, *tables, "validation", VOLUME_TILING, tmp_path / "p")
    write_json(tmp_path / "point.json", {"thresholds": [0.3, 0.35], "steps": []})
    postprocess_masks(tmp_path / "p", tmp_path / "point.json", tables[0], CLASSES, tmp_path / "masks")

    for name, size in VOLUMES.items():
        probabilities = np.load(tmp_path / f"p/{name}.npy")
        assert (probabilities.dtype, probabilities.shape) == (np.uint8, (2, *size))
        mask = read_mask(tmp_path / f"masks/{name}.nii.gz")
        expected = np.where(probabilities[0] / 76 >= probabilities[1] / 89, 1, 2)  # 0.3 and 0.35 of 255
        decided = (probabilities[0] >= 76) | (probabilities[1] >= 89)
        np.testing.assert_array_equal(mask, np.where(decided, expected, 0))
        np.testing.assert_array_equal(
            nibabel.load(tmp_path / f"masks/{name}.nii.gz").affine, nibabel.load(tmp_path / f"{name}.nii.gz").affine
        )
