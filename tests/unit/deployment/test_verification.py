"""`maskmill verify`, and bundles that hold several precisions: what passed the gate runs, the rest is refused."""

import shutil

import numpy as np
import pytest

from maskmill.cli import main
from maskmill.deployment.bundle import load_bundle
from maskmill.files import read_json, sha256_file, write_json
from maskmill.imaging.images import read_label_png
from maskmill.inference.artifacts import OPSET, configured_artifacts
from tests.unit.export.test_parity import judge, pack

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def packed(trained, tmp_path_factory):
    """A bundle that holds FP32 and FP16, and was tried in OpenVINO's bf16."""
    folder = tmp_path_factory.mktemp("packed")
    artifacts = configured_artifacts(["fp32", "fp16"], ["bf16"])
    assert judge(trained, trained.folder / "model.onnx", folder, artifacts=artifacts)["passed"]
    pack(trained, folder, precisions=("fp32", "fp16"))
    return folder / "bundle"


@pytest.fixture
def bundle(packed, tmp_path):
    """A copy of the bundle."""
    return shutil.copytree(packed, tmp_path / "bundle")


def test_the_card_tells_what_the_bundle_runs_in(bundle):
    card = read_json(bundle / "bundle.json")

    assert card["opset"] == OPSET
    assert card["artifacts"] == [
        {"runtime": "onnxruntime", "precision": "fp32", "file": "model.onnx"},
        {"runtime": "onnxruntime", "precision": "fp16", "file": "model.fp16.onnx"},
        {"runtime": "openvino", "precision": "bf16", "file": "model.onnx"},
    ]
    assert card["files"]["model.fp16.onnx"] == sha256_file(bundle / "model.fp16.onnx")


def test_what_passed_the_gate_runs_and_gives_masks_close_to_the_default(trained, bundle, tmp_path):
    masks = {}
    for name, options in {
        "default": [],
        "named": ["--runtime", "onnxruntime", "--precision", "fp32"],
        "half": ["--precision", "fp16"],
        "bf16": ["--runtime", "openvino", "--precision", "bf16"],
    }.items():
        output = tmp_path / name
        assert main(["predict", str(bundle), str(trained.folder / "f.png"), "-o", str(output), *options]) == 0
        masks[name] = read_label_png(output / "f.png")

    assert (tmp_path / "named/f.png").read_bytes() == (tmp_path / "default/f.png").read_bytes()
    assert len(np.unique(masks["default"])) == 3
    for name in ("half", "bf16"):
        assert np.mean(masks[name] != masks["default"]) < 0.01


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--precision", "int8"], "has not been compared with its trained model in ONNX Runtime INT8"),
        (["--precision", "int8"], "export: {precisions: [fp32, int8]}"),
        (["--runtime", "openvino"], "export: {openvino: [fp32]}"),
        (["--runtime", "openvino", "--precision", "int8"], "OpenVINO has no precision int8; it has fp32, bf16"),
    ],
)
def test_what_did_not_is_refused_with_the_remedy(trained, bundle, tmp_path, capsys, options, words):
    picture = str(trained.folder / "f.png")

    assert main(["predict", str(bundle), picture, "-o", str(tmp_path / "out"), *options]) == 1

    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_whole_bundle_is_verified(bundle, capsys):
    (bundle / "notes.txt").write_text("mine")
    (bundle / ".snakemake_timestamp").touch()  # what Snakemake leaves in folders that are outputs

    assert main(["verify", str(bundle)]) == 0

    said = capsys.readouterr().err
    assert "all 4 files are as they were packed" in said
    assert sha256_file(bundle / "bundle.json") in said
    assert "notes.txt is not part of the bundle" in said
    assert "snakemake_timestamp" not in said
    load_bundle(bundle)


def test_every_file_that_does_not_match_is_named(bundle, capsys):
    (bundle / "model.fp16.onnx").unlink()
    (bundle / "parity.json").write_text("{}")

    assert main(["verify", str(bundle)]) == 1

    said = capsys.readouterr().err
    assert "  - model.fp16.onnx: missing" in said
    assert "  - parity.json: differs from its recorded digest" in said
    assert "model.safetensors" not in said


def test_what_is_no_bundle_or_of_another_version_is_told(bundle, tmp_path, capsys):
    assert main(["verify", str(tmp_path)]) == 1
    assert "is not a bundle" in capsys.readouterr().err
    write_json(bundle / "bundle.json", read_json(bundle / "bundle.json") | {"schema_version": 5})
    assert main(["verify", str(bundle)]) == 1
    assert "schema version 5" in capsys.readouterr().err
    for content in ('{"schema_version": ', "[]"):
        (bundle / "bundle.json").write_text(content)
        assert main(["verify", str(bundle)]) == 1
        assert "bundle.json is broken" in capsys.readouterr().err
