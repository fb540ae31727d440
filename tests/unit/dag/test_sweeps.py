"""Sweeps in the configuration: what they become, and what is wrong with them."""

from pathlib import Path

import pytest
import yaml

from maskmill.dag.sweeps import expand_sweeps, sweep_mistakes

SCHEMA = yaml.safe_load((Path(__file__).parents[3] / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))


def read(text: str) -> dict:
    return yaml.safe_load(text)


def test_an_experiment_for_each_combination_in_the_place_of_the_sweep():
    experiments = read("a: {}\nrates: {sweep: {train.lr: [0.001, 0.003], model.width: [8, 16]}}\nz: {loss: {ce: 1}}")

    assert list(expand_sweeps(experiments).items()) == [
        ("a", {}),
        ("rates-lr_0.001-width_8", {"train": {"lr": 0.001}, "model": {"width": 8}}),
        ("rates-lr_0.001-width_16", {"train": {"lr": 0.001}, "model": {"width": 16}}),
        ("rates-lr_0.003-width_8", {"train": {"lr": 0.003}, "model": {"width": 8}}),
        ("rates-lr_0.003-width_16", {"train": {"lr": 0.003}, "model": {"width": 16}}),
        ("z", {"loss": {"ce": 1}}),
    ]


def test_other_overrides_hold_for_all_combinations_and_the_value_of_the_sweep_wins():
    experiments = read("a: {train: {epochs: 5, lr: 1}, predict: {tile: 64}, sweep: {train.lr: [0.1, 0.2]}}")

    assert expand_sweeps(experiments) == {
        "a-lr_0.1": {"train": {"epochs": 5, "lr": 0.1}, "predict": {"tile": 64}},
        "a-lr_0.2": {"train": {"epochs": 5, "lr": 0.2}, "predict": {"tile": 64}},
    }


@pytest.mark.parametrize(
    ("sweep", "name"),
    [
        ("{train.patch: [[96, 128]]}", "a-patch_96x128"),
        ("{postprocess.steps: [[fill_holes, {step: remove_small, area: 50}]]}", "a-steps_fill_holesxremove_small_50"),
        ("{postprocess.steps: [[]]}", "a-steps_none"),
        ("{train.compile: [true]}", "a-compile_true"),
        ("{loss.class_weights: [null]}", "a-class_weights_none"),
        ("{model.attention: [cbam]}", "a-attention_cbam"),
        ("{train.lr: [1.0e-5]}", "a-lr_1e-05"),
        ("{train.batch_size: [4], predict.batch_size: [2]}", "a-train.batch_size_4-predict.batch_size_2"),
    ],
)
def test_a_combination_is_called_after_its_values(sweep, name):
    experiments = {"a": {"sweep": read(sweep)}}

    assert list(sweep_mistakes(experiments, SCHEMA)) == []
    assert list(expand_sweeps(experiments)) == [name]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: {sweep: {trian.lr: [1]}}", "experiments.a.sweep: unknown option `trian.lr`; did you mean `train.lr`?"),
        ("a: {sweep: {width: [1]}}", "experiments.a.sweep: unknown option `width`; did you mean `model.width`?"),
        ("a: {sweep: {7: [1]}}", "experiments.a.sweep: unknown option `7`; write section.option, such as `train.lr`"),
        ("a: {sweep: {train.epochs: [3, x]}}", "experiments.a.sweep: train.epochs: x is not possible; write a whole "
                                               "number"),
        ("a: {sweep: {train.lr: [1e-3]}}", "experiments.a.sweep: train.lr: 1e-3 is text in YAML, whose powers need a "
                                           "point and a sign; write 0.001 or 1.0e-3"),
        ("a: {sweep: {train.lr: [0.1]}}\na-lr_0.1: {}", "experiments: 2 would be called a-lr_0.1; rename an "
                                                        "experiment, or leave out a value"),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_with_what_to_write(text, line):
    assert list(sweep_mistakes(read(text), SCHEMA)) == [line]


def test_as_many_combinations_as_nobody_meant_are_refused_with_their_number():
    most = {"a": {"sweep": {"train.epochs": list(range(1, 9)), "train.batch_size": list(range(1, 9))}}}
    more = {"a": {"sweep": {"train.epochs": list(range(1, 10)), "train.batch_size": list(range(1, 9))}}}

    assert list(sweep_mistakes(most, SCHEMA)) == []
    assert len(expand_sweeps(most)) == 64
    assert list(sweep_mistakes(more, SCHEMA)) == [
        "experiments.a.sweep: 9 x 8 = 72 combinations, each a training; write 64 at most"
    ]
