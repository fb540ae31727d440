"""Every way in which a user's files can be wrong, from the index through the drawing to the gate."""

import numpy as np
import pytest

from maskmill.errors import MaskmillError
from maskmill.files import read_table
from maskmill.imaging.images import read_label_png
from tests.unit.label_data import (
    SQUARE,
    label_paths,
    labelme_source,
    run_labels,
    shape,
    write_labelme,
    write_mask,
    write_picture,
)

CLASSES = ["building", "road"]


@pytest.fixture
def root(tmp_path):
    """Two good samples, to which the tests add bad ones."""
    for name in ("good_1", "good_2"):
        write_picture(tmp_path / "images" / f"{name}.png")
        write_labelme(tmp_path / "annotations" / f"{name}.json", shape(), shape("road", [[12, 2], [18, 2], [18, 9]]))
    return tmp_path


def png_source(root):
    return {"format": "png", "images": f"{root}/images", "annotations": f"{root}/masks"}


def problems_of(root, source, classes=CLASSES, background="rest", **group):
    """Run with "fail" and with "skip": rows of problems.csv, all of which the message holds, and the accepted ids."""
    with pytest.raises(MaskmillError) as caught:
        run_labels(source, root / "fail", classes, background, **group)
    rows = read_table(root / "fail" / "problems.csv")
    message = str(caught.value)
    assert str(root / "fail" / "problems.csv") in message
    for row in rows:
        assert f"  {row['file']}: {row['detail']}" in message
        assert f"{row['kind']} (" in message
        assert row["remedy"] in message
        assert row["remedy"]
    run_labels(source, root / "skip", classes, background, "skip", **group)
    accepted = [row["id"] for row in read_table(root / "skip" / "samples.csv")]
    assert (root / "skip" / "problems.csv").read_bytes() == (root / "fail" / "problems.csv").read_bytes()
    return rows, accepted


def only(rows):
    assert len(rows) == 1, rows
    return rows[0]


def test_nothing_wrong(root):
    folders = run_labels(labelme_source(root), root / "out", CLASSES)
    assert read_table(root / "out" / "problems.csv") == []
    assert (root / "out" / "samples.csv").read_bytes() == (root / "out" / "manifest.csv").read_bytes()
    labels = {sample: read_label_png(path) for sample, path in label_paths(folders).items()}
    assert labels.keys() == {"good_1", "good_2"}
    assert (labels["good_1"][2:10, 2:10] == 1).all()
    assert (labels["good_1"] == 1).sum() == 64


def test_broken_json(root):
    write_picture(root / "images" / "bad.png")
    (root / "annotations" / "bad.json").write_text('{"shapes": [')
    rows, accepted = problems_of(root, labelme_source(root))
    assert only(rows)["kind"] == "broken_annotation"
    assert only(rows)["file"] == f"{root}/annotations/bad.json"
    assert "not valid JSON" in only(rows)["detail"]
    assert accepted == ["good_1", "good_2"]


def test_broken_json_without_picture(root):
    (root / "annotations" / "bad.json").write_text("{")
    rows, _ = problems_of(root, labelme_source(root))
    assert only(rows)["kind"] == "broken_annotation"
    assert 'no picture with the id "bad"' in only(rows)["detail"]


def test_missing_picture(root):
    write_labelme(root / "annotations" / "bad.json", shape(), imagePath="..\\photos\\bad.jpg")
    rows, accepted = problems_of(root, labelme_source(root))
    assert (only(rows)["id"], only(rows)["kind"]) == ("bad", "missing_picture")
    assert f"below {root}/images" in only(rows)["detail"]
    assert '"../photos/bad.jpg"' in only(rows)["detail"]
    assert accepted == ["good_1", "good_2"]


def test_missing_annotation(root):
    write_picture(root / "images" / "bad.png")
    rows, _ = problems_of(root, labelme_source(root))
    assert (only(rows)["id"], only(rows)["kind"]) == ("bad", "missing_annotation")
    assert only(rows)["file"] == f"{root}/images/bad.png"


def test_unknown_labels_are_all_listed(root):
    write_picture(root / "images" / "bad.png")
    write_labelme(root / "annotations" / "bad.json", shape("Roads"), shape("Roads"), shape("水"), shape("road"))
    rows, _ = problems_of(root, labelme_source(root))
    assert [row["kind"] for row in rows] == ["unknown_label"] * 2
    assert '"Roads" (2 shapes); did you mean "road"?' in rows[0]["detail"]
    assert '"水" (1 shape); known are building, road' in rows[1]["detail"]


