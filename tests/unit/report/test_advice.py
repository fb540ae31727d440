"""What stands out in a run: each rule where its evidence is there, and where it is not."""

from dataclasses import replace

import numpy as np
import pytest

from maskmill.metrics.statistics import Interval
from maskmill.report.advice import RULES, advise
from maskmill.report.remarks import Evidence

EPOCHS = 30


def history(**columns):
    """Epochs of a training that goes well, with other columns where given."""
    rise = 1 - np.exp(-np.arange(EPOCHS) / 6)
    good = {"loss": 1 - 0.8 * rise, "validation_loss": 1 - 0.7 * rise, "validation_iou": 0.1 + 0.6 * rise}
    good["waiting"] = np.full(EPOCHS, 0.02)
    return [dict(zip(good, map(float, row), strict=True)) for row in zip(*(good | columns).values(), strict=True)]


def row(name="roof", tp=90, fp=10, fn=10, tn=890, dice="0.9", boundary_f1="0.85"):
    counts = {"tp": str(tp), "fp": str(fp), "fn": str(fn), "tn": str(tn)}
    return {"class": name, **counts, "dice": dice, "boundary_f1": boundary_f1}


def point(threshold=0.5, optimism=0.005, scores=(0.7, 0.8, 0.6)):
    return {
        "thresholds": [threshold],
        "optimism": {"difference": optimism},
        "candidates": {"thresholds": [0.2, 0.5, 0.8]},
        "validation": {name: {"threshold_iou": list(scores)} for name in ("roof", "road")},
    }


def interval(mean, low=None, high=None, groups=8):
    resampled = "groups" if groups >= 3 else "cases"
    return Interval(mean, low, high, resampled, n_cases=2 * groups, n_groups=groups, undefined=0)


GOOD = Evidence(
    classes=("roof",),
    history=history(),
    kept_iou=0.8,
    validation=[row()],
    means=(interval(0.8, 0.75, 0.85), interval(0.78, 0.7, 0.86)),
    point=point(),
    seams={"ratio": 1.05, "near_errors": 5000},
    config={"loss": {"boundary": 0.0, "class_weights": None}},
    recalls={"roof": {"recall_tiny": None, "recall_small": 0.8, "recall_medium": 0.85, "recall_large": 0.9}},
    groups=8,
)


def remarks(**changes):
    return advise(replace(GOOD, **changes))


def the_one(**changes):
    """The only remark there is."""
    (remark,) = remarks(**changes)
    assert remark.cause
    assert remark.remedy
    return remark


def test_nothing_is_said_where_nothing_stands_out():
    assert advise(GOOD) == []


def test_every_rule_is_asked():
    assert len(set(RULES)) == len(RULES) == 14


def zigzag(size, epochs=EPOCHS):
    return np.where(np.arange(epochs) % 2, size, -size)


def test_validation_iou_that_oscillates_late():
    iou = np.array([epoch["validation_iou"] for epoch in GOOD.history])

    remark = the_one(history=history(validation_iou=iou + zigzag(0.05)))

    assert "±0.049" in remark.symptom  # a trend through the zigzag takes a little of it away
    assert "train.lr" in remark.remedy
    assert "rotate_limit" in remark.remedy
    assert remarks(history=history(validation_iou=iou + zigzag(0.015))) == []


def test_a_steady_rise_is_no_oscillation():
    assert remarks(history=history(validation_iou=np.linspace(0, 0.9, EPOCHS))) == []


def test_oscillation_is_weighed_against_the_gain():
    steady = np.full(EPOCHS, 0.5) + zigzag(0.025)
    assert "±0.025" in the_one(history=history(validation_iou=steady)).symptom
    grown = np.concatenate([[0.0], np.full(EPOCHS - 1, 0.9) + zigzag(0.025, EPOCHS - 1)])
    assert remarks(history=history(validation_iou=grown)) == []


def test_epochs_without_an_iou_and_short_trainings_say_nothing():
    assert remarks(history=[epoch | {"validation_iou": None} for epoch in GOOD.history]) == []
    short = history(validation_iou=0.5 + zigzag(0.2), validation_loss=np.linspace(0.1, 1, EPOCHS))[:8]
    assert remarks(history=short) == []


def test_overfitting():
    loss = np.abs(np.arange(EPOCHS) - 9) / 20 + 0.4

    remark = the_one(history=history(validation_loss=loss))

    assert "rises from 0.400 in epoch 10 to 1.350" in remark.symptom
    assert remark.cause.startswith("overfitting")
    assert "train.patience" in remark.remedy


