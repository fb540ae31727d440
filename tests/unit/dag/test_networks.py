"""What networks take, against their plan and against what PyTorch counts."""

import copy
import math
from dataclasses import replace
from itertools import product

import pytest

from maskmill.dag import networks
from maskmill.dag.costs import MIB, Pictures
from maskmill.dag.networks import (
    NETWORK_RULES,
    PLANNED_MB,
    TRAINER,
    WORKER,
    Work,
    guessed_network,
    planned_network,
    training_memory,
)
from maskmill.inference import runtimes
from maskmill.models import exact_halo, summarize_model
from maskmill.planning import proposals
from maskmill.planning.planner import make_plan
from tests.unit.plan_data import fingerprint, options

PICTURES = Pictures(count=10, pixels=250_000, values=750_000, together=2_500_000, width=500, area=250_000)
TRAIN = {"workers": 1, "devices": 1, "epochs": 2, "patches_per_epoch": 100}
PREDICT = {"tile": 128, "overlap": 0.5, "batch_size": 4, "tta": "none"}


def work(network, pictures=PICTURES, asked=None, **changes) -> Work:
    """A job with a network on two classes."""
    asked = copy.deepcopy(asked or options())
    asked["train"] |= TRAIN
    return Work(asked | {"predict": dict(PREDICT)}, network, pictures, classes=2, **changes)


def test_a_planned_training_takes_what_its_plan_estimates():
    asked = options()
    plan = make_plan(fingerprint(), 0, asked)

    taken = training_memory(work(planned_network(asked, plan)))

    assert taken == TRAINER + 2 * WORKER + plan["memory"]["estimate_mb"]


def test_an_edited_plan_counts_as_edited():
    asked = options()
    plan = make_plan(fingerprint(), 0, asked)
    plan["options"]["train.batch_size"]["used"] *= 2
    plan["options"]["train.patch"]["used"] = [1, 512, 512]

    network = planned_network(asked, plan)

    assert network.patch == (1, 512, 512)
    assert network.macs == 4 * plan["network"]["macs"]
    estimate = training_memory(work(network)) - TRAINER - 2 * WORKER
    assert estimate == pytest.approx(8 * plan["memory"]["estimate_mb"], rel=0.05)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_guessed_network_is_no_smaller_than_any_real_one(dimensions):
    blocks = [
        {"norm": "instance", "act": "silu"},
        {"residual": True},
        {"attention": "cbam"},
        {"architecture": "early_exit_unet"},
        {"upsampling": "transposed", "downsampling": "strided"},
    ]
    for depth, block in product((2, 4), blocks):
        model = {"dimensions": dimensions, "depth": depth, "width": 16, "planar": 0, **block}
        asked = options(model=model, train={"patch": 64 if dimensions == 2 else 32})

        guess = guessed_network(asked, volumes=False)

        real = summarize_model(asked["model"], 3, 3, guess.patch)
        assert real["parameters"] <= guess.parameters
        assert real["activation_bytes"] <= guess.activation_bytes <= 2 * real["activation_bytes"]
        assert 0.95 * real["macs"] <= guess.macs <= 2 * real["macs"]


def test_what_is_left_to_the_plan_counts_as_the_most_that_it_decides_on():
    guess = guessed_network(options(), volumes=True)

    assert PLANNED_MB == proposals.MEMORY_MB
    assert guess.dimensions == 3
    assert math.prod(guess.patch) <= proposals.LARGEST_VOLUME
    assert training_memory(work(guess)) == TRAINER + 2 * WORKER + PLANNED_MB


def test_readers_and_devices_are_processes_of_their_own():
    asked = options(train={"patch": 64, "batch_size": 2}, model={"depth": 3, "planar": 0, "dimensions": 2})
    one = work(guessed_network(asked, volumes=False), asked=asked)
    two = copy.deepcopy(one)
    two.options["train"] |= {"devices": 2, "workers": 3}

    assert training_memory(two) == 2 * (training_memory(one) + 4 * WORKER)


def test_tiles_are_no_larger_than_the_picture():
    network = guessed_network(options(model={"dimensions": 2}), volumes=False)
    small = Pictures(count=1, pixels=1000, values=3000, together=1000)

    assert work(network, small).tiles(10, 4) < work(network).tiles(10, 4)


