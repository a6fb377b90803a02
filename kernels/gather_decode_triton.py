"""Triton kernel of `kernels.gather_decode` and of the attention to pages in `kernels.paged_decode`.

A program owns one row of the query heads that share a list, and a part of that list.
"""

import triton
import triton.language as tl
from torch import Tensor

from kernels.softmax_triton import LOG2_E, finish, fold, precision
from kernels.split_triton import LN_2, Parts, Split, block_rows


def launch(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    index: Tensor,
    scaling: float,
    bias: Tensor | None,
    page: int = 1,
    tokens: int | None = None,
) -> tuple[Tensor, Tensor]:
    """`kernels.gather_decode.gather_decode`, of arguments that were checked.

    page: keys that an entry of `index` stands for, of the first `tokens`; what lies behind these is not seen.
    """
    lists, rows, count = index.shape
    group, dim = q.shape[1] // lists, q.shape[3]
    keys = 64 if q.element_size() == 2 else 32
    split = Split.of(count * page, lists * rows, keys)
    parts = Parts.like(q, max(1, split.count))
    attend[(rows, lists, max(1, split.count))](
        q,
        k,
        v,
        index.contiguous(),
        q if bias is None else bias.contiguous(),
        parts.out,
        parts.lse,
        scaling * LOG2_E,
        *(stride for x in (q, k, v) for stride in (x.stride(1), x.stride(2))),
        group,
        lists // k.shape[1],
        rows,
        count * page,
        k.shape[2] if tokens is None else tokens,
        split.length,
        BIASED=bias is not None,
        PAGE=page,
        BLOCK_M=max(block_rows(group), triton.next_power_of_2(group)),
        BLOCK_N=keys,
        D=dim,
        PRECISION=precision(q.dtype),
        num_warps=4,
        num_stages=3,
    )
    return parts.merged(q)


@triton.jit
def attend(
    p_q,
    p_k,
    p_v,
    p_index,
    p_bias,
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
    n_lists_together,
    n_rows,
    n_listed,
    n_tokens,
    n_length,
    BIASED: tl.constexpr,
    PAGE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    i_row = tl.program_id(0).to(tl.int64)
    i_list = tl.program_id(1).to(tl.int64)
    i_part = tl.program_id(2)
    kv_head = i_list // n_lists_together
    o_r = tl.arange(0, BLOCK_M)
    o_n = tl.arange(0, BLOCK_N)
    o_d = tl.arange(0, D)
    m_r = o_r < n_group
    o_head = i_list * n_group + o_r
    # [BLOCK_M, D]
    b_q = tl.load(p_q + o_head[:, None] * s_q_head + i_row * s_q_row + o_d[None, :], mask=m_r[:, None], other=0.0)
    b_max = tl.full([BLOCK_M], -float("inf"), tl.float32)
    b_sum = tl.zeros([BLOCK_M], tl.float32)
    b_out = tl.zeros([BLOCK_M, D], tl.float32)

    p_k += kv_head * s_k_head
    p_v += kv_head * s_v_head
    p_index += (i_list * n_rows + i_row) * (n_listed // PAGE)
    p_bias += (i_list * n_rows + i_row) * n_listed
    low = i_part * n_length
    for first in range(low, tl.minimum(low + n_length, n_listed), BLOCK_N):
        o_i = first + o_n
        m_j = o_i < n_listed
        o_j = tl.load(p_index + o_i // PAGE, mask=m_j, other=0)
        if PAGE > 1:
            o_j = o_j * PAGE + o_i % PAGE
            m_j = m_j & (o_j < n_tokens)
        # [D, BLOCK_N]
        b_k = tl.load(p_k + o_j[None, :] * s_k_row + o_d[:, None], mask=m_j[None, :], other=0.0)
        b_logits = tl.dot(b_q, b_k, input_precision=PRECISION) * scale
        if BIASED:
            b_logits += (tl.load(p_bias + o_i, mask=m_j, other=0.0) / LN_2)[None, :]
        # [BLOCK_N, D]
        b_v = tl.load(p_v + o_j[:, None] * s_v_row + o_d[None, :], mask=m_j[:, None], other=0.0)
        b_logits = tl.where(m_j[None, :], b_logits, -float("inf"))
        b_max, b_sum, b_out = fold(b_max, b_sum, b_out, b_logits, b_v, PRECISION)

    b_out, b_lse = finish(b_max, b_sum, b_out)
    o_part = (o_head * n_rows + i_row) * tl.num_programs(2) + i_part
    tl.store(p_part_lse + o_part, b_lse, mask=m_r)
    tl.store(p_part_out + o_part[:, None] * D + o_d[None, :], b_out, mask=m_r[:, None])
