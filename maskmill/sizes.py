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


def describe_size(size: Sequence[int]) -> str:
    """A size (depth, height, width) for people: "512 × 512", or "32 × 128 × 128" where it has a depth."""
    return " × ".join(map(str, size[1:] if size[0] == 1 else size))
