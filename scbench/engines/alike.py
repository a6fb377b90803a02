"""Whether the rows of a pass are computed alike whatever stands beside them: only then may conversations share passes.

What a cell computes must never depend on the cells computed with it. Matrix products promise no such thing: a library
chooses among its kernels by the number of rows, and these add up in different orders. So it is tried out, on the model
itself: the same rows in passes of every size and at other places have to come out in the same bits.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

STEP = 16
"""Passes that conversations share have a multiple of as many rows; below, products have kernels of their own."""
MOST = 256
"""Rows of such a pass at most."""
PARAMETERS = 2**24
"""Models with more are not tried: it would take long, and the overhead of passes is little of what theirs cost."""


class Forward(Protocol):
    """`TransformersEngine.forward`."""

    def __call__(self, store: RowByRow, ids: Sequence[int], position: Sequence[int], rows: Sequence[int]) -> Tensor: ...


class RowByRow:
    """Stands in for a store: what a row gets depends on its own query, key and value in every channel."""

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scaling: float) -> Tensor:
        group = q.shape[1] // k.shape[1]
        return q * k.repeat_interleave(group, dim=1) + v.repeat_interleave(group, dim=1)


def rows_alike(forward: Forward, vocabulary: int) -> int:
    """Up to how many rows passes of a multiple of `STEP` rows compute each row alike: `MOST`, or 0 for not at all.

    Each size is tried with rows drawn from those of the largest, in any order.
    """
    draw = random.Random(0)
    ids = [draw.randrange(vocabulary) for _ in range(MOST)]
    reference = forward(RowByRow(), ids, range(MOST), range(MOST))
    for count in range(STEP, MOST + 1, STEP):
        rows = draw.sample(range(MOST), count)
        found = forward(RowByRow(), [ids[row] for row in rows], rows, range(count))
        if not torch.equal(found, reference[rows]):
            return 0
    return MOST
