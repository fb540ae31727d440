"""The engine's job: it is built and judged on one GPU, and packed only where it agrees; what is missing is named."""

import dataclasses
import os
import shutil

import numpy as np
import pytest

from maskmill.cli import main
from maskmill.deployment.bundle import load_bundle
from maskmill.deployment.packing import pack_members
from maskmill.errors import MaskmillError
from maskmill.export import engine_job
from maskmill.export.benchmark import benchmark_runtimes
from maskmill.export.engine_job import build_checked_engines
from maskmill.export.onnx import export_onnx
from maskmill.export.quantization import quantize_members
from maskmill.files import read_json, read_table
from maskmill.imaging.images import read_label_png
from maskmill.inference import cuda, engines
from maskmill.inference.artifacts import EXACT, Artifact
from maskmill.inference.engines import Backend, EngineTag, Profile, TensorRTRuntime, tag_path
from tests.unit.export.test_parity import judge
from tests.unit.export.test_parity import pack as pack_parity_only
from tests.unit.fake_gpu import FakeCuda, FakeTensorRT
from tests.unit.member import LIMITS, TILING, make_member, write_weights

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def member(tmp_path_factory):
    """A member with its ONNX export."""
    made = make_member(tmp_path_factory.mktemp("member"))
    export_onnx(made.files["model"], made.folder / "model.onnx")
    return made


@pytest.fixture
def gpu(monkeypatch):
    """A GPU with TensorRT, as far as tests can have one."""
    made = FakeCuda()
    monkeypatch.setattr(cuda, "_runtime", lambda: made)
    backend = Backend("tensorrt", FakeTensorRT(made))
    for module in (engines, engine_job):
        monkeypatch.setattr(module, "find_backend", lambda name=None: backend)
    return made


def build(member, folder, precisions=("fp32",)):
    """Build and judge the engines of the ONNX files in `export`; the verdict."""
    build_checked_engines(
        [folder / "export" / Artifact("tensorrt", precision).onnx for precision in precisions],
        precisions,
        **member.inputs,
        **member.tables,
        tiling=TILING,
        limits=LIMITS,
        timings=folder / "timings",
        verdict=folder / "engine_parity.json",
        pictures=folder / "engine_parity",
    )
    return read_json(folder / "engine_parity.json")


def pack(member, folder, precisions=("fp32",)):
    """Pack the ONNX file with the engines and their verdict."""
    engines = [folder / "export" / Artifact("tensorrt", precision).file for precision in precisions]
    pack_members(
        onnx=[folder / "export/model.onnx"],
        **member.inputs,
        parity=folder / "parity.json",
        summary=member.folder / "summary.json",
        splits=member.folder / "splits.csv",
        fingerprint=member.folder / "fingerprint.json",
        tiling=TILING,
        output=folder / "bundle",
        engines=[*engines, *map(tag_path, engines), *folder.glob("export/*symmetric.onnx")],
        engine_parity=folder / "engine_parity.json",
    )


def test_engines_are_built_for_the_tiles_of_prediction_and_judged(member, gpu, tmp_path):
    (tmp_path / "export").mkdir()
    shutil.copy(member.folder / "model.onnx", tmp_path / "export")
    export_onnx(member.files["model"], tmp_path / "export/model.fp16.onnx", "fp16")
    verdict = build(member, tmp_path, ("fp32", "fp16"))

    assert verdict["passed"]
    assert [one["label"] for one in verdict["artifacts"]] == ["TensorRT FP32", "TensorRT FP16"]
    single, half = (one["worst"]["probability_difference"]["value"] for one in verdict["artifacts"])
    assert single <= half  # each was judged by its own engine
    assert verdict["files"].keys() == {"model.engine", "model.fp16.engine"}
    tag = EngineTag.read(tmp_path / "export/model.fp16.engine")
    assert tag.profile == Profile((1, 3, 4, 4), (2, 3, 32, 32), (2, 3, 32, 32))
    assert (tmp_path / "engine_parity/tensorrt-fp16.png").stat().st_size > 0
    assert len(list((tmp_path / "timings").iterdir())) == 1
    assert len(gpu.copies) > 4


def quantise(trained, folder):
    """Write the INT8 file that TensorRT takes."""
    quantize_members(
        trained.folder / "model.onnx", trained.inputs["configs"],
        *(trained.tables[name] for name in ("samples", "splits")), TILING, 8,
        folder / "export/model.int8-symmetric.onnx", symmetric=True,
    )  # fmt: skip


def test_an_engine_in_int8_is_of_a_model_of_its_own_and_is_packed_with_it(trained, gpu, tmp_path):
    judge(trained, trained.folder / "model.onnx", tmp_path)
    quantise(trained, tmp_path)
    assert [one["label"] for one in build(trained, tmp_path, ("int8",))["artifacts"]] == ["TensorRT INT8"]
    pack(trained, tmp_path, ("int8",))

    bundle = load_bundle(tmp_path / "bundle")
    assert {"model.int8.engine", "model.int8-symmetric.onnx"} <= read_json(bundle.folder / "bundle.json")[
        "files"
    ].keys()
    tiles = np.random.default_rng(0).standard_normal((1, 3, 32, 32), np.float32)
    quantised = bundle.open(1, Artifact("tensorrt", "int8"))(tiles)
    assert 0 < np.abs(quantised - bundle.open(1)(tiles)).max() < 0.2


