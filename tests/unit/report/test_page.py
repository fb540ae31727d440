"""The report: what it says, and that it needs nothing else."""

import html
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from maskmill.evaluation.extra import extra_metrics
from maskmill.files import read_json, write_json, write_table
from maskmill.imaging.images import write_label_png
from maskmill.report.results import Training, TrainingFiles, experiment_files
from tests.unit.report_data import CLASSES, DEPTH, FULLEST, SIZE, STRANGE, Page, Run, VolumeRun


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(tmp_path)


def test_the_page_opens_with_the_result_of_the_best_experiment_in_words(run):
    run.add("baseline", 0.5)
    run.add("cbam", 0.1)
    text = Page(run.render()).text
    opening = re.search(
        r"The best experiment, cbam, reaches a mean IoU of (0\.\d{3}) on 4 test pictures of 2 groups "
        r"\(95 % interval over single pictures (0\.\d{3}) to (0\.\d{3})\): ",
        text,
    )
    mean, low, high = map(float, opening.groups())
    assert 0.8 < low <= mean <= high < 0.97
    assert "It is the best of 2 on the validation pictures" in text
    assert "There are too few groups to tell cbam and baseline apart" in text


def test_the_best_experiment_is_chosen_on_validation_not_on_the_test(run):
    run.add("baseline", 0.1, wrong_on_validation=0.5)
    run.add("cbam", 0.5, wrong_on_validation=0.1)
    assert "The best experiment, cbam, reaches" in Page(run.render()).text


def test_of_ensembles_the_best_is_chosen_by_what_they_reach_together(run):
    run.together = 0.2
    run.add("baseline", 0.5)
    run.add("cbam", 0.1)  # whose members are better, alone
    for name, nested in (("baseline", 0.7), ("cbam", 0.6)):
        file = run.folder / "runs" / name / "ensemble/operating_point.json"
        point = read_json(file)
        write_json(file, point | {"optimism": point["optimism"] | {"nested": nested}})
    assert "The best experiment, baseline, reaches" in Page(run.render()).text


def test_the_page_names_every_class_experiment_and_section(run):
    run.add("baseline", 0.5)
    run.add("cbam", 0.1)
    page = Page(run.render())
    for word in (
        *CLASSES, "mean over classes", "baseline", "cbam", "HD95 (px)", "Boundary F1", "2,000 draws of whole groups",
        "Empty masks.", "run-cbam-fold0-seed0", "model.attention", "ONNX Runtime FP32", "12.3", "too few roofs",
        "1 tiny", "No problem was found", "maskmill predict results/tiny/experiments/cbam/bundle PICTURES",
        "2 min 00 s", "Largest error: missed", "Network and plan", "loss.class_weights", "samples are single pictures",
        "borders of tiles 30.00 % of the pixels have a wrong class, elsewhere 20.00 %, 1.50 times as many",
    ):  # fmt: skip
        assert word in page.text, word
    assert {"data", "training", "results", "cases", "uncertainty", "advice", "point", "export", "provenance"} <= set(
        page.ids
    )


def test_the_page_needs_nothing_else_and_is_well_formed(run):
    run.add("baseline", 0.5)
    run.add("cbam", 0.1)
    source = run.render()
    page = Page(source)
    assert page.open == []
    pictures = [address for address in page.addresses if address.startswith("data:image/jpeg;base64,")]
    # the strip, an overlay, three of each of the four test pictures, and three of the two least sure ones
    assert len(pictures) == 1 + 1 + 3 * 4 + 3 * 2
    assert all(address.startswith("#") for address in page.addresses if address not in pictures)
    assert not re.search(r"<script|<link|@import|url\(http", source)
    assert len(page.ids) == len(set(page.ids))
    drawings = re.findall(r"<svg.*?</svg>", source, re.DOTALL)
    assert len(drawings) == 6  # losses, validation IoU, intervals, risk, thresholds of two experiments
    for drawing in drawings:
        ElementTree.fromstring(drawing)


def test_the_same_files_give_the_same_bytes_without_a_path_of_the_machine(run):
    run.add("baseline", 0.5)
    run.add("cbam", 0.1)
    first = run.render()
    assert first == run.render()
    assert str(run.folder) not in first


