"""Networks and their files."""

import itertools
import json

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from maskmill.errors import MaskmillError
from maskmill.files import sha256_file
from maskmill.models import build_model, foreground_probabilities, load_model, output_channels, save_model
from maskmill.models.blocks import CBAM, INITIALISERS, initialise

SMALL = {"architecture": "unet", "width": 8, "depth": 2}
METADATA = {"run_id": "r", "model": SMALL, "channels": 3, "classes": ["ä"]}


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_published_size():
    # widely cited for this U-Net with 32 filters, batch normalisation and transposed convolutions
    assert (
        parameters(build_model({"architecture": "unet", "width": 32, "depth": 4}, channels=3, outputs=1)) == 7_763_041
    )


@pytest.mark.parametrize(
    ("act", "norm", "attention", "downsampling", "upsampling"),
    list(
        itertools.product(
            ["relu", "silu"], ["batch", "group", "instance"], ["none", "cbam"], ["maxpool", "strided"],
            ["transposed", "bilinear"],
        )
    ),
)  # fmt: skip
def test_every_combination_gives_logits_of_the_input_size_and_learns(act, norm, attention, downsampling, upsampling):
    choice = {
        "act": act, "norm": norm, "attention": attention, "downsampling": downsampling, "upsampling": upsampling,
    }  # fmt: skip
    model = build_model(SMALL | choice, channels=2, outputs=3)
    logits = model(torch.rand(2, 2, 8, 12))
    assert logits.shape == (2, 3, 8, 12)
    logits.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


def test_the_input_reaches_across_the_picture_through_the_deepest_level():
    model = build_model({"architecture": "unet", "width": 4, "depth": 3, "norm": "group"}, 1, 1)
    image = torch.rand(1, 1, 32, 32, requires_grad=True)
    model(image)[0, 0, 16, 16].backward()
    touched = image.grad[0, 0] != 0
    assert touched[:, 0].any()
    assert touched[0].any()


@pytest.mark.parametrize("depth", [1, 3])
def test_a_wrong_size_is_refused_with_the_fix(depth):
    model = build_model({"architecture": "unet", "width": 4, "depth": depth}, 1, 1)
    assert model.stride == 2**depth
    with pytest.raises(MaskmillError, match=rf"9 x 16 pixels.*depth {depth}.*multiples of {2**depth}"):
        model(torch.zeros(1, 1, 9, 16))


@pytest.mark.parametrize("option", ["architecture", "act", "norm", "attention", "downsampling", "upsampling", "init"])
def test_unknown_choices_are_refused_with_the_possible_ones(option):
    with pytest.raises(MaskmillError, match=rf'model.{option} is "magic"; possible are \w+'):
        build_model(SMALL | {option: "magic"}, 1, 1)


def test_cbam_follows_its_paper():
    torch.manual_seed(0)
    block = CBAM(32)
    features = torch.randn(2, 32, 5, 6)
    with torch.no_grad():
        result = block(features).numpy()
        first, last = (block[0].shared[layer].weight[:, :, 0, 0].numpy() for layer in (0, 2))
        kernel = block[1].conv.weight[0].numpy()
    assert first.shape == (4, 32)

    def sigmoid(values):
        return 1 / (1 + np.exp(-values))

    x = features.numpy()
    described = sum(np.maximum(pooled @ first.T, 0) @ last.T for pooled in (x.mean(axis=(2, 3)), x.max(axis=(2, 3))))
    x = x * sigmoid(described)[:, :, None, None]
    maps = np.pad(np.stack([x.mean(axis=1), x.max(axis=1)], axis=1), ((0, 0), (0, 0), (3, 3), (3, 3)))
    windows = np.lib.stride_tricks.sliding_window_view(maps, (7, 7), axis=(2, 3))
    x = x * sigmoid(np.einsum("nchwij,cij->nhw", windows, kernel))[:, None]
    np.testing.assert_allclose(result, x, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "expected"),
    [("he_uniform", (6 / 576) ** 0.5), ("kaiming", None), ("xavier", (6 / (576 + 1152)) ** 0.5)],
)
def test_initial_weights_have_the_published_spread(method, expected):
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(64, 128, 3)  # 64 * 9 = 576 inputs, 128 * 9 = 1152 outputs
    initialise(conv, method)
    assert (conv.bias == 0).all()
    if expected is None:
        assert abs(conv.weight.std().item() - (2 / 576) ** 0.5) < 0.001
    else:
        assert abs(conv.weight.abs().max().item() - expected) < 0.001
        assert abs(conv.weight.std().item() - expected / 3**0.5) < 0.001
    assert set(INITIALISERS) == {"he_uniform", "kaiming", "xavier"}


def test_foreground_probabilities():
    logits = torch.tensor([[[[0.0, 2.0]]]])
    np.testing.assert_allclose(foreground_probabilities(logits).numpy(), [[[[0.5, 0.880797]]]], atol=1e-6)
    logits = torch.tensor([0.0, 1.0, 2.0]).view(1, 3, 1, 1)
    expected = np.exp([1, 2]) / np.exp([0, 1, 2]).sum()
    np.testing.assert_allclose(foreground_probabilities(logits).flatten().numpy(), expected, atol=1e-6)
    assert [output_channels(classes) for classes in (1, 2, 5)] == [1, 3, 6]


def test_a_saved_model_comes_back(tmp_path):
    model = build_model(SMALL | {"attention": "cbam"}, 3, 1).to(memory_format=torch.channels_last)
    model(torch.rand(2, 3, 16, 16))  # moves the running statistics
    metadata = METADATA | {"model": SMALL | {"attention": "cbam"}}
    save_model(tmp_path / "model.safetensors", model, metadata)
    loaded, loaded_metadata = load_model(tmp_path / "model.safetensors")
    image = torch.rand(1, 3, 16, 16)
    assert loaded_metadata == metadata
    assert not loaded.training
    torch.testing.assert_close(loaded(image), model.eval()(image))


def test_equal_models_are_equal_files_with_one_metadata_key(tmp_path):
    for name in ("a", "b"):
        torch.manual_seed(0)
        shuffled = dict(sorted(METADATA.items(), reverse=name == "a"))
        save_model(tmp_path / name, build_model(SMALL, 3, 1), shuffled)
    assert sha256_file(tmp_path / "a") == sha256_file(tmp_path / "b")
    with safe_open(tmp_path / "a", framework="pt") as file:
        assert list(file.metadata()) == ["maskmill"]
        assert json.loads(file.metadata()["maskmill"]) == METADATA


def test_other_weights_are_refused(tmp_path):
    save_file({"w": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(MaskmillError, match="not of a Maskmill model"):
        load_model(tmp_path / "other.safetensors")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
@pytest.mark.parametrize(
    "choice",
    [
        {"upsampling": "transposed", "downsampling": "maxpool"},
        {"upsampling": "bilinear", "downsampling": "strided", "attention": "cbam", "norm": "group", "act": "silu"},
    ],
)
def test_export_to_onnx_takes_any_batch_and_size(choice, tmp_path):
    model = build_model(SMALL | choice, 3, 2).eval()
    sizes = {"images": {0: "batch", 2: "height", 3: "width"}}
    example = (torch.rand(2, 3, 16, 24),)
    torch.onnx.export(
        model, example, tmp_path / "model.onnx", dynamo=True, dynamic_shapes=sizes, external_data=False, verbose=False
    )
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    images = torch.rand(3, 3, 40, 8)
    with torch.no_grad():
        np.testing.assert_allclose(
            session.run(None, {"images": images.numpy()})[0], model(images).numpy(), rtol=1e-4, atol=1e-4
        )
