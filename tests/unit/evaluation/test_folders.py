"""Folders of masks against folders of references, and the command `maskmill evaluate`."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskmill.classes import Classes
from maskmill.cli import main
from maskmill.errors import MaskmillError
from maskmill.evaluation.evaluate_command import KINDS
from maskmill.evaluation.folders import Pair, groups_of, measure_folders
from maskmill.files import read_table
from maskmill.imaging.images import write_instance_png
from maskmill.metrics import CASE_COLUMNS
from tests.unit.volume_data import write_nifti

RED, BLUE = (255, 0, 0), (0, 0, 255)


def picture(*rows: str) -> np.ndarray:
    return np.array([[255 if pixel == "x" else int(pixel) for pixel in row] for row in rows], np.uint8)


def save(path: Path, values: np.ndarray, palette: list[int] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if palette:
        image.putpalette(palette)
    image.save(path)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two masks of site a and one of site b, whose lower row is missing; their references in colours of a palette."""
    for name in ("a/1", "a/2", "b/1"):
        save(tmp_path / "masks" / f"{name}.png", picture("1100", "1100", "0000"))
        save(tmp_path / "labels" / f"{name}.png", picture("1100", "1100", "x022"), [0, 0, 0, *RED, *BLUE] + [0] * 759)
    return tmp_path / "masks", tmp_path / "labels"


def evaluate(folders: tuple[Path, Path], *options: str) -> int:
    return main(["evaluate", *map(str, folders), *options])


def measure(folders: tuple[Path, Path], classes=("house", "road"), kinds=(), tolerance=2.0, pattern=None):
    """Rows of metrics, and the ids of masks without a reference."""
    measured = measure_folders(*folders, classes, kinds, tolerance, pattern)
    return measured.rows, measured.left_over


def test_masks_are_paired_by_path_and_measured_as_in_the_pipeline(folders):
    rows, left_over = measure(folders)
    assert [(row["id"], row["group"], row["class"]) for row in rows[:3]] == [
        ("a/1", "a", "house"),
        ("a/1", "a", "road"),
        ("a/2", "a", "house"),
    ]
    assert tuple(rows[0]) == CASE_COLUMNS
    assert (rows[0]["iou"], rows[1]["iou"], rows[1]["precision"], rows[1]["hd95"]) == (1, 0, None, 5)
    assert (rows[0]["unit"], rows[0]["accuracy"], left_over) == ("px", 1, [])


def test_without_classes_the_values_are_the_names(folders):
    assert [row["class"] for row in measure(folders, classes=())[0]][:2] == ["1", "2"]


def test_only_values_that_occur_are_classes(tmp_path):
    mask = np.array([[0, 7, 7, 14, 255]], np.uint8)
    save(tmp_path / "masks/a.png", np.stack([mask] * 3, axis=-1))
    save(tmp_path / "labels/a.png", np.array([[0, 7, 14, 14, 14]], np.uint8))

    rows, _ = measure((tmp_path / "masks", tmp_path / "labels"), classes=())

    assert [(row["class"], row["tp"], row["fp"], row["fn"]) for row in rows] == [("7", 1, 1, 0), ("14", 1, 0, 2)]


def test_grey_levels_are_hardly_classes(tmp_path):
    for folder in ("masks", "labels"):
        save(tmp_path / folder / "a.png", np.arange(65, dtype=np.uint8)[np.newaxis])
    assert len(measure((tmp_path / "masks", tmp_path / "labels"), classes=())[0]) == 64
    save(tmp_path / "masks/a.png", np.arange(1, 66, dtype=np.uint8)[np.newaxis])
    with pytest.raises(MaskmillError, match=r"hold 65 values \(1, 2, 3, 4, 5, \.\.\.\), which are hardly class"):
        measure((tmp_path / "masks", tmp_path / "labels"), classes=())


def test_where_only_the_prediction_is_255_nothing_is_found(folders, capsys):
    save(folders[0] / "a/1.png", picture("xx00", "xx10", "x00x"))

    measured = measure_folders(*folders, ["house", "road"], (), 2.0, None)

    assert measured.blank == {"a/1": (5, 5)}
    assert (measured.rows[0]["iou"], measured.rows[0]["fn"], measured.rows[1]["fn"]) == (0, 4, 2)
    assert evaluate(folders, "--classes", "house,road") == 0
    text = capsys.readouterr().out
    assert (
        "Only the prediction is 255: 5 pixels in 1 mask, of which 5 of a class in the reference count as missed" in text
    )