def test_names_are_shown_as_they_are_written(run):
    run.add("baseline", 0.5)
    source = run.render()
    assert "<new>" not in source
    assert "<i>" not in source
    assert "roof <b>" not in source
    page = Page(source)
    assert "Segmentation report: tiny & <new>" in page.text
    assert page.text.count(STRANGE) > 5
    chart = re.findall(r"<svg.*?</svg>", source, re.DOTALL)[-1]
    assert STRANGE in "".join(ElementTree.fromstring(chart).itertext())


def test_a_class_has_one_colour_in_legends_and_charts(run):
    run.add("baseline", 0.5)
    source = run.render()
    chart = re.findall(r"<svg.*?</svg>", source, re.DOTALL)[-1]
    for name, colour in CLASSES.items():
        assert (
            f'style="background: {colour}"></span>{html.escape(name, quote=True)}'.replace("&quot;", "&#34;") in source
        )
        assert chart.count(f"stroke: {colour}") + chart.count(f"fill: {colour}") >= 2, name


def test_extra_metrics_are_a_table_of_their_own_where_there_are_any(run):
    run.add("baseline", 0.5)
    plain = Page(run.render()).text
    assert "What the task asks for besides" not in plain
    assert "Whether probabilities mean what they say" not in plain
    file = run.folder / "experiments/baseline/summary.json"
    summary = read_json(file)
    known = summary["test"]["road"]["iou"] | {"mean": 0.123, "low": 0.101, "high": 0.145}
    metrics = list(extra_metrics(["relaxed", "calibration"]))
    values = dict.fromkeys(metrics, known) | {"break_even": known | {"mean": None, "low": None, "high": None}}
    pooled = {name: {"ece": 0.067} for name in CLASSES}
    bins = [{"low": 0, "high": 1 / 15, "pixels": 900, "probability": 0.01, "share": 0.02}]
    bins += [{"low": 8 / 15, "high": 0.6, "pixels": 30, "probability": 0.57, "share": 0.8}]
    summary["extra"] = {"metrics": metrics, "test": dict.fromkeys(CLASSES, values), "pooled": pooled}
    summary["extra"]["reliability"] = dict.fromkeys(CLASSES, bins)
    write_json(file, summary)

    page = Page(run.render())

    assert page.open == []
    section = page.text.partition("What the task asks for besides")[2].partition("Means over the test pictures")[0]
    for words in (
        "Lines, within a tolerance", "Calibration", "Relaxed break-even", "ECE ↓", "Brier score ↓", "–", "0.123",
        "0.101 to 0.145", "all pixels 0.067",
    ):  # fmt: skip
        assert words in section, words
    assert "V-Rand" not in section
    assert "Recall ↓" not in page.text
    assert "Whether probabilities mean what they say" in page.text


def test_the_least_sure_pictures_are_listed_with_what_confidence_says(run):
    run.add("baseline", 0.5)
    page = Page(run.render())

    section = page.text.partition("How sure baseline is")[2].partition("What stands out")[0]
    listed = re.findall(r"site \d/scene_\d (?=: confidence)", section)
    assert listed == ["site 3/scene_1 ", "site 3/scene_0 "]  # the last ones are drawn the least sure
    for words in (
        "cannot be told from so few groups; it takes 6", "interval over 4 single pictures",
        "4 test pictures have an IoU", "2 least sure pictures", "by confidence", "by the IoU itself", "in any order",
    ):  # fmt: skip
        assert words in section, words


def test_what_stands_out_is_a_table_of_measured_evidence(run):
    run.add("baseline", 0.5)
    text = Page(run.render()).text.partition("What stands out, and what to try")[2].partition("Operating point")[0]
    for words in (
        "The test has 2 groups.", "More is missed than invented on validation", "Thresholds chosen on validation",
        f"{STRANGE} 0.7, road 0.7", "+0.020 of the validation IoU",
    ):  # fmt: skip
        assert words in text, words
    for words in ("Nothing stands out", "varies by", "waiting for batches", "borders of tiles"):
        assert words not in text, words


