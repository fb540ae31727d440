"""Classes: names, indices and colours, and that files keep their order."""

import pytest

from maskmill.classes import DEFAULT_COLOURS, Classes
from maskmill.errors import MaskmillError
from maskmill.files import read_json, write_json


@pytest.mark.parametrize(
    "given",
    [
        ["road", "building"],
        {"water": "#0000ff", "field": "#000000", "Acre": "#abcdef"},
        [f"organ {number}" for number in range(13, 0, -1)],  # more than there are default colours
    ],
)
def test_a_file_keeps_names_order_and_colours(given, tmp_path):
    classes = Classes.from_config(given)

    write_json(tmp_path / "classes.json", classes.as_list())

    assert Classes.from_list(read_json(tmp_path / "classes.json")) == classes
    assert classes.names == tuple(given)


def test_the_palette_shows_each_class_in_its_colour():
    palette = Classes.from_config({"b": "#010203", "a": "#000000"}).palette()

    assert palette[:9] == [0, 0, 0, 1, 2, 3, *bytes.fromhex(DEFAULT_COLOURS[0][1:])]  # black is background
    assert palette[-3:] == [255, 255, 255]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a", "b", "a", "c", "c"], "names a class twice: a, c"),
        ({"a": "#000001", "b": "#000002", "c": "#000001"}, "gives a, c the same colour"),
        (["mean"], "called mean"),
        ([], "has 0 classes"),
        ([str(number) for number in range(255)], "has 255 classes"),
        ({"a": "red"}, '"red" is not a colour'),
    ],
)
def test_mistakes_are_named(given, message):
    with pytest.raises(MaskmillError, match=message):
        Classes.from_config(given)