def test_masks_of_predict_are_measured_where_they_hold_no_class(tmp_path):
    save(tmp_path / "masks/a.png", picture("00x0"), Classes.from_config(["house"]).palette())
    save(tmp_path / "labels/a.png", picture("0110"))

    (row,) = measure((tmp_path / "masks", tmp_path / "labels"), classes=["house"])[0]

    assert (row["tp"], row["fn"], row["tn"]) == (0, 2, 2)


def test_colours_are_classes_where_they_are_said_to_be(folders):
    for file in folders[0].rglob("*.png"):
        colours = np.zeros((3, 4, 3), np.uint8)
        colours[:2, :2] = RED
        save(file, colours)
    rows, _ = measure(folders, classes={"house": "#ff0000", "road": "#0000ff"})
    assert [row["iou"] for row in rows[:2]] == [1, 0]


@pytest.fixture
def coloured(tmp_path: Path) -> tuple[Path, Path]:
    """A mask and a reference in red on black, with a blue corner."""
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:2, :3], pixels[3, 5] = RED, BLUE
    for folder in ("masks", "labels"):
        save(tmp_path / folder / "a.png", pixels)
    return tmp_path / "masks", tmp_path / "labels"


def test_colours_that_are_no_class_stop_the_evaluation(coloured, capsys):
    assert evaluate(coloured, "--classes", "house=#ff0000") == 1
    message = capsys.readouterr().err
    for folder in ("masks", "labels"):
        assert f"{folder}/a.png: colours that are neither a class nor background: #0000ff (1 px)" in message
    assert "add them to --classes or --background, or take --background rest" in message


@pytest.mark.parametrize("background", ["rest", "#000000,#0000ff"])
def test_what_is_background_can_be_said(coloured, capsys, background):
    assert evaluate(coloured, "--classes", "house=#ff0000", "--background", background) == 0
    assert "IoU 1.0000" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit):
        evaluate(coloured, "--classes", "house=#ff0000", "--background", "grey")
    assert '"grey" is not a colour' in capsys.readouterr().err


def test_white_is_background_where_black_is_a_class(tmp_path):
    for folder in ("masks", "labels"):
        save(tmp_path / folder / "a.png", picture("00xx"))
    rows, _ = measure((tmp_path / "masks", tmp_path / "labels"), classes={"border": "#000000"})
    assert rows[0]["tp"] == 2


def test_the_group_is_the_folder_or_what_a_pattern_finds():
    ids = ["p1_a", "p1_b", "x/p2_a"]
    assert list(groups_of(ids, None).values()) == [".", ".", "x"]
    assert list(groups_of(ids, r"(p\d)_").values()) == ["p1", "p1", "p2"]
    with pytest.raises(MaskmillError, match=r'"q" is not found in 3 names:\np1_a\np1_b\nx/p2_a'):
        groups_of(ids, "q")
    with pytest.raises(MaskmillError, match="no regular expression"):
        groups_of(ids, "(")


def test_everything_that_is_wrong_is_named_at_once(folders):
    masks, labels = folders
    (masks / "a/1.png").unlink()
    save(masks / "a/2.png", picture("110", "022"))
    save(masks / "b/1.png", picture("1100", "1103", "0000"))
    save(labels / "c.png", picture("1100"))
    save(masks / "c.png", picture("1100"))
    save(masks / "c.bmp", picture("1100"))
    with pytest.raises(MaskmillError, match=r"^5 masks cannot be measured") as caught:
        measure(folders)
    message = str(caught.value)
    for part in (
        "labels/a/1.png: ",
        "masks/a/2.png has 3 × 2 pixels",
        "masks/b/1.png: values that are no class index: 3",
        "masks/c.png: another file has the same name",
        "masks/c.bmp: another file has the same name",
    ):
        assert part in message


