"""Components that are labelled in bands are those of the whole, by scipy's labels of whole arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy import ndimage

from maskmill.inference import banded
from maskmill.inference.banded import (
    BandedComponents,
    change_nearby,
    fill_small_holes,
    keep_largest_component,
    remove_small_components,
)
from maskmill.inference.morphology import close_region, open_region


@pytest.fixture(autouse=True, scope="module")
def narrow_bands():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(banded, "_BAND_PIXELS", 40)
        yield


sizes = st.one_of(
    st.tuples(st.just(1), st.integers(1, 25), st.integers(1, 18)),
    st.tuples(st.integers(2, 12), st.integers(1, 8), st.integers(1, 8)),
)
regions = sizes.flatmap(lambda size: st_numpy.arrays(bool, size))
sparse = st.builds(
    lambda size, seed, share: np.random.default_rng(seed).random(size) < share,
    sizes, st.integers(0, 2**16), st.floats(0.1, 0.9),
)  # fmt: skip


def label(region, corners):
    """Components by scipy; in pictures within their slice."""
    structure = np.ones((3, 3, 3)) if corners else ndimage.generate_binary_structure(3, 1)
    return ndimage.label(region, structure)


@settings(max_examples=300)
@given(st.one_of(regions, sparse), st.booleans())
def test_areas_and_edges_are_those_of_the_whole(region, corners):
    expected, count = label(region, corners)
    inner = tuple(slice(1, -1) if axis or len(region) > 1 else slice(None) for axis in range(3))
    border = np.ones(region.shape, bool)
    border[inner] = False

    found = BandedComponents(lambda window: region[window], region.shape, corners)

    assert sorted(found.areas) == sorted(np.bincount(expected.ravel(), minlength=count + 1)[1:])
    assert found.at_edge.sum() == len(set(expected[border]) - {0})


@settings(max_examples=300)
@given(st.one_of(regions, sparse), st.booleans(), st.integers(0, 2**16))
def test_chosen_components_are_whole(region, corners, seed):
    expected, _ = label(region, corners)
    components = BandedComponents(lambda window: region[window], region.shape, corners)
    chosen = np.random.default_rng(seed).random(len(components.areas)) < 0.5
    selected = np.zeros_like(region)
    for window, pixels in components.select(chosen):
        selected[window] = pixels

    assert selected.sum() == components.areas[chosen].sum()
    assert not (selected & ~region).any()
    assert not set(expected[selected]) & set(expected[region & ~selected])


@settings(max_examples=200)
@given(sizes, st.integers(0, 2**16), st.integers(0, 30))
def test_small_components_are_removed_exactly(size, seed, area):
    mask = np.random.default_rng(seed).integers(0, 3, size).astype(np.uint8)
    expected = mask.copy()
    components, count = label(mask == 2, True)
    small = np.bincount(components.ravel(), minlength=count + 1) < area
    small[0] = False
    expected[small[components]] = 0

    remove_small_components(mask, 2, area)

    assert np.array_equal(mask, expected)


@settings(max_examples=200)
@given(sparse, st.integers(0, 20))
def test_holes_are_filled_exactly(region, area):
    holes, count = label(~region, False)
    inner = tuple(slice(1, -1) if axis or len(region) > 1 else slice(None) for axis in range(3))
    edge = np.ones(region.shape, bool)
    edge[inner] = False
    sizes_of = np.bincount(holes.ravel(), minlength=count + 1)
    open_ones = set(holes[edge])
    closed = [number for number in range(1, count + 1) if sizes_of[number] < area and number not in open_ones]
    expected = region | np.isin(holes, closed)

    fill_small_holes(region, 1, area)

    assert np.array_equal(region, expected)


@settings(max_examples=100)
@given(sparse)
def test_the_largest_component_is_kept(region):
    components, count = label(region, True)
    largest = np.bincount(components.ravel())[1:].max() if count else 0
    before = region.copy()

    keep_largest_component(region, 1)

    assert region.sum() == largest
    assert not (region & ~before).any()
    assert label(region, True)[1] == min(count, 1)


@settings(max_examples=200)
@given(sizes, st.integers(0, 2**16), st.floats(0, 0.8), st.integers(1, 3), st.booleans())
def test_regions_are_closed_and_opened_as_the_whole_is(size, seed, share, radius, closing):
    random = np.random.default_rng(seed)
    mask = np.where(random.random(size) < share, random.integers(1, 3, size), 0).astype(np.uint8)
    change = close_region if closing else open_region
    region = mask == 2
    after = change(region, radius) & (region | (mask == 0))
    expected = np.where(after, 2, np.where(region, 0, mask))

    change_nearby(mask, 2, lambda part: change(part, radius), reach=2 * radius)

    assert np.array_equal(mask, expected)


def test_a_snake_through_all_bands_is_one_component(tmp_path):
    mask = np.memmap(tmp_path / "mask", np.uint8, "w+", shape=(1, 41, 15))
    mask[0, ::2] = 1
    mask[0, 1::4, -1] = mask[0, 3::4, 0] = 1
    area = int((mask > 0).sum())

    remove_small_components(mask, 1, area)
    assert (mask > 0).sum() == area
    remove_small_components(mask, 1, area + 1)
    assert not mask.any()
