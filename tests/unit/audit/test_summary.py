"""From shards to the data set's figures, advice, contact sheets and page."""

import re

import numpy as np
import pytest
import tifffile
from PIL import Image

from maskmill.audit.objects import AuditOptions
from maskmill.audit.page import headline, render_audit
from maskmill.audit.shard import audit_shard
from maskmill.audit.sheets import SHEETS, choose_sheets, draw_sheet, draw_sheets, severity
from maskmill.audit.summary import advise, mark_inverted, percent, summarize_audit
from maskmill.classes import Classes
from maskmill.files import read_json, read_table
from tests.unit.label_data import labelme_source, run_labels, shape, write_labelme, write_mask, write_picture

CLASSES = ["road", "building"]
TRAINING = {"scale": 0.5, "patch": 64, "minimum_areas": [0, 50, 400], "vertex_spacing": 5}
BOX = [[2, 2], [21, 2], [21, 21], [2, 21]]


def run_audit(source, root, classes=CLASSES, background="rest", on_problem="fail"):
    """Labels and audit of a data set; the folder of the audit."""
    folders = run_labels(source, root / "out", classes, background, on_problem)
    options = {"classes": classes, "background": background, "instances": False}
    quality = root / "out" / "quality"
    shards = []
    for folder in folders:
        shards.append(quality / "shards" / folder.name)
        shard_list = root / "out" / "shards" / f"{folder.name}.csv"
        audit_shard(shard_list, root / "out" / "samples.csv", folder, shards[-1], options, TRAINING)
    tables = [quality / name for name in ("audit.csv", "objects.csv", "summary.json")]
    summarize_audit(shards, classes, TRAINING, *tables)
    draw_sheets(root / "out" / "samples.csv", folders, *tables[:2], classes, quality / "sheets")
    problems = root / "out" / "problems.csv"
    render_audit("roofs <1>", classes, tables[2], quality / "sheets", problems, TRAINING, quality / "audit.html")
    return quality


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """Three pictures: buildings and a road over one of them, a speck, and nothing at all."""
    root = tmp_path_factory.mktemp("audit")
    contents = {
        "a": [shape(points=BOX), shape("road", [[2, 2], [21, 2], [21, 11], [2, 11]])],
        "b/c": [shape(points=[[30, 30], [31, 30], [31, 31]])],
        "empty": [],
    }
    for name, shapes in contents.items():
        write_picture(root / "images" / f"{name}.png", 100, 120)
        write_labelme(root / "annotations" / f"{name}.json", *shapes, height=100, width=120)
    return run_audit(labelme_source(root), root)


def test_tables_are_sorted_by_sample_and_class(audited):
    rows = read_table(audited / "audit.csv")
    assert [(row["id"], row["class"]) for row in rows] == [
        (name, label) for name in ("a", "b/c", "empty") for label in CLASSES
    ]
    building = rows[1]
    assert (building["objects"], building["drawn_pixels"], building["label_pixels"]) == ("1", "400", "200")
    assert building["covered_pixels"] == "200"
    assert "200 pixels covered by other classes" in building["remarks"]
    assert [row["id"] for row in read_table(audited / "objects.csv")] == ["a", "a", "b/c"]


def test_figures_of_the_classes(audited):
    summary = read_json(audited / "summary.json")
    road, building = summary["classes"]
    assert (summary["pictures"], summary["empty"]) == (3, ["empty"])
    assert (road["class"], road["pictures"], road["objects"], road["pixels"]) == ("road", 1, 1, 200)
    assert road["share"] == pytest.approx(200 / 36000, abs=1e-6)
    assert building["rasterising_change"] == pytest.approx((400 + 3) / (361 + 0.5) - 1, abs=0.01)
    assert building["sizes"] == {"tiny": 1, "small": 1, "medium": 0, "large": 0}
    assert building["removable_objects"] == {"50": 1, "400": 2}
    assert summary["background_share"] == pytest.approx(1 - 403 / 36000, abs=1e-5)


def test_rare_foreground_is_advised_with_options_that_exist(audited):
    advice = read_json(audited / "summary.json")["advice"]
    assert advice[0]["finding"] == "the classes cover 1.1 % of the pixels, less than 10 %"
    assert advice[0]["config"] == "train: {foreground: 0.7}\nloss: {ohem: 0.3}"
    findings = " ".join(item["finding"] for item in advice)
    assert "building: 2 of 2 objects are smaller than the largest minimum area tried, 400 pixels" in findings
    assert "road: in 1 picture of 3 only" in findings


