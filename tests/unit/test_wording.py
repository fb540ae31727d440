"""Numbers agree with what they count."""

from maskmill.wording import count_of


def test_one_thing_is_singular():
    assert [count_of(number, "slice") for number in (0, 1, 2, 1200)] == [
        "0 slices",
        "1 slice",
        "2 slices",
        "1,200 slices",
    ]


def test_plural_that_is_not_regular():
    assert [count_of(number, "class", "classes") for number in (1, 2)] == ["1 class", "2 classes"]