def test_label_is_background_where_it_is_listed_there(root):
    write_picture(root / "images" / "tree.png")
    write_labelme(root / "annotations" / "tree.json", shape("tree"))
    folders = run_labels(labelme_source(root), root / "out", CLASSES, ["tree"])
    assert not read_label_png(label_paths(folders)["tree"]).any()


def test_size_mismatch(root):
    write_picture(root / "images" / "bad.png", height=40, width=60)
    write_labelme(root / "annotations" / "bad.json", shape())
    rows, _ = problems_of(root, labelme_source(root))
    assert only(rows)["kind"] == "size_mismatch"
    assert "30 × 20 pixels, but the picture has 60 × 40" in only(rows)["detail"]


def test_size_mismatch_of_a_mask(root):
    for name, height in (("good_1", 20), ("good_2", 21)):
        write_mask(root / "masks" / f"{name}.png", 1 + np.eye(height, 30))
    rows, accepted = problems_of(root, png_source(root))
    assert (only(rows)["id"], only(rows)["kind"]) == ("good_2", "size_mismatch")
    assert accepted == ["good_1"]


def test_duplicate_id(root):
    write_picture(root / "images" / "twin.png")
    write_picture(root / "images" / "twin.jpg")
    write_labelme(root / "annotations" / "twin.json", shape())
    rows, accepted = problems_of(root, labelme_source(root))
    assert [(row["id"], row["kind"]) for row in rows] == [("twin", "duplicate_id")] * 2
    assert [row["file"] for row in rows] == [f"{root}/images/twin.jpg", f"{root}/images/twin.png"]
    assert f"{root}/images/twin.jpg, {root}/images/twin.png" in rows[0]["detail"]
    assert accepted == ["good_1", "good_2"]


def test_ids_that_differ_in_case_alone(root):
    for name in ("Twin", "twin"):
        write_picture(root / "images" / f"{name}.png")
        write_labelme(root / "annotations" / f"{name}.json", shape())
    if len(list((root / "images").iterdir())) < 4:
        pytest.skip("this file system does not tell upper from lower case")
    rows, _ = problems_of(root, labelme_source(root))
    assert {(row["id"], row["kind"]) for row in rows} == {("Twin", "duplicate_id"), ("twin", "duplicate_id")}
    assert len(rows) == 4


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_empty_folder(root, folder):
    (root / "masks").mkdir()
    (root / "empty").mkdir()
    (root / "empty" / "notes.txt").write_text("")
    source = png_source(root)
    if folder == "images":
        write_mask(root / "masks" / "good_1.png", np.ones((20, 30)))
        source["images"] = f"{root}/empty"
    with pytest.raises(MaskmillError, match="no sample is left"):
        run_labels(source, root / "skip", CLASSES, on_problem="skip")
    with pytest.raises(MaskmillError, match="empty_folder"):
        run_labels(source, root / "fail", CLASSES)
    row = only(read_table(root / "fail" / "problems.csv"))
    assert (row["id"], row["kind"]) == ("", "empty_folder")
    assert row["file"] == (f"{root}/empty" if folder == "images" else f"{root}/masks")
    assert ("1 with suffix .txt, such as notes.txt" if folder == "images" else "no file at all") in row["detail"]


def test_missing_folder(root):
    with pytest.raises(
        MaskmillError, match=f"missing_folder.*\n  {root}/masks: there is no such folder of annotations"
    ):
        run_labels(png_source(root), root / "out", CLASSES)


def test_pattern_that_matches_nothing_says_what_is_there(root):
    source = labelme_source(root) | {"image_pattern": "{tile}/{stem}.jpg", "annotation_pattern": "{tile}/{stem}.json"}
    with pytest.raises(MaskmillError, match="none of its files match"):
        run_labels(source, root / "out", CLASSES)
    rows = read_table(root / "out" / "problems.csv")
    assert [row["kind"] for row in rows] == ["empty_folder"] * 2
    assert "2 with suffix .png, such as good_1.png" in " ".join(row["detail"] for row in rows)


def test_0_255_mask_where_indices_are_expected(root):
    write_mask(root / "masks" / "good_1.png", np.eye(20, 30) * 255)
    write_mask(root / "masks" / "good_2.png", 1 + np.eye(20, 30))
    rows, accepted = problems_of(root, png_source(root))
    assert (only(rows)["id"], only(rows)["kind"]) == ("good_1", "unexpected_value")
    assert "0/255 mask where class indices are expected" in only(rows)["detail"]
    assert '{building: "#ffffff"}' in only(rows)["remedy"]
    assert accepted == ["good_2"]
    write_mask(root / "masks" / "good_2.png", np.zeros((20, 30)))
    folders = run_labels(png_source(root), root / "out", {"building": "#ffffff"})
    assert (read_label_png(label_paths(folders)["good_1"]) == np.eye(20, 30)).all()


