"""Networks by name, and their files."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import save_file

from maskmill.errors import MaskmillError
from maskmill.files import sha256_file
from maskmill.models import (
    ARCHITECTURES,
    build_model,
    foreground_probabilities,
    load_model,
    output_channels,
    save_model,
    summarize_model,
)
from maskmill.models.blocks import (
    ACTIVATIONS,
    ATTENTIONS,
    DOWNSAMPLINGS,
    INITIALISERS,
    NORMS,
    TORCH_LAYERS,
    UPSAMPLINGS,
)
from maskmill.models.early_exit import EarlyExitUNet
from maskmill.models.unet import UNet

SMALL = {"architecture": "unet", "width": 8, "depth": 2}
METADATA = {"run_id": "r", "model": SMALL, "channels": 3, "classes": ["ä"]}
SCHEMA = Path(__file__).parents[3] / "workflow/schemas/config.schema.yaml"


def test_options_and_defaults_are_those_of_the_configuration():
    properties = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))["$defs"]["model"]["properties"]
    resolved = {"dimensions": 2, "planar": 0}  # what the plan makes of `auto` for pictures
    expected = {name: resolved.get(name, option["default"]) for name, option in properties.items()}
    assert expected.pop("architecture") == "unet"
    for architecture in (UNet, EarlyExitUNet):
        parameters = list(inspect.signature(architecture).parameters.values())
        assert [parameter.name for parameter in parameters[:2]] == ["channels", "outputs"]
        assert {parameter.name: parameter.default for parameter in parameters[2:]} == expected
    tables = {
        "architecture": ARCHITECTURES, "act": ACTIVATIONS, "norm": NORMS, "attention": ATTENTIONS,
        "downsampling": DOWNSAMPLINGS, "upsampling": UPSAMPLINGS, "init": INITIALISERS,
    }  # fmt: skip
    assert {name: properties[name]["enum"] for name in tables} == {name: list(table) for name, table in tables.items()}
    assert [choice["const"] for choice in properties["dimensions"]["oneOf"]] == ["auto", *TORCH_LAYERS]


@pytest.mark.parametrize(
    "option", ["architecture", "dimensions", "act", "norm", "attention", "downsampling", "upsampling", "init"]
)
def test_unknown_choices_are_refused_with_the_possible_ones(option):
    with pytest.raises(MaskmillError, match=rf'model.{option} is "magic"; possible are \w+'):
        build_model(SMALL | {option: "magic"}, 1, 1)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("init", INITIALISERS)
def test_equal_seeds_give_equal_weights(architecture, init):
    models = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        models.append(build_model(SMALL | {"architecture": architecture, "init": init}, 3, 1).state_dict())
    first, second, other = models
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["heads.0.weight"], other["heads.0.weight"])


def test_a_summary_takes_no_random_number():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    summarize_model(SMALL, 3, 1, (1, 16, 16))
    assert torch.rand(1) == expected


@pytest.mark.parametrize("size", [(), (1,)])
def test_foreground_probabilities(size):
    logits = torch.tensor([0.0, 2.0]).view(1, 1, *size, 1, 2)
    np.testing.assert_allclose(foreground_probabilities(logits).flatten().numpy(), [0.5, 0.880797], atol=1e-6)
    logits = torch.tensor([0.0, 1.0, 2.0]).view(1, 3, *size, 1, 1)
    expected = np.exp([1, 2]) / np.exp([0, 1, 2]).sum()
    assert foreground_probabilities(logits).shape == (1, 2, *size, 1, 1)
    np.testing.assert_allclose(foreground_probabilities(logits).flatten().numpy(), expected, atol=1e-6)
    assert [output_channels(classes) for classes in (1, 2, 5)] == [1, 3, 6]


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (SMALL | {"attention": "cbam"}, (16, 16)),
        (SMALL | {"architecture": "early_exit_unet", "dimensions": 3, "planar": 1, "residual": True}, (4, 8, 8)),
    ],
)
def test_a_saved_model_comes_back(options, size, tmp_path):
    model = build_model(options, 3, 1)
    model(torch.rand(2, 3, *size))  # moves the running statistics
    if len(size) == 2:
        model = model.to(memory_format=torch.channels_last)
    metadata = METADATA | {"model": options}
    save_model(tmp_path / "model.safetensors", model, metadata)
    loaded, loaded_metadata = load_model(tmp_path / "model.safetensors")
    image = torch.rand(1, 3, *size)
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
