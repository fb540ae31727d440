"""The estimate of memory against memory measured, and the advice drawn from it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from maskmill.models import build_model
from maskmill.planning.memory import MB, Footprint, footprint_of, memory_advice
from tests.unit.plan_data import options

MEASURE = """
import json, sys
from pathlib import Path
import torch
from maskmill.losses import SegmentationLoss
from maskmill.models import build_model

def train(model, outputs, batch, patch):
    network = build_model(model, 3, outputs)
    optimizer = torch.optim.AdamW(network.parameters())
    loss = SegmentationLoss(ce=0.5, dice=0.3, lovasz=0.2, boundary=0, ohem=1, class_weights=None, per_sample=False)
    patch = patch[-network.dimensions:]
    images, labels = torch.rand(batch, 3, *patch), torch.randint(outputs, (batch, *patch))
    for _ in range(2):
        optimizer.zero_grad()
        loss(network(images), labels).backward()
        optimizer.step()

def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))

torch.set_num_threads(1)
model, outputs, batch, patch = json.loads(sys.argv[1])
train(model | {"width": 4}, outputs, 2, [min(side, 32) for side in patch])  # loads the libraries
before = memory("VmRSS")
train(model, outputs, batch, patch)
print(memory("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("model", "outputs", "batch", "patch"),
    [
        ({"dimensions": 2, "width": 16, "depth": 4, "planar": 0}, 3, 8, (1, 160, 160)),
        ({"dimensions": 3, "width": 8, "depth": 2, "planar": 1, "norm": "instance", "act": "silu"}, 2, 2, (32, 64, 64)),
    ],
    ids=["pictures", "volumes"],
)
def test_the_estimate_is_near_what_training_takes(model, outputs, batch, patch):
    asked = options(model=model)

    run = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps([asked["model"], outputs, batch, patch])],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    estimate = footprint_of(asked, 3, outputs, patch).megabytes(batch)

    assert float(run.stdout) == pytest.approx(estimate, rel=0.4)


def network(**train):
    return options(model={"dimensions": 2, "depth": 3, "planar": 0}, train=train)


def test_the_parts_follow_from_the_network_and_the_options():
    parameters = sum(tensor.numel() for tensor in build_model(network()["model"], 3, 2).parameters())

    plain = footprint_of(network(), 3, 2, (1, 64, 64))
    assert plain.weights == plain.gradients == 4 * parameters
    assert plain.optimizer == 8 * parameters
    assert plain.average == 0
    assert plain.megabytes(4) == pytest.approx(sum(plain.parts(4).values()), abs=4)

    sgd = footprint_of(network(optimizer="sgd", ema=0.999), 3, 2, (1, 64, 64))
    assert sgd.optimizer == sgd.average == 4 * parameters

    mixed = footprint_of(network(precision="bf16"), 3, 2, (1, 64, 64))
    assert mixed.activations == plain.activations // 2
    assert mixed.weights == 6 * parameters

    larger = footprint_of(network(), 3, 2, (1, 128, 64))
    assert larger.patch == pytest.approx(2 * plain.patch, rel=0.01)
    assert larger.fixed == plain.fixed


def test_a_batch_that_fits():
    footprint = Footprint(4 * MB, 3 * MB, 2 * MB, MB, 6 * MB, 3 * MB, MB)

    assert footprint.megabytes(2) == 30
    assert footprint.fitting_batch(30) == 2
    assert footprint.fitting_batch(29.9) == 1
    assert footprint.fitting_batch(5) == 0


def test_advice_names_values_that_fit():
    asked = network(batch_size=12, patch=64, accumulate=2)
    whole = footprint_of(asked, 3, 2, (1, 64, 64))

    text = memory_advice(asked, 3, 2, whole.megabytes(12) / 2)

    assert f"batch_size 12 and patch 64 takes about {whole.megabytes(12)} MB" in text
    size, accumulate = map(int, re.search(r"\{batch_size: (\d+), accumulate: (\d+)\}", text).groups())
    assert size * accumulate == 24
    assert size == 4
    assert whole.megabytes(size) <= whole.megabytes(12) / 2
    patch = int(re.search(r"\{patch: (\d+), batch_size: 12\}", text)[1])
    assert patch % 8 == 0
    assert footprint_of(asked, 3, 2, (1, patch, patch)).megabytes(12) <= whole.megabytes(12) / 2


def test_advice_where_the_estimate_is_too_low_still_names_less():
    text = memory_advice(network(batch_size=8, patch=64), 3, 2, 10_000)

    assert "{batch_size: 4, accumulate: 2}" in text
    assert "{patch: 48, batch_size: 8}" in text


def test_advice_for_volumes_keeps_the_strides():
    asked = options(
        model={"dimensions": 3, "depth": 3, "planar": 2}, train={"batch_size": 1, "patch": [10, 64, 96]}
    )  # fmt: skip
    text = memory_advice(asked, 1, 2, 0.5 * footprint_of(asked, 1, 2, (10, 64, 96)).megabytes(1))

    assert "accumulate" not in text
    depth, height, width = map(int, re.search(r"\{patch: \[(\d+), (\d+), (\d+)\], batch_size: 1\}", text).groups())
    assert (depth % 2, height % 8, width % 8) == (0, 0, 0)


def test_advice_where_nothing_fits_names_the_width():
    assert "choose a smaller model.width (now 8)" in memory_advice(network(batch_size=8, patch=64), 3, 2, 1)


def test_advice_for_a_batch_that_is_far_too_large_comes_at_once():
    text = memory_advice(network(batch_size=2**40, patch=64), 3, 2, 500)
    assert re.search(r"batch_size: \d+, accumulate: \d{7,}", text)
