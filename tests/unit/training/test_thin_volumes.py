"""Networks that meet volumes thinner than their kernels."""

import pytest
import torch

from maskmill.errors import MaskmillError
from maskmill.training.compute import resolve_compute
from maskmill.training.thin_volumes import has_thin_volumes
from tests.unit.training.jobs import make_job


@pytest.mark.parametrize(
    ("patch", "model", "thin"),
    [
        ([8, 16, 16], {}, True),  # 8, 4, 2 slices
        ([16, 16, 16], {}, False),
        ([4, 16, 16], {"planar": 2}, False),
        ([4, 16, 16], {}, True),
        ([16, 16, 16], {"attention": "cbam"}, True),  # a kernel of 7
        ([8, 16, 16], {"planar": 1}, False),
    ],
)
def test_levels_with_fewer_slices_than_the_kernel_are_found(patch, model, thin):
    assert has_thin_volumes(make_job(model={"dimensions": 3, **model}, patch=patch)) == thin


def test_pictures_are_never_thin():
    assert not has_thin_volumes(make_job(model={"attention": "cbam"}, patch=8))


def test_they_are_trained_in_32_bits_on_a_cpu(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    train = {"threads": 1, "precision": "auto", "devices": 1}
    assert resolve_compute(train, "cpu", thin=True)["precision"] == "32"
    assert resolve_compute(train, "cpu", thin=False)["precision"] == "bf16"
    with pytest.raises(MaskmillError, match=r"bf16 gives wrong gradients on a CPU.*deeper train.patch"):
        resolve_compute(train | {"precision": "bf16"}, "cpu", thin=True)


@pytest.mark.parametrize("depth", [1, 3, 4, 7])
@pytest.mark.parametrize("layout", [torch.channels_last_3d, torch.contiguous_format])
def test_gradients_in_bf16_are_right_elsewhere(depth, layout):
    torch.manual_seed(0)
    convolution = torch.nn.Conv3d(16, 16, 3, padding=1).to(memory_format=layout)
    images = torch.randn(2, 16, depth, 6, 6).contiguous(memory_format=layout)
    towards = torch.randn(2, 16, depth, 6, 6)
    gradients = []
    for bf16 in (False, True):
        convolution.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            outputs = convolution(images)
        (outputs.float() * towards).sum().backward()
        gradients.append(convolution.weight.grad.clone())
    assert (gradients[0] - gradients[1]).abs().max() < 0.02 * gradients[0].abs().max()
