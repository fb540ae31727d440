"""Parameters, multiply-accumulates and receptive fields of networks."""

import pytest
import torch

from maskmill.models import build_model, summarize_model
from maskmill.models.summary import describe_summary, receptive_field

TINY = {"architecture": "unet", "width": 4, "depth": 1, "upsampling": "transposed"}


def test_numbers_of_a_network_counted_by_hand():
    # 3x3 convolutions 2-4-4, after the pool 4-8-8, upwards 8-4 by 2x2 and 8-4-4, head 4-3 (with bias)
    weights = 9 * (2 * 4 + 4 * 4) + 9 * (4 * 8 + 8 * 8) + (4 * 8 * 4 + 4) + 9 * (8 * 4 + 4 * 4) + (4 * 3 + 3)
    norms = 2 * (4 + 4 + 8 + 8 + 4 + 4)
    fine, coarse = 16 * 24, 8 * 12
    macs = (
        fine * 9 * (2 * 4 + 4 * 4)
        + coarse * 9 * (4 * 8 + 8 * 8)
        + fine * 8 * 4  # each fine pixel is made of one coarse one
        + fine * 9 * (8 * 4 + 4 * 4)
        + fine * 4 * 3
    )
    summary = summarize_model(TINY, 2, 3, (1, 16, 24))
    kept = summary.pop("activation_bytes")
    assert summary == {
        "parameters": weights + norms,
        "macs": macs,
        "receptive_field": [1, 17 + 1, 17 + 1],  # 4 in the fine decoder, 4 * 2 below, 4 in the encoder, 2 of the pool
        "stride": [1, 2, 2],
        "levels": 2,
        "features": [4, 8],
    }
    # kept: the input; of each convolution what it gave, and its normalised form; places of the maxima (8 bytes); the
    # concatenation, the pooled features; means and deviations of the batch
    values = fine * (2 + 4 * 4 + 8 + 4 * 4) + coarse * (4 + 4 * 8) + 2 * coarse * 4
    assert kept == pytest.approx(4 * values, rel=0.02)


def test_numbers_in_three_dimensions_counted_by_hand():
    # the same network with 3x3x3 kernels and 2x2x2 strides, and with its first level planar
    fine = 4 * 16 * 24
    for options, kernel, coarse, window in [({}, 27, fine // 8, 8), ({"planar": 1}, 9, fine // 4, 4)]:
        summary = summarize_model(TINY | {"dimensions": 3} | options, 2, 3, (4, 16, 24))
        assert summary["macs"] == (
            fine * (kernel * (2 * 4 + 4 * 4 + 8 * 4 + 4 * 4) + 8 * 4 + 4 * 3) + coarse * 27 * (4 * 8 + 8 * 8)
        )
        assert summary["parameters"] == (
            kernel * (2 * 4 + 4 * 4 + 8 * 4 + 4 * 4) + 27 * (4 * 8 + 8 * 8) + (8 * 4 * window + 4) + (4 * 3 + 3) + 64
        )


def test_twice_the_patch_is_twice_the_work_and_memory():
    once, twice = (summarize_model(TINY, 1, 1, (1, 64, side)) for side in (64, 128))
    assert twice["macs"] == 2 * once["macs"]
    assert twice["activation_bytes"] == pytest.approx(2 * once["activation_bytes"], rel=0.01)


def test_an_early_exit_network_is_summarized_whole():
    plain = summarize_model(TINY, 1, 1, (1, 32, 32))
    gated = summarize_model(TINY | {"architecture": "early_exit_unet"}, 1, 1, (1, 32, 32))
    head, gate = 8 * 1, 16 * 32 + 32
    assert gated["macs"] == plain["macs"] + 16 * 16 * head + gate
    assert gated["parameters"] == plain["parameters"] + head + 1 + gate + 32 + 1
    assert gated["receptive_field"] == plain["receptive_field"]


def test_one_line():
    summary = summarize_model({"architecture": "unet"}, 3, 1, (1, 256, 256))
    assert describe_summary(summary) == (
        "7.24 M parameters, 11.7 G multiply-accumulates a patch, sees 236 x 236 pixels, 5 levels"
    )
    summary = summarize_model(TINY | {"dimensions": 3, "planar": 1}, 3, 1, (8, 32, 32))
    assert "sees 5 x 18 x 18 pixels, 2 levels" in describe_summary(summary)


def seen(model, axis, length):
    """Longest stretch of the input, along an axis, that spoils one logit where it is not a number."""
    places = torch.arange(length)
    sizes = [8] * model.dimensions
    sizes[axis] = length
    images = torch.zeros(length, 1, *sizes, dtype=torch.double)
    images.movedim(2 + axis, 1)[places, places] = torch.nan
    with torch.no_grad():
        logits = model.eval().double()(images)
    spoilt = logits.isnan().movedim(2 + axis, 1).flatten(2).any(dim=2)  # (place of the spoilt pixel, of the logit)
    middle = spoilt[:, length // 2 - model.stride[1] : length // 2 + model.stride[1]]
    first = middle.int().argmax(dim=0)
    last = length - 1 - middle.flip(0).int().argmax(dim=0)
    return int((last - first).max()) + 1


@pytest.mark.parametrize("upsampling", ["transposed", "interpolated"])
@pytest.mark.parametrize("downsampling", ["maxpool", "strided"])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("options", [{}, {"depth": 2}, {"dimensions": 3, "planar": 1}])
def test_the_receptive_field_is_what_a_pixel_that_is_no_number_spoils(options, residual, downsampling, upsampling):
    choice = {"downsampling": downsampling, "upsampling": upsampling, "residual": residual}
    model = build_model(TINY | choice | options, 1, 1)
    field = receptive_field(model)
    assert field[: 3 - model.dimensions] == (1,) * (3 - model.dimensions)
    for axis, expected in enumerate(field[3 - model.dimensions :]):
        assert seen(model, axis, 96 if model.depth == 2 else 48) == expected


def test_the_largest_patch_is_summarized_without_its_memory():
    options = {"architecture": "unet", "dimensions": 3, "deep_supervision": True, "attention": "cbam"}
    summary = summarize_model(options, 4, 4, (256, 512, 512))
    assert summary["activation_bytes"] > 2**36
