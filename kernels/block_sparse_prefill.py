"""Causal attention of a prompt's rows to listed blocks of keys: A-shape, Tri-shape and any mask made of blocks.

    out[h, i] = sum_j p[i, j] v[g, j],  p[i, :] = softmax over the seen j of scaling * q[h, i] . k[g, j]

g is the KV head of query head h. Row i sees key j <= i of the blocks that are listed for its own block; in those that
are listed as masked, where besides j < sink or i - j < local or i >= dense_from.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from kernels.dispatch import (
    check_attention,
    check_contiguous,
    check_device,
    check_dtype,
    check_heads,
    check_range,
    check_scaling,
    check_shape,
    use_triton,
)
from kernels.reference import attention

BLOCK_SIZES = (16, 32, 64, 128)
"""Tokens that a block of rows or keys may have."""

BAND_ROWS, BAND_KEYS = 128, 64
"""Blocks of A-shape and Tri-shape: tall ones read each key less often, narrow ones meet fewer keys in vain."""


@dataclass(frozen=True, eq=False, slots=True)
class BlockLists:
    """The blocks of `keys` keys that each block of `rows` rows attends to, for the rows [start, stop) of [0, stop).

    Blocks are counted from position 0, so that the first and the last block of rows may be cut. Q blocks of rows meet
    the rows; H is 1, lists that all heads share, or the number of heads.
    index [H, Q, L] int32: blocks of keys, first the `full` [H, Q] ones, where every row sees every key, then masked
    ones, `listed` [H, Q] in all, both int32; the rest is not read. sink, local, dense_from: the rule in masked blocks.
    Raises ValueError where a shape, a dtype or a number does not fit, before any kernel reads by it.
    """

    index: Tensor
    full: Tensor
    listed: Tensor
    rows: int
    keys: int
    start: int
    stop: int
    sink: int
    local: int
    dense_from: int

    def __post_init__(self) -> None:
        for name in ("rows", "keys"):
            if getattr(self, name) not in BLOCK_SIZES:
                raise ValueError(f"{name}: blocks of {getattr(self, name)} tokens, expected one of {BLOCK_SIZES}")
        if not 0 <= self.start < self.stop:
            raise ValueError(f"start, stop: rows [{self.start}, {self.stop}), expected 0 <= start < stop")
        if self.sink < 0 or self.local < 1:
            raise ValueError(f"sink, local: {self.sink} and {self.local}, expected at least 0 and 1")
        count = -(-self.stop // self.rows) - self.start // self.rows
        check_shape("index", self.index, (None, count, None))
        for name in ("index", "full", "listed"):
            check_dtype(name, getattr(self, name), torch.int32)
            check_device(name, getattr(self, name), self.index.device)
            check_contiguous(name, getattr(self, name))
        for name in ("full", "listed"):
            check_shape(name, getattr(self, name), self.index.shape[:2])
        check_range("listed", self.listed, 0, self.index.shape[2] + 1)
        check_range("listed - full", self.listed - self.full, 0, self.index.shape[2] + 1)
        check_range("full", self.full, 0, self.index.shape[2] + 1)
        check_range("index", self.index, 0, -(-self.stop // self.keys))
        # The kernel applies no mask to these, not even that of the last key.
        is_full = torch.arange(self.index.shape[2], device=self.index.device) < self.full[..., None]
        behind = torch.where(is_full, self.index + 1, 0).amax((0, 2)) * self.keys
        first = torch.arange(self.start // self.rows, self.start // self.rows + count, device=behind.device) * self.rows
        if bool((behind > first.clamp(min=self.start) + 1).any()):
            raise ValueError("index: a block after a row of its block is listed as full, expected it as masked")

    def seen(self) -> Tensor:
        """What each row sees, [H, stop - start, stop] boolean: quadratic, for the reference."""
        heads, count, width = self.index.shape
        place = torch.arange(width, device=self.index.device)
        blocks = -(-self.stop // self.keys)
        which = torch.zeros(2, heads, count, blocks + 1, dtype=torch.bool, device=self.index.device)
        for target, there in (
            (which[0], place < self.full[..., None]),
            (which[1], (place >= self.full[..., None]) & (place < self.listed[..., None])),
        ):
            target.scatter_(2, torch.where(there, self.index, blocks).long(), True)
        full, masked = (
            part[..., :blocks].repeat_interleave(self.rows, 1).repeat_interleave(self.keys, 2)[..., : self.stop]
            for part in which
        )
        first = self.start // self.rows * self.rows
        own = slice(self.start - first, self.stop - first)
        i, j = (
            torch.arange(self.start, self.stop, device=full.device)[:, None],
            torch.arange(self.stop, device=full.device),
        )
        rule = (j < self.sink) | (i - j < self.local) | (i >= self.dense_from)
        return (j <= i) & (full[:, own] | masked[:, own] & rule)


def block_sparse_prefill(
    q: Tensor, k: Tensor, v: Tensor, lists: BlockLists, scaling: float, heads: Tensor | None = None
) -> Tensor:
    """Attention of the query heads `heads` by `lists`, [1, m, T, head_dim]: the formula above.

    q [1, query_heads, T, head_dim]: the rows [start, stop) of the lists; k, v [1, kv_heads, stop, head_dim], not
    repeated; heads [m] int64, every query head in order where it is None; scaling > 0. Triton on CUDA, else the
    reference. Raises ValueError for what does not fit.
    """
    heads = check(q, k, v, lists, scaling, heads)
    if use_triton(q, k, v):
        from kernels.block_sparse_prefill_triton import launch

        return launch(q, k, v, lists, scaling, heads)
    return reference(q, k, v, lists, scaling, heads).to(q.dtype)


def reference(q: Tensor, k: Tensor, v: Tensor, lists: BlockLists, scaling: float, heads: Tensor) -> Tensor:
    """`block_sparse_prefill` with every logit computed, in float64."""
    source = heads * k.shape[1] // q.shape[1]
    return attention(q[:, heads], k[:, source], v[:, source], lists.seen(), scaling)[0]


def check(q: Tensor, k: Tensor, v: Tensor, lists: BlockLists, scaling: float, heads: Tensor | None) -> Tensor:
    """Raise ValueError unless `block_sparse_prefill` can be computed; returns the heads."""
    check_attention(q, k, v)
    if (q.shape[2], k.shape[2]) != (lists.stop - lists.start, lists.stop):
        raise ValueError(
            f"lists: for rows [{lists.start}, {lists.stop}), but there are {q.shape[2]} rows over {k.shape[2]} keys"
        )
    check_device("lists", lists.index, q.device)
    heads = check_heads(q, heads)
    check_shape("lists.index", lists.index, (1 if lists.index.shape[0] == 1 else len(heads), None, None))
    check_scaling(scaling)
    return heads


@lru_cache(maxsize=8)
def band(start: int, stop: int, sink: int, local: int, dense_from: int, device: torch.device) -> BlockLists:
    """The lists of A-shape: row i of [start, stop) sees key j <= i with j < sink or i - j < local.

    Rows from position `dense_from` on see every key up to their own: Tri-shape; `stop` where there are none. Kept, as
    each layer of a model asks for the same.
    """
    rows = torch.arange(start // BAND_ROWS * BAND_ROWS, stop, BAND_ROWS, device=device)[:, None]
    first, end = rows.clamp(min=start), (rows + BAND_ROWS).clamp(max=stop)
    low = torch.arange(0, stop, BAND_KEYS, device=device)
    high = low + BAND_KEYS
    banded_end = end.clamp(max=dense_from)  # behind the last row of the block that is not dense
    banded, causal = first < banded_end, low < end
    seen = causal & (~banded | (end > dense_from) | (low < sink) | (high > first - local + 1))
    full = (high - 1 <= first) & (~banded | (high <= sink) | (banded_end - 1 - low < local))
    index, fully, listed = listed_blocks((full & seen)[None], (seen & ~full)[None])
    return BlockLists(index, fully, listed, BAND_ROWS, BAND_KEYS, start, stop, sink, local, dense_from)


def chosen_blocks(chosen: Tensor, size: int, tokens: int) -> BlockLists:
    """The lists of a mask [m, N, N] boolean over N blocks of `size` tokens, the last cut short: row i sees key j <= i
    where chosen[h, i // size, j // size]."""
    count = -(-tokens // size)
    check_shape("chosen", chosen, (None, count, count))
    check_dtype("chosen", chosen, torch.bool)
    own = torch.eye(count, dtype=torch.bool, device=chosen.device)
    index, full, listed = listed_blocks(chosen.tril(-1), chosen & own)
    return BlockLists(index, full, listed, size, size, 0, tokens, 0, tokens, tokens)


def listed_blocks(full: Tensor, masked: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`index`, `full` and `listed` of `BlockLists`, of two disjoint masks [H, Q, N]; does not wait for the device."""
    fully = full.sum(2, dtype=torch.int32)
    place = torch.where(
        full,
        full.cumsum(2, dtype=torch.int32),
        masked.cumsum(2, dtype=torch.int32) + fully[..., None],
    ).sub_(1)
    place.masked_fill_(~(full | masked), full.shape[2])  # a place behind the list
    blocks = torch.arange(full.shape[2], dtype=torch.int32, device=full.device).expand_as(place)
    index = torch.zeros(*full.shape[:2], full.shape[2] + 1, dtype=torch.int32, device=full.device)
    index.scatter_(2, place.long(), blocks)
    return index[..., :-1].contiguous(), fully, fully + masked.sum(2, dtype=torch.int32)