def test_a_validation_loss_that_rises_with_the_training_loss_is_no_overfitting():
    loss = np.abs(np.arange(EPOCHS) - 9) / 20 + 0.4
    assert remarks(history=history(validation_loss=loss, loss=loss)) == []
    assert remarks(history=history(validation_loss=np.abs(np.arange(EPOCHS) - 28.0) + 5)) == []  # the last epochs


def test_a_validation_loss_that_is_no_number():
    loss = np.array([0.5] * (EPOCHS - 4) + [np.nan, 0.4, np.inf, np.nan])

    remark = the_one(history=history(validation_loss=loss))

    assert remark.symptom == "Validation loss is infinite or not a number in 3 of 30 epochs, first in epoch 27"
    assert "train.precision" in remark.remedy
    everywhere = the_one(history=[epoch | {"validation_loss": None} for epoch in GOOD.history])
    assert "30 of 30 epochs, first in epoch 1" in everywhere.symptom


def test_a_validation_loss_of_nothing_at_all_is_no_overfitting():
    assert remarks(history=history(validation_loss=np.zeros(EPOCHS))) == []


def test_waiting_for_data():
    remark = the_one(history=history(waiting=np.full(EPOCHS, 0.25)))
    assert "25 % of its time" in remark.symptom
    assert "train.workers" in remark.remedy
    assert remarks(history=history(waiting=np.full(EPOCHS, 0.19))) == []
    without = [{name: value for name, value in epoch.items() if name != "waiting"} for epoch in GOOD.history]
    assert remarks(history=without) == []


def test_tiles_that_differ_from_patches():
    remark = the_one(kept_iou=0.9)  # 90 of 110 pixels are hits: 0.818
    assert "0.900 in training and 0.818 of whole pictures" in remark.symptom
    assert remarks(kept_iou=0.85) == []
    assert remarks(kept_iou=None) == []


def test_the_iou_of_whole_pictures_is_over_all_pixels_and_the_mean_of_classes():
    rows = [row(tp=0, fp=0, fn=10), row(tp=90, fp=0, fn=0), row("road", tp=50, fp=25, fn=25)]
    assert "0.950 in training and 0.700" in the_one(kept_iou=0.95, validation=rows).symptom


def test_blurred_borders():
    remark = the_one(validation=[row(boundary_f1="0.6"), row(boundary_f1="0.7")])
    assert "roof Dice 0.90, boundary F1 0.65" in remark.symptom
    assert "loss.boundary (now 0)" in remark.remedy
    assert remarks(validation=[row(boundary_f1="0.8")]) == []
    assert remarks(validation=[row(dice="0.7", boundary_f1="0.4")]) == []  # areas are not found either
    assert remarks(validation=[row(dice="", boundary_f1="")]) == []


def test_more_missed_than_invented_and_the_reverse():
    missed, invented = row(tp=60, fp=0, fn=40), row("road", tp=60, fp=40, fn=0)

    first, second = remarks(kept_iou=0.6, validation=[missed, invented])

    assert "More is missed" in first.symptom
    assert "roof precision 1.00, recall 0.60" in first.symptom
    assert "loss.class_weights" in first.remedy
    assert "loss.ohem" in first.remedy
    assert "More is invented" in second.symptom
    assert "road precision 0.60, recall 1.00" in second.symptom
    assert remarks(validation=[row(tp=90, fp=5, fn=18)]) == []


def never_found(scores, **changes):
    """The remark on a class of 40 of 1,000 pixels that is never found; scores: its IoU at each threshold."""
    return the_one(kept_iou=None, point=point(scores=scores), validation=[row(tp=0, fp=0, fn=40, tn=960)], **changes)


def test_a_class_that_is_never_found():
    remark = never_found([0.0, None, 0.0])
    assert remark.symptom == "Not one pixel is found on validation of roof, 4 % of the pixels"
    assert "not been learnt" in remark.cause
    assert "loss.class_weights: auto (now all alike)" in remark.remedy
    weighted = never_found([0.0], config={"loss": {"boundary": 0.0, "class_weights": [0.5, 1.5]}})
    assert "(now [0.5, 1.5])" in weighted.remedy


def test_a_class_that_a_threshold_or_a_step_takes_away():
    remark = never_found([0.125, 0.05, None])
    assert remark.symptom.endswith("roof, which has an IoU of 0.125 at the threshold 0.2")
    assert "takes it away" in remark.cause
    assert "postprocess.thresholds" in remark.remedy


