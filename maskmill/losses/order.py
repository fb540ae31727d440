"""Pixels in the order of their errors: the costly step of the Lovász loss and of hard example mining."""

import torch
from torch import Tensor

INDEX_BITS = 32
LAST = torch.iinfo(torch.int32).max
"""Above the bits, inverted, of every non-negative float."""


def descending_order(errors: Tensor, valid: Tensor) -> Tensor:
    """Order (G, P), int64, of each row of non-negative `errors`: largest first, ties by index, what is invalid last.

    On the CPU a float32 error and its index are packed into one integer and NumPy sorts these in place, with vector
    instructions: the order of a stable argsort in a tenth of its time. The bits of non-negative floats order as the
    floats do; inverted, they descend.
    """
    if errors.device.type != "cpu" or errors.dtype != torch.float32:
        return errors.masked_fill(~valid, -1).argsort(dim=1, descending=True, stable=True)
    bits = errors.abs().view(torch.int32).bitwise_not_()  # abs: -0.0 has the bits of a negative number
    keys = bits.masked_fill_(~valid, LAST).long()
    keys.bitwise_left_shift_(INDEX_BITS).bitwise_or_(torch.arange(errors.shape[1]))
    keys.numpy().sort(axis=1)
    return keys.bitwise_and_((1 << INDEX_BITS) - 1)


def undo_order(values: Tensor, order: Tensor) -> Tensor:
    """Put each row's values (G, P), given in `order`, back at their places."""
    places = order + torch.arange(len(order), device=order.device).unsqueeze(1) * order.shape[1]
    restored = torch.empty_like(values).flatten()
    restored[places.flatten()] = values.flatten()
    return restored.view_as(values)
