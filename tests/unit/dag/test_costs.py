"""What jobs take by what they handle, in small exact numbers."""

import pytest

from maskmill.dag.costs import COSTS, MIB, Cost, Pictures


def row(width=1024, height=1024, depth=1, channels=3, dtype="uint8") -> dict[str, str]:
    """Of a manifest, as it is read."""
    return {name: str(value) for name, value in locals().items()}


def test_pictures_are_counted_by_the_largest_and_all_together():
    found = Pictures.of_rows([row(), row(width=512, channels=8, dtype="float32"), row(height=256)])

    assert found == Pictures(count=3, pixels=MIB, values=16 * MIB, together=MIB * 7 // 4, width=1024, area=MIB)


def test_a_volume_has_all_its_slices():
    found = Pictures.of_rows([row(width=8, height=4, depth=2, channels=1, dtype="int16")])

    assert found == Pictures(count=1, pixels=64, values=128, together=64, volumes=True, width=8, area=32)


def test_no_pictures_are_nothing():
    assert Pictures.of_rows([]) == Pictures(0, 0, 0, 0)


def test_memory_grows_with_the_largest_picture_and_the_table():
    cost = Cost(100, pixel=2, value=3, sample=512)

    assert cost.mebibytes(Pictures(count=4, pixels=5 * MIB, values=10 * MIB, together=99)) == 100 + 10 + 30 + 2


def test_each_further_class_has_pixels_of_its_own():
    cost = Cost(100, pixel=20, further=8)
    pictures = Pictures(count=4, pixels=5 * MIB, values=0, together=99)

    assert cost.mebibytes(pictures, classes=1) == 100 + 100
    assert cost.mebibytes(pictures, classes=3) == 100 + 100 + 80


def test_time_grows_with_all_pictures_and_apart_for_volumes():
    cost = Cost(100, seconds=7, megapixel=2, megavoxel=5)

    assert cost.time(Pictures(1, 0, 0, together=3_000_000)) == 13
    assert cost.time(Pictures(1, 0, 0, together=3_000_000, volumes=True)) == 22


@pytest.mark.parametrize("rule", sorted(COSTS))
def test_no_process_is_smaller_than_python_itself(rule):
    assert COSTS[rule].base >= 30
