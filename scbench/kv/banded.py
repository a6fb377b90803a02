"""Causal attention to the first keys and to a local window, block by block: the dense scores are never computed.

The mask of A-shape (MInference, section 2): key j is seen by row i iff j <= i and (j < sink or i - j < local).
"""

from functools import lru_cache

import torch
from torch import Tensor

from kernels.block_sparse_prefill import band, block_sparse_prefill
from kernels.dispatch import serves
from scbench.kv.dense import additive, dense, folded


def banded(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    start: int,
    sink: int,
    local: int,
    scaling: float,
    dense_from: int | None = None,
) -> Tensor:
    """Attention of rows [start, start + T) to the sink and window keys; of those from `dense_from` on to every key.

    q [1, query_heads, T, head_dim]; k, v [1, kv_heads, S, head_dim] with S >= start + T, key j at position j;
    local >= 1. Returns [1, query_heads, T, head_dim].
    """
    stop = start + q.shape[2]
    edge = stop if dense_from is None else min(max(dense_from, start), stop)
    k, v = k[:, :, :stop], v[:, :, :stop]
    if serves(q, k, v):
        return block_sparse_prefill(q, k, v, band(start, stop, sink, local, edge, q.device), scaling)
    parts = _banded_blocks(q[:, :, : edge - start], k, v, start, sink, local, scaling)
    if edge < stop:
        parts.append(dense(q[:, :, edge - start :], k, v, scaling))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def _banded_blocks(q: Tensor, k: Tensor, v: Tensor, start: int, sink: int, local: int, scaling: float) -> list[Tensor]:
    """`banded` of a block of rows after the other, none of them dense."""
    rows, group = q.shape[2], q.shape[1] // k.shape[1]
    # A block of B rows meets sink + local + B - 1 keys: short blocks waste fewer, long ones launch fewer kernels.
    block = min(max(local // 4, 64), 512)
    parts = []
    for low in range(0, rows, block):
        high = min(low + block, rows)
        first, last = start + low, start + high
        window = max(first - local + 1, 0)
        if window <= sink:
            keys, values = k[:, :, :last], v[:, :, :last]
            bias = _bias(high - low, first, sink, local, group, q.dtype, q.device)
        else:
            keys = torch.cat([k[:, :, :sink], k[:, :, window:last]], dim=2)
            values = torch.cat([v[:, :, :sink], v[:, :, window:last]], dim=2)
            # Beyond the sink the mask depends on distances alone: one bias serves every such block.
            bias = _bias(high - low, sink + local, sink, local, group, q.dtype, q.device)
        parts.append(folded(q[:, :, low:high], keys, values, bias, scaling))
    return parts


def causal_keys(start: int, stop: int) -> int:
    """Keys that rows [start, stop) see in all where each sees every key up to its own."""
    return (stop * (stop + 1) - start * (start + 1)) // 2


def banded_keys(start: int, stop: int, sink: int, local: int) -> int:
    """Keys that rows [start, stop) see in all: min(i + 1, sink + local) for row i."""
    width = sink + local
    ramp = min(max(width, start), stop)
    return (ramp * (ramp + 1) - start * (start + 1)) // 2 + (stop - ramp) * width


@lru_cache(maxsize=8)
def _bias(rows: int, first: int, sink: int, local: int, group: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The additive mask of rows [first, first + rows) over sink keys and window keys, each once, in order."""
    i = torch.arange(first, first + rows, device=device)[:, None]
    window = max(first - local + 1, 0)
    j = torch.arange(first + rows, device=device)
    if window > sink:
        j = torch.cat([j[:sink], j[window:]])
    return additive((j <= i) & ((j < sink) | (i - j < local)), group, dtype)