def test_sheets_come_worst_first(audited):
    sheets = read_table(audited / "sheets" / "sheets.csv")
    assert [sheet["id"] for sheet in sheets] == ["b/c", "empty", "a"]
    assert sheets[0]["remarks"] == "building: 1 tiny"
    assert sheets[1]["remarks"] == "no class in the picture"
    with Image.open(audited / "sheets" / sheets[0]["file"]) as picture:
        assert picture.size == (3 * 420 + 12, 350)


def test_page_shows_figures_and_every_sheet(audited):
    page = (audited / "audit.html").read_text(encoding="utf-8")
    assert "Label audit: roofs &lt;1&gt;" in page
    assert "3 objects in 3 pictures cover 1.1 % of the pixels; none of them are lost" in page
    assert "<th>tiny (below 25 px)</th><th>small (from 25 px)</th>" in page
    for sheet in read_table(audited / "sheets" / "sheets.csv"):
        assert f'<a href="sheets/{sheet["file"]}"><img loading="lazy" src="sheets/{sheet["file"]}"' in page
        assert sheet["slice"] == ""


def test_objects_of_large_pictures_are_shown_below_their_sheet(tmp_path):
    speck, bow = [[600, 300], [601, 300], [601, 301]], [[20, 20], [60, 70], [60, 20], [20, 80]]
    for name, size in (("large", 1000), ("small", 800)):
        write_picture(tmp_path / "images" / f"{name}.png", 700, size)
        shapes = shape(points=BOX), shape(points=speck), shape("road", bow)
        write_labelme(tmp_path / "annotations" / f"{name}.json", *shapes, height=700, width=size)
    quality = run_audit(labelme_source(tmp_path), tmp_path)
    crops = read_table(quality / "sheets" / "crops.csv")
    assert [(crop["class"], crop["object"], crop["left"], crop["top"]) for crop in crops] == [
        ("road", "3", "20", "20"),
        ("building", "2", "600", "300"),
    ]
    page = (quality / "audit.html").read_text(encoding="utf-8")
    for crop in crops:
        assert "-large" in crop["file"]
        assert f'src="sheets/{crop["file"]}"' in page
        with Image.open(quality / "sheets" / crop["file"]) as picture:
            assert picture.size == (364, 180)
    assert "building, object 2 at 600, 300: tiny</figcaption>" in page


def test_audit_again_gives_the_same_bytes(audited, tmp_path):
    names = ("audit.csv", "objects.csv", "summary.json")
    shards = sorted((audited / "shards").iterdir())
    summarize_audit(shards[::-1], CLASSES, TRAINING, *(tmp_path / name for name in names))
    assert [(audited / name).read_bytes() for name in names] == [(tmp_path / name).read_bytes() for name in names]


def test_annotations_that_do_not_state_the_size_of_their_picture(tmp_path):
    write_picture(tmp_path / "images" / "a.png", 100, 120)
    write_labelme(tmp_path / "annotations" / "a.json", shape("road", BOX), shape(points=BOX), height=None, width=None)
    rows = read_table(run_audit(labelme_source(tmp_path), tmp_path, on_problem="skip") / "audit.csv")
    assert [row["label_pixels"] for row in rows] == ["0", "400"]
    assert "1 covered altogether" in rows[0]["remarks"]


def test_masks_that_are_inverted_or_full_stand_out(tmp_path):
    for number in range(8):
        write_picture(tmp_path / "images" / f"{number}.png", 40, 40)
        mask = np.zeros((40, 40))
        mask[10:18, 10:20] = 1
        mask = 1 - mask if number == 5 else np.ones_like(mask) if number == 6 else mask
        write_mask(tmp_path / "masks" / f"{number}.png", mask)
    source = {"format": "png", "images": f"{tmp_path}/images", "annotations": f"{tmp_path}/masks"}
    quality = run_audit(source, tmp_path, ["cell"])
    remarks = {row["id"]: row["remarks"] for row in read_table(quality / "audit.csv")}
    assert remarks["5"] == "looks inverted"
    assert remarks["6"] == "fills the picture, looks inverted"
    assert {remarks[number] for number in "012347"} == {""}
    assert [row["id"] for row in read_table(quality / "sheets" / "sheets.csv")][:2] == ["6", "5"]


