"""The page of the comparison: its sentences, charts, pictures and costs, and that it needs nothing else."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from maskmill.metrics import HEADLINE_METRICS, METRICS
from maskmill.report.comparison_page import CASES, SHOWN
from tests.unit.comparison_data import BASE, BETTER, MIXED, UNSURE, Experiments
from tests.unit.report_data import Page


@pytest.fixture
def experiments(tmp_path) -> Experiments:
    return Experiments(tmp_path)


def test_the_page_shows_headline_metrics_only(experiments):
    experiments.add("baseline", BASE)
    _, page = experiments.compare()
    heads = re.findall(r"<th[^>]*>([^<]+)</th>", page.partition("</thead>")[0])
    assert heads == ["Class", "Experiment", *(m.title("px") for m in HEADLINE_METRICS.values()), *heads[-2:]]
    assert len(HEADLINE_METRICS) < len(METRICS)


@pytest.mark.parametrize(
    ("baseline", "other", "sentence"),
    [
        (BASE, BETTER, "cbam is better than baseline: on 7 groups (7 pictures) mean IoU differs by +0.101 "),
        (BETTER, BASE, "cbam is worse than baseline: on 7 groups (7 pictures) mean IoU differs by −0.101 "),
        (BASE, MIXED, "cbam and baseline cannot be told apart: on 7 groups (7 pictures) mean IoU differs by 0.000 "),
        (
            BASE,
            UNSURE,
            "cbam and baseline cannot be told apart (p = 0.17, which would have to be below 0.05, though the "
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


def test_what_the_task_asks_for_besides_has_tables_and_verdicts_but_not_the_first_word(experiments):
    experiments.add("baseline", BASE, extra=("pq", "ece"))
    experiments.add("cbam", BETTER, extra=("pq", "ece"))
    read = Page(experiments.compare()[1])
    assert read.open == []
    results, _, differences = read.text.partition("Differences from baseline")
    besides = results.partition("What the task asks for besides")[2]
    assert "Class Experiment PQ building baseline 0.650 0." in besides
    assert "Class Experiment ECE building baseline 0.650 0." in besides
    assert re.search(r"PQ \+0\.101 \+0\.\d{3} to \+0\.\d{3} 0\.016 7 7 better ", differences)
    assert re.search(r"ECE \+0\.101 \+0\.\d{3} to \+0\.\d{3} 0\.016 7 7 worse ", differences)
    assert "PQ" not in results.partition("Test results")[0]


def test_without_such_metrics_nothing_is_said_of_them(experiments):
    experiments.add("baseline", BASE)
    assert "What the task asks for besides" not in experiments.compare()[1]


def test_intervals_over_single_pictures_are_called_so(experiments):
    experiments.add("baseline", BASE, groups=["site 0"] * 4 + ["site 1"] * 3)
    _, page = experiments.compare()
    assert re.search(r"mean IoU 0\.650 \(95 % interval over single pictures 0\.\d{3} to 0\.\d{3}\) on", page)
    assert ">single pictures</td>" in page

    experiments.add("cbam", BETTER, groups=["site 0"] * 4 + ["site 1"] * 3)
    _, page = experiments.compare()
    assert "on 2 groups (7 pictures) mean IoU differs by +0.101 (interval over single pictures +0." in page


def test_distances_have_one_decimal_and_shares_three(experiments):
    experiments.add("baseline", [0.0, 0.0, 1.0, 1.0])
    experiments.add("cbam", [1.0, 1.0, 1.0, 1.0])
    _, page = experiments.compare()
    cells = [re.sub(r"<.*?>", " ", cell).split() for cell in re.findall(r'<td class="number".*?</td>', page)]
    assert ["5.0", "0.0", "to", "10.0"] in cells
    assert ["1.000", "1.000", "to", "1.000"] in cells
    assert ["−5.0", "−10.0", "to", "0.0"] in cells


def test_the_page_speaks_of_pictures_and_lists_classes_in_their_order(experiments):
    experiments.add("baseline", BASE, class_name=("road", "building"))
    _, page = experiments.compare()
    assert ">Pictures</th>" in page
    assert not re.search(r"\b[Cc]ases?\b", page.replace("Such cases", ""))
    assert page.index("baseline, road: 7 pictures") < page.index("baseline, building: 7 pictures")


def test_cells_name_their_columns_for_narrow_screens(experiments):
    experiments.add("baseline", BASE)
    experiments.add("cbam", BETTER)
    _, page = experiments.compare()
    rows = page.partition("<h2>Differences")[2].partition("<tbody>")[2].partition("</table>")[0]
    labels = re.findall(r'data-label="([^"]+)"', rows.partition("</tr>")[0])
    assert labels == ["Difference", "p", "Pictures", "Groups", "Verdict"]
    rows = page.partition("<h2>Test results")[2].partition("<tbody>")[2]
    labels = re.findall(r'data-label="([^"]+)"', rows.partition("</tr>")[0])
    assert labels == [*(metric.title("px") for metric in HEADLINE_METRICS.values()), "Pictures", "Intervals over"]


def test_one_experiment_is_shown_without_differences(experiments):
    experiments.add("baseline", BASE)
    rows, page = experiments.compare()
    assert "There is one experiment, baseline: mean IoU 0.650 (" in page
    assert "Differences" not in page
    assert "The same pictures" not in page
    assert page.count("<svg") == 1 + 2  # the means, and the learning curves
    assert {row["compared_with"] for row in rows} == {""}


def test_experiments_without_a_common_case_say_so(experiments):
    experiments.add("baseline", BASE[:1])
    experiments.add("cbam", [float("nan")])
    _, page = experiments.compare()
    assert "no test picture in common" in page
    assert "The same pictures" not in page


def test_the_page_needs_nothing_else_and_is_well_formed(experiments):
    experiments.add("baseline", BASE)
    experiments.add("cbam", MIXED)
    _, page = experiments.compare()
    read = Page(page)
    assert read.open == []
    assert not re.search(r"<script|<link|@import|url\(http", page)
    assert read.addresses
    assert all(address.startswith(("data:image/jpeg;base64,", "#")) for address in read.addresses)
    assert len(read.ids) == len(set(read.ids))
    for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(drawing)
    assert "within 2.5 px" in page


def test_names_are_shown_as_they_are_written(experiments):
    experiments.add("baseline", BASE, class_name="<b>$x$ & 道路")
    _, page = experiments.compare()
    assert page.count("&lt;b&gt;$x$ &amp; 道路") + page.count("&lt;b>$x$ &amp; 道路") >= 3
    assert "<b>$x$" not in page
    drawing = re.findall(r"<svg.*?</svg>", page, re.DOTALL)[0]
    assert "$x$ &amp; 道路</text>" in drawing


def test_the_same_input_gives_the_same_bytes(experiments):
    experiments.add("baseline", BASE)
    experiments.add("cbam", MIXED)
    assert experiments.compare() == experiments.compare()


def test_distances_of_volumes_are_in_millimetres_throughout(experiments):
    experiments.add("baseline", BASE, unit="mm")
    experiments.add("cbam", BETTER, unit="mm")
    rows, page = experiments.compare()
    assert {row["unit"] for row in rows if row["metric"] == "hd95"} == {"mm"}
    assert {row["unit"] for row in rows if row["metric"] == "iou"} == {""}
    for part in ("HD95 (mm)", "within 2.5 mm", "HD95 is in mm"):
        assert part in page
    assert not re.search(r"\bpx\b", page.partition("</style>")[2])


def test_pictures_that_differ_most_come_first_then_the_middle_one_of_the_others(experiments):
    values = [0.5] * 9
    other = [0.5, 0.9, 0.6, 0.5, 0.1, 0.7, 0.52, 0.8, 0.5]
    experiments.add("baseline", values)
    experiments.add("cbam", other)
    _, page = experiments.compare()
    shown = re.findall(r"<b>(s\d)</b>: IoU differs by (0\.\d\d)", page)
    # left are s0, s3, s6 and s8; by their means of 0.5, 0.5, 0.51 and 0.5 the upper middle one is s8
    assert shown == [*(("s1", "0.40"), ("s4", "0.40"), ("s7", "0.30"), ("s5", "0.20"), ("s2", "0.10")), ("s8", "0.00")]
    assert len(shown) == CASES
    assert page.count("<img") == CASES * 4  # picture, annotation, and the mask of each
    assert "baseline: IoU\N{NO-BREAK SPACE}0.50" in page
    assert "cbam: IoU\N{NO-BREAK SPACE}0.90" in page


def test_what_an_experiment_costs(experiments):
    experiments.add("baseline", BASE, BASE)
    experiments.add("cbam", MIXED, MIXED)
    text = Page(experiments.compare()[1]).text
    row = r"cbam 0\.650 2 2 2 min 02 s cpu 0\.45 M 1,234 MB plan [\d,]+ MB 1\.50 MB 12\.3 ms 256 × 256, 2 threads"
    assert re.search(row, text.partition("Validation and cost")[2])


def test_several_trainings_show_the_range_of_their_means(experiments):
    experiments.add("baseline", [0.1, 0.2, 0.3, 0.4, 0.5], [0.3, 0.4, 0.5, 0.6, 0.7])
    page = experiments.compare()[1]
    assert "<small>trainings 0.300 to 0.500</small>" in page
    assert "Each experiment has 2 trainings" in page
    assert 'title="median 0.400, quartiles 0.300 and 0.500"' in page


def test_ensembles_are_compared_where_they_are_deployed_beside_their_trainings(experiments):
    experiments.add("baseline", BASE, MIXED, together=BETTER)
    experiments.add("cbam", BASE, BASE, together=BASE)
    rows, page = experiments.compare()

    assert "cbam is worse than baseline: on 7 groups (7 pictures) mean IoU differs by −0.101 " in page
    (row,) = [r for r in rows if (r["experiment"], r["class"], r["metric"]) == ("baseline", "mean", "iou")]
    assert float(row["mean"]) == pytest.approx(sum(BETTER) / 7, abs=1e-6)
    assert float(row["member_low"]) == 0.65
    assert float(row["member_mean"]) == pytest.approx((sum(BASE) + sum(MIXED)) / 14, abs=1e-6)
    assert float(row["member_high"]) == pytest.approx(sum(MIXED) / 7, abs=1e-6)
    assert "<small>trainings 0.650</small><small>0.650 to 0.650</small>" in page
    text = Page(page).text
    assert "of each experiment’s ensemble, which is what is deployed" in text
    assert "Masks and numbers are those of each experiment’s ensemble." in text
    assert f"baseline: IoU\N{NO-BREAK SPACE}{BETTER[0]:.2f}" in page


def test_ensembles_are_held_against_one_another_by_their_own_validation(experiments):
    experiments.add("baseline", BASE, BASE, together=BASE, validation=[0.321])
    for number in range(SHOWN):  # the members' validation has one more case, and the opposite order
        validation = [0.1 * number, 1 - 0.4 * number]
        experiments.add(f"e{number}", BASE, BASE, together=BASE, validation=validation)
    page = experiments.compare()[1]
    assert set(re.findall(r"<span>(\w+): IoU", page)) == {"baseline", *(f"e{number}" for number in range(1, SHOWN))}
    text = Page(page).text.partition("Validation and cost")[2]
    assert "baseline 0.321 2 " in text
    assert "It is the ensemble’s, where it could be told of pictures that had no part in choosing" in text


def test_a_single_training_has_no_range(experiments):
    experiments.add("baseline", BASE)
    page = experiments.compare()[1]
    assert not re.search(r"trainings \d", page)


def test_charts_and_pictures_are_of_the_first_and_the_best_on_validation_where_there_are_many(experiments):
    for number in range(SHOWN + 2):
        experiments.add(f"e{number}", BASE, validation=[0.1 * number])
    page = experiments.compare()[1]
    assert f"Charts and pictures show e0 and the {SHOWN - 1} others that are best on validation" in page
    panels = re.findall(r"<span>(e\d): IoU", page)
    assert set(panels) == {"e0", *(f"e{number}" for number in range(3, SHOWN + 2))}
    assert panels[:SHOWN] == sorted(panels[:SHOWN])
    assert all(f"<td>e{number}</td>" in page for number in range(SHOWN + 2))
    opening, _, more = page.partition("<summary>And 2 more</summary>")
    assert [number for number in range(1, SHOWN + 2) if f"e{number} and e0 cannot" in opening] == [*range(3, SHOWN + 2)]
    assert all(f"e{number} and e0 cannot" in more for number in (1, 2))
    assert "<summary>Of 8 experiments, by class and metric</summary>" in page


def test_the_page_needs_neither_torch_nor_pandas():
    code = "import sys, maskmill.report.comparison_page; print(*{'torch', 'pandas', 'mlflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
