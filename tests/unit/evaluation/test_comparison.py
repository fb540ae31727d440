"""The comparison of experiments: its table, its sentences and its page."""

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from maskmill.errors import MaskmillError
from maskmill.evaluation.comparison import COMPARISON_COLUMNS, compare_experiments
from maskmill.report.interval_chart import Point, draw_intervals
from maskmill.evaluation.summary import Member, summarize_experiment
from maskmill.files import read_table, write_table
from maskmill.metrics import CASE_COLUMNS, HEADLINE_METRICS, METRICS


class Experiments:
    """Experiments with one member each, on a few cases whose metrics are all one number, HD95 ten times 1 − it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: list[str] = []

    def add(
        self,
        name: str,
        shares: list[float],
        class_name: str | tuple[str, ...] = "building",
        groups: list[str] | None = None,
        unit: str = "px",
    ) -> None:
        folder = self.folder / name
        folder.mkdir()
        rows = []
        for i, share in enumerate(shares):
            counts = dict.fromkeys(("reference_pixels", "predicted_pixels", "tp", "fp", "fn"), 5)
            metrics = dict.fromkeys(METRICS, share) | {"hd95": 10 * (1 - share)}
            picture = {"id": f"s{i}", "group": groups[i] if groups else f"site{i}", "unit": unit}
            names = (class_name,) if isinstance(class_name, str) else class_name
            rows += [picture | {"class": one} | counts | metrics for one in names]
        write_table(folder / "test.csv", rows, CASE_COLUMNS)
        write_table(folder / "history.csv", [{"epoch": 1, "seconds": 1.0}], ["epoch", "seconds"])
        (folder / "config.yaml").write_text(yaml.safe_dump({"run_id": "r", "fold": 0, "seed": 0}))
        files = (folder / name for name in ("config.yaml", "history.csv", "test.csv", "test.csv"))
        summarize_experiment(name, [Member("fold0-seed0", *files)], 2.5, folder / "summary.json")
        self.names.append(name)

    def compare(self) -> tuple[list[dict[str, str]], str]:
        table, page = self.folder / "comparison.csv", self.folder / "comparison.html"
        summaries = [self.folder / name / "summary.json" for name in self.names]
        metrics = [self.folder / name / "test.csv" for name in self.names]
        compare_experiments(self.names, summaries, metrics, table, page)
        return read_table(table), page.read_text(encoding="utf-8")


@pytest.fixture
def experiments(tmp_path) -> Experiments:
    return Experiments(tmp_path)


BASE = [0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80]
BETTER = [0.60, 0.66, 0.68, 0.75, 0.81, 0.84, 0.92]
UNSURE = [0.49, 0.54, 0.59, 0.70, 0.75, 0.85, 0.92]
MIXED = [0.52, 0.54, 0.63, 0.61, 0.71, 0.73, 0.81]


def test_a_row_for_each_experiment_class_and_metric(experiments):
    experiments.add("baseline", BASE)
    experiments.add("cbam", BETTER)
    rows, _ = experiments.compare()
    assert tuple(rows[0]) == COMPARISON_COLUMNS
    keys = [(row["experiment"], row["class"], row["metric"]) for row in rows]
    assert keys == [(e, c, m) for e in ("baseline", "cbam") for c in ("building", "mean") for m in METRICS]


def test_the_page_shows_headline_metrics_only(experiments):
    experiments.add("baseline", BASE)
    _, page = experiments.compare()
    shown = re.findall(r"<th>([^<]+)</th>", page)
    assert shown == ["Class", "Experiment", *(metric.title("px") for metric in HEADLINE_METRICS.values()), *shown[-2:]]
    assert len(HEADLINE_METRICS) < len(METRICS)


def test_differences_are_to_the_first_experiment_which_has_none(experiments):
    experiments.add("baseline", BASE)
    experiments.add("cbam", BETTER)
    rows, _ = experiments.compare()
    by_key = {(row["experiment"], row["class"], row["metric"]): row for row in rows}
    first, second = by_key["baseline", "building", "iou"], by_key["cbam", "building", "iou"]
    assert (first["compared_with"], first["difference"], first["verdict"]) == ("", "", "")
    assert float(second["mean"]) - float(first["mean"]) == pytest.approx(float(second["difference"]), rel=1e-4)
    assert 0 < float(second["difference_low"]) < float(second["difference"]) < float(second["difference_high"])
    assert (second["p"], second["paired_cases"], second["paired_groups"]) == ("0.015625", "7", "7")
    assert second["verdict"] == "better"


def test_smaller_distances_are_better(experiments):
    experiments.add("baseline", BASE)
    experiments.add("cbam", BETTER)
    rows, _ = experiments.compare()
    row = next(row for row in rows if row["experiment"] == "cbam" and row["metric"] == "hd95")
    assert float(row["difference"]) < 0
    assert (row["verdict"], row["unit"]) == ("better", "px")


@pytest.mark.parametrize(
    ("baseline", "other", "sentence"),
    [
        (BASE, BETTER, "cbam is better than baseline: on 7 groups (7 pictures) mean IoU differs by +0.101 "),
        (BETTER, BASE, "cbam is worse than baseline: on 7 groups (7 pictures) mean IoU differs by −0.101 "),
        (BASE, MIXED, "cbam and baseline cannot be told apart: on 7 groups (7 pictures) mean IoU differs by 0.000 "),
        (
            BASE,
            UNSURE,
            "cbam and baseline cannot be told apart (p = 0.22, which would have to be below 0.05, though the "
            "interval leaves out zero): on 7 groups (7 pictures) mean IoU differs by +0.041 (+0.007 to ",
        ),
        (BASE[:3], BETTER[:3], "There are too few groups to tell cbam and baseline apart: on 3 groups (3 pictures)"),
        (BASE[:1], BETTER[:1], "on 1 group (1 picture) mean IoU differs by +0.100; a verdict needs at least 6 groups"),
    ],
)
def test_the_page_opens_with_the_verdict_in_words(experiments, baseline, other, sentence):
    experiments.add("baseline", baseline)
    experiments.add("cbam", other)
    _, page = experiments.compare()
    assert sentence in page


def test_intervals_over_single_pictures_are_called_so(experiments):
    experiments.add("baseline", BASE, groups=["site 0"] * 4 + ["site 1"] * 3)
    _, page = experiments.compare()
    assert re.search(r"mean IoU 0\.650 \(95 % interval over single pictures 0\.\d{3} to 0\.\d{3}\) on", page)
    assert "<td>single pictures</td>" in page

    experiments.add("cbam", BETTER, groups=["site 0"] * 4 + ["site 1"] * 3)
    _, page = experiments.compare()
    assert "on 2 groups (7 pictures) mean IoU differs by +0.101 (interval over single pictures +0." in page


def test_distances_have_one_decimal_and_shares_three(experiments):
    experiments.add("baseline", [0.0, 0.0, 1.0, 1.0])
    experiments.add("cbam", [1.0, 1.0, 1.0, 1.0])
    _, page = experiments.compare()
    cells = [re.sub(r"<.*?>", " ", cell).split() for cell in re.findall(r'<td class="number">.*?</td>', page)]
    assert ["5.0", "0.0", "to", "10.0"] in cells
    assert ["1.000", "1.000", "to", "1.000"] in cells
    assert ["−5.0", "−10.0", "to", "0.0"] in cells


def test_the_page_speaks_of_pictures_and_lists_classes_in_their_order(experiments):
    experiments.add("baseline", BASE, class_name=("road", "building"))
    _, page = experiments.compare()
    assert "<th>Pictures</th>" in page
    assert not re.search(r"\b[Cc]ases?\b", page.replace("Such cases", ""))
    assert page.index("baseline, road: 7 pictures") < page.index("baseline, building: 7 pictures")


def test_one_experiment_is_shown_without_differences(experiments):
    experiments.add("baseline", BASE)
    rows, page = experiments.compare()
    assert "There is one experiment, baseline: mean IoU 0.650 (" in page
    assert "Differences" not in page
    assert page.count("<svg") == 1
    assert {row["compared_with"] for row in rows} == {""}


def test_experiments_without_a_common_case_say_so(experiments, tmp_path):
    experiments.add("baseline", BASE[:1])
    experiments.add("cbam", [float("nan")])
    _, page = experiments.compare()
    assert "no test picture in common" in page


def test_the_page_needs_nothing_else_and_is_well_formed(experiments):
    experiments.add("baseline", BASE)
    experiments.add("cbam", MIXED)
    _, page = experiments.compare()
    assert not re.search(r"<script|<link|<img|@import|url\(http|src=", page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(drawing)
    assert OpenTags.left_by(page) == []
    assert "within 2.5 px" in page


def test_names_are_shown_as_they_are_written(experiments):
    experiments.add("baseline", BASE, class_name="<b>$x$ & 道路")
    _, page = experiments.compare()
    assert page.count("&lt;b&gt;$x$ &amp; 道路") + page.count("&lt;b>$x$ &amp; 道路") >= 3
    assert "<b>" not in page
    (drawing,) = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert "$x$ &amp; 道路</text>" in drawing


def test_the_same_input_gives_the_same_bytes(experiments):
    experiments.add("baseline", BASE)
    experiments.add("cbam", MIXED)
    assert experiments.compare() == experiments.compare()


def test_charts_show_a_dot_without_an_interval_and_nothing_without_a_mean():
    points = [
        Point("road", "baseline", 0.5, None, None),
        Point("road", "cbam", None, None, None),
        Point("building", "baseline", 0.7, 0.6, 0.8),
        Point("building", "cbam", 0.6, 0.5, 0.7),
    ]
    drawing = draw_intervals(points, "IoU", "salt")
    assert drawing == draw_intervals(points, "IoU", "salt")
    for text in ("road", "building", "baseline", "cbam", "IoU"):
        assert f">{text}</text>" in drawing


def test_distances_of_volumes_are_in_millimetres_throughout(experiments):
    experiments.add("baseline", BASE, unit="mm")
    experiments.add("cbam", BETTER, unit="mm")
    rows, page = experiments.compare()
    assert {row["unit"] for row in rows if row["metric"] == "hd95"} == {"mm"}
    assert {row["unit"] for row in rows if row["metric"] == "iou"} == {""}
    for part in ("HD95 (mm)", "within 2.5 mm", "HD95 is in mm"):
        assert part in page
    assert not re.search(r"\bpx\b", page.partition("</style>")[2])


def test_other_units_are_refused(experiments):
    experiments.add("baseline", BASE)
    experiments.add("cbam", BASE, unit="mm")
    with pytest.raises(MaskmillError, match=r"distances of baseline are in px, others in another unit: cbam \(mm\)"):
        experiments.compare()


def test_other_classes_are_refused(experiments):
    experiments.add("baseline", BASE)
    experiments.add("cbam", BASE, class_name="road")
    with pytest.raises(MaskmillError, match=r"other classes than baseline \(building\): cbam"):
        experiments.compare()


def test_files_that_do_not_match_the_experiments_are_refused(experiments, tmp_path):
    experiments.add("baseline", BASE)
    experiments.add("cbam", BASE)
    files = [tmp_path / "baseline" / "summary.json"], [tmp_path / "baseline" / "test.csv"]
    with pytest.raises(MaskmillError, match="2 experiments come with 1 summaries and 1 metrics tables"):
        compare_experiments(experiments.names, *files, tmp_path / "c.csv", tmp_path / "c.html")


class OpenTags(HTMLParser):
    """Which tags a page opens and does not close, or closes in the wrong order."""

    VOID = ("meta", "br", "link", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    @classmethod
    def left_by(cls, page: str) -> list[str]:
        parser = cls()
        parser.feed(page)
        return parser.open

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
