"""Triton kernels of `kernels.paged_decode`: what is known of a page, and what it could be worth to a row.

The attention to the chosen pages is the kernel of `kernels.gather_decode_triton`.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.softmax_triton import precision
from kernels.split_triton import block_rows, group_rows, load_rows, warps

PAGES_TOGETHER = 32
"""Pages that a program of `extremes` takes."""


def launch_extremes(k: Tensor, page: int) -> tuple[Tensor, Tensor]:
    """`kernels.paged_decode.page_extremes`, of arguments that were checked."""
    _, kv_heads, tokens, dim = k.shape
    pages = -(-tokens // page)
    low = torch.empty(kv_heads, pages, dim, dtype=k.dtype, device=k.device)
    high = torch.empty_like(low)
    strides = k.stride(1), k.stride(2)
    extremes[(-(-pages // PAGES_TOGETHER), kv_heads)](
        k, low, high, *strides, page, pages, tokens, PAGES_TOGETHER=PAGES_TOGETHER, D=dim, num_warps=4
    )
    return low, high


def launch_scores(q: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """`kernels.paged_decode.page_scores`, of arguments that were checked."""
    _, heads, rows, dim = q.shape
    kv_heads, pages, _ = low.shape
    group = heads // kv_heads
    block, tile = block_rows(group * rows), 64 if q.element_size() == 2 else 32
    out = torch.empty(heads, rows, pages, dtype=torch.float32, device=q.device)
    scores[(-(-pages // tile), kv_heads, -(-group * rows // block))](
        q,
        low,
        high,
        out,
        *(stride for x in (q[0], low, high) for stride in (x.stride(0), x.stride(1))),
        group,
        rows,
        pages,
        BLOCK_M=block,
        BLOCK_N=tile,
        D=dim,
        PRECISION=precision(q.dtype),
        num_warps=warps(block),
        num_stages=1,
    )
    return out


@triton.jit
def extremes(
    p_k, p_low, p_high, s_k_head, s_k_row, n_page, n_pages, n_tokens, PAGES_TOGETHER: tl.constexpr, D: tl.constexpr
):
    i_head = tl.program_id(1).to(tl.int64)
    o_p = (tl.program_id(0) * PAGES_TOGETHER + tl.arange(0, PAGES_TOGETHER)).to(tl.int64)
    o_d = tl.arange(0, D)
    m_p = o_p < n_pages
    p_page = p_k + i_head * s_k_head + (o_p * n_page)[:, None] * s_k_row + o_d[None, :]
    b_low = tl.load(p_page, mask=m_p[:, None], other=0.0).to(tl.float32)
    b_high = b_low
    for i in range(1, n_page):
        # Beyond the last key the page's first one stands in.
        m_j = (o_p * n_page + i < n_tokens)[:, None]
        b_k = tl.load(p_page + i * s_k_row, mask=m_j, other=0.0).to(tl.float32)
        b_low = tl.where(m_j, tl.minimum(b_low, b_k), b_low)
        b_high = tl.where(m_j, tl.maximum(b_high, b_k), b_high)
    o_out = (i_head * n_pages + o_p)[:, None] * D + o_d[None, :]
    tl.store(p_low + o_out, b_low.to(p_low.dtype.element_ty), mask=m_p[:, None])
    tl.store(p_high + o_out, b_high.to(p_high.dtype.element_ty), mask=m_p[:, None])


@triton.jit
def scores(
    p_q,
    p_low,
    p_high,
    p_out,
    s_q_head,
    s_q_row,
    s_low_head,
    s_low_row,
    s_high_head,
    s_high_row,
    n_group,
    n_rows,
    n_pages,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    i_head = tl.program_id(1).to(tl.int64)
    o_p = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    o_r = tl.program_id(2) * BLOCK_M + tl.arange(0, BLOCK_M)
    o_d = tl.arange(0, D)
    m_p = o_p < n_pages
    m_r, o_head, o_t = group_rows(i_head, o_r, n_group, n_rows)
    # [BLOCK_M, D]
    b_q = load_rows(p_q, m_r, o_head, o_t, s_q_head, s_q_row, D)
    # [D, BLOCK_N]
    o_page = o_p.to(tl.int64)[None, :]
    b_low = tl.load(p_low + i_head * s_low_head + o_page * s_low_row + o_d[:, None], mask=m_p[None, :], other=0.0)
    b_high = tl.load(p_high + i_head * s_high_head + o_page * s_high_row + o_d[:, None], mask=m_p[None, :], other=0.0)
    # A positive channel of q is largest with the page's largest value, a negative one with its smallest.
    b_positive = tl.where(b_q > 0, b_q, 0.0).to(b_q.dtype)
    b_negative = tl.where(b_q < 0, b_q, 0.0).to(b_q.dtype)
    b_out = tl.dot(b_positive, b_high, input_precision=PRECISION)
    b_out = tl.dot(b_negative, b_low, b_out, input_precision=PRECISION)
    o_out = (o_head * n_rows + o_t)[:, None] * n_pages + o_p[None, :]
    tl.store(p_out + o_out, b_out, mask=m_r[:, None] & m_p[None, :])