def test_a_run_in_which_nothing_stands_out(tmp_path):
    run = Run(tmp_path, tested_groups=6)
    run.add("baseline", 0.0)
    file = run.folder / "runs/baseline/fold0-seed0/operating_point.json"
    point = read_json(file)
    write_json(file, point | {"thresholds": [0.5, 0.5], "optimism": point["optimism"] | {"difference": 0.0}})

    text = Page(run.render()).text.partition("What stands out, and what to try")[2]

    assert text.strip().startswith("Nothing stands out.")
    assert "Likely cause" not in text


def test_what_is_undefined_is_a_dash(run):
    run.add("baseline", 1.0)  # nothing is found: precision has no value
    text = Page(run.render()).text
    assert re.search(r"road baseline 0\.000 no interval 0\.000 no interval – no interval 0\.000", text)
    assert "2 of 4" in text  # the road is in one picture of two, and found in none
    assert "validation IoU 0.410" not in text
    assert re.search(r"road 0\.7 none – 0\.410 0\.390", text)
    assert not re.search(r"\b(nan|None|null(?! is the usual choice))\b", text)


def test_a_single_experiment_of_one_class(tmp_path):
    run = Run(tmp_path, tested_groups=1, classes={"cell": "#009e73"})
    run.add("baseline", 0.25)
    text = Page(run.render()).text
    assert re.search(
        r"The experiment baseline reaches an IoU of 0\.\d{3} on 2 test pictures of 1 group \(too few", text
    )
    for word in ("What the experiments change", "best of", "mean over classes", "mean IoU", "tell"):
        assert word not in text, word


def test_several_trainings_are_each_shown(run):
    run.members.append("fold0-seed1")
    run.add("baseline", 0.25)
    text = Page(run.render()).text
    for word in (
        "run-baseline-fold0-seed0", "run-baseline-fold0-seed1", "One line is one training", "average over the trainings"
    ):  # fmt: skip
        assert word in text, word


def test_an_ensemble_is_shown_by_what_it_does_itself(run):
    run.members, run.together = ["fold0-seed0", "fold0-seed1"], 0.1
    run.add("baseline", 0.5)
    point = run.folder / "runs/baseline/ensemble/operating_point.json"
    write_json(point, read_json(point) | {"thresholds": [0.3, 0.3]})
    summary = read_json(run.folder / "experiments/baseline/summary.json")

    text = Page(run.render()).text

    mean = summary["ensemble"]["test"]["mean"]["iou"]["mean"]
    assert mean > summary["test"]["mean"]["iou"]["mean"] + 0.2
    assert f"The experiment baseline reaches a mean IoU of {mean:.3f} on 4 test pictures" in text
    assert "That is the result of the ensemble of its 2 trainings, which is what is deployed" in text
    assert f"trainings {summary['test']['mean']['iou']['mean']:.3f}" in text
    assert "masks of the ensemble of its 2 trainings" in text
    assert f"baseline {STRANGE} 0.3 " in text.partition("Operating point")[2]
    assert "the ensemble’s operating point" in text
    assert "best on validation" not in text.partition("Test results")[2].partition("Network")[0]


def test_sentences_on_several_experiments_and_on_ensembles_are_apart(run):
    run.members, run.together = ["fold0-seed0", "fold0-seed1"], 0.1
    run.add("baseline", 0.5)
    run.add("cbam", 0.1)
    text = Page(run.render()).text
    assert "groups in the test. Values and intervals are those of the ensemble" in text
    assert "baseline . The validation IoU is" in text or "baseline. The validation IoU is" in text


def test_the_trials_of_a_search_are_listed_the_best_first(run):
    run.add("baseline", 0.5)
    run.add("tuned", 0.1)
    rows = [
        {"trial": "001", "score": 0.25, "chosen": 0, "failed": None, "train.lr": 0.001},
        {"trial": "002", "score": 0.75, "chosen": 1, "failed": None, "train.lr": 0.003},
        {"trial": "003", "score": None, "chosen": 0, "failed": "the loss became <nan>", "train.lr": 0.9},
    ]
    write_table(run.folder / "experiments/tuned/search/trials.csv", rows, list(rows[0]))

    text = Page(run.render()).text

    assert "What the search for tuned tried 3 trials" in text
    assert "What the search for baseline" not in text
    assert "trial 002 has the best score, 0.750" in text
    assert "Trial Score train.lr 002, chosen 0.750 0.003 001 0.250 0.001 003 – 0.9 the loss became <nan>" in text


