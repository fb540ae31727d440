"""Objects that cannot be found on a sheet are shown at full size: the gravest, each framed where it is."""

import numpy as np
import pytest

from maskmill.audit.crops import GAP, MARGIN, SIDE, draw_crop, worst_objects
from maskmill.classes import Classes

CLASSES = Classes.from_config({"roof": "#ff0000"})


def rows_of(*remarks):
    return [{"object": str(number), "remarks": text} for number, text in enumerate(remarks, 1)]


def chosen(*remarks):
    return [int(row["object"]) for row in worst_objects(rows_of(*remarks))]


def test_one_of_each_fault_comes_before_a_second_one():
    assert chosen("tiny", "tiny", "crosses itself", "tiny, gone at training size", "covered altogether") == [4, 5, 3]
    assert chosen("tiny", "tiny", "crosses itself", "tiny") == [3, 1, 2]


def test_objects_that_can_be_found_are_not_shown():
    assert chosen("", "coarse outline", "larger than a patch", "reaches outside") == [4]
    assert chosen("", "mostly covered") == []


def crop(box, height=900, width=1200):
    """The crop of a picture whose pixels tell where they are, and where in it the object is framed."""
    rows, columns = np.mgrid[:height, :width]
    picture = np.stack([rows // 4, columns // 5, np.zeros_like(rows)], axis=2).astype(np.uint8)
    labels = np.zeros((height, width), np.uint8)
    left, top, right, bottom = box
    labels[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = 1
    drawn = draw_crop(picture, labels, box, CLASSES)
    assert drawn.shape == (SIDE, 2 * SIDE + GAP, 3)
    white = (drawn[:, SIDE + GAP :] == 255).all(axis=2)
    ys, xs = np.nonzero(white)
    return drawn, (xs.min(), ys.min(), xs.max(), ys.max()) if len(xs) else None


def test_a_speck_is_in_the_middle_at_full_size_and_framed():
    drawn, frame = crop((600, 400, 603, 404))
    first = drawn[0, 0]
    assert (first[0], first[1]) == ((402 - 90) // 4, (601 - 90) // 5)
    assert frame == (89 - MARGIN, 88 - MARGIN, 92 + MARGIN, 92 + MARGIN)
    assert (drawn[88, SIDE + GAP + 89] == (255, 0, 0)).all()
    assert not (drawn[88, 89] == (255, 0, 0)).all()


@pytest.mark.parametrize(
    ("box", "first"),
    [((0, 0, 3, 3), (0, 0)), ((1198, 898, 1200, 900), (720, 1020)), ((-500, 400, -400, 410), (315, 0))],
    ids=["corner", "other corner", "outside"],
)
def test_the_crop_stays_in_the_picture(box, first):
    drawn, frame = crop(box)
    assert (drawn[0, 0, 0], drawn[0, 0, 1]) == (first[0] // 4, first[1] // 5)
    assert frame


def test_a_large_object_is_scaled_down_whole():
    _, frame = crop((200, 100, 800, 700))
    assert frame == pytest.approx((MARGIN, MARGIN, SIDE - MARGIN, SIDE - MARGIN), abs=1)


def test_a_picture_of_a_single_row_is_no_obstacle():
    drawn, _ = crop((0, 0, 2000, 1), height=1, width=2000)
    assert (drawn[1:, :SIDE] == 255).all()


def test_a_picture_smaller_than_a_crop_is_filled_up_with_white():
    drawn, _ = crop((20, 10, 22, 12), height=50, width=900)
    assert (drawn[50:, :SIDE] == 255).all()
    assert not (drawn[:50, :SIDE] == 255).all(axis=2).any()
