"""Which test cases the report shows, and the pictures it makes of them."""

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from maskmill.classes import DEFAULT_COLOURS, Classes
from maskmill.files import write_table
from maskmill.imaging.overlay import ERROR_COLOURS, error_image
from maskmill.report.cases import Case, best_and_worst, choose_showcase, fullest_slice, read_cases
from maskmill.report.pictures import LONG_SIDE, draw_case, draw_showcase, errors_of_all_classes, fit

CLASSES = {"roof": "#e69f00", "road": "#56b4e9"}


def case(name: str, **iou: str) -> Case:
    return Case(name, {c: {"iou": v, "reference_pixels": "9", "fn": "0", "fp": "0"} for c, v in iou.items()}, 0.5)


@pytest.mark.parametrize(("count", "best", "worst"), [(0, 0, 0), (1, 1, 0), (2, 1, 1), (5, 3, 2), (6, 3, 3), (9, 3, 3)])
def test_no_case_is_both_best_and_worst(count, best, worst):
    cases = [case(f"c{i}") for i in range(count)]
    good, bad = best_and_worst(cases)
    assert [c.id for c in good] == [f"c{i}" for i in range(best)]
    assert [c.id for c in bad] == [f"c{count - 1 - i}" for i in range(worst)]


def test_cases_are_ordered_by_mean_iou_over_the_classes_that_have_one(tmp_path):
    columns = ["id", "class", "iou", "reference_pixels", "fn", "fp"]
    values = {"a": ("0.5", "0.7"), "b": ("0.9", ""), "c": ("", ""), "d": ("0.6", "0.6")}
    rows = [
        {"id": name, "class": c, "iou": iou, "reference_pixels": 5 if iou else 0, "fn": 1, "fp": 3}
        for name, pair in values.items()
        for c, iou in zip(("x", "y"), pair, strict=True)
    ]
    write_table(tmp_path / "m.csv", rows, columns)
    cases = read_cases(tmp_path / "m.csv")
    assert [(c.id, round(c.mean_iou, 6)) for c in cases] == [("b", 0.9), ("a", 0.6), ("d", 0.6)]
    assert choose_showcase(cases).id == "a"  # b is better but has not all classes
    assert choose_showcase(cases[:1]).id == "b"
    assert cases[0].main_error == "too much x, 38 % of all errors"


def test_the_fullest_slice_is_that_of_the_reference_then_of_the_prediction():
    reference, prediction = np.zeros((2, 4, 3, 3), np.uint8)
    assert fullest_slice(reference, prediction) == 0
    prediction[3, 0] = 1
    assert fullest_slice(reference, prediction) == 3
    reference[0], reference[1, 0], reference[2, :2] = 255, 2, 1  # what is ignored does not count
    assert fullest_slice(reference, prediction) == 2


def test_the_legend_shows_the_colours_of_the_error_picture():
    mask, reference = np.array([[1, 0, 1, 0]]), np.array([[1, 1, 0, 0]])
    drawn = error_image(np.zeros((1, 4, 3), np.uint8), mask, reference, 1)[0, :3]
    legend = Classes.from_config(ERROR_COLOURS).colours
    np.testing.assert_allclose(drawn, 0.6 * np.array(legend), atol=1)


SIGHT = {  # Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def seen(colours: np.ndarray, sight: str) -> np.ndarray:
    """CIELAB (n, 3) of RGB colours (n, 3) from 0 to 255 as someone sees them."""
    colours = colours / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.transpose(SIGHT[sight]), 0, 1)
    return rgb2lab(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)[None])[0]


def smallest_difference(ours: np.ndarray, others: np.ndarray) -> float:
    differences = deltaE_ciede2000(ours[:, None], others[None])
    return differences[differences > 0].min()


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("grey", [0, 60, 120, 250])
def test_errors_and_hits_are_told_apart_on_any_picture_by_everyone(sight, grey):
    image = np.full((1, 4, 3), grey, np.uint8)
    drawn = error_image(image, np.array([[1, 0, 1, 0]]), np.array([[1, 1, 0, 0]]), 1)[0].astype(float)
    lab = seen(drawn, sight)

    assert smallest_difference(lab[:3], lab[:3]) > 25  # hit, missed, invented
    assert smallest_difference(lab[3:], lab[:3]) > 12  # from what is neither


def test_the_colours_of_errors_are_not_those_of_classes():
    errors = np.array(Classes.from_config(ERROR_COLOURS).colours, float)
    classes = np.array(Classes.from_config([str(i) for i in range(len(DEFAULT_COLOURS))]).colours, float)

    assert smallest_difference(seen(errors, "normal"), seen(classes, "normal")) > 20


def test_an_object_taken_for_another_class_is_missed():
    reference = np.array([0, 0, 1, 1, 1, 2, 255, 255])
    prediction = np.array([0, 2, 1, 2, 0, 2, 1, 0])
    found, present = errors_of_all_classes(reference, prediction)
    assert present.tolist() == [0, 0, 1, 1, 1, 1, 255, 255]
    assert (found & (present == 1)).tolist() == [0, 0, 1, 0, 0, 1, 0, 0]
    assert (found & (present == 0)).tolist() == [0, 1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("shape", "shown"),
    [((1280, 640), (640, 320)), ((640, 300), (640, 300)), ((100, 60), (200, 120)), ((1, 3000), (1, 640))],
)
def test_pictures_are_scaled_for_the_page(shape, shown):
    image, mask = fit(np.zeros((*shape, 3), np.uint8), np.ones(shape, np.uint8))
    assert image.shape == (*shown, 3)
    assert mask.shape == shown
    assert max(mask.shape) <= LONG_SIDE
    assert mask.all()


def test_deep_grey_pictures_are_shown_with_full_contrast():
    image, _ = fit(np.linspace(1000, 1200, 400 * 300).reshape(400, 300, 1).astype(np.uint16), np.zeros((400, 300)))
    assert image.dtype == np.uint8
    assert image.shape == (400, 300, 3)
    assert (image.min(), image.max()) == (0, 255)


def test_the_strip_shows_picture_annotation_and_prediction_from_left_to_right():
    classes = Classes.from_config(CLASSES)
    image = np.full((300, 300, 3), 100, np.uint8)
    reference, prediction = np.full((300, 300), 1, np.uint8), np.full((300, 300), 2, np.uint8)
    strip = draw_showcase(image, reference, prediction, classes)
    assert strip.shape[0] > 300  # captions below
    assert strip.shape[1:] == (916, 3)
    assert strip[150, 150].tolist() == [100, 100, 100]
    np.testing.assert_allclose(strip[150, 458], 60 + 0.4 * np.array(classes.colours[0]), atol=1)
    np.testing.assert_allclose(strip[150, 766], 60 + 0.4 * np.array(classes.colours[1]), atol=1)
    assert (strip[:300, 300:308] == 255).all()
    captions = strip[300:]
    assert all((captions[:, left : left + 300] < 100).any() for left in (0, 308, 616))


def test_a_case_has_three_pictures_and_ignored_pixels_are_no_error():
    reference = np.zeros((300, 300), np.uint8)
    reference[:, 200:] = 255
    prediction = np.zeros((300, 300), np.uint8)
    prediction[100:, 250:] = 1
    image = np.full((300, 300, 3), 100, np.uint8)
    outlined, overlay, errors = draw_case(image, reference, prediction, Classes.from_config(["roof"]))
    assert (outlined == 100).all()  # no class in the reference
    assert (overlay[200, 280] != 100).any()
    assert (errors == 50).all()  # dimmed, and nothing more
