"""Triton kernels of `kernels.line_scores`, in two passes over the keys; no score reaches memory.

The first finds each row's normaliser, the second sums the weights of a tile of keys. A tile's diagonals fall into two
runs, each of which it shares with a neighbour; both are written apart and added afterwards, so that the order of a sum
is always the same.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.line_scores import MAX_ROWS
from kernels.softmax_triton import LOG2_E, fold_sum, log_sum, precision

TILE = MAX_ROWS
"""Keys in a tile: as many as rows, so that its diagonals are two runs of that length."""

TILES_TOGETHER = 16
"""Tiles of keys that one program of the first pass goes through."""


def launch(q: Tensor, k: Tensor, scaling: float, heads: Tensor) -> tuple[Tensor, Tensor]:
    """`kernels.line_scores.line_scores`, of arguments that were checked."""
    (rows, dim), tokens, count = q.shape[2:], k.shape[2], len(heads)
    tiles = -(-tokens // TILE)
    chunks = -(-tiles // TILES_TOGETHER)
    strides = q.stride(1), q.stride(2), k.stride(1), k.stride(2)
    about = scaling * LOG2_E, *strides, q.shape[1] // k.shape[1], rows, tokens
    how = {"TILE": TILE, "D": dim, "PRECISION": precision(q.dtype), "num_warps": 4}
    sums = torch.empty(count, chunks, TILE, dtype=torch.float32, device=q.device)
    normalisers[(count, chunks)](q, k, sums, heads, *about, TILES_TOGETHER=TILES_TOGETHER, num_stages=3, **how)
    normaliser = (sums * (1 / LOG2_E)).logsumexp(1) * LOG2_E
    columns = torch.empty(count, tokens, dtype=torch.float32, device=q.device)
    # Run s holds the distances from tokens - rows + 1 - TILE * s on: the first half of tile s, the second of s - 1.
    runs = torch.zeros(2, count, tiles + 1, TILE, dtype=torch.float32, device=q.device)
    line_sums[(count, tiles)](q, k, normaliser, columns, runs, heads, *about, num_stages=1, **how)
    diagonals = (runs[0] + runs[1]).flip(1).flatten(1)
    first = TILE * tiles + rows - 1 - tokens  # what lies before distance 0 is 0: no row sees a later key
    return columns, diagonals[:, first : first + tokens].contiguous()


@triton.jit
def logits_of(p_k, b_q, o_a, o_j, scale, s_k_row, n_rows, n_tokens, D: tl.constexpr, PRECISION: tl.constexpr):
    """The logits of the rows o_a [R] and the keys o_j [C], in powers of 2, -inf where nothing is seen: [R, C]."""
    o_d = tl.arange(0, D)
    b_k = tl.load(p_k + o_j.to(tl.int64)[None, :] * s_k_row + o_d[:, None], mask=o_j[None, :] < n_tokens, other=0.0)
    m_seen = (o_j[None, :] <= n_tokens - n_rows + o_a[:, None]) & (o_a[:, None] < n_rows)
    return tl.where(m_seen, tl.dot(b_q, b_k, input_precision=PRECISION) * scale, -float("inf"))


@triton.jit(do_not_specialize=["n_rows", "n_tokens"])  # they differ from prompt to prompt
def normalisers(
    p_q,
    p_k,
    p_sums,
    p_heads,
    scale,
    s_q_head,
    s_q_row,
    s_k_head,
    s_k_row,
    n_group,
    n_rows,
    n_tokens,
    TILES_TOGETHER: tl.constexpr,
    TILE: tl.constexpr,
    D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The base-2 log-sum-exp of each row's logits over this program's keys."""
    i_head = tl.program_id(0)
    i_chunk = tl.program_id(1)
    query_head = tl.load(p_heads + i_head)
    o_a = tl.arange(0, TILE)
    o_d = tl.arange(0, D)
    p_row = p_q + query_head * s_q_head + o_a.to(tl.int64)[:, None] * s_q_row
    b_q = tl.load(p_row + o_d[None, :], mask=o_a[:, None] < n_rows, other=0.0)
    p_k += query_head // n_group * s_k_head
    b_max = tl.full([TILE], -float("inf"), tl.float32)
    b_sum = tl.zeros([TILE], tl.float32)
    first = i_chunk * TILES_TOGETHER * TILE
    for low in range(first, tl.minimum(first + TILES_TOGETHER * TILE, n_tokens), TILE):
        b_logits = logits_of(p_k, b_q, o_a, low + o_a, scale, s_k_row, n_rows, n_tokens, D, PRECISION)
        b_max, b_sum = fold_sum(b_max, b_sum, b_logits)
    tl.store(p_sums + (i_head.to(tl.int64) * tl.num_programs(1) + i_chunk) * TILE + o_a, log_sum(b_max, b_sum))


@triton.jit(do_not_specialize=["n_rows", "n_tokens"])
def line_sums(
    p_q,
    p_k,
    p_normaliser,
    p_columns,
    p_runs,
    p_heads,
    scale,
    s_q_head,
    s_q_row,
    s_k_head,
    s_k_row,
    n_group,
    n_rows,
    n_tokens,
    TILE: tl.constexpr,
    D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The sums of one tile of weights over its columns, and over its diagonals in two runs."""
    i_head = tl.program_id(0)
    i_tile = tl.program_id(1)
    n_runs = tl.num_programs(1) + 1
    query_head = tl.load(p_heads + i_head)
    o_a = tl.arange(0, TILE)
    o_d = tl.arange(0, D)
    p_row = p_q + query_head * s_q_head + o_a.to(tl.int64)[:, None] * s_q_row
    b_q = tl.load(p_row + o_d[None, :], mask=o_a[:, None] < n_rows, other=0.0)
    p_k += query_head // n_group * s_k_head
    o_j = i_tile * TILE + o_a
    b_logits = logits_of(p_k, b_q, o_a, o_j, scale, s_k_row, n_rows, n_tokens, D, PRECISION)
    b_normaliser = tl.load(p_normaliser + i_head * TILE + o_a, mask=o_a < n_rows, other=0.0)
    b_weights = tl.exp2(b_logits - b_normaliser[:, None])
    tl.store(p_columns + i_head.to(tl.int64) * n_tokens + o_j, tl.sum(b_weights, 0), mask=o_j < n_tokens)
    # Row a meets the diagonal u of a run at key (a - u - 1) mod TILE: in the nearer run where a <= u.
    b_skewed = tl.gather(b_weights, (o_a[:, None] - o_a[None, :] + TILE - 1) % TILE, 1)
    m_nearer = o_a[:, None] <= o_a[None, :]
    p_run = p_runs + (i_head.to(tl.int64) * n_runs + i_tile) * TILE + o_a
    tl.store(p_run + TILE, tl.sum(tl.where(m_nearer, b_skewed, 0.0), 0))
    p_run += tl.num_programs(0).to(tl.int64) * n_runs * TILE
    tl.store(p_run, tl.sum(tl.where(m_nearer, 0.0, b_skewed), 0))