def test_predictions_without_a_reference_are_told_and_files_beside_masks_are_none(folders, capsys):
    save(folders[0] / "z.png", picture("1100"))
    save(folders[0] / "a/1.overlay.png", np.zeros((3, 4, 3), np.uint8))
    assert evaluate(folders, "--classes", "house,road") == 0
    assert "1 mask without a reference, not measured: z" in capsys.readouterr().out


def test_folders_that_are_missing_or_empty(folders, tmp_path):
    with pytest.raises(MaskmillError, match="there is no such folder"):
        measure((folders[0], tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(MaskmillError, match="a folder without masks"):
        measure((folders[0], tmp_path / "empty"))


def test_masks_without_any_class_ask_for_their_names(folders):
    for file in [*folders[0].rglob("*.png"), *folders[1].rglob("*.png")]:
        save(file, picture("0000"))
    with pytest.raises(MaskmillError, match="name the classes with --classes"):
        measure(folders, classes=())
    assert measure(folders)[0][0]["iou"] is None


@pytest.fixture
def volumes(tmp_path: Path) -> tuple[Path, Path]:
    """A volume of 3 × 0.5 × 0.5 mm with a block of the class, found a slice further down and stored as floats."""
    reference, mask = np.zeros((2, 6, 8, 4), np.int16)
    reference[1:5, 2:6, 0:2], mask[1:5, 2:6, 1:3] = 1, 1
    affine = np.diag([0.5, 0.5, 3.0, 1])
    for folder, values in (("labels", reference), ("masks", mask.astype(np.float32))):
        (tmp_path / folder).mkdir()
        write_nifti(tmp_path / folder / "a.nii.gz", values, affine)
    return tmp_path / "masks", tmp_path / "labels"


def test_volumes_are_measured_in_millimetres(volumes):
    ((row,), _) = measure(volumes, classes=["liver"])
    assert (row["unit"], row["tp"], row["fp"], row["fn"], row["hd"]) == ("mm", 16, 16, 16, 3)


def test_a_single_slice_has_millimetres_too(tmp_path):
    for folder, left in (("masks", 1), ("labels", 2)):
        values = np.zeros((8, 6, 1), np.uint8)
        values[left : left + 4, 2:4] = 1
        (tmp_path / folder).mkdir()
        write_nifti(tmp_path / folder / "a.nii", values, np.diag([0.5, 0.7, 3.0, 1]))
    ((row,), _) = measure((tmp_path / "masks", tmp_path / "labels"), classes=["liver"])
    assert (row["unit"], row["hd"]) == ("mm", 0.5)


def test_a_volume_elsewhere_in_space_is_refused(volumes):
    write_nifti(volumes[0] / "a.nii.gz", np.zeros((6, 8, 4), np.uint8), np.diag([0.5, 0.5, 2.0, 1]))
    with pytest.raises(MaskmillError, match=r"masks/a\.nii\.gz: lies elsewhere than its volume"):
        measure(volumes, classes=["liver"])


def test_extra_metrics_are_further_columns(folders, tmp_path):
    output = tmp_path / "metrics.csv"
    assert evaluate(folders, "--extra", *KINDS, "-o", str(output)) == 0
    rows = read_table(output)
    assert tuple(rows[0])[: len(CASE_COLUMNS)] == CASE_COLUMNS
    first = rows[0]
    assert (first["relaxed_recall"], first["pq"], first["cldice"], first["recall_tiny"]) == ("1", "1", "1", "1")
    assert first["recall_large"] == ""
    assert not {"break_even", "ece", "brier"} & set(first)


def test_objects_are_those_of_the_object_image_beside_the_reference(tmp_path):
    folders = tmp_path / "masks", tmp_path / "labels"
    for folder in folders:
        save(folder / "a.png", picture("1111", "1111"))
    ((row,), _) = measure(folders, classes=["cell"], kinds=["instances"])
    assert row["rq"] == 1
    write_instance_png(folders[1] / "a.instances.png", picture("1122", "1122"))
    ((row,), _) = measure(folders, classes=["cell"], kinds=["instances"])
    assert (row["rq"], row["aji"]) == (0, 0.5)
    write_instance_png(folders[1] / "a.instances.png", picture("112"))
    with pytest.raises(MaskmillError, match=r"a\.instances\.png has not the size"):
        measure(folders, classes=["cell"], kinds=["instances"])
    assert measure(folders, classes=["cell"])[0][0]["iou"] == 1


def test_objects_that_were_told_apart_are_those_of_the_object_image_beside_the_mask(tmp_path):
    folders = tmp_path / "masks", tmp_path / "labels"
    for folder in folders:
        save(folder / "a.png", picture("1111", "1111"))
        write_instance_png(folder / "a.instances.png", picture("1122", "1122"))
    assert measure(folders, classes=["cell"], kinds=["instances"])[0][0]["pq"] == 1
    write_instance_png(folders[0] / "a.instances.png", picture("1222", "1222"))
    assert measure(folders, classes=["cell"], kinds=["instances"])[0][0]["aji"] == pytest.approx((2 + 4) / (4 + 6))
    write_instance_png(folders[0] / "a.instances.png", picture("12"))
    with pytest.raises(MaskmillError, match=r"masks/a\.instances\.png has not the size of .*masks/a\.png"):
        measure(folders, classes=["cell"], kinds=["instances"])


def test_the_report_says_what_the_numbers_are(folders, capsys):
    assert evaluate(folders, "--classes", "house,road", "--group-regex", ".+", "--tolerance", "1") == 0
    text = capsys.readouterr().out
    assert text.startswith("3 cases in 3 groups; distances in px, tolerance 1 px")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "house mean 95 % interval median quartiles cases" in lines
    assert "IoU 1.0000 1.0000 to 1.0000 1.0000 1.0000 to 1.0000 3" in lines
    assert "Precision – too few cases – – 0" in lines  # of the road, which is never found
    assert "mean over classes mean 95 % interval median quartiles cases" in lines
    assert "IoU 0.5000 0.5000 to 0.5000 0.5000 0.5000 to 0.5000 3" in lines
    assert "3 cases; absent and not found" in text
    assert "present but not found: 3" in text
    assert "left out of their" in text
    assert "--group-regex" not in text


def test_the_mean_says_little_where_cases_differ(folders, capsys):
    save(folders[0] / "a/1.png", picture("1000", "0000", "0000"))
    assert evaluate(folders, "--classes", "house,road", "--group-regex", ".+") == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert any(line.startswith("IoU 0.7500") and line.endswith("1.0000 0.6250 to 1.0000 3") for line in lines)


def test_one_class_has_no_mean_over_classes(volumes, capsys):
    assert evaluate(volumes, "--classes", "liver") == 0
    text = capsys.readouterr().out
    assert "mean over classes" not in text
    assert "1 case; absent" in text


def test_few_groups_are_warned_of(folders, capsys):
    assert evaluate(folders, "--classes", "house,road") == 0
    assert "fewer than three groups" in capsys.readouterr().out


def test_messages_name_the_options_of_the_command(folders, capsys):
    save(folders[0] / "a/1.png", 255 * picture("1100", "1100", "0000"))
    save(folders[0] / "a/2.png", picture("1700", "1100", "0000"))
    assert evaluate(folders, "--classes", "house,road") == 1
    message = capsys.readouterr().err
    assert "--classes as NAME=COLOUR" in message
    assert "dataset." not in message
    assert "format" not in message


@pytest.mark.parametrize("tolerance", ["-1", "nan", "inf"])
def test_a_tolerance_is_a_distance(folders, capsys, tolerance):
    assert evaluate(folders, "--tolerance", tolerance) == 1
    assert "is no distance; give a number that is not negative" in capsys.readouterr().err


def test_a_table_that_cannot_be_written_is_told_before_anything_is_measured(folders, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(Pair, "read", lambda *_: pytest.fail("a mask was read"))
    assert evaluate(folders, "-o", str(tmp_path)) == 1
    assert "is a folder; name a file" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert evaluate(folders, "-o", str(tmp_path / "file/metrics.csv")) == 1
    assert re.search(
        r"-o \S*/file/metrics\.csv cannot be written \((File exists|Not a directory)\)", capsys.readouterr().err
    )


def test_calibration_is_not_offered_for_masks_have_no_probabilities(capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "a", "b", "--extra", "calibration"])
    assert "invalid choice: 'calibration'" in capsys.readouterr().err