def test_volumes_are_shown_by_their_fullest_slice_and_measured_in_millimetres(tmp_path):
    run = VolumeRun(tmp_path)
    run.add("baseline", 0.25)
    page = Page(run.render())
    for word in (
        "8 volumes with annotations (32 × 32 × 6 pixels)", "HD95 (mm)", "within 2 mm of each other",
        "Of each volume the slice with the largest annotated area is shown", "for each volume as a NIfTI file",
    ):  # fmt: skip
        assert word in page.text, word
    place = f"slice {FULLEST + 1} of {DEPTH}"
    assert page.text.count(place) == 1 + 4 + 2  # the showcase, the four test volumes, the two least sure ones
    assert re.search(r"HD95 \d+\.\d mm", page.text)
    assert " px" not in page.text.replace("Minimum area (px)", "").replace("Tile (px)", "")


def test_pictures_name_no_slice(run):
    run.add("baseline", 0.25)
    text = Page(run.render()).text
    assert "8 pictures with annotations (32 × 32 pixels)" in text
    assert " slice " not in text


def test_a_failed_export_is_shown_without_a_way_to_use_it(run):
    run.add("baseline", 0.25, passed=False)
    text = Page(run.render()).text
    assert "masks differ: no bundle" in text
    assert "50.0 % site 1/scene_0; limit 0.01 %" in text
    assert "maskmill predict" not in text


def test_problems_are_listed_and_skipped_pictures_counted(run):
    run.add("baseline", 0.25)
    rows = [
        {"id": f"bad{i:02d}", "file": "f", "kind": "size_mismatch", "detail": "8 × 8 <", "remedy": "r"}
        for i in range(21)
    ]
    run.write_problems([*rows, rows[0] | {"kind": "unknown_label"}])
    text = Page(run.render()).text
    assert "22 problems were found ; 21 pictures were left out" in text
    assert "bad00 size mismatch 8 × 8 < r" in text
    assert "bad20" not in text
    assert "And 2 more, in problems.csv" in text


def test_a_test_without_any_object_has_no_pictures_to_show(run):
    for name, _, part in run.samples:
        if part == "test":
            run.labels[name] = np.zeros((SIZE, SIZE), np.uint8)
            write_label_png(run.folder / "labels/00" / f"{name}.png", run.labels[name], run.palette)
    run.add("baseline", 0.0)
    text = Page(run.render()).text
    assert "The experiment baseline has no IoU: no test picture has a class in it" in text
    assert "No test picture has an IoU" in text


def test_the_report_needs_neither_torch_nor_pandas():
    code = "import sys, maskmill.report.page; print(*{'torch', 'pandas', 'mlflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_epoch_kept_is_that_with_the_best_iou_then_the_lowest_loss():
    history = [
        {"epoch": epoch, "validation_iou": iou, "validation_loss": loss}
        for epoch, iou, loss in ((1, None, 0.1), (2, 0.5, 0.4), (3, 0.5, 0.3), (4, 0.4, 0.1))
    ]
    files = TrainingFiles(*TrainingFiles._fields)
    assert Training(files, {}, history).kept["epoch"] == 3


def test_files_are_sorted_by_experiment_and_member():
    fields = [field for field in TrainingFiles._fields if field != "name"]
    of_members = {field: [f"{field}{i}" for i in range(4)] for field in fields}
    of_experiments = {field: ["first", "second"] for field in ("summary", "parity", "runtimes", "onnx", "bundle")}
    first, second = experiment_files(["a", "b"], ["m", "n"], of_members, of_experiments, {})
    assert [(m.name, m.masks) for m in (*first.members, *second.members)] == [
        ("m", "masks0"), ("n", "masks1"), ("m", "masks2"), ("n", "masks3")
    ]  # fmt: skip
    assert (first.summary, second.name, second.bundle) == ("first", "b", "second")
    with pytest.raises(ValueError, match="zip"):
        experiment_files(["a"], ["m", "n"], of_members, of_experiments, {})
