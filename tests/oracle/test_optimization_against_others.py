"""Learning rates against the schedulers of torch."""

import pytest
import torch
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingLR,
    LinearLR,
    MultiStepLR,
    PolynomialLR,
)

from maskmill.training.optimization import POWER, learning_rate

EPOCHS, STEPS = 12, 7
TOTAL = EPOCHS * STEPS
TRAIN = {"lr": 0.3, "epochs": EPOCHS, "warm_up": 0.1, "step_epochs": [3, 8], "step_factor": 0.2}

SCHEDULERS = {
    "cosine": lambda optimizer: CosineAnnealingLR(optimizer, TOTAL),
    "poly": lambda optimizer: PolynomialLR(optimizer, TOTAL, power=POWER),
    "step": lambda optimizer: MultiStepLR(optimizer, [3 * STEPS, 8 * STEPS], gamma=0.2),
    "constant": lambda optimizer: ConstantLR(optimizer, factor=1),
}


@pytest.mark.parametrize("warm_up", [0, 0.1, 0.5])
@pytest.mark.parametrize("schedule", SCHEDULERS)
def test_learning_rates_are_those_of_torch(schedule, warm_up):
    optimizer = torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), TRAIN["lr"])
    schedulers = [SCHEDULERS[schedule](optimizer)]
    rise = max(1, round(warm_up * TOTAL))
    if rise > 1:
        schedulers.append(LinearLR(optimizer, start_factor=1 / rise, total_iters=rise - 1))
    chained = ChainedScheduler(schedulers)
    theirs = []
    for _ in range(TOTAL):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        chained.step()
    train = TRAIN | {"schedule": schedule, "warm_up": warm_up}
    assert [learning_rate(step, STEPS, train) for step in range(TOTAL)] == pytest.approx(theirs, rel=1e-9)
