"""Building engines: shapes from the tiling, memory from the shapes, and the real builder where it is installed.

The backend `tensorrt_rtx` builds without a GPU; it is not among the pins that `make test` installs, see
docs/tensorrt.md.
"""

from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from maskmill.errors import MaskmillError
from maskmill.export.onnx import export_onnx
from maskmill.export.quantization import quantize
from maskmill.export.tensorrt import build_engine, load_timings, save_timings, tile_profile, workspace_bytes
from maskmill.files import sha256_file
from maskmill.inference.cuda import Gpu
from maskmill.inference.engines import BACKENDS, Backend, EngineTag, Profile, TensorRTRuntime, find_backend, tag_path
from maskmill.inference.tiling import Tiling, lay_tiles
from tests.unit.fake_gpu import FakeConfig, FakeCuda, FakeTensorRT
from tests.unit.member import write_weights

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

MB = 2**20
TILING = Tiling((1, 64, 96), 0.5, "gaussian", 4)
FLAT = Profile((1, 3, 4, 4), (2, 3, 32, 32), (2, 3, 32, 64))
DEEP = Profile((1, 3, 2, 4, 4), (2, 3, 8, 16, 16), (2, 3, 8, 16, 16))
RTX = Gpu("NVIDIA GeForce RTX 4090", "8.9", 24 * 1024 * MB, 20 * 1024 * MB)


@pytest.fixture(scope="module")
def builder():
    """The real builder."""
    try:
        return find_backend("tensorrt_rtx")
    except MaskmillError:
        pytest.skip("the backend tensorrt_rtx is not installed (requirements/tensorrt-rtx.txt)")


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """An exported network of two dimensions."""
    return export(tmp_path_factory.mktemp("flat"))


def export(folder, precision="fp32", **options):
    write_weights(folder / "model.safetensors", 1, **options)
    export_onnx(folder / "model.safetensors", folder / "model.onnx", precision)
    return folder / "model.onnx"