def test_colours_that_mean_nothing(root):
    write_mask(root / "masks" / "good_1.png", np.full((20, 30), 60))
    write_mask(root / "masks" / "good_2.png", np.full((20, 30), 255))
    rows, accepted = problems_of(root, png_source(root), {"building": "#ffffff"}, ["#000000"])
    assert "#3c3c3c (600 px)" in only(rows)["detail"]
    assert accepted == ["good_2"]


def test_truncated_and_unreadable_pictures(root):
    for name in ("cut", "text"):
        write_picture(root / "images" / f"{name}.jpg", height=200, width=300)
        write_labelme(root / "annotations" / f"{name}.json", shape(), height=200, width=300)
    content = (root / "images" / "cut.jpg").read_bytes()
    (root / "images" / "cut.jpg").write_bytes(content[: len(content) * 2 // 3])
    (root / "images" / "text.jpg").write_text("no picture")
    rows, accepted = problems_of(root, labelme_source(root))
    assert [(row["id"], row["kind"]) for row in rows] == [("cut", "broken_image"), ("text", "broken_image")]
    assert "truncated" in rows[0]["detail"]
    assert accepted == ["good_1", "good_2"]


def test_shape_that_cannot_be_drawn(root):
    write_picture(root / "images" / "bad.png")
    write_labelme(root / "annotations" / "bad.json", shape(points=SQUARE[:2]), shape(points=[[1, 1]], kind="circle"))
    rows, _ = problems_of(root, labelme_source(root))
    assert [row["kind"] for row in rows] == ["degenerate_shape"] * 2
    assert 'shape 1 ("building") has 2 points where a polygon needs at least 3' in rows[0]["detail"]


def test_group_expression_that_does_not_match(root):
    write_picture(root / "images" / "bad.png")
    write_labelme(root / "annotations" / "bad.json", shape())
    rows, accepted = problems_of(root, labelme_source(root), group="regex", pattern=r"(good)_\d")
    assert (only(rows)["id"], only(rows)["kind"]) == ("bad", "no_group")
    assert accepted == ["good_1", "good_2"]


def test_class_that_no_annotation_has(root):
    rows, accepted = problems_of(root, labelme_source(root), [*CLASSES, "tower"])
    assert (only(rows)["id"], only(rows)["kind"]) == ("", "unused_class")
    assert 'no label image has a pixel of "tower"' in only(rows)["detail"]
    assert accepted == ["good_1", "good_2"]


def test_pictures_and_annotations_that_have_nothing_to_do_with_each_other(root):
    (root / "images").rename(root / "others")
    write_picture(root / "images" / "holiday.jpg")
    with pytest.raises(MaskmillError, match=r'no_pairs.*\n.*none of 2 annotations.*begin with "good_1", "good_2"'):
        run_labels(labelme_source(root), root / "out", CLASSES)


def test_all_problems_of_all_files_come_at_once(root):
    write_labelme(root / "annotations" / "a.json", shape())
    for name in ("b", "c"):
        write_picture(root / "images" / f"{name}.png")
    write_labelme(root / "annotations" / "c.json", shape("tree"), shape(points=SQUARE[:1]), height=7)
    rows, accepted = problems_of(root, labelme_source(root))
    assert [(row["id"], row["kind"]) for row in rows] == [
        ("a", "missing_picture"),
        ("b", "missing_annotation"),
        ("c", "degenerate_shape"),
        ("c", "size_mismatch"),
        ("c", "unknown_label"),
    ]
    assert accepted == ["good_1", "good_2"]


def test_nothing_left_after_skipping(root):
    for name in ("good_1", "good_2"):
        write_labelme(root / "annotations" / f"{name}.json", shape("tree"))
    with pytest.raises(MaskmillError, match="no sample is left"):
        run_labels(labelme_source(root), root / "out", CLASSES, on_problem="skip")
    assert not (root / "out" / "samples.csv").exists()


def test_skipping_says_what_is_left_out(root, caplog):
    write_picture(root / "images" / "bad.png")
    run_labels(labelme_source(root), root / "out", CLASSES, on_problem="skip")
    assert f"{root}/images/bad.png" in caplog.text
    assert "going on with 2 of 2 samples" in caplog.text
