"""FP16 and INT8 files: free sizes, stable bytes, what they know of themselves, and who calibrated them."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from maskmill.data.cases import read_cases
from maskmill.errors import MaskmillError
from maskmill.export.onnx import export_members, export_onnx
from maskmill.export.quantization import calibration_tiles, quantize, quantize_members, spread
from maskmill.files import sha256_file
from maskmill.inference.artifacts import OPSET, Artifact, configured_artifacts
from maskmill.inference.members import join_members
from maskmill.inference.runtimes import OnnxRuntime, TorchRuntime
from maskmill.inference.tiling import resolve_tiling
from maskmill.runs import read_run
from tests.unit.export.test_parity import judge, pack
from tests.unit.export.trained import PARTS
from tests.unit.member import CLASSES, TILING, make_ensemble, write_weights

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
ROOT = Path(__file__).parents[3]


def quantized(trained, output, cases=8):
    """The INT8 file of a trained."""
    tables = {name: trained.tables[name] for name in ("samples", "splits")}
    quantize_members(
        trained.folder / "model.onnx", trained.inputs["configs"], **tables, tiling=TILING, cases=cases, output=output
    )
    return output


def properties(path):
    """The metadata of an ONNX file."""
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def test_files_know_what_they_are_of(trained, tmp_path):
    run = read_run(trained.files["config"])
    int8 = quantized(trained, tmp_path / "model.int8.onnx")

    for path, precision in ((trained.folder / "model.onnx", "fp32"), (int8, "int8")):
        found = properties(path)
        assert found.keys() == {"maskmill"}
        known = json.loads(found["maskmill"])
        assert json.dumps(known, sort_keys=True) == found["maskmill"]
        assert known["classes"] == list(CLASSES.names)
        assert known["preprocessing"] == run["preprocessing"]
        assert known["run_id"] == run["run_id"]
        assert known["weights_sha256"] == sha256_file(trained.files["model"])
        assert known["precision"] == precision
        assert onnx.load(path).opset_import[0].version == OPSET


def test_only_training_pictures_calibrate(trained, tmp_path):
    int8 = quantized(trained, tmp_path / "model.int8.onnx")

    used = json.loads(properties(int8)["maskmill"])["calibration"]
    assert used == [name for name, part in PARTS.items() if part == "train"]


def test_a_file_that_a_test_picture_calibrated_is_not_packed(trained, tmp_path):
    int8 = quantized(trained, tmp_path / "model.int8.onnx")
    seen = next(name for name, part in PARTS.items() if part == "test")
    changed = onnx.load(int8)
    known = json.loads(properties(int8)["maskmill"])
    onnx.helper.set_model_props(changed, {"maskmill": json.dumps(known | {"calibration": [seen]}, sort_keys=True)})
    onnx.save(changed, int8)
    for file in trained.folder.iterdir():
        if file.is_file() and not (tmp_path / file.name).exists():
            shutil.copy(file, tmp_path)
    judge(trained, tmp_path / "model.onnx", tmp_path, artifacts=configured_artifacts(["int8"], []))

    with pytest.raises(MaskmillError, match=rf"calibration \(.*model.int8.onnx\): {seen} is a test sample"):
        pack(replace(trained, folder=tmp_path), tmp_path, precisions=("fp32", "int8"))


def test_calibration_tiles_are_what_the_network_sees(trained):
    joined = join_members([read_run(trained.files["config"])], TILING)
    cases = read_cases(trained.tables["samples"], trained.tables["splits"], 0, "train")
    tiling = replace(resolve_tiling(TILING, joined.run), batch_size=1)

    tiles = list(calibration_tiles(joined, tiling, cases))

    assert len(tiles) == 4 * 3
    assert {tile.shape for tile in tiles} == {(1, 3, 32, 32)}
    assert all(abs(float(tile.mean())) < 1 for tile in tiles)


def test_spread_takes_both_ends_and_what_is_between():
    assert spread("abcdefghi", 3) == ["a", "e", "i"]
    assert spread("ab", 3) == ["a", "b"]


def test_two_processes_write_the_same_int8_bytes(trained, tmp_path):
    expected = quantized(trained, tmp_path / "model.int8.onnx").read_bytes()
    script = (
        "from pathlib import Path; from maskmill.export.quantization import quantize_members;"
        f"quantize_members(Path({str(trained.folder / 'model.onnx')!r}), [Path({str(trained.files['config'])!r})],"
        f"Path({str(trained.tables['samples'])!r}), Path({str(trained.tables['splits'])!r}), {TILING!r}, 8,"
        f"Path({str(tmp_path / 'again.onnx')!r}))"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, env=os.environ | {"PYTHONHASHSEED": "7"})

    assert (tmp_path / "again.onnx").read_bytes() == expected


def test_branches_of_a_graph_read_what_was_quantised(tmp_path):
    """An early exit's decoder is in branches, which the quantiser leaves alone: its skips must still be activated."""
    write_weights(tmp_path / "model.safetensors", 1, architecture="early_exit_unet")
    export_onnx(tmp_path / "model.safetensors", tmp_path / "model.onnx")
    random = np.random.default_rng(0)
    tiles = [random.standard_normal((1, 3, 16, 24)).astype(np.float32) for _ in range(3)]
    quantize(tmp_path / "model.onnx", tiles, tmp_path / "int8.onnx")
    expected = TorchRuntime(tmp_path / "model.safetensors", 1)

    exported = OnnxRuntime(tmp_path / "int8.onnx", 1)

    assert max(np.abs(exported(tile) - expected(tile)).max() for tile in tiles) < 0.15  # 0.28 and more without


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dimensions": 3, "planar": 1},
        {"architecture": "early_exit_unet"},
        {"upsampling": "transposed", "residual": True, "norm": "instance", "deep_supervision": True},
        {"downsampling": "strided", "attention": "cbam", "norm": "group", "act": "silu"},
        {"dimensions": 3, "upsampling": "transposed", "downsampling": "strided", "attention": "cbam", "norm": "group"},
    ],
)
def test_every_model_option_has_all_precisions_at_any_size(tmp_path, options):
    write_weights(tmp_path / "model.safetensors", seed=3, **options)
    export_onnx(tmp_path / "model.safetensors", tmp_path / "model.onnx")
    export_onnx(tmp_path / "model.safetensors", tmp_path / "model.fp16.onnx", "fp16")
    again = tmp_path / "again.onnx"
    export_onnx(tmp_path / "model.safetensors", again, "fp16")
    assert again.read_bytes() == (tmp_path / "model.fp16.onnx").read_bytes()
    random, axes = np.random.default_rng(0), options.get("dimensions", 2)
    tiles = [random.standard_normal((1, 3, *(8, 16, 24)[-axes:])).astype(np.float32) for _ in range(3)]
    for symmetric in (True, False):
        quantize(tmp_path / "model.onnx", tiles, tmp_path / "model.int8.onnx", symmetric)
    expected = TorchRuntime(tmp_path / "model.safetensors", 1)

    # int8 of random weights is coarse: this tells that it runs at any size, the gate's tests what it is worth
    for artifact, limit in ((Artifact("onnxruntime", "fp16"), 0.02), (Artifact("openvino", "fp32"), 1e-4),
                            (Artifact("openvino", "bf16"), 0.2), (Artifact("onnxruntime", "int8"), 0.6)):  # fmt: skip
        runtime = artifact.open(tmp_path, 1)
        for shape in ((2, 3, *(16, 8, 40)[-axes:]), (1, 3, *(8, 24, 16)[-axes:])):
            batch = random.standard_normal(shape).astype(np.float32)
            found = runtime(batch)
            assert found.dtype == np.float32
            assert found.shape == (shape[0], len(CLASSES), *shape[2:])
            assert np.abs(found - expected(batch)).max() < limit, artifact.label


