"""Triton kernels of `kernels.block_sparse_prefill`.

A program owns a tile of one head's rows and goes through its list, full blocks first and without a mask. Tiles with the
longest lists start first; those of rows that see every key are split over several programs, and merged.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.block_sparse_prefill import BlockLists
from kernels.softmax_triton import LOG2_E, finish, fold, precision

SPLIT_KEYS = 8192
"""Keys that one program meets of a tile that sees all of them: a few times what a program of the band meets."""

SPLIT_PROGRAMS = 4096
"""Most programs that tiles are split into: many times what a chip runs at once; it bounds what their parts take."""


@dataclass(frozen=True, slots=True)
class Tile:
    """What a program holds: `rows` rows and `keys` keys at a time, and how it is compiled."""

    rows: int
    keys: int
    num_warps: int
    num_stages: int


def tile(dtype: torch.dtype, dim: int, rows: int = 128, keys: int = 64) -> Tile:
    """The tile for heads of `dim`, within blocks of `rows` and `keys`: the largest that fits in registers on sm_90a.

    None does in float32 at 128: the smallest spill is taken.
    """
    if dtype == torch.float32:
        return Tile(min(rows, 32 if dim > 64 else 64), min(keys, 32), num_warps=4, num_stages=2)
    return Tile(rows, min(keys, 64), num_warps=8 if rows == 128 else 4, num_stages=3)


def shares(tiles: int, keys: int) -> int:
    """How many programs each of `tiles` tiles is split over that see `keys` keys."""
    return max(1, min(-(-keys // SPLIT_KEYS), SPLIT_PROGRAMS // tiles))


def launch(q: Tensor, k: Tensor, v: Tensor, lists: BlockLists, scaling: float, heads: Tensor) -> Tensor:
    """`kernels.block_sparse_prefill.block_sparse_prefill`, of arguments that were checked."""
    dim, count = q.shape[3], len(heads)
    chosen = tile(q.dtype, dim, lists.rows, lists.keys)
    per_block = lists.rows // chosen.rows
    tiles = lists.index.shape[1] * per_block
    first = lists.start // lists.rows * lists.rows
    dense_tiles = tiles - (max(lists.dense_from, lists.start) - first) // chosen.rows
    parts = shares(dense_tiles * count, lists.stop) if lists.dense_from < lists.stop else 1
    split_tiles = dense_tiles if parts > 1 else 0
    out = torch.empty(1, count, q.shape[2], dim, dtype=q.dtype, device=q.device)
    part_out = torch.empty(count, split_tiles, parts, chosen.rows, dim, dtype=torch.float32, device=q.device)
    part_lse = torch.empty(count, split_tiles, parts, chosen.rows, dtype=torch.float32, device=q.device)
    shared = lists.index.shape[0] == 1
    attend[(split_tiles * parts + tiles - split_tiles, count)](
        q,
        k,
        v,
        out,
        part_out,
        part_lse,
        heads,
        lists.index,
        lists.full,
        lists.listed,
        scaling * LOG2_E,
        *(stride for x in (q, k, v, out) for stride in (x.stride(1), x.stride(2))),
        0 if shared else lists.index.stride(0),
        0 if shared else lists.index.shape[1],
        lists.index.shape[2],
        q.shape[1] // k.shape[1],
        tiles,
        split_tiles,
        parts,
        first,
        lists.start,
        lists.stop,
        lists.sink,
        lists.local,
        lists.dense_from,
        ROWS=lists.rows,
        KEYS=lists.keys,
        BLOCK_M=chosen.rows,
        BLOCK_N=chosen.keys,
        D=dim,
        PRECISION=precision(q.dtype),
        num_warps=chosen.num_warps,
        num_stages=chosen.num_stages,
    )
    if split_tiles:
        low = first + (tiles - split_tiles) * chosen.rows
        rows = _merged(part_out, part_lse)[:, max(0, lists.start - low) : lists.stop - low]
        out[0, :, -rows.shape[1] :] = rows
    return out


def _merged(part_out: Tensor, part_lse: Tensor) -> Tensor:
    """The rows of split tiles in order, [m, rows, head_dim]: their parts, weighted by base-2 log-sum-exps.

    part_out [m, tiles, parts, rows of a tile, head_dim], the last tile first, is overwritten; part_lse has no last
    dimension.
    """
    weights = (part_lse / LOG2_E).softmax(2).nan_to_num(0.0)  # not a number in a row that sees nothing
    return part_out.mul_(weights[..., None]).sum(2).flip(1).flatten(1, 2)


# Else each would be compiled anew for every prompt whose numbers are multiples of 16 or 1 in another way.
VARYING = (
    "s_index_head s_count_head n_width n_tiles n_split_tiles n_parts first start stop sink local dense_from".split()
)


@triton.jit(do_not_specialize=VARYING)
def attend(
    p_q,
    p_k,
    p_v,
    p_out,
    p_part_out,
    p_part_lse,
    p_heads,
    p_index,
    p_full,
    p_listed,
    scale,
    s_q_head,
    s_q_row,
    s_k_head,
    s_k_row,
    s_v_head,
    s_v_row,
    s_out_head,
    s_out_row,
    s_index_head,
    s_count_head,
    n_width,
    n_group,
    n_tiles,
    n_split_tiles,
    n_parts,
    first,
    start,
    stop,
    sink,
    local,
    dense_from,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    i_item = tl.program_id(0)
    i_head = tl.program_id(1)
    n_split_items = n_split_tiles * n_parts
    is_part = i_item < n_split_items
    i_tile = tl.where(is_part, n_tiles - 1 - i_item // n_parts, n_tiles - 1 - n_split_tiles - (i_item - n_split_items))
    i_part = tl.where(is_part, i_item % n_parts, 0)
    n_shares = tl.where(is_part, n_parts, 1)

    query_head = tl.load(p_heads + i_head)
    kv_head = query_head // n_group
    o_i = first + i_tile * BLOCK_M + tl.arange(0, BLOCK_M)
    o_d = tl.arange(0, D)
    o_row = (o_i - start).to(tl.int64)
    m_i = (o_i >= start) & (o_i < stop)
    # [BLOCK_M, D]
    b_q = tl.load(p_q + query_head * s_q_head + o_row[:, None] * s_q_row + o_d[None, :], mask=m_i[:, None], other=0.0)
    b_max = tl.full([BLOCK_M], -float("inf"), tl.float32)
    b_sum = tl.zeros([BLOCK_M], tl.float32)
    b_out = tl.zeros([BLOCK_M, D], tl.float32)

    i_block = i_tile // (ROWS // BLOCK_M)
    p_k += kv_head * s_k_head
    p_v += kv_head * s_v_head
    p_index += i_head.to(tl.int64) * s_index_head + i_block.to(tl.int64) * n_width
    full = tl.load(p_full + i_head * s_count_head + i_block)
    masked = tl.load(p_listed + i_head * s_count_head + i_block) - full
    PER_BLOCK: tl.constexpr = KEYS // BLOCK_N
    o_n = tl.arange(0, BLOCK_N)
    o_k = o_n[None, :] * s_k_row + o_d[:, None]
    o_v = o_n[:, None] * s_v_row + o_d[None, :]

    for i in range(full * i_part // n_shares * PER_BLOCK, full * (i_part + 1) // n_shares * PER_BLOCK):
        low = tl.load(p_index + i // PER_BLOCK).to(tl.int64) * KEYS + i % PER_BLOCK * BLOCK_N
        # [D, BLOCK_N]
        b_k = tl.load(p_k + low * s_k_row + o_k)
        b_logits = tl.dot(b_q, b_k, input_precision=PRECISION) * scale
        # [BLOCK_N, D]
        b_v = tl.load(p_v + low * s_v_row + o_v)
        b_max, b_sum, b_out = fold(b_max, b_sum, b_out, b_logits, b_v, PRECISION)

    p_index += full
    for i in range(masked * i_part // n_shares * PER_BLOCK, masked * (i_part + 1) // n_shares * PER_BLOCK):
        low = tl.load(p_index + i // PER_BLOCK).to(tl.int64) * KEYS + i % PER_BLOCK * BLOCK_N
        o_j = low.to(tl.int32) + o_n
        m_j = o_j < stop
        # [D, BLOCK_N]
        b_k = tl.load(p_k + low * s_k_row + o_k, mask=m_j[None, :], other=0.0)
        b_logits = tl.dot(b_q, b_k, input_precision=PRECISION) * scale
        m_band = (o_j[None, :] < sink) | (o_i[:, None] - o_j[None, :] < local) | (o_i[:, None] >= dense_from)
        m_seen = (o_j[None, :] <= o_i[:, None]) & m_j[None, :] & m_band
        # [BLOCK_N, D]
        b_v = tl.load(p_v + low * s_v_row + o_v, mask=m_j[:, None], other=0.0)
        b_logits = tl.where(m_seen, b_logits, -float("inf"))
        b_max, b_sum, b_out = fold(b_max, b_sum, b_out, b_logits, b_v, PRECISION)

    b_out, b_lse = finish(b_max, b_sum, b_out)
    if is_part:
        i_slot = (i_head.to(tl.int64) * n_split_tiles + (n_tiles - 1 - i_tile)) * n_parts + i_part
        o_slot = i_slot * BLOCK_M + tl.arange(0, BLOCK_M)
        tl.store(p_part_out + o_slot[:, None] * D + o_d[None, :], b_out)
        tl.store(p_part_lse + o_slot, b_lse)
    else:
        p_tile = p_out + i_head.to(tl.int64) * s_out_head + o_row[:, None] * s_out_row + o_d[None, :]
        tl.store(p_tile, b_out.to(p_out.dtype.element_ty), mask=m_i[:, None])
