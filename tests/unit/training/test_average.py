"""The moving average of weights."""

import pytest
import torch

from maskmill.training.average import MovingAverage


def network(seed):
    """A convolution and batch norm with statistics of their own."""
    torch.manual_seed(seed)
    built = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)).train()
    built(torch.randn(4, 1, 8, 8) * seed)
    return built


def test_the_average_forgets_the_first_weights_before_it_grows_slow():
    decay, networks = 0.8, [network(seed) for seed in range(1, 40)]
    average = MovingAverage(networks[0], decay)
    expected = {name: value.double() for name, value in networks[0].state_dict().items()}
    for count, weights in enumerate(networks):
        average.update(weights)
        if count:
            kept = min(decay, (1 + count) / (10 + count))
            for name, value in weights.state_dict().items():
                expected[name] = kept * expected[name] + (1 - kept) * value.double()
    for name, value in average.network.state_dict().items():
        if value.is_floating_point():
            assert value.double().numpy() == pytest.approx(expected[name].numpy(), rel=1e-4, abs=1e-6)


def test_statistics_of_batch_norm_are_averaged_and_its_counter_is_taken_over():
    average = MovingAverage(network(1), 0.5)
    for seed in (1, 2):
        average.update(network(seed))
    kept = 2 / 11
    expected = kept * network(1)[1].running_var + (1 - kept) * network(2)[1].running_var
    assert torch.allclose(average.network[1].running_var, expected)
    assert average.network[1].num_batches_tracked == 1
    assert not average.network.training


def test_an_average_goes_on_from_its_state():
    first = MovingAverage(network(1), 0.9)
    for seed in (1, 2, 3):
        first.update(network(seed))
    second = MovingAverage(network(7), 0.9)
    second.load_state_dict(first.state_dict())
    for average in (first, second):
        average.update(network(4))
    assert all(
        torch.equal(value, second.network.state_dict()[name]) for name, value in first.network.state_dict().items()
    )