def test_rare_classes_that_are_never_found_stand_in_one_line_even_where_they_are_invented():
    rows = [row(name, tp=0, fp=fp, fn=2, tn=998 - fp) for name, fp in (("roof", 0), ("road", 30))]
    remark = the_one(kept_iou=None, point=point(scores=[0.0]), validation=rows)
    assert remark.symptom.endswith("roof, 0.2 % of the pixels; road, 0.2 % of the pixels")
    assert "rare" in remark.cause


def test_a_class_that_is_not_in_validation_is_not_missed():
    absent = row(tp=0, fp=0, fn=0, dice="", boundary_f1="")
    assert remarks(kept_iou=None, validation=[absent]) == []
    assert remarks(kept_iou=None, validation=[absent | {"fp": "10"}]) == []
    assert remarks(kept_iou=None, validation=[absent, row()]) == []  # found in another picture


def test_small_objects_that_are_missed():
    recalls = {"roof": {"recall_tiny": 0.1, "recall_small": 0.6, "recall_medium": 0.9, "recall_large": None}}
    remark = the_one(recalls=recalls)
    assert "roof 0.60 of small and 0.90 of medium objects" in remark.symptom
    assert "strided" in remark.remedy
    assert remarks(recalls={"roof": recalls["roof"] | {"recall_small": 0.75}}) == []
    assert remarks(recalls={"roof": recalls["roof"] | {"recall_medium": None}}) == []


def test_nothing_is_said_of_sizes_that_were_not_measured():
    assert remarks(recalls=None) == []


def test_seams():
    remark = the_one(seams={"ratio": 1.5, "near_errors": 1200})
    assert "1.50 times" in remark.symptom
    assert "1,200 pixels" in remark.symptom
    assert "predict.overlap" in remark.remedy
    assert remarks(seams={"ratio": 1.25, "near_errors": 1200}) == []
    assert remarks(seams={"ratio": 5.0, "near_errors": 20}) == []
    assert remarks(seams={"ratio": None, "near_errors": 0}) == []


@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_thresholds_far_from_a_half(threshold):
    remark = the_one(point=point(threshold))
    assert f"roof {threshold}" in remark.symptom
    assert "calibrat" in remark.cause


def test_thresholds_near_a_half_are_nothing_to_tell():
    assert remarks(point=point(0.35)) == []


def test_an_operating_point_that_is_too_good():
    remark = the_one(point=point(optimism=0.03))
    assert "+0.030" in remark.symptom
    assert "dataset.split.validation" in remark.remedy
    assert remarks(point=point(optimism=0.019)) == []
    assert remarks(point=point(optimism=None)) == []


def test_a_test_that_is_worse_than_validation():
    remark = the_one(means=(interval(0.9, 0.87, 0.92), interval(0.7, 0.6, 0.74, groups=6)))

    assert remark.symptom == (
        "Mean IoU is 0.900 on validation and 0.700 on the test, of 8 groups and 6: +0.200 (interval +0.150 to +0.302)"
    )  # by hand: 0.2 − √(0.03² + 0.04²), 0.2 + √(0.02² + 0.1²)
    assert remark.cause == "the groups of the test differ from the others"
    assert "dataset.split.folds" in remark.remedy
    assert remarks(means=(interval(0.9, 0.87, 0.92), interval(0.81, 0.8, 0.82))) == []
    assert remarks(means=(interval(0.6, 0.5, 0.7), interval(0.9, 0.8, 0.95))) == []
    assert remarks(means=(interval(None), interval(0.5))) == remarks(means=(interval(0.5), interval(None))) == []


def test_a_worse_test_may_be_chance_or_owed_to_the_choice():
    chance = the_one(means=(interval(0.9, 0.7, 0.95), interval(0.7, 0.5, 0.9)))
    assert "interval −0.083" in chance.symptom
    assert "too few groups" in chance.cause
    without = the_one(means=(interval(0.9, groups=1), interval(0.7, groups=2)))
    assert "of 1 group and 2: +0.200 (too few pictures for an interval)" in without.symptom
    assert "too few groups" in without.cause
    single = the_one(means=(interval(0.9, 0.87, 0.92, groups=2), interval(0.7, 0.6, 0.74)))
    assert "(interval over single pictures +0.150 to +0.302)" in single.symptom
    assert single.cause == "too few groups to tell it from chance"
    _, kind = remarks(means=(interval(0.9, 0.87, 0.92), interval(0.7, 0.6, 0.74)), point=point(optimism=0.03))
    assert "chosen on validation" in kind.cause


def test_few_test_groups():
    assert "5 groups" in the_one(groups=5).symptom
    assert "1 group" in the_one(groups=1).symptom
    assert remarks(groups=6) == []
