"""What a step of the optimiser does."""

import copy

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision

from maskmill.training.compute import Place, start_compute
from maskmill.training.learner import Learner, memory_format
from tests.unit.training.jobs import COMPUTE, make_batch, make_job

SMOOTH = {"model": {"norm": "group"}, "loss": {"per_sample": True}}
PLAIN = {"optimizer": "sgd", "momentum": 0, "weight_decay": 0}


def make_learner(fabric=None, **changed):
    return Learner(make_job(**changed), fabric or start_compute(COMPUTE, True, Place()))


def step(learner, *batches, rate=0.1):
    """One step over batches (images, labels), each by its share of the patches; the losses."""
    learner.train()
    patches = sum(len(images) for images, _ in batches)
    losses = [
        learner.learn(images, labels, len(images) / patches, number == len(batches))
        for number, (images, labels) in enumerate(batches, 1)
    ]
    learner.step(rate)
    return losses


def weights(learner):
    return torch.cat([parameter.detach().flatten() for parameter in learner.network.parameters()])


def test_it_learns_a_batch():
    learner, batch = make_learner(), make_batch()
    losses = [step(learner, batch, rate=0.01)[0].item() for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("sizes", [[2, 2], [3, 1], [1, 1, 1, 1]])
@pytest.mark.parametrize("shape", [(16, 16), (8, 8, 8)])
def test_accumulated_batches_equal_the_large_batch_with_group_norm_and_losses_by_sample(sizes, shape):
    """Differences are rounding of sums: a few 1e-7 of gradients around 0.1."""
    smooth = copy.deepcopy(SMOOTH)
    smooth["model"]["dimensions"] = len(shape)
    images, labels = make_batch(4, shape)
    whole, parts = make_learner(**smooth, **PLAIN), make_learner(**smooth, **PLAIN)
    before = weights(whole)
    step(whole, (images, labels), rate=1)
    step(parts, *zip(images.split(sizes), labels.split(sizes), strict=True), rate=1)
    assert (weights(whole) - before).abs().max() > 0.01
    assert torch.allclose(weights(parts), weights(whole), atol=1e-6, rtol=0)


def test_with_batch_norm_accumulated_batches_are_another_training():
    images, labels = make_batch()
    whole, parts = make_learner(**PLAIN), make_learner(**PLAIN)
    step(whole, (images, labels))
    step(parts, (images[:2], labels[:2]), (images[2:], labels[2:]))
    assert (weights(whole) - weights(parts)).abs().max() > 1e-4


def test_long_gradients_are_shortened_and_short_ones_left_alone():
    batch, changes = make_batch(), {}
    for clip in (0, 0.05, 100.0):
        learner = make_learner(**PLAIN, clip=clip)
        before = weights(learner)
        step(learner, batch, rate=1)
        changes[clip] = weights(learner) - before
    assert changes[0.05].norm() == pytest.approx(0.05, rel=1e-4)
    assert torch.nn.functional.cosine_similarity(changes[0], changes[0.05], dim=0) == pytest.approx(1)
    assert torch.equal(changes[0], changes[100.0])


@pytest.mark.parametrize(
    "changed", [{}, {"ema": 0.9}, {"optimizer": "radam"}, {"optimizer": "sgd"}, {"model": {"norm": "instance"}}]
)
def test_a_state_holds_all_that_the_next_steps_depend_on(tmp_path, changed):
    first, second = make_learner(**changed), make_learner(**changed)
    for seed in range(3):
        step(first, make_batch(seed=seed))
    torch.save(first.state_dict(), tmp_path / "state")
    second.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    random = torch.rand(1)
    second.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    assert torch.rand(1) == random
    for learner in (first, second):
        for seed in range(3, 6):
            step(learner, make_batch(seed=seed))
    assert torch.equal(weights(first), weights(second))
    assert all(torch.equal(value, second.weights()[name]) for name, value in first.weights().items())


def fp16():
    """Half precision with its scaler, which on a CPU is slow but works."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**14, growth_interval=2)
    return Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu", scaler))


def test_the_scaler_of_half_precision_is_part_of_the_state():
    first, second = make_learner(fp16()), make_learner(fp16())
    for seed in range(3):
        step(first, make_batch(seed=seed))
    state = copy.deepcopy(first.state_dict())
    assert state["scaler"]["scale"] != 2.0**14
    second.load_state_dict(state)
    for learner in (first, second):
        step(learner, make_batch(seed=4))
    assert torch.equal(weights(first), weights(second))
    assert first.state_dict()["scaler"] == second.state_dict()["scaler"]


def test_half_precision_clips_the_gradients_themselves_not_their_scaled_ones():
    learner = make_learner(fp16(), **PLAIN, clip=0.05)
    before = weights(learner)
    step(learner, make_batch(), rate=1)
    assert (weights(learner) - before).norm() == pytest.approx(0.05, rel=1e-2)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"dimensions": 2, "norm": "batch"}, torch.channels_last),
        ({"dimensions": 3, "norm": "batch"}, torch.channels_last_3d),
        ({"dimensions": 2, "norm": "instance"}, torch.contiguous_format),
    ],
)
def test_batch_norm_lies_channels_last(model, expected):
    learner = make_learner(model=model)
    assert memory_format(make_job(model=model).options["model"]) == expected
    kernels = [parameter for parameter in learner.network.parameters() if parameter.ndim > 3]
    assert all(kernel.is_contiguous(memory_format=expected) for kernel in kernels)


@pytest.mark.parametrize("architecture", ["unet", "early_exit_unet"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_every_weight_learns_under_deep_supervision(architecture, dimensions):
    model = {"architecture": architecture, "dimensions": dimensions, "deep_supervision": True, "norm": "group"}
    learner = make_learner(model=model, **PLAIN)
    before = {name: parameter.detach().clone() for name, parameter in learner.network.named_parameters()}
    step(learner, make_batch(2, (16,) * dimensions))
    assert all(not torch.equal(parameter, before[name]) for name, parameter in learner.network.named_parameters())
    assert learner.predict(make_batch(2, (16,) * dimensions)[0]).shape == (2, 1, *(16,) * dimensions)


def test_predictions_are_of_32_bits_and_leave_no_trace():
    learner = make_learner(start_compute(COMPUTE | {"precision": "bf16"}, True, Place()))
    statistics = {name: buffer.clone() for name, buffer in learner.network.named_buffers()}
    logits = learner.predict(make_batch()[0])
    assert logits.dtype == torch.float32
    assert not logits.requires_grad
    assert all(torch.equal(buffer, statistics[name]) for name, buffer in learner.network.named_buffers())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside torch
def test_a_compiled_network_learns_the_same_and_is_kept_under_the_same_names():
    compiled, plain = make_learner(compile=True, **SMOOTH, **PLAIN), make_learner(**SMOOTH, **PLAIN)
    for learner in (compiled, plain):
        step(learner, make_batch())
    assert compiled.weights().keys() == plain.weights().keys()
    assert torch.allclose(weights(compiled), weights(plain), atol=1e-5)
