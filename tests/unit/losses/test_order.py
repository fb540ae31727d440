"""The order of pixels by their errors."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from maskmill.losses.order import descending_order, undo_order

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)
ERRORS = st.sampled_from([0.0, -0.0, 1e-45, 1e-30, 0.25, 1.0, 3.4e38]) | st.floats(0, 2, width=32)


@given(st.data())
def test_float32_is_ordered_as_a_stable_sort_does(data):
    shape = data.draw(SHAPES)
    errors = torch.from_numpy(data.draw(hnp.arrays(np.float32, shape, elements=ERRORS)))
    valid = torch.from_numpy(data.draw(hnp.arrays(bool, shape)))
    order = descending_order(errors, valid)
    expected = errors.masked_fill(~valid, -1).argsort(dim=1, descending=True, stable=True)
    assert (order == expected).all()
    assert (descending_order(errors.double(), valid) == expected).all()


def test_memory_layout_does_not_matter():
    errors = torch.rand(3, 8, 5, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(3, 8, dtype=torch.bool)
    before = errors.clone()
    for channel in range(5):
        strided = errors[..., channel]
        assert (descending_order(strided, valid) == descending_order(strided.contiguous(), valid)).all()
    assert (errors == before).all()


def test_an_order_is_undone():
    values = torch.rand(3, 8, generator=torch.Generator().manual_seed(0))
    order = values.argsort(dim=1)
    assert (undo_order(torch.take_along_dim(values, order, dim=1), order) == values).all()
