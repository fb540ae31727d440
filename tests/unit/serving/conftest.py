"""A bundle as a run packs it, for tests of what serves it."""

import shutil

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

from maskmill.export.onnx import export_onnx
from maskmill.files import read_json, write_json
from maskmill.metrics import METRICS
from tests.unit.export.test_parity import judge, pack
from tests.unit.member import CLASSES, make_member

ESTIMATE = {"mean": 0.5, "low": 0.25, "high": 0.75, "resampled": "groups", "n_cases": 12, "n_groups": 6, "undefined": 0}


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """A packed bundle with the pictures a.png and b.png in the folder above it."""
    member = make_member(tmp_path_factory.mktemp("serving"))
    run = yaml.safe_load(member.files["config"].read_text(encoding="utf-8"))
    member.files["config"].write_text(yaml.safe_dump(run | {"experiment": "baseline"}), encoding="utf-8")
    scores = {name: dict.fromkeys(METRICS, ESTIMATE) for name in (*CLASSES.names, "mean")}
    write_json(member.folder / "summary.json", {"test": scores})
    export_onnx(member.files["model"], member.folder / "model.onnx")
    judge(member, member.folder / "model.onnx", member.folder)
    pack(member, member.folder)
    return member.folder / "bundle"


@pytest.fixture(scope="session")
def old_bundle(bundle, tmp_path_factory):
    """The same as packed before bundles said what pixel types they were trained on."""
    card = read_json(bundle / "bundle.json")
    del card["recipe"]["preprocessing"]["pixel_types"]
    folder = tmp_path_factory.mktemp("old") / "bundle"
    shutil.copytree(bundle, folder)
    write_json(folder / "bundle.json", card | {"schema_version": 6})
    return folder


@pytest.fixture(scope="session")
def deep_picture(tmp_path_factory):
    """A TIFF picture of 16 bits a channel."""
    file = tmp_path_factory.mktemp("deep") / "deep.tif"
    pixels = np.random.default_rng(4).integers(0, 1 << 16, (40, 50, 3)).astype(np.uint16)
    tifffile.imwrite(file, pixels, photometric="rgb")
    return file


@pytest.fixture(scope="session")
def picture(tmp_path_factory):
    """A PNG picture of 90 x 70 pixels that needs several tiles."""
    file = tmp_path_factory.mktemp("pictures") / "picture.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (70, 90, 3), np.uint8)).save(file)
    return file
