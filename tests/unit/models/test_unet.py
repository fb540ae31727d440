"""The U-Net in two and three dimensions."""

import itertools

import pytest
import torch

from maskmill.errors import MaskmillError
from maskmill.models import build_model

SMALL = {"architecture": "unet", "width": 4, "depth": 2}
SIZES = {2: (8, 12), 3: (8, 4, 12)}


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_published_size():
    # widely cited for this U-Net with 32 filters, batch normalisation and transposed convolutions
    options = {"architecture": "unet", "width": 32, "depth": 4, "upsampling": "transposed"}
    assert parameters(build_model(options, channels=3, outputs=1)) == 7_763_041


def assert_learns(model, outputs):
    torch.stack([logits.square().sum() for logits in outputs]).sum().backward()
    idle = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    still = [name for name, parameter in model.named_parameters() if parameter.grad is not None
             and not (parameter.grad.isfinite().all() and parameter.grad.any())]  # fmt: skip
    assert (idle, still) == ([], [])


COMBINATIONS = itertools.product(
    ["batch", "group", "instance"], ["none", "cbam"], ["maxpool", "strided"], ["transposed", "interpolated"]
)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize(("number", "choice"), list(enumerate(COMBINATIONS)))
def test_every_combination_gives_logits_of_the_input_size_and_learns(dimensions, number, choice):
    named = dict(zip(["norm", "attention", "downsampling", "upsampling"], choice, strict=True))
    others = {"residual": number % 3 == 0, "act": ["relu", "silu"][number % 5 < 3], "planar": number % dimensions // 2}
    torch.manual_seed(0)
    model = build_model(SMALL | {"dimensions": dimensions} | named | others, channels=2, outputs=3)
    logits = model(torch.rand(2, 2, *SIZES[dimensions]))
    assert logits.shape == (2, 3, *SIZES[dimensions])
    assert_learns(model, [logits])


@pytest.mark.parametrize(
    ("options", "size", "expected"),
    [
        ({}, (16, 24), [(16, 24), (8, 12), (4, 6)]),
        ({"dimensions": 3}, (8, 16, 24), [(8, 16, 24), (4, 8, 12), (2, 4, 6)]),
        ({"dimensions": 3, "planar": 1}, (4, 16, 24), [(4, 16, 24), (4, 8, 12), (2, 4, 6)]),
        ({"dimensions": 3, "planar": 3}, (3, 16, 24), [(3, 16, 24), (3, 8, 12), (3, 4, 6)]),
    ],
)
def test_deep_supervision_gives_logits_of_every_level_finest_first_and_all_learn(options, size, expected):
    torch.manual_seed(0)
    model = build_model(SMALL | {"depth": 3, "deep_supervision": True} | options, 1, 2)
    logits = model(torch.rand(2, 1, *size))
    assert [tuple(of_level.shape) for of_level in logits] == [(2, 2, *length) for length in expected]
    assert_learns(model, logits)
    assert model.eval()(torch.rand(1, 1, *size)).shape == (1, 2, *size)


def test_supervision_of_the_levels_changes_no_logit():
    torch.manual_seed(0)
    deep = build_model(SMALL | {"deep_supervision": True}, 1, 2).eval()
    plain = build_model(SMALL, 1, 2).eval()
    plain.load_state_dict({name: deep.state_dict()[name] for name in plain.state_dict()})
    image = torch.rand(1, 1, 8, 8)
    assert torch.equal(deep(image), plain(image))


@pytest.mark.parametrize(
    ("options", "stride", "widths"),
    [
        ({"width": 4, "depth": 3}, (1, 8, 8), [4, 8, 16, 32]),
        ({"width": 4, "depth": 3, "dimensions": 3}, (8, 8, 8), [4, 8, 16, 32]),
        ({"width": 4, "depth": 3, "dimensions": 3, "planar": 2}, (2, 8, 8), [4, 8, 16, 32]),
        ({"width": 4, "depth": 1, "dimensions": 3, "planar": 1}, (1, 2, 2), [4, 8]),
        ({"width": 128, "depth": 4}, (1, 16, 16), [128, 256, 512, 512, 512]),
        ({"width": 128, "depth": 3, "dimensions": 3}, (8, 8, 8), [128, 256, 320, 320]),
        ({"width": 400, "depth": 1, "dimensions": 3}, (2, 2, 2), [400, 400]),
    ],
)
def test_strides_and_capped_channels(options, stride, widths):
    with torch.device("meta"):
        model = build_model(SMALL | options, 1, 1)
    assert (model.stride, model.widths) == (stride, widths)


def test_the_input_reaches_across_the_picture_through_the_deepest_level():
    model = build_model({"architecture": "unet", "width": 4, "depth": 3, "norm": "group"}, 1, 1)
    image = torch.rand(1, 1, 32, 32, requires_grad=True)
    model(image)[0, 0, 16, 16].backward()
    touched = image.grad[0, 0] != 0
    assert touched[:, 0].any()
    assert touched[0].any()


@pytest.mark.parametrize(
    ("options", "size", "said"),
    [
        ({"depth": 1}, (9, 16), r"9x16 pixels: with model.depth 1, \(height, width\) must.*2x2;.*pad to 10x16"),
        ({"depth": 3}, (16, 17), r"16x17 .*model.depth 3.* multiples of 8x8; choose train.patch and predict.tile"),
        (
            {"depth": 2, "dimensions": 3, "planar": 1}, (3, 4, 4),
            r"3x4x4 pixels: .*\(depth, height, width\) must be multiples of 2x4x4;.*pad to 4x4x4",
        ),
    ],
)  # fmt: skip
def test_a_wrong_size_is_refused_with_the_fix(options, size, said):
    model = build_model(SMALL | options, 1, 1)
    with pytest.raises(MaskmillError, match=said):
        model(torch.zeros(1, 1, *size))


def test_a_single_pixel_is_not_normalised_by_itself():
    model = build_model(SMALL | {"norm": "instance"}, 1, 1)
    with pytest.raises(MaskmillError, match=r"4x4 pixels: the deepest level would be a single one.*model.norm group"):
        model(torch.zeros(2, 1, 4, 4))
    assert model(torch.zeros(2, 1, 4, 8)).shape == (2, 1, 4, 8)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"planar": 1}, r"model.planar is 1; .* must be 0 in one of two \(model.dimensions is 2\)"),
        ({"planar": 3, "dimensions": 3}, "model.planar is 3; it can be at most model.depth, which is 2"),
    ],
)
def test_more_planar_levels_than_there_are_are_refused(options, said):
    with pytest.raises(MaskmillError, match=said):
        build_model(SMALL | options, 1, 1)
