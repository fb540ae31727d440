"""ONNX export of the networks: any batch and size, the same probabilities, the same bytes, nothing of this machine."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from maskmill.export.onnx import export_onnx
from maskmill.models import build_model, foreground_probabilities, load_model, save_model
from tests.unit.models.test_early_exit import decisive, images_of

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

ROOT = Path(__file__).parents[3]
SIZES = [(6, (8, 16, 24)), (1, (8, 8, 8)), (2, (16, 24, 8))]


def export(folder, options):
    """A network of two input channels and two classes as a file of weights, its gates decisive, and as ONNX."""
    torch.manual_seed(0)
    options = {"architecture": "unet", "width": 4, "depth": 2} | options
    model = build_model(options, 2, 3).eval()
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
    if options["architecture"] == "early_exit_unet":
        decisive(model, images_of(SIZES[0][1][-model.dimensions :]))
    metadata = {"run_id": "0123456789ab", "model": options, "channels": 2, "classes": ["a", "b"]}
    save_model(folder / "model.safetensors", model, metadata)
    export_onnx(folder / "model.safetensors", folder / "model.onnx")
    return folder / "model.onnx"


def graphs(graph):
    """A graph and those inside it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs(attribute.g)


@pytest.mark.parametrize(
    "options",
    [
        {"dimensions": 3, "planar": 1},
        pytest.param({"upsampling": "transposed", "residual": True}, marks=pytest.mark.slow),
        pytest.param(
            {"downsampling": "strided", "attention": "cbam", "norm": "group", "act": "silu"}, marks=pytest.mark.slow
        ),
        pytest.param({"norm": "instance", "deep_supervision": True}, marks=pytest.mark.slow),
        pytest.param(
            {
                "dimensions": 3, "upsampling": "transposed", "downsampling": "strided", "attention": "cbam",
                "norm": "group", "act": "silu", "residual": True, "deep_supervision": True,
            },
            marks=pytest.mark.slow,
        ),
        pytest.param({"dimensions": 3, "norm": "instance"}, marks=pytest.mark.slow),
        pytest.param({"architecture": "early_exit_unet"}, marks=pytest.mark.slow),
        pytest.param(
            {"architecture": "early_exit_unet", "dimensions": 3, "planar": 1, "attention": "cbam", "norm": "group"},
            marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_the_exported_network_gives_what_pytorch_gives(options, tmp_path, capfd):
    session = onnxruntime.InferenceSession(export(tmp_path, options))
    assert capfd.readouterr() == ("", "")  # nor does ONNX Runtime find anything to complain about
    model, _ = load_model(tmp_path / "model.safetensors")
    for count, size in SIZES:
        images = images_of(size[-model.dimensions :], count)
        with torch.no_grad():
            expected = foreground_probabilities(model(images)).numpy()
        found = session.run(None, {"tiles": images.numpy()})[0]
        assert found.shape == (count, 2, *size[-model.dimensions :])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_the_exported_decoder_skips_what_nobody_needs_and_tells_no_paths(tmp_path):
    graph = onnx.load(export(tmp_path, {"architecture": "early_exit_unet"})).graph
    main, *branches = graphs(graph)
    convolutions = [sum(node.op_type == "Conv" for node in part.node) for part in (main, *branches)]
    assert convolutions[0] == 7  # six in the encoder, and the head of its deepest level
    assert sorted(convolutions[1:]) == [0, 0, 4, 4]  # to stay; to go on: upwards, two in the decoder, its head
    assert all(weight.name in {name for node in part.node for name in node.input} for part in branches
               for weight in part.initializer)  # fmt: skip
    assert sum(len(part.initializer) for part in branches) > 10  # what only a branch needs is there
    assert str(ROOT).encode() not in (tmp_path / "model.onnx").read_bytes()
    assert not any(part.metadata_props for of in graphs(graph) for part in (of, *of.node, *of.initializer))


@pytest.mark.slow
def test_two_processes_export_the_same_bytes(tmp_path):
    options = {"architecture": "early_exit_unet", "depth": 2, "width": 4}
    expected = export(tmp_path, options).read_bytes()
    script = (
        "from pathlib import Path; from maskmill.export.onnx import export_onnx;"
        f"export_onnx(Path({str(tmp_path / 'model.safetensors')!r}), Path({str(tmp_path / 'again.onnx')!r}))"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, env=os.environ | {"PYTHONHASHSEED": "7"})
    assert (tmp_path / "again.onnx").read_bytes() == expected