def test_tiles_of_a_batch_count_as_far_as_a_processor_takes_them_together():
    assert networks.PIXELS_AT_ONCE == runtimes.PIXELS_AT_ONCE
    job = work(guessed_network(options(model={"dimensions": 2}), volumes=False))
    weights = 4 * job.network.parameters / MIB

    of_one = job.tiles(10, 1) - weights
    assert job.tiles(10, 4) - weights == pytest.approx(4 * of_one)  # tiles of 128²
    job.options["predict"]["tile"] = 512
    assert job.tiles(10, 4) == job.tiles(10, 1)
    assert job.tiles(10, 1) - weights == pytest.approx(16 * of_one)


def test_many_outputs_are_maps_of_tiles_too():
    network = guessed_network(options(model={"dimensions": 2, "width": 4}), volumes=False)
    few, many = work(network), replace(work(network), classes=22)

    assert many.tiles(10, 1) - few.tiles(10, 1) == pytest.approx(4 * networks.LOGITS * 20 * 128**2 / MIB)


def test_a_band_of_sums_is_as_wide_as_the_picture_and_has_all_classes():
    network = guessed_network(options(model={"dimensions": 2}), volumes=False)
    square = Pictures(1, 9_000_000, 0, 9_000_000, width=3000, area=9_000_000)
    strip = replace(square, width=30_000)
    of_class = 4 * networks.BLENDED[2] / MIB

    assert work(network, square).picture() == pytest.approx(3 * of_class * 128 * 3000)  # tiles of 128²
    assert work(network, strip).picture() == pytest.approx(3 * of_class * 128 * 30_000)
    assert work(network, strip, scale=2).picture() == pytest.approx(3 * of_class * 128 * 60_000)
    assert work(network, strip, scale=0.5).picture() == pytest.approx(3 * of_class * 128 * 60_000)
    assert replace(work(network, square), classes=5).picture() == 2 * work(network, square).picture()
    low = replace(square, pixels=30_000, width=3000)  # ten rows
    assert work(network, low).picture() == pytest.approx(3 * of_class * 30_000)


def test_sums_of_a_volume_are_no_deeper_than_a_tile():
    network = guessed_network(options(model={"dimensions": 3}), volumes=True)
    deep = Pictures(1, 400 * 10_000, 0, 400 * 10_000, volumes=True, width=100, area=10_000)
    flat = replace(deep, pixels=50 * 10_000)
    of_voxel = 4 * networks.BLENDED[3] * 3 / MIB

    assert work(network, deep).picture() == pytest.approx(of_voxel * 128 * 10_000)  # tiles of 128³
    assert work(network, flat).picture() == pytest.approx(of_voxel * 50 * 10_000)
    assert work(network, deep, scale=2).picture() == pytest.approx(4 * of_voxel * 128 * 10_000)


def test_predicting_takes_as_long_as_overlaps_and_turns_repeat_it():
    network = guessed_network(options(model={"dimensions": 2}), volumes=False)
    once, turned = work(network), work(network)
    once.options["predict"] |= {"overlap": 0}
    turned.options["predict"] |= {"tta": "flips"}

    assert turned.predicting_seconds(2) == pytest.approx(16 * once.predicting_seconds(2))
    assert once.predicting_seconds(2) == once.predicting_seconds(1) / 2


@pytest.mark.parametrize("depth", [3, 4, 5])
@pytest.mark.parametrize("block", [{}, {"upsampling": "transposed"}, {"upsampling": "transposed", "residual": True}])
def test_exact_tiles_are_counted_with_what_the_network_sees(depth, block):
    asked = options(model={"dimensions": 2, "depth": depth, "planar": 0, **block})
    job = work(guessed_network(asked, volumes=False), asked=asked)
    once = work(guessed_network(asked, volumes=False), asked=asked)
    once.options["predict"] |= {"overlap": 0}

    for side in (32 * 2**depth, 64 * 2**depth):
        job.options["predict"] |= {"overlap": "exact", "tile": side}
        once.options["predict"]["tile"] = side
        repeated = (side / (side - 2 * exact_halo(asked["model"])[1])) ** 2
        assert repeated <= job.predicting_seconds(1) / once.predicting_seconds(1) <= 2 * repeated


@pytest.mark.parametrize("rule", sorted(NETWORK_RULES))
def test_larger_pictures_and_more_members_never_take_less(rule):
    network = guessed_network(options(), volumes=False)
    larger = PICTURES.enlarged(10)
    memory, seconds = NETWORK_RULES[rule]

    assert 0 < memory(work(network)) <= memory(work(network, larger, members=3))
    assert 0 < seconds(work(network), 2) <= seconds(work(network, larger, members=3), 2)
