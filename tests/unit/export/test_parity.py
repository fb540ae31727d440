"""ONNX export: stable bytes, free sizes, and a gate that catches what is not equal to the model."""

import json
import logging
import shutil

import numpy as np
import onnx
import pytest

from maskmill.deployment.bundle import load_bundle
from maskmill.deployment.packing import pack_members
from maskmill.errors import MaskmillError
from maskmill.export.onnx import export_onnx
from maskmill.export.parity import check_member_parity
from maskmill.files import read_json, write_json
from maskmill.inference.artifacts import EXACT, onnx_name
from maskmill.inference.runtimes import OnnxRuntime, TorchRuntime
from tests.unit.member import CLASSES, LIMITS, TILING, make_member, write_weights

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def member(tmp_path_factory):
    """A member with its ONNX export."""
    made = make_member(tmp_path_factory.mktemp("member"))
    export_onnx(made.files["model"], made.folder / "model.onnx")
    return made


def judge(member, onnx_file, folder, tiling=TILING, artifacts=(EXACT,)):
    """The verdict on an ONNX file, and on those of further artifacts beside it, against the member."""
    exports = folder / "export"
    exports.mkdir(exist_ok=True)
    shutil.copy(onnx_file, exports / "model.onnx")
    names = dict.fromkeys(artifact.file for artifact in artifacts)
    for name in names:
        if name != "model.onnx":
            shutil.copy(onnx_file.with_name(name), exports)
    check_member_parity(
        onnx=[exports / name for name in names],
        artifacts=artifacts,
        **member.inputs,
        **member.tables,
        tiling=tiling,
        limits=LIMITS,
        verdict=folder / "parity.json",
        pictures=folder / "parity",
    )
    return read_json(folder / "parity.json")


def pack(member, folder, tiling=TILING, precisions=("fp32",)):
    """Pack the member's bundle by the verdict in `folder`."""
    pack_members(
        onnx=[member.folder / onnx_name(precision) for precision in precisions],
        **member.inputs,
        parity=folder / "parity.json",
        summary=member.folder / "summary.json",
        splits=member.folder / "splits.csv",
        fingerprint=member.folder / "fingerprint.json",
        tiling=tiling,
        output=folder / "bundle",
    )


def test_the_same_weights_give_the_same_bytes(member, tmp_path):
    export_onnx(member.files["model"], tmp_path / "again.onnx")

    assert (tmp_path / "again.onnx").read_bytes() == (member.folder / "model.onnx").read_bytes()


def test_the_exporter_is_quiet_and_warnings_that_are_news_are_not(member, tmp_path, caplog, capfd):
    caplog.set_level(logging.INFO)

    export_onnx(member.files["model"], tmp_path / "again.onnx")

    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO] == []
    assert capfd.readouterr() == ("", "")
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    registration.warning("torchvision is not installed")
    assert caplog.messages[-1] == "torchvision is not installed"


def test_no_path_of_this_machine_is_in_the_file(member):
    assert b".py" not in (member.folder / "model.onnx").read_bytes()


def test_metadata_travels_along(member):
    properties = {entry.key: entry.value for entry in onnx.load(member.folder / "model.onnx").metadata_props}

    assert json.loads(properties["maskmill"])["classes"] == list(CLASSES.names)


@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (5, 3, 32, 64), (2, 3, 100, 4)])
def test_any_batch_height_and_width(member, shape):
    batch = np.random.default_rng(0).standard_normal(shape).astype(np.float32)

    expected = TorchRuntime(member.files["model"], 1)(batch)
    result = OnnxRuntime(member.folder / "model.onnx", 1)(batch)

    assert result.shape == (shape[0], len(CLASSES), *shape[2:])
    assert np.abs(result - expected).max() < 1e-5


@pytest.mark.parametrize(
    "options",
    [
        {"attention": "cbam", "act": "silu"},
        {"norm": "group", "downsampling": "strided"},
        {"norm": "instance", "upsampling": "transposed", "depth": 3},
    ],
)
def test_every_model_option_exports(tmp_path, options):
    write_weights(tmp_path / "model.safetensors", seed=3, **options)
    export_onnx(tmp_path / "model.safetensors", tmp_path / "model.onnx")
    batch = np.random.default_rng(0).standard_normal((2, 3, 24, 40)).astype(np.float32)

    expected = TorchRuntime(tmp_path / "model.safetensors", 1)(batch)
    assert np.abs(OnnxRuntime(tmp_path / "model.onnx", 1)(batch) - expected).max() < 1e-5


def test_an_equal_export_passes_and_is_packed(member, tmp_path):
    verdict = judge(member, member.folder / "model.onnx", tmp_path)
    pack(member, tmp_path)

    assert verdict["passed"]
    assert verdict["pictures"] == 2
    assert load_bundle(tmp_path / "bundle").run_id == "0123456789ab"


def test_changed_weights_are_caught_and_nothing_is_packed(member, tmp_path):
    graph = onnx.load(member.folder / "model.onnx")
    weights = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = onnx.numpy_helper.to_array(weights)
    weights.CopyFrom(onnx.numpy_helper.from_array(values * 1.05, weights.name))
    onnx.save(graph, tmp_path / "changed.onnx")

    verdict = judge(member, tmp_path / "changed.onnx", tmp_path)

    assert not verdict["passed"]
    with pytest.raises(MaskmillError, match=r"(?s)mask_disagreement.* on (a|b), limit 0\.0001"):
        pack(member, tmp_path)
    assert not (tmp_path / "bundle").exists()


def test_a_verdict_on_another_file_is_refused(member, tmp_path):
    judge(member, member.folder / "model.onnx", tmp_path)
    verdict = read_json(tmp_path / "parity.json")
    write_json(tmp_path / "parity.json", verdict | {"files": {"model.onnx": "0" * 64}})

    with pytest.raises(MaskmillError, match=r"is not about model\.onnx as exported now"):
        pack(member, tmp_path)


def test_another_model_is_caught(member, tmp_path):
    write_weights(tmp_path / "other.safetensors", seed=2)
    export_onnx(tmp_path / "other.safetensors", tmp_path / "other.onnx")

    assert not judge(member, tmp_path / "other.onnx", tmp_path)["passed"]


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_damaged_bundle_is_refused(member, tmp_path, damage):
    judge(member, member.folder / "model.onnx", tmp_path)
    pack(member, tmp_path)
    model = tmp_path / "bundle/model.onnx"
    if damage == "missing":
        model.unlink()
    else:
        model.write_bytes(model.read_bytes()[:-1] + b"x")

    with pytest.raises(MaskmillError, match=r"damaged: model\.onnx"):
        load_bundle(tmp_path / "bundle")


def test_what_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(MaskmillError, match="no bundle"):
        load_bundle(tmp_path)