@pytest.fixture
def gpu_of_processes(tmp_path, monkeypatch):
    """The same GPU for processes that are started."""
    folder = tmp_path / "modules"
    (folder / "cuda/bindings").mkdir(parents=True)
    for package in ("cuda", "cuda/bindings"):
        (folder / package / "__init__.py").touch()
    begin = "import sys\nfrom tests.unit import fake_gpu\n"
    (folder / "cuda/bindings/runtime.py").write_text(f"{begin}sys.modules[__name__] = fake_gpu.FakeCuda()\n")
    (folder / "tensorrt.py").write_text(
        f"{begin}from cuda.bindings import runtime\nsys.modules[__name__] = fake_gpu.FakeTensorRT(runtime)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]))


def measure(member, folder, precisions):
    """The rows of the table of runtimes, engines included."""
    benchmark_runtimes(
        [member.files["model"]], [folder / "export/model.onnx"],
        [EXACT, *(Artifact("tensorrt", one) for one in precisions)], [member.files["config"]],
        member.files["point"], [folder / "parity.json", folder / "engine_parity.json"],
        *(member.tables[name] for name in ("samples", "splits")), TILING, 1, folder / "runtimes.csv",
    )  # fmt: skip
    return read_table(folder / "runtimes.csv")


def test_engines_are_timed_with_what_their_masks_are_worth(trained, gpu, gpu_of_processes, tmp_path):
    judge(trained, trained.folder / "model.onnx", tmp_path)
    quantise(trained, tmp_path)
    build(trained, tmp_path, ("fp32", "int8"))
    *_, exact, single, quantised = measure(trained, tmp_path, ("fp32", "int8"))

    assert [row["runtime"] for row in (exact, single, quantised)] == [
        "ONNX Runtime FP32", "TensorRT FP32", "TensorRT INT8"
    ]  # fmt: skip
    for row in (single, quantised):
        assert 0 < float(row["latency_ms_min"]) <= float(row["batch_ms_p50"])
        assert int(row["best_batch"]) <= TILING["batch_size"]  # the engine takes no more
        assert float(row["file_mb"]) > 0
    assert float(single["mask_disagreement"]) <= float(quantised["mask_disagreement"])


def test_an_engine_of_another_gpu_has_no_row(member, gpu, gpu_of_processes, tmp_path, caplog):
    judge(member, member.folder / "model.onnx", tmp_path)
    build(member, tmp_path)
    tag = EngineTag.read(tmp_path / "export/model.engine")
    dataclasses.replace(tag, gpu="NVIDIA A100").write(tag_path(tmp_path / "export/model.engine"))

    assert [row["runtime"] for row in measure(member, tmp_path, ("fp32",))][1:] == ["ONNX Runtime FP32"]
    assert "TensorRT FP32 is left out" in caplog.text


def test_an_engine_of_other_weights_fails_its_verdict_and_is_not_packed(member, gpu, tmp_path):
    judge(member, member.folder / "model.onnx", tmp_path)
    write_weights(tmp_path / "other.safetensors", seed=2)
    export_onnx(tmp_path / "other.safetensors", tmp_path / "export/model.onnx")
    assert not build(member, tmp_path)["passed"]
    shutil.copy(member.folder / "model.onnx", tmp_path / "export")

    with pytest.raises(MaskmillError, match=r"no bundle is packed[\s\S]*TensorRT FP32[\s\S]*engine_parity\.json"):
        pack(member, tmp_path)
    assert not (tmp_path / "bundle").exists()


def test_a_bundle_with_an_engine_predicts_by_it_the_same_masks(member, gpu, tmp_path):
    judge(member, member.folder / "model.onnx", tmp_path)
    build(member, tmp_path)
    pack(member, tmp_path)

    bundle = load_bundle(tmp_path / "bundle")
    names = {"model.engine", "model.engine.json", "engine_parity.json"}
    assert names <= read_json(bundle.folder / "bundle.json")["files"].keys()
    assert isinstance(bundle.open(1, Artifact("tensorrt")), TensorRTRuntime)
    command = ["predict", str(bundle.folder), str(member.folder / "a.png"), "-o"]
    copies = len(gpu.copies)
    assert main([*command, str(tmp_path / "engine"), "--runtime", "tensorrt"]) == 0
    assert len(gpu.copies) > copies
    assert main([*command, str(tmp_path / "exact")]) == 0
    masks = [read_label_png(tmp_path / folder / "a.png") for folder in ("engine", "exact")]
    np.testing.assert_array_equal(*masks)


def test_a_bundle_without_engines_says_how_to_get_them(member, tmp_path):
    judge(member, member.folder / "model.onnx", tmp_path)
    pack_parity_only(member, tmp_path)

    with pytest.raises(MaskmillError, match=r"TensorRT FP16.*`export: \{tensorrt: true, precisions: \[fp16\]\}`"):
        load_bundle(tmp_path / "bundle").open(1, Artifact("tensorrt", "fp16"))


def test_a_missing_package_stops_the_job_before_anything_is_made(member, monkeypatch, tmp_path):
    def missing(name):
        raise ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr(engines.importlib, "import_module", missing)

    with pytest.raises(MaskmillError, match=r"TensorRT cannot be loaded here[\s\S]*pip install tensorrt-cu13"):
        build(member, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_missing_gpu_stops_the_job_before_anything_is_made(member, gpu, tmp_path):
    gpu.devices = 0

    with pytest.raises(MaskmillError, match=r"no NVIDIA GPU can be used here.*export: \{tensorrt: false\}"):
        build(member, tmp_path)
    assert not list(tmp_path.iterdir())
