"""Sizes of patches, tiles and strides."""

import pytest

from maskmill.sizes import as_size


@pytest.mark.parametrize(
    ("value", "dimensions", "size"),
    [
        (256, 2, (1, 256, 256)),
        (64, 3, (64, 64, 64)),
        ([128, 256], 2, (1, 128, 256)),
        ([128, 256], 3, (1, 128, 256)),
        ([16, 128, 96], 3, (16, 128, 96)),
        ([1, 128, 96], 2, (1, 128, 96)),
    ],
)
def test_sizes_are_depth_height_and_width(value, dimensions, size):
    assert as_size(value, dimensions) == size
