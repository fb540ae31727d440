"""Sizes of the objects of label images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.measure import label, regionprops

from maskmill.data import components
from maskmill.data.components import component_sizes, summarize_sizes


@settings(max_examples=60)
@given(
    arrays.arrays(
        np.uint8, arrays.array_shapes(min_dims=3, max_dims=3, max_side=9), elements=st.sampled_from([0, 1, 2, 255])
    )
)
def test_components_are_those_of_scikit_image(labels):
    found = component_sizes(labels)
    assert set(found) == set(np.unique(labels)) - {0, 255}
    for value, sizes in found.items():
        regions = regionprops(label(labels == value, connectivity=3))
        expected = [(region.area, *np.subtract(region.bbox[3:], region.bbox[:3])) for region in regions]
        assert sorted(map(tuple, sizes.tolist())) == sorted(expected)


def test_large_pictures_are_looked_at_in_windows(monkeypatch):
    labels = np.zeros((1, 30, 30), np.uint8)
    labels[0, 2:5, 2:6], labels[0, 20, 12:18] = 3, 3
    assert sorted(component_sizes(labels)[3].tolist()) == [[6, 1, 1, 6], [12, 1, 3, 4]]
    monkeypatch.setattr(components, "WINDOW", (1, 15, 15))
    assert sorted(component_sizes(labels)[3].tolist()) == [[3, 1, 1, 3], [3, 1, 1, 3], [12, 1, 3, 4]]


def test_quantiles_of_sizes():
    sizes = [
        {1: np.array([[n, 1, n, 2 * n] for n in range(1, 61)])},
        {1: np.array([[n, 1, n, 5] for n in range(61, 101)])},
    ]
    one, none = summarize_sizes(["one", "none"], sizes)
    assert (one["class"], one["count"]) == ("one", 100)
    assert one["pixels"] == {"p5": 5, "median": 50, "p95": 95}
    assert one["extent"]["depth"] == {"p5": 1, "median": 1, "p95": 1}
    assert one["extent"]["height"] == {"p5": 5, "median": 50, "p95": 95}
    assert none == {"class": "none", "count": 0, "pixels": None, "extent": None}


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 4, 4)])
def test_nothing_but_background_has_no_component(shape):
    assert component_sizes(np.zeros(shape, np.uint8)) == {}
