"""The model of MLflow's flavour, apart from MLflow."""

from unittest.mock import Mock

import numpy as np

from maskmill.deployment import pyfunc
from maskmill.imaging import volumes
from tests.unit.volume_data import write_nifti


def test_nothing_stays_of_a_volume_once_its_mask_is_out(tmp_path, monkeypatch):
    def segment(recipe, runtime, picture, target, beside):
        volumes.read_page(picture, 0)
        target.write_bytes(b"mask")

    monkeypatch.setattr(pyfunc, "segment_picture", segment)
    monkeypatch.setattr(pyfunc, "load_bundle", Mock())
    content = write_nifti(tmp_path / "a.nii.gz", np.zeros((5, 4, 3), np.uint8)).read_bytes()
    before = set(volumes._OPEN)

    assert pyfunc.BundleModel(tmp_path)._segment(content) == (b"mask", ".nii.gz")
    assert set(volumes._OPEN) <= before
