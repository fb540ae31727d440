"""Components and holes against scikit-image and SciPy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.measure import label, regionprops
from skimage.morphology import remove_small_holes, remove_small_objects
from skimage.segmentation import clear_border

from maskmill.inference.components import fill_holes, find_components, keep_largest, remove_small

REGIONS = arrays(bool, (1, 12, 14)) | arrays(bool, (4, 5, 7), elements=st.sampled_from([False, False, False, True]))
SOLIDS = arrays(bool, (1, 12, 14), elements=st.sampled_from([False, True, True])) | arrays(
    bool, (5, 6, 7), elements=st.sampled_from([False] + [True] * 5)
)


@given(REGIONS, st.integers(0, 9))
def test_small_components_go_as_in_scikit_image(region, area):
    expected = remove_small_objects(region, max_size=max(area - 1, 0), connectivity=3)

    assert np.array_equal(remove_small(region, area), expected)


@given(REGIONS)
def test_the_largest_component_stays(region):
    components = label(region, connectivity=3)
    areas = [part.area for part in regionprops(components)]

    kept = keep_largest(region)

    assert not (kept & ~region).any()
    assert label(kept, connectivity=3).max() == min(1, len(areas))
    assert kept.sum() == max(areas, default=0)


def test_the_first_of_two_largest_stays():
    assert keep_largest(np.array([[[1, 0, 1, 0, 0]]], bool))[0, 0].tolist() == [True, False, False, False, False]


@given(SOLIDS, st.integers(1, 9))
def test_small_holes_are_filled_as_in_scikit_image(region, area):
    # there, what reaches the edge is a hole too
    filled = remove_small_holes(region, max_size=area - 1, connectivity=1)
    squeezed = region[0] if len(region) == 1 else region
    inner = clear_border(label(~squeezed, connectivity=1)).reshape(region.shape) > 0

    assert np.array_equal(fill_holes(region, area), region | (filled & inner))


@given(SOLIDS)
def test_all_holes_are_filled_as_in_scipy(region):
    flat = region[0] if len(region) == 1 else region

    assert np.array_equal(fill_holes(region, np.inf), ndimage.binary_fill_holes(flat).reshape(region.shape))


@given(REGIONS, st.integers(1, 9))
def test_done_twice_is_done_once(region, area):
    for step in (lambda one: remove_small(one, area), keep_largest, lambda one: fill_holes(one, area)):
        assert np.array_equal(step(step(region)), step(region))


def test_a_hole_that_touches_the_outside_at_a_corner_is_one():
    region = np.array([[[0, 1, 0], [1, 0, 1], [1, 1, 1]]], bool)

    assert fill_holes(region, 2)[0].tolist() == [[False, True, False], [True, True, True], [True, True, True]]


def test_corners_join_unless_told():
    diagonal = np.eye(3, dtype=bool)[np.newaxis]

    assert find_components(diagonal)[1].tolist() == [6, 3]
    assert find_components(diagonal, corners=False)[1].tolist() == [6, 1, 1, 1]
