"""TensorRT engines are refused where they do not fit, and give what ONNX Runtime gives where they do."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from maskmill.errors import MaskmillError
from maskmill.files import sha256_file
from maskmill.inference import cuda, engines
from maskmill.inference.cuda import Gpu
from maskmill.inference.engines import Backend, EngineTag, Profile, TensorRTRuntime, tag_path
from maskmill.inference.runtimes import OnnxRuntime
from tests.unit.fake_gpu import NAME, VERSION, FakeCuda, FakeTensorRT

PROFILE = Profile((1, 3, 4, 4), (2, 3, 8, 8), (2, 3, 8, 12))


@pytest.fixture
def gpu(monkeypatch):
    """A GPU with TensorRT, as far as tests can have one."""
    made = FakeCuda()
    monkeypatch.setattr(cuda, "_runtime", lambda: made)
    backend = Backend("tensorrt", FakeTensorRT(made))
    monkeypatch.setattr(engines, "find_backend", lambda name: backend)
    made.tensorrt = backend.module
    return made


@pytest.fixture
def engine(tmp_path):
    """An engine of a network of three channels and one class, with its tag; its ONNX file beside it."""
    dynamic = [["n", channels, "h", "w"] for channels in (3, 1)]
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
              for name, shape in zip(("tiles", "probabilities"), dynamic, strict=True)]  # fmt: skip
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    nodes = [
        helper.make_node("ReduceMean", ["tiles", "axes"], ["mean"]),
        helper.make_node("Sigmoid", ["mean"], ["probabilities"]),
    ]
    graph = helper.make_graph(nodes, "network", shapes[:1], shapes[1:], [axes])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "model.onnx")
    path = tmp_path / "model.engine"
    path.write_bytes((tmp_path / "model.onnx").read_bytes())
    digests = [sha256_file(tmp_path / name) for name in ("model.onnx", "model.engine")]
    EngineTag("tensorrt", VERSION, NAME, ("8.9",), *digests, PROFILE).write(tag_path(path))
    return path


def open_engine(engine):
    return TensorRTRuntime(engine, sha256_file(engine.with_name("model.onnx")))


def retag(path, /, **changes):
    """Change what the tag says."""
    replace(EngineTag.read(path), **changes).write(tag_path(path))


def batch(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def test_a_tag_comes_back_as_it_was_written(engine):
    tag = EngineTag.read(engine)

    assert tag.profile == PROFILE
    assert (tag.backend, tag.version, tag.gpu, tag.compute_capabilities) == ("tensorrt", VERSION, NAME, ("8.9",))


def test_an_engine_gives_what_onnx_runtime_gives_for_any_shape_of_its_profile(engine, gpu):
    runtime, reference = open_engine(engine), OnnxRuntime(engine.with_name("model.onnx"), 1)
    for number, shape in enumerate([(1, 3, 4, 4), (2, 3, 8, 12), (2, 3, 8, 12), (1, 3, 8, 8)]):
        tiles = batch(shape, number)
        np.testing.assert_array_equal(runtime(tiles), reference(tiles))

    assert gpu.tensorrt.context.shapes_set == 4  # once for the largest, then for each other shape


def test_answers_stay_what_they_are_when_more_is_asked(engine, gpu):
    runtime = open_engine(engine)
    first = runtime(batch((2, 3, 8, 8)))
    kept = first.copy()
    runtime(batch((2, 3, 8, 8), 1))

    np.testing.assert_array_equal(first, kept)


def test_a_batch_goes_to_the_gpu_once_and_its_answer_comes_back_once_whatever_its_strides(engine, gpu):
    runtime, tiles = open_engine(engine), batch((2, 3, 8, 4))
    turned = np.flip(tiles.swapaxes(2, 3), 2)
    found = runtime(turned)

    np.testing.assert_array_equal(found, runtime(np.ascontiguousarray(turned)))
    assert gpu.copies[:2] == [("to the device", 2 * 3 * 4 * 8 * 4), ("to the host", 2 * 4 * 8 * 4)]
    assert len(gpu.copies) == 4


def test_page_locked_memory_does_not_grow_with_the_number_of_batches(engine, gpu):
    runtime = open_engine(engine)
    for side in (4, 8, 4, 8, 12):
        runtime(batch((1, 3, 4, side)))

    assert len(gpu.memory["host"]) == 2
    assert len(gpu.memory["device"]) == 2


def test_threads_get_their_own_answers(engine, gpu):
    runtime, reference = open_engine(engine), OnnxRuntime(engine.with_name("model.onnx"), 1)
    found = {}

    def ask(seed):
        tiles = batch((1 + seed % 2, 3, 4 + 4 * (seed % 3 > 0), 8), seed)
        found[seed] = [np.array_equal(runtime(tiles), reference(tiles)) for _ in range(5)]

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == {seed: [True] * 5 for seed in range(8)}


@pytest.mark.parametrize("shape", [(3, 3, 8, 8), (1, 3, 8, 16), (1, 4, 8, 8), (1, 3, 2, 4), (1, 3, 4, 8, 8)])
def test_tiles_outside_the_profile_are_refused(shape, engine, gpu):
    with pytest.raises(MaskmillError, match=r"from 1 × 3 × 4 × 4 to 2 × 3 × 8 × 12 .* got .*predict\.tile"):
        open_engine(engine)(batch(shape))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": "10.16.1.11"}, r"built with tensorrt 10\.16\.1\.11, and 11\.4\.0\.106 is installed"),
        ({"gpu": "NVIDIA RTX 4000 Ada"}, r"for NVIDIA RTX 4000 Ada \(.*8\.9\), and here is NVIDIA L4"),
        ({"compute_capabilities": ("9.0",)}, r"compute capability 9\.0\), and here is NVIDIA L4 \(8\.9\)"),
        ({"onnx": "0" * 64}, "another ONNX model"),
        ({"engine": "0" * 64}, "is damaged"),
    ],
)
def test_an_engine_that_does_not_fit_is_refused_with_the_remedy(changes, reason, engine, gpu):
    retag(engine, **changes)

    with pytest.raises(MaskmillError, match=rf"{reason}[\s\S]*Build the engine anew .*ONNX Runtime"):
        open_engine(engine)


def test_an_engine_for_any_rtx_gpu_runs_on_those_of_its_compute_capabilities(engine):
    retag(engine, backend="tensorrt_rtx", gpu=None, compute_capabilities=("8.6", "8.9"))
    tag = EngineTag.read(engine)
    tag.require_gpu(Gpu("NVIDIA GeForce RTX 4090", "8.9", 1, 1))

    with pytest.raises(MaskmillError, match=r"any GPU \(compute capability 8\.6, 8\.9\).*Tesla T4 \(7\.5\)"):
        tag.require_gpu(Gpu("Tesla T4", "7.5", 1, 1))


def test_damaged_bytes_are_noticed_before_they_are_loaded(engine, gpu):
    content = bytearray(engine.read_bytes())
    content[len(content) // 2] ^= 1
    engine.write_bytes(content)

    with pytest.raises(MaskmillError, match="is damaged: it differs from the digest"):
        open_engine(engine)


def test_bytes_that_tensorrt_refuses_are_told_in_its_words(engine, gpu):
    engine.write_bytes(b"no engine at all")
    retag(engine, engine=sha256_file(engine))

    with pytest.raises(MaskmillError, match=r"cannot be loaded[\s\S]*the magic number is wrong"):
        open_engine(engine)


@pytest.mark.parametrize(
    ("text", "reason"),
    [(None, "has no tag model.engine.json beside it"), ("{", "is no tag"), ('{"backend": "tensorrt"}', "is no tag")],
)
def test_an_engine_without_its_tag_is_refused(text, reason, engine):
    tag_path(engine).unlink()
    if text:
        tag_path(engine).write_text(text, encoding="utf-8")

    with pytest.raises(MaskmillError, match=reason):
        open_engine(engine)


def test_an_engine_that_stops_says_so(engine, gpu):
    runtime = open_engine(engine)
    gpu.tensorrt.context.fails = True

    with pytest.raises(MaskmillError, match="the engine stopped"):
        runtime(batch((1, 3, 4, 4)))


def test_a_missing_backend_is_named_with_how_to_install_it(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr(engines.importlib, "import_module", missing)

    with pytest.raises(MaskmillError, match=r"tensorrt: No module[\s\S]*install tensorrt-cu13[\s\S]*tensorrt: false"):
        engines.find_backend()
    with pytest.raises(MaskmillError, match=r"tensorrt_rtx_bindings'; install it: pip install tensorrt-rtx"):
        engines.find_backend("tensorrt_rtx")
