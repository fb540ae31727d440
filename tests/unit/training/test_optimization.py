"""Optimisers and learning rates."""

import pytest
import torch

from maskmill.errors import MaskmillError
from maskmill.training.optimization import build_optimizer, learning_rate

TRAIN = {
    "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "epochs": 20, "schedule": "constant", "warm_up": 0.05,
    "step_epochs": [10], "step_factor": 0.5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("radam", torch.optim.RAdam), ("sgd", torch.optim.SGD)]
)
def test_optimisers_by_name(name, kind):
    network = torch.nn.Linear(1, 1)
    optimizer = build_optimizer(network, TRAIN | {"optimizer": name})
    (group,) = optimizer.param_groups
    assert type(optimizer) is kind
    assert (group["lr"], group["weight_decay"]) == (0.1, 0.01)
    if name == "sgd":
        assert (group["momentum"], group["nesterov"]) == (0.9, True)
    else:
        assert group["decoupled_weight_decay"]
    assert build_optimizer(network, TRAIN | {"optimizer": "sgd", "momentum": 0})


def rates(schedule, epochs=20, steps=10, **changed):
    train = TRAIN | {"schedule": schedule, "epochs": epochs} | changed
    return [learning_rate(step, steps, train) for step in range(epochs * steps)]


@pytest.mark.parametrize("schedule", ["cosine", "poly", "step", "constant"])
def test_rates_rise_over_the_first_twentieth(schedule):
    first = rates(schedule)[:10]
    assert first[0] == pytest.approx(0.01)
    assert first == sorted(first)
    assert first[9] == pytest.approx(0.1, rel=0.05)


def test_schedules():
    constant, step, cosine, poly = (rates(schedule) for schedule in ("constant", "step", "cosine", "poly"))
    assert set(constant[10:]) == {0.1}
    assert set(step[10:100]) == {0.1}
    assert set(step[100:]) == {0.05}
    assert cosine[100] == pytest.approx(0.05)
    assert poly[100] == pytest.approx(0.1 * 0.5**0.9)
    for falling in (cosine, poly):
        assert falling[10:] == sorted(falling[10:], reverse=True)
        assert 0 < falling[-1] < 1e-3


def test_the_folk_schedule_of_1e_4_and_5e_5_from_epoch_10_on():
    folk = rates("step", lr=1e-4, warm_up=0)
    assert (folk[0], folk[99], folk[100], folk[-1]) == (1e-4, 1e-4, 5e-5, 5e-5)


def test_several_steps_multiply():
    several = rates("step", step_epochs=[5, 15], step_factor=0.1, warm_up=0)
    assert several[49::50] == pytest.approx([0.1, 0.01, 0.01, 0.001])


def test_a_training_may_start_at_its_full_rate():
    assert rates("constant", warm_up=0)[0] == 0.1
    assert rates("constant", epochs=1, steps=1) == [0.1]


def test_unknown_names_are_refused():
    with pytest.raises(MaskmillError, match="adamw, radam, sgd"):
        build_optimizer(torch.nn.Linear(1, 1), TRAIN | {"optimizer": "adam"})
    with pytest.raises(MaskmillError, match="cosine, poly, step, constant"):
        rates("linear")
