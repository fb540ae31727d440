"""Optimisers and learning rates."""

import pytest
import torch

from maskmill.errors import MaskmillError
from maskmill.optimization import build_optimizer, learning_rate

TRAIN = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "epochs": 20, "schedule": "constant"}


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


def rates(schedule, epochs=20, steps=10):
    return [
        learning_rate(step, steps, TRAIN | {"schedule": schedule, "epochs": epochs}) for step in range(epochs * steps)
    ]


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_rates_rise_over_the_first_twentieth(schedule):
    first = rates(schedule)[:10]
    assert first[0] == pytest.approx(0.01)
    assert first == sorted(first)
    assert first[9] == pytest.approx(0.1, rel=0.01)


def test_schedules():
    constant, step, cosine = (rates(schedule) for schedule in ("constant", "step", "cosine"))
    assert set(constant[10:]) == {0.1}
    assert set(step[10:100]) == {0.1}
    assert set(step[100:]) == {0.05}
    assert cosine[100] == pytest.approx(0.05)
    assert cosine[10:] == sorted(cosine[10:], reverse=True)
    assert 0 < cosine[-1] < 1e-4


def test_a_single_step_has_the_full_rate():
    assert rates("constant", epochs=1, steps=1) == [0.1]


def test_unknown_names_are_refused():
    with pytest.raises(MaskmillError, match="adamw, radam, sgd"):
        build_optimizer(torch.nn.Linear(1, 1), TRAIN | {"optimizer": "adam"})
    with pytest.raises(MaskmillError, match="cosine, step, constant"):
        rates("linear")
