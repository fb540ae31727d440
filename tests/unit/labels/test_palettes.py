"""Palettes that contradict one another are found; those that merely differ are not."""

import numpy as np
import pytest
from PIL import Image

from maskmill.files import read_table
from tests.unit.label_data import run_labels, write_picture

RED, GREEN, GREY = (255, 0, 0), (0, 255, 0), (1, 1, 1)
MASK = np.array([[0, 1, 2]], np.uint8).repeat(10, axis=1).repeat(20, axis=0)


def problems_of(root, *palettes, classes=("roof", "road")):
    """Problems of masks of both classes whose indices 1 and 2 have these colours."""
    for number, colours in enumerate(palettes):
        write_picture(root / "images" / f"{number}.png")
        mask = Image.fromarray(MASK)
        mask.putpalette([value for colour in ((0, 0, 0), *colours) for value in colour])
        (root / "masks").mkdir(exist_ok=True)
        mask.save(root / "masks" / f"{number}.png")
    source = {"format": "png", "images": f"{root}/images", "annotations": f"{root}/masks"}
    run_labels(source, root / "out", classes, on_problem="skip")
    return read_table(root / "out" / "problems.csv"), read_table(root / "out" / "samples.csv")


def test_a_colour_with_another_index_than_in_most_masks(tmp_path):
    problems, accepted = problems_of(tmp_path, (RED, GREEN), (GREEN, RED), (RED, GREEN))
    assert {(problem["id"], problem["kind"]) for problem in problems} == {("1", "palette_mismatch")}
    assert [problem["detail"] for problem in problems] == [
        "#00ff00 has the index 1 here, but 2 in 2 others",
        "#ff0000 has the index 2 here, but 1 in 2 others",
    ]
    assert "a mapping of the names to the colours of the palettes" in problems[0]["remedy"]
    assert [row["id"] for row in accepted] == ["0", "2"]


@pytest.mark.parametrize("palettes", [[(RED, GREEN), (GREY, (2, 2, 2))], [(GREY, GREY), (RED, GREY)]])
def test_palettes_that_do_not_contradict_one_another(tmp_path, palettes):
    problems, accepted = problems_of(tmp_path, *palettes)
    assert (problems, len(accepted)) == ([], 2)


def test_classes_by_colour_do_not_go_by_the_index(tmp_path):
    classes = {"roof": "#ff0000", "road": "#00ff00"}
    problems, accepted = problems_of(tmp_path, (RED, GREEN), (GREEN, RED), classes=classes)
    assert (problems, len(accepted)) == ([], 2)
