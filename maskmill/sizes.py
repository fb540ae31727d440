"""Sizes of patches, tiles and strides: always (depth, height, width), whatever the option was written as."""

from collections.abc import Sequence

Size = tuple[int, int, int]


def as_size(value: int | Sequence[int], dimensions: int) -> Size:
    """A size as (depth, height, width).

    One number is the side of a square, for a network of three dimensions of a cube; two are height and width.
    """
    if isinstance(value, int):
        return (value,) * 3 if dimensions == 3 else (1, value, value)
    return (1, *value) if len(value) == 2 else tuple(value)