def test_common_class_is_not_called_inverted():
    rows = [{"class": "land", "label_pixels": "5", "share": str(s), "remarks": ""} for s in (0.7, 0.8, 0.6, 0.2, 0.9)]
    mark_inverted(rows, ["land"])
    assert {row["remarks"] for row in rows} == {""}


def test_severity_of_a_clean_sample_is_none():
    clean = {"label_pixels": 9, "objects": 1, "tiny_objects": 0, "outside_objects": 0, "lost_objects": 0}
    clean |= {"covered_pixels": 0, "remarks": ""}
    assert severity([clean]) == 0
    assert severity([clean | {"label_pixels": 0}]) == 1
    assert severity([clean | {"remarks": "looks inverted"}]) > severity([clean | {"remarks": "1 crosses itself"}]) > 1


def test_choice_of_sheets():
    assert choose_sheets([0, 2, 0, 3]) == [3, 1, 0, 2]
    many = [0.0] * 500
    many[7], many[400] = 1, 2
    chosen = choose_sheets(many)
    assert (chosen[:2], len(chosen), len(set(chosen))) == ([400, 7], SHEETS, SHEETS)
    assert chosen[2:] == sorted(chosen[2:])
    assert len(choose_sheets([1.0] * 1000)) == SHEETS


@pytest.mark.parametrize(("height", "width", "expected"), [(100, 200, (210, 1272)), (2000, 500, (420, 327))])
def test_sheets_are_drawn_at_one_size(height, width, expected):
    classes = Classes.from_config(["a"])
    labels = np.zeros((height, width), np.uint8)
    labels[: height // 2] = 1
    sheet = draw_sheet(np.full((height, width, 3), 100, np.uint8), labels, classes)
    assert sheet.shape[:2] == expected
    assert (sheet[5, 5] == 100).all()
    assert not (sheet[20, 10 + (expected[1] - 12) // 3 + 6] == 100).all()


@pytest.mark.parametrize(("volumes", "sample", "dots"), [(0, "picture", "pixels"), (2, "volume", "voxels")])
def test_headline_speaks_of_what_is_lost(volumes, sample, dots):
    figures = {"objects": 3, "lost_objects": 1}
    summary = {"classes": [figures], "pictures": 2, "volumes": volumes, "background_share": 0.9, "empty": ["x"]}
    assert headline(summary) == (
        f"3 objects in 2 {sample}s cover 10.0 % of the {dots}; 1 of them is lost on the way to the network. "
        f"1 {sample} has no class at all."
    )


def test_headline_on_one_object_in_one_picture():
    figures = {"objects": 1, "lost_objects": 0}
    summary = {"classes": [figures], "pictures": 1, "volumes": 0, "background_share": 0.9, "empty": []}
    assert headline(summary).startswith("1 object in 1 picture covers 10.0 % of the pixels; none of them")


def figure(name="roof", objects=10, **remarks):
    """Figures of a class in 9 pictures; remarks with _ for a space."""
    counts = {remark.replace("_", " "): count for remark, count in remarks.items()}
    fixed = {"pictures": 9, "pixels": 900, "share": 0.5, "removable_objects": {}}
    return {"class": name, "objects": objects, "remarks": counts} | fixed


def advice_on(*figures, volumes=0):
    """Finding → suggestion."""
    advice = advise(figures, 9, volumes, AuditOptions(scale=0.5, patch=64, minimum_areas=[0], vertex_spacing=2.5))
    return {item["finding"]: item["suggestion"] for item in advice}


def test_a_lower_resolution_is_not_advised_where_objects_vanish():
    large = figure("lake", larger_than_a_patch=5)
    assert "lower resolution" in advice_on(large)["lake: 5 of 10 objects are larger than a training patch of 64 pixels"]

    advice = advice_on(large, figure(gone_at_training_size=1))

    assert advice["lake: 5 of 10 objects are larger than a training patch of 64 pixels"] == "train on larger patches"
    assert advice["roof: 1 of 10 objects has no pixel left at the scale 0.5"] == "train at a higher resolution"


def test_advice_on_coarse_outlines_says_how_many_pixels():
    (item,) = advice_on(figure(coarse_outline=2), figure("lake", 1, coarse_outline=1)).items()
    assert item == (
        "roof: 2 of 10 objects have a coarse outline; lake: 1 of 1 object has a coarse outline",
        "where an outline is curved, click vertices at most 2.5 pixels apart (quality.vertex_spacing)",
    )


def test_advice_names_classes_with_the_same_finding_together():
    (finding,) = advice_on(figure(tiny=5), figure("lake", tiny=5), figure("road", tiny=6))
    assert finding == "roof, lake: 5 of 10 objects are tiny; road: 6 of 10 objects are tiny"


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0.0 %"), (0.00003712, "0.0037 %"), (0.0031, "0.31 %"), (0.01, "1.0 %"), (0.266, "26.6 %")]
)
def test_small_shares_keep_two_digits(share, text):
    assert percent(share) == text


def test_objects_that_reach_outside_are_counted_on_the_page(tmp_path):
    for name, x in (("a", -30), ("b", 900), ("c", 10)):
        write_picture(tmp_path / "images" / f"{name}.png", 100, 120)
        points = [[x, 10], [x + 50, 10], [x + 50, 60]]
        write_labelme(tmp_path / "annotations" / f"{name}.json", shape(points=points), height=100, width=120)
    page = (run_audit(labelme_source(tmp_path), tmp_path, ["building"]) / "audit.html").read_text(encoding="utf-8")
    heads = re.findall(r"<th>([^<]*)</th>", page)
    cells = re.findall(r'<td class="number">([^<]*)</td>', page)
    assert cells[heads.index("Reaching outside") - 1] == "2"
    assert "left out" not in page


@pytest.mark.parametrize(("patch", "share", "counts"), [(64, "50.0 %", ["1", "0"]), ("auto", None, ["", ""])])
def test_objects_that_patches_cut_are_counted(tmp_path, monkeypatch, patch, share, counts):
    """At half the size, the border of the patches of 64 pixels is at the pixel 128."""
    monkeypatch.setitem(TRAINING, "patch", patch)
    for name, x in (("a", 120), ("b", 128)):
        write_picture(tmp_path / "images" / f"{name}.png", 100, 200)
        points = [[x, 10], [x + 20, 10], [x + 20, 60]]
        write_labelme(tmp_path / "annotations" / f"{name}.json", shape(points=points), height=100, width=200)
    quality = run_audit(labelme_source(tmp_path), tmp_path, ["building"])
    assert [row["cut_objects"] for row in read_table(quality / "audit.csv")] == counts
    page = (quality / "audit.html").read_text(encoding="utf-8")
    heads = re.findall(r"<th>([^<]*)</th>", page)
    cells = re.findall(r'<td class="number">([^<]*)</td>', page)
    if share:
        assert cells[heads.index("Cut by patches") - 1] == share
    else:
        assert "Cut by patches" not in heads
        assert "not known before training" in page


def test_page_says_how_many_samples_are_left_out(tmp_path):
    for name in "abc":
        write_picture(tmp_path / "images" / f"{name}.png", 100, 120)
    write_labelme(tmp_path / "annotations" / "a.json", shape(points=BOX), height=100, width=120)
    quality = run_audit(labelme_source(tmp_path), tmp_path, ["building"], on_problem="skip")
    page = (quality / "audit.html").read_text(encoding="utf-8")
    assert "2 samples are left out because of problems" in page


def test_volumes_have_voxels_and_the_slice_that_is_shown_is_named(tmp_path):
    labels = np.zeros((5, 30, 40), np.uint8)
    labels[1:4, 4:9, 4:9] = 1
    labels[3, 4:12, 4:12] = 1
    for name in "ab":
        for folder, values in (("images", np.full_like(labels, 7)), ("masks", labels)):
            (tmp_path / folder).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / folder / f"{name}.tif", values, photometric="minisblack")
    source = {"format": "png", "images": f"{tmp_path}/images", "annotations": f"{tmp_path}/masks", "stacks": "volume"}

    quality = run_audit(source, tmp_path, ["organ"])

    assert [row["slices"] for row in read_table(quality / "audit.csv")] == ["5", "5"]
    assert [sheet["slice"] for sheet in read_table(quality / "sheets" / "sheets.csv")] == ["4 of 5"] * 2
    assert "of the voxels, less than" in read_json(quality / "summary.json")["advice"][0]["finding"]
    page = (quality / "audit.html").read_text(encoding="utf-8")
    assert "<b>a</b> slice 4 of 5" in page
    for part in ("tiny (below 25 voxels)", "below 50 voxels", "<th>Volumes</th>", "objects in 2 volumes cover"):
        assert part in page
    assert " px)" not in page