def write_network(path, *nodes, domain=""):
    """A network of three channels with these nodes, and whether TensorRT knows them or not."""
    shape = ["n", 3, "h", "w"]
    inputs, outputs = ([helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
                       for name in ("tiles", "probabilities"))  # fmt: skip
    graph = helper.make_graph(nodes, "network", inputs, outputs)
    domains = [helper.make_opsetid(name, version) for name, version in (("", 20), (domain or "unused", 1))]
    save(helper.make_model(graph, opset_imports=domains, ir_version=10), path)
    return path


def test_the_profile_goes_from_one_stride_to_a_whole_batch():
    assert tile_profile(TILING, 3, (1, 16, 16), 2) == Profile((1, 3, 16, 16), (4, 3, 64, 96), (4, 3, 64, 96))
    deep = Tiling((16, 64, 96), 0.5, "gaussian", 2)
    assert tile_profile(deep, 1, (4, 16, 16), 3) == Profile((1, 1, 4, 16, 16), (2, 1, 16, 64, 96), (2, 1, 16, 64, 96))


def test_turned_tiles_are_in_the_profile():
    turned = tile_profile(replace(TILING, tta="rotations"), 3, (1, 16, 16), 2)

    assert turned == Profile((1, 3, 16, 16), (4, 3, 64, 96), (4, 3, 96, 96))
    for shape in ((4, 3, 64, 96), (4, 3, 96, 64), (1, 3, 16, 32), (1, 3, 32, 16)):
        turned.require(shape)


@pytest.mark.parametrize("content", [(1, 1, 1), (1, 17, 300), (1, 500, 40), (1, 64, 96)])
def test_tiles_of_any_picture_are_in_the_profile(content):
    profile = tile_profile(TILING, 3, (1, 16, 16), 2)

    tile = lay_tiles(content, TILING, (1, 16, 16)).tile
    profile.require((1, 3, *tile[1:]))
    profile.require((4, 3, *tile[1:]))


def test_the_workspace_holds_every_map_of_the_largest_batch(tmp_path):
    nodes = [helper.make_node("Relu", ["tiles"], ["a"]), helper.make_node("Shape", ["a"], ["size"])]
    nodes.append(helper.make_node("MaxPool", ["a"], ["half"], kernel_shape=[2, 2], strides=[2, 2]))
    scales = helper.make_node("Constant", [], ["scales"], value_floats=[1.0, 1.0, 2.0, 2.0])
    nodes += [scales, helper.make_node("Resize", ["half", "", "scales"], ["probabilities"], mode="nearest")]
    path = write_network(tmp_path / "model.onnx", *nodes)

    whole, half, small = 4 * 2 * 3 * 8 * 12, 2 * 3 * 4 * 6 * 4, 8 * 4 + 4 * 4  # a and the output, half, size and scales
    assert workspace_bytes(path, (2, 3, 8, 12)) == 256 * MB + 2 * whole + half + small


@pytest.mark.parametrize("free", [100 * MB, 1 << 40])
def test_the_builder_is_told_shapes_and_workspace_and_no_tf32(free, flat, tmp_path):
    module = FakeTensorRT(FakeCuda())
    gpu = replace(RTX, free=free)
    tag = build_engine(flat, FLAT, tmp_path / "model.engine", Backend("tensorrt", module), gpu)

    wanted = min(free, workspace_bytes(flat, FLAT.most))
    shapes = ("tiles", (1, 3, 4, 4), (2, 3, 32, 32), (2, 3, 32, 64))
    assert module.config.told == [("workspace", wanted), ("clear", "tf32"), shapes]
    digests = sha256_file(flat), sha256_file(tmp_path / "model.engine")
    assert tag == EngineTag("tensorrt", module.__version__, RTX.name, ("8.9",), *digests, FLAT)
    assert EngineTag.read(tmp_path / "model.engine") == tag


def test_times_are_kept_between_builds_on_the_same_gpu(flat, tmp_path, caplog):
    module, timings = FakeTensorRT(FakeCuda()), tmp_path / "timings"

    def build(gpu):
        build_engine(flat, FLAT, tmp_path / "model.engine", Backend("tensorrt", module), gpu, timings)
        return module.config.cache

    assert build(RTX) == b""  # nothing known yet
    assert build(RTX) == b"timed"
    assert build(replace(RTX, name="NVIDIA L4")) == b""
    assert {file.name for file in timings.iterdir()} == {
        f"tensorrt-{module.__version__}-{name}.timings" for name in ("NVIDIA-GeForce-RTX-4090", "NVIDIA-L4")
    }
    assert "cannot be used here" not in caplog.text
    module.refused = {b"timed"}
    assert build(RTX) == b""
    assert "cannot be used here" in caplog.text


def test_tensorrt_needs_the_gpu_that_it_tunes_on(flat, tmp_path):
    backend = Backend("tensorrt", FakeTensorRT(FakeCuda()))

    with pytest.raises(MaskmillError, match=r"there is none here.*pip install tensorrt-rtx"):
        build_engine(flat, FLAT, tmp_path / "model.engine", backend, None)
    assert not (tmp_path / "model.engine").exists()


def test_the_real_api_has_what_the_stand_in_has(builder):
    trt = builder.module
    used = {
        trt.IBuilderConfig: [name for name in dir(FakeConfig) if not name.startswith("_")],
        trt.Builder: ["create_network", "create_builder_config", "create_optimization_profile"],
        trt.ICudaEngine: ["create_execution_context"],
        trt.IExecutionContext: ["set_input_shape", "get_tensor_shape", "set_tensor_address", "execute_async_v3"],
        trt.Runtime: ["deserialize_cuda_engine"],
        trt.ITimingCache: ["serialize"],
    }
    assert not [(kind, name) for kind, names in used.items() for name in names if not hasattr(kind, name)]


@pytest.mark.parametrize(
    ("profile", "options"),
    [
        (FLAT, {}),
        (DEEP, {"dimensions": 3, "planar": 1}),
        pytest.param(FLAT, {"architecture": "early_exit_unet"}, marks=pytest.mark.slow),
        pytest.param(FLAT, {"norm": "instance", "residual": True}, marks=pytest.mark.slow),
        pytest.param(
            FLAT,
            {"attention": "cbam", "norm": "group", "act": "silu",
             "upsampling": "transposed", "downsampling": "strided"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            DEEP, {"dimensions": 3, "attention": "cbam", "upsampling": "transposed", "residual": True},
            marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_the_real_builder_builds_networks_with_any_options(profile, options, builder, tmp_path):
    onnx = export(tmp_path, **options)
    everywhere = build_engine(onnx, profile, tmp_path / "model.engine", builder, None)
    tuned = build_engine(onnx, profile, tmp_path / "tuned.engine", builder, RTX)

    assert everywhere.gpu is None
    assert {"8.0", "8.6", "8.9", "12.0"} <= set(everywhere.compute_capabilities)
    assert (tuned.gpu, tuned.compute_capabilities) == (RTX.name, ("8.9",))
    assert min((tmp_path / name).stat().st_size for name in ("model.engine", "tuned.engine")) > 100_000


@pytest.mark.slow
def test_the_real_builder_builds_in_the_precision_of_the_model(builder, flat, tmp_path):
    tiles = [np.random.default_rng(0).standard_normal((1, 3, 32, 32), np.float32)]
    quantize(flat, tiles, tmp_path / "int8.onnx", symmetric=True)
    engines = [tmp_path / f"{name}.engine" for name in ("fp32", "fp16", "int8")]
    for onnx, engine in zip((flat, export(tmp_path, "fp16"), tmp_path / "int8.onnx"), engines, strict=True):
        build_engine(onnx, FLAT, engine, builder, RTX)

    assert len({sha256_file(engine) for engine in engines}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("sides", [(32, 64), (512, 512)])
def test_the_workspace_is_enough_for_the_real_builder_and_half_of_its_need_is_not(sides, builder, flat, tmp_path):
    profile = Profile((1, 3, 4, 4), (4, 3, *sides), (4, 3, *sides))
    build_engine(flat, profile, tmp_path / "model.engine", builder, RTX)

    with pytest.raises(
        MaskmillError, match=rf"4 × 3 × {sides[0]} .* more than the 4 MiB .*predict\.batch_size \(now 4\)"
    ):
        build_engine(flat, profile, tmp_path / "small.engine", builder, RTX, workspace=4 * MB)
    assert not (tmp_path / "small.engine").exists()


def test_too_little_workspace_is_told_with_the_remedy(builder, flat, tmp_path):
    profile = Profile((1, 3, 4, 4), (8, 3, 1024, 1024), (8, 3, 1024, 1024))

    with pytest.raises(MaskmillError, match=r"8 × 3 × 1024 × 1024 need more than the 100 MiB[\s\S]*OutOfMemory"):
        build_engine(flat, profile, tmp_path / "model.engine", builder, replace(RTX, free=100 * MB))


def test_an_operation_that_tensorrt_has_not_is_named(builder, tmp_path):
    known = helper.make_node("Identity", ["tiles"], ["probabilities"])
    for node, domain in (
        (helper.make_node("Det", ["tiles"], ["a"], name="determinant"), ""),
        (helper.make_node("Zork", ["tiles"], ["a"], name="zork", domain="ours"), "ours"),
    ):
        path = write_network(tmp_path / "model.onnx", node, known, domain=domain)
        with pytest.raises(
            MaskmillError, match=rf"{node.op_type} {node.name}: (unsupported|invalid)_node.*\n.*ONNX Runtime"
        ):
            build_engine(path, FLAT, tmp_path / "model.engine", builder, RTX)


def test_asymmetric_quantisation_is_refused_in_tensorrts_words(builder, tmp_path):
    constants = [
        helper.make_node("Constant", [], ["scale"], value_float=0.1),
        helper.make_node("Constant", [], ["zero"], value=helper.make_tensor("z", TensorProto.UINT8, [], [3])),
    ]
    quantised = [
        helper.make_node("QuantizeLinear", ["tiles", "scale", "zero"], ["q"], name="quantise"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["probabilities"]),
    ]
    path = write_network(tmp_path / "model.onnx", *constants, *quantised)

    with pytest.raises(MaskmillError, match=r"QuantizeLinear quantise: .*(zero point|UINT8)"):
        build_engine(path, FLAT, tmp_path / "model.engine", builder, RTX)


def test_half_an_onnx_file_is_no_model(builder, flat, tmp_path):
    content = flat.read_bytes()
    (tmp_path / "model.onnx").write_bytes(content[: len(content) // 2])

    with pytest.raises(MaskmillError, match="is no whole ONNX model"):
        build_engine(tmp_path / "model.onnx", FLAT, tmp_path / "model.engine", builder, RTX)


def test_a_profile_of_other_channels_is_refused(builder, flat, tmp_path):
    other = Profile(*((1, 4, *shape[2:]) for shape in (FLAT.least, FLAT.usual, FLAT.most)))

    with pytest.raises(MaskmillError, match=r"builds no engine of[\s\S]*profile has min=4"):
        build_engine(flat, other, tmp_path / "model.engine", builder, RTX)


def test_tensorrt_rtx_refuses_gpus_that_it_does_not_build_for(builder, flat, tmp_path):
    with pytest.raises(MaskmillError, match=r"8\.9.* NVIDIA H100 has 9\.0; use the other backend: pip install tens"):
        build_engine(flat, FLAT, tmp_path / "model.engine", builder, Gpu("NVIDIA H100", "9.0", MB, MB))


def test_a_real_engine_is_refused_by_another_version_and_without_a_gpu(builder, flat, tmp_path):
    engine = tmp_path / "model.engine"
    tag = build_engine(flat, FLAT, engine, builder, RTX)
    replace(tag, version="1.6.0.0").write(tag_path(engine))
    with pytest.raises(MaskmillError, match=rf"built with tensorrt_rtx 1\.6\.0\.0, and {builder.version} is installed"):
        TensorRTRuntime(engine, tag.onnx)


def test_the_real_builder_takes_and_gives_times(builder, tmp_path):
    """tensorrt_rtx keeps none, but has the functions."""
    config = builder.module.Builder(builder.module.Logger()).create_builder_config()
    load_timings(config, tmp_path / "missing.timings")
    save_timings(config, tmp_path / "a.timings")
    load_timings(config, tmp_path / "a.timings")

    assert (tmp_path / "a.timings").stat().st_size > 0


def test_each_backend_says_how_to_install_it():
    assert {name: install.split()[2] for name, (_, install) in BACKENDS.items()} == {
        "tensorrt": "tensorrt-cu13",
        "tensorrt_rtx": "tensorrt-rtx-cu13-bindings",
    }
