"""Triton kernel of `kernels.dense_decode`.

The rows of a KV head's group lie side by side in a tile, so that a key is loaded once for all of them; keys are split
over programs.
"""

import triton
import triton.language as tl
from torch import Tensor

from kernels.softmax_triton import LOG2_E, finish, fold, precision
from kernels.split_triton import Parts, Split, block_rows, group_rows, load_rows, warps


def launch(q: Tensor, k: Tensor, v: Tensor, scaling: float, visible: Tensor | None) -> tuple[Tensor, Tensor]:
    """`kernels.dense_decode.dense_decode`, of arguments that were checked."""
    split = split_of(q, k)
    parts = Parts.like(q, split.count)
    launch_into(parts, 0, split, q, k, v, scaling, visible)
    return parts.merged(q)


def split_of(q: Tensor, k: Tensor) -> Split:
    """How the keys k are split for the rows q."""
    return Split.of(k.shape[2], _blocks(q, k) * k.shape[1], _tile_keys(q))


def launch_into(
    parts: Parts, first: int, split: Split, q: Tensor, k: Tensor, v: Tensor, scaling: float, visible: Tensor | None
) -> None:
    """Write the parts of `split` from part `first` on."""
    rows, dim = q.shape[2:]
    group = q.shape[1] // k.shape[1]
    block = block_rows(group * rows)
    last = rows if visible is None else visible.shape[1]
    attend[(_blocks(q, k), k.shape[1], split.count)](
        q,
        k,
        v,
        q if visible is None else visible.contiguous(),
        parts.out,
        parts.lse,
        scaling * LOG2_E,
        *(stride for x in (q, k, v) for stride in (x.stride(1), x.stride(2))),
        group,
        rows,
        k.shape[2],
        last,
        split.length,
        parts.lse.shape[1],
        first,
        MASKED=visible is not None and last > 0,
        BLOCK_M=block,
        BLOCK_N=_tile_keys(q),
        D=dim,
        PRECISION=precision(q.dtype),
        num_warps=warps(block),
        num_stages=3,
    )


def _blocks(q: Tensor, k: Tensor) -> int:
    rows = q.shape[1] // k.shape[1] * q.shape[2]
    return -(-rows // block_rows(rows))


def _tile_keys(q: Tensor) -> int:
    """Keys in a tile: what fits in registers beside 64 rows."""
    return 64 if q.element_size() == 2 else 16


@triton.jit
def attend(
    p_q,
    p_k,
    p_v,
    p_visible,
    p_part_out,
    p_part_lse,
    scale,
    s_q_head,
    s_q_row,
    s_k_head,
    s_k_row,
    s_v_head,
    s_v_row,
    n_group,
    n_rows,
    n_keys,
    n_last,
    n_length,
    n_parts,
    first_part,
    MASKED: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    i_head = tl.program_id(1).to(tl.int64)
    i_part = tl.program_id(2)
    o_r = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    o_n = tl.arange(0, BLOCK_N)
    o_d = tl.arange(0, D)
    m_r, o_head, o_t = group_rows(i_head, o_r, n_group, n_rows)
    # [BLOCK_M, D]
    b_q = load_rows(p_q, m_r, o_head, o_t, s_q_head, s_q_row, D)
    b_max = tl.full([BLOCK_M], -float("inf"), tl.float32)
    b_sum = tl.zeros([BLOCK_M], tl.float32)
    b_out = tl.zeros([BLOCK_M, D], tl.float32)

    p_k += i_head * s_k_head
    p_v += i_head * s_v_head
    low = i_part * n_length
    high = tl.minimum(low + n_length, n_keys)
    seen_by_all = n_keys - n_last
    edge = tl.maximum(low, tl.minimum(high, seen_by_all) // BLOCK_N * BLOCK_N)
    for first in range(low, edge, BLOCK_N):
        o_j = (first + o_n).to(tl.int64)
        # [D, BLOCK_N]
        b_k = tl.load(p_k + o_j[None, :] * s_k_row + o_d[:, None])
        b_logits = tl.dot(b_q, b_k, input_precision=PRECISION) * scale
        # [BLOCK_N, D]
        b_v = tl.load(p_v + o_j[:, None] * s_v_row + o_d[None, :])
        b_max, b_sum, b_out = fold(b_max, b_sum, b_out, b_logits, b_v, PRECISION)

    for first in range(edge, high, BLOCK_N):
        o_j = first + o_n
        m_j = o_j < n_keys
        b_k = tl.load(p_k + o_j.to(tl.int64)[None, :] * s_k_row + o_d[:, None], mask=m_j[None, :], other=0.0)
        b_logits = tl.dot(b_q, b_k, input_precision=PRECISION) * scale
        o_last = o_j - seen_by_all
        if MASKED:
            m_known = m_r[:, None] & m_j[None, :] & (o_last >= 0)[None, :]
            p_known = p_visible + o_t.to(tl.int64)[:, None] * n_last + o_last[None, :]
            m_seen = (tl.load(p_known, mask=m_known, other=0) != 0) | (o_last < 0)[None, :]
        else:
            m_seen = (o_last[None, :] <= o_t[:, None]) | (o_last < 0)[None, :]
        b_v = tl.load(p_v + o_j.to(tl.int64)[:, None] * s_v_row + o_d[None, :], mask=m_j[:, None], other=0.0)
        b_logits = tl.where(m_seen & m_j[None, :], b_logits, -float("inf"))
        b_max, b_sum, b_out = fold(b_max, b_sum, b_out, b_logits, b_v, PRECISION)

    b_out, b_lse = finish(b_max, b_sum, b_out)
    o_part = (o_head * n_rows + o_t) * n_parts + first_part + i_part
    tl.store(p_part_lse + o_part, b_lse, mask=m_r)
    tl.store(p_part_out + o_part[:, None] * D + o_d[None, :], b_out, mask=m_r[:, None])
