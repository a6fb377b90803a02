"""Triton kernels of `kernels.vertical_slash_prefill`.

A program owns a tile of one head's rows. Chosen columns are gathered, whole tiles of them, and a row sees those that
are not after it. Key tiles that a chosen diagonal crosses are read where they lie; a column in them is left to the
gathered ones, so that no row sees a key twice. Which diagonals are chosen comes as bits, three words a row and tile.
"""

import triton
import triton.language as tl
from torch import Tensor, empty

from kernels.block_sparse_prefill_triton import tile
from kernels.softmax_triton import LOG2_E, finish, fold, precision
from kernels.vertical_slash_prefill import LEAD, WORD, line_index


def launch(
    q: Tensor, k: Tensor, v: Tensor, columns: Tensor, diagonals: Tensor, scaling: float, heads: Tensor
) -> Tensor:
    """`kernels.vertical_slash_prefill.vertical_slash_prefill`, of arguments that were checked."""
    dim, count, rows, tokens = q.shape[3], len(heads), q.shape[2], k.shape[2]
    chosen = tile(q.dtype, dim)
    index = line_index(columns, diagonals, chosen.rows, chosen.keys)
    tiles, start = index.met.shape[1], tokens - rows
    out = empty(1, count, rows, dim, dtype=q.dtype, device=q.device)
    attend[(tiles - start // chosen.rows, count)](
        q,
        k,
        v,
        out,
        heads,
        index.columns,
        index.met,
        index.full,
        index.masked,
        index.n_full,
        index.n_masked,
        index.chosen,
        index.words,
        scaling * LOG2_E,
        *(stride for x in (q, k, v, out) for stride in (x.stride(1), x.stride(2))),
        index.words.stride(0),
        q.shape[1] // k.shape[1],
        tiles,
        start,
        tokens,
        WORD=WORD,
        LEAD=LEAD,
        BLOCK_M=chosen.rows,
        BLOCK_N=chosen.keys,
        D=dim,
        PRECISION=precision(q.dtype),
        num_warps=chosen.num_warps,
        num_stages=chosen.num_stages,
    )
    return out


@triton.jit(do_not_specialize=["s_words", "n_tiles", "start", "stop"])  # they differ from prompt to prompt
def attend(
    p_q,
    p_k,
    p_v,
    p_out,
    p_heads,
    p_columns,
    p_met,
    p_full,
    p_masked,
    p_n_full,
    p_n_masked,
    p_chosen,
    p_words,
    scale,
    s_q_head,
    s_q_row,
    s_k_head,
    s_k_row,
    s_v_head,
    s_v_row,
    s_out_head,
    s_out_row,
    s_words,
    n_group,
    n_tiles,
    start,
    stop,
    WORD: tl.constexpr,
    LEAD: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    i_tile = n_tiles - 1 - tl.program_id(0)  # the longest first
    i_head = tl.program_id(1)
    query_head = tl.load(p_heads + i_head)
    kv_head = query_head // n_group
    o_i = i_tile * BLOCK_M + tl.arange(0, BLOCK_M)
    o_n = tl.arange(0, BLOCK_N)
    o_d = tl.arange(0, D)
    o_row = (o_i - start).to(tl.int64)
    m_i = (o_i >= start) & (o_i < stop)
    # [BLOCK_M, D]
    b_q = tl.load(p_q + query_head * s_q_head + o_row[:, None] * s_q_row + o_d[None, :], mask=m_i[:, None], other=0.0)
    b_max = tl.full([BLOCK_M], -float("inf"), tl.float32)
    b_sum = tl.zeros([BLOCK_M], tl.float32)
    b_out = tl.zeros([BLOCK_M, D], tl.float32)

    p_k += kv_head * s_k_head
    p_v += kv_head * s_v_head
    RATIO: tl.constexpr = BLOCK_M // BLOCK_N
    o_counts = i_head * n_tiles + i_tile
    p_columns += i_head.to(tl.int64) * stop
    p_chosen += i_head.to(tl.int64) * stop
    p_words += i_head.to(tl.int64) * s_words
    p_full += i_head * n_tiles * RATIO
    p_masked += i_head * n_tiles * RATIO
    last = RATIO * (i_tile + 1) - 1

    n_columns = tl.load(p_met + o_counts)
    for first in range(0, n_columns, BLOCK_N):
        m_j = first + o_n < n_columns
        o_j = tl.load(p_columns + first + o_n, mask=m_j, other=0)
        # [D, BLOCK_N]
        b_k = tl.load(p_k + o_j.to(tl.int64)[None, :] * s_k_row + o_d[:, None], mask=m_j[None, :], other=0.0)
        b_logits = tl.dot(b_q, b_k, input_precision=PRECISION) * scale
        # [BLOCK_N, D]
        b_v = tl.load(p_v + o_j.to(tl.int64)[:, None] * s_v_row + o_d[None, :], mask=m_j[:, None], other=0.0)
        b_logits = tl.where(m_j[None, :] & (o_j[None, :] <= o_i[:, None]), b_logits, -float("inf"))
        b_max, b_sum, b_out = fold(b_max, b_sum, b_out, b_logits, b_v, PRECISION)

    o_k = o_n[None, :] * s_k_row + o_d[:, None]
    o_v = o_n[:, None] * s_v_row + o_d[None, :]
    for i in range(tl.load(p_n_full + o_counts)):
        low = (last - tl.load(p_full + i)).to(tl.int64) * BLOCK_N
        m_j = tl.load(p_chosen + low + o_n) == 0
        b_k = tl.load(p_k + low * s_k_row + o_k)
        b_logits = tl.dot(b_q, b_k, input_precision=PRECISION) * scale
        b_v = tl.load(p_v + low * s_v_row + o_v)
        b_logits = tl.where(m_j[None, :], b_logits, -float("inf"))
        b_max, b_sum, b_out = fold(b_max, b_sum, b_out, b_logits, b_v, PRECISION)

    for i in range(tl.load(p_n_masked + o_counts)):
        low = (last - tl.load(p_masked + i)).to(tl.int64) * BLOCK_N
        m_j = low + o_n < stop
        b_free = tl.load(p_chosen + low + o_n, mask=m_j, other=1) == 0
        b_k = tl.load(p_k + low * s_k_row + o_k, mask=m_j[None, :], other=0.0)
        b_logits = tl.dot(b_q, b_k, input_precision=PRECISION) * scale
        # The diagonals of a row and the tile's keys, from its last key on, are BLOCK_N <= 64 bits of three words.
        o_bit = o_i - low.to(tl.int32) - (BLOCK_N - 1) + LEAD
        p_word = p_words + o_bit // WORD
        o_shift = (o_bit % WORD).to(tl.int64)
        b_bits = (tl.load(p_word) >> o_shift) | (tl.load(p_word + 1) << (WORD - o_shift))
        b_bits |= (tl.load(p_word + 2) << WORD) << (WORD - o_shift)
        b_crossed = (b_bits[:, None] >> (BLOCK_N - 1 - o_n).to(tl.int64)[None, :]) & 1
        b_v = tl.load(p_v + low * s_v_row + o_v, mask=m_j[:, None], other=0.0)
        b_logits = tl.where((b_crossed != 0) & b_free[None, :], b_logits, -float("inf"))
        b_max, b_sum, b_out = fold(b_max, b_sum, b_out, b_logits, b_v, PRECISION)

    b_out, _ = finish(b_max, b_sum, b_out)
    p_tile = p_out + i_head.to(tl.int64) * s_out_head + o_row[:, None] * s_out_row + o_d[None, :]
    tl.store(p_tile, b_out.to(p_out.dtype.element_ty), mask=m_i[:, None])
