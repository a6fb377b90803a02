"""Triton kernels of `kernels.window_scores`, in two passes over the keys; no score of a single row reaches memory.

The first finds each row's normaliser, a part of the keys at a time, for the rows of a whole group; the second loads a
tile of keys once for all heads of its group and sums their weights.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.softmax_triton import LOG2_E, fold_sum, log_sum, precision
from kernels.split_triton import Split, block_rows, group_rows, load_rows


def launch(q: Tensor, k: Tensor, scaling: float) -> Tensor:
    """What the positions before the window receive, [query_heads, n - w], of arguments that were checked."""
    _, heads, rows, dim = q.shape
    kv_heads, tokens = k.shape[1:3]
    group = heads // kv_heads
    wide = q.element_size() == 2
    strides = q.stride(1), q.stride(2), k.stride(1), k.stride(2)
    about = scaling * LOG2_E, *strides, group, rows, tokens
    how = {"D": dim, "PRECISION": precision(q.dtype), "num_warps": 4}

    block, tile = block_rows(group * rows), 64 if wide else 32
    blocks = -(-group * rows // block)
    split = Split.of(tokens, blocks * kv_heads, tile, least=1024)
    sums = torch.empty(heads * rows, split.count, dtype=torch.float32, device=q.device)
    normalisers[(blocks, kv_heads, split.count)](
        q, k, sums, *about, split.length, BLOCK_M=block, BLOCK_N=tile, num_stages=3, **how
    )
    normaliser = (sums * (1 / LOG2_E)).logsumexp(1) * LOG2_E

    received = torch.empty(heads, tokens - rows, dtype=torch.float32, device=q.device)
    tile = 128 if wide else 32
    column_sums[(-(-(tokens - rows) // tile), kv_heads)](
        q, k, normaliser, received, *about, BLOCK_M=block_rows(min(rows, 32)), BLOCK_N=tile, num_stages=1, **how
    )
    return received


@triton.jit
def normalisers(
    p_q,
    p_k,
    p_sums,
    scale,
    s_q_head,
    s_q_row,
    s_k_head,
    s_k_row,
    n_group,
    n_rows,
    n_tokens,
    n_length,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The base-2 log-sum-exp of each row's logits over this program's keys."""
    i_head = tl.program_id(1).to(tl.int64)
    i_part = tl.program_id(2)
    o_r = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    o_n = tl.arange(0, BLOCK_N)
    o_d = tl.arange(0, D)
    m_r, o_head, o_t = group_rows(i_head, o_r, n_group, n_rows)
    # [BLOCK_M, D]
    b_q = load_rows(p_q, m_r, o_head, o_t, s_q_head, s_q_row, D)
    p_k += i_head * s_k_head
    b_max = tl.full([BLOCK_M], -float("inf"), tl.float32)
    b_sum = tl.zeros([BLOCK_M], tl.float32)
    low = i_part * n_length
    for first in range(low, tl.minimum(low + n_length, n_tokens), BLOCK_N):
        o_j = first + o_n
        # [D, BLOCK_N]
        p_key = p_k + o_j.to(tl.int64)[None, :] * s_k_row + o_d[:, None]
        b_k = tl.load(p_key, mask=(o_j < n_tokens)[None, :], other=0.0)
        b_logits = tl.dot(b_q, b_k, input_precision=PRECISION) * scale
        b_logits = tl.where((o_j - (n_tokens - n_rows))[None, :] <= o_t[:, None], b_logits, -float("inf"))
        b_max, b_sum = fold_sum(b_max, b_sum, b_logits)
    tl.store(p_sums + (o_head * n_rows + o_t) * tl.num_programs(2) + i_part, log_sum(b_max, b_sum), mask=m_r)


@triton.jit
def column_sums(
    p_q,
    p_k,
    p_normaliser,
    p_received,
    scale,
    s_q_head,
    s_q_row,
    s_k_head,
    s_k_row,
    n_group,
    n_rows,
    n_tokens,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """What a tile of positions before the window receives from each query head of its group."""
    i_head = tl.program_id(1).to(tl.int64)
    o_j = (tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    o_m = tl.arange(0, BLOCK_M)
    o_d = tl.arange(0, D)
    n_before = n_tokens - n_rows
    m_j = o_j < n_before
    # [D, BLOCK_N]
    b_k = tl.load(p_k + i_head * s_k_head + o_j[None, :] * s_k_row + o_d[:, None], mask=m_j[None, :], other=0.0)
    for i in range(n_group):
        query_head = i_head * n_group + i
        b_received = tl.zeros([BLOCK_N], tl.float32)
        for first in range(0, n_rows, BLOCK_M):
            o_t = first + o_m
            m_t = o_t < n_rows
            p_row = p_q + query_head * s_q_head + o_t.to(tl.int64)[:, None] * s_q_row
            # [BLOCK_M, D]
            b_q = tl.load(p_row + o_d[None, :], mask=m_t[:, None], other=0.0)
            b_logits = tl.dot(b_q, b_k, input_precision=PRECISION) * scale
            # A row beyond the window weighs nothing.
            b_normaliser = tl.load(p_normaliser + query_head * n_rows + o_t, mask=m_t, other=float("inf"))
            b_received += tl.sum(tl.exp2(b_logits - b_normaliser[:, None]), 0)
        tl.store(p_received + query_head * n_before + o_j, b_received, mask=m_j)