@pytest.mark.slow
def test_an_ensemble_has_all_precisions(tmp_path):
    ensemble = make_ensemble(tmp_path / "ensemble", (0, 1))
    files = ensemble.inputs
    export_members(files["models"], files["configs"], tmp_path / "model.onnx")
    export_members(files["models"], files["configs"], tmp_path / "model.fp16.onnx", "fp16")
    tables = {name: ensemble.tables[name] for name in ("samples", "splits")}
    quantize_members(
        tmp_path / "model.onnx", files["configs"], **tables, tiling=TILING, cases=4, output=tmp_path / "model.int8.onnx"
    )
    joined = join_members([read_run(config) for config in files["configs"]], TILING)
    expected = joined.torch_runtime(files["models"], 1)
    batch = np.random.default_rng(0).uniform(0, 1, (2, 3, 24, 40)).astype(np.float32)

    for precision, limit in (("fp32", 1e-5), ("fp16", 0.02), ("int8", 0.6)):
        artifact = Artifact("onnxruntime", precision)
        assert np.abs(artifact.open(tmp_path, 1)(batch) - expected(batch)).max() < limit
        known = json.loads(properties(tmp_path / artifact.file)["maskmill"])
        assert known["members"].keys() == set(joined.names)
        assert known["precision"] == precision
    assert known["calibration"] == ["b"]  # what trained the first fold


def test_the_network_alone_computes_in_half_precision(tmp_path):
    write_weights(tmp_path / "model.safetensors", 1)
    export_onnx(tmp_path / "model.safetensors", tmp_path / "half.onnx", "fp16")

    graph = onnx.load(tmp_path / "half.onnx").graph
    half = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT16}
    for node in graph.node:
        if node.op_type == "Conv":
            assert set(node.input[1:]) <= half
    assert (tmp_path / "half.onnx").stat().st_size < 0.75 * (tmp_path / "model.safetensors").stat().st_size
    ends = [value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)]
    assert ends == [onnx.TensorProto.FLOAT] * 2
    batch = torch.randn(2, 3, 16, 24, generator=torch.manual_seed(0)).numpy()
    expected = TorchRuntime(tmp_path / "model.safetensors", 1)(batch)
    assert 0 < np.abs(OnnxRuntime(tmp_path / "half.onnx", 1)(batch) - expected).max() < 0.01


def test_a_precision_that_does_not_exist_is_refused(tmp_path):
    write_weights(tmp_path / "model.safetensors", 1)

    with pytest.raises(MaskmillError, match='precision is "int8"'):
        export_onnx(tmp_path / "model.safetensors", tmp_path / "model.onnx", "int8")
    with pytest.raises(MaskmillError, match="OpenVINO has no precision fp16; it has fp32, bf16"):
        configured_artifacts(["fp32"], ["fp16"])
    assert configured_artifacts(["int8"], ["bf16"]) == [
        Artifact(), Artifact("onnxruntime", "int8"), Artifact("openvino", "bf16"),
    ]  # fmt: skip
