"""What decode kernels share: few rows and many keys, which are split over programs whose partial results are merged."""

from dataclasses import dataclass
from typing import Self

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.softmax_triton import finish

PROGRAMS = 528
"""Programs that fill the chip: four for each of the 132 multiprocessors of an H100 or H200."""

PARTS_TOGETHER = tl.constexpr(16)
"""Parts that `combine` reads at a time."""

LN_2 = tl.constexpr(0.6931471805599453)


@dataclass(frozen=True, slots=True)
class Split:
    """`keys` keys in `count` parts of `length` of them, the last of what is left."""

    count: int
    length: int

    @classmethod
    def of(cls, keys: int, blocks: int, tile: int, least: int = 256) -> Self:
        """Parts of whole tiles and of about `least` keys or more, so many that `blocks` programs each fill the chip."""
        wanted = max(1, min(-(-keys // least), -(-PROGRAMS // blocks)))
        length = max(tile, -(-keys // (wanted * tile)) * tile)
        return cls(-(-keys // length), length)


@dataclass(frozen=True, slots=True)
class Parts:
    """What each program found for its rows: out [R, parts, D] and the base-2 log-sum-exp lse [R, parts], float32.

    Row h * T + t is row t of query head h.
    """

    out: Tensor
    lse: Tensor

    @classmethod
    def like(cls, q: Tensor, count: int) -> Self:
        """Room for `count` parts of the rows q [1, query_heads, T, head_dim]."""
        _, heads, rows, dim = q.shape
        out = torch.empty(heads * rows, count, dim, dtype=torch.float32, device=q.device)
        return cls(out, torch.empty(heads * rows, count, dtype=torch.float32, device=q.device))

    def merged(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """The attention over all parts, shaped as q and in its dtype, and the log-sum-exp [1, query_heads, T, 1]."""
        rows, count, dim = self.out.shape
        out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
        lse = torch.empty(*q.shape[:3], 1, dtype=torch.float32, device=q.device)
        combine[(rows,)](self.out, self.lse, out, lse, count, D=dim, num_warps=4)
        return out, lse


def block_rows(rows: int) -> int:
    """Rows of a program's tile where `rows` share their keys: what a tensor core takes at least, or 64."""
    return 16 if rows <= 16 else 32 if rows <= 32 else 64


def warps(block: int) -> int:
    """Warps of a program with tiles of `block` rows: more where a tile of 64 rows would spill registers."""
    return 8 if block == 64 else 4


@triton.jit
def group_rows(i_head, o_r, n_group, n_rows):
    """Where the rows o_r of KV head i_head's group come from, which lie head by head: whether there are such, their
    query heads, and their places among its n_rows rows."""
    return o_r < n_group * n_rows, i_head * n_group + o_r // n_rows, o_r % n_rows


@triton.jit
def load_rows(p_q, m_r, o_head, o_t, s_q_head, s_q_row, D: tl.constexpr):
    """The tile [R, D] of these rows, 0 where there are none."""
    p_row = p_q + o_head[:, None] * s_q_head + o_t.to(tl.int64)[:, None] * s_q_row
    return tl.load(p_row + tl.arange(0, D)[None, :], mask=m_r[:, None], other=0.0)


@triton.jit
def combine(p_part_out, p_part_lse, p_out, p_lse, n_parts, D: tl.constexpr):
    """One row: the mean of its parts, each weighted by the sum that its log-sum-exp stands for."""
    i_row = tl.program_id(0).to(tl.int64)
    o_p = tl.arange(0, PARTS_TOGETHER)
    o_d = tl.arange(0, D)
    b_max = tl.full([1], -float("inf"), tl.float32)
    b_sum = tl.zeros([1], tl.float32)
    b_out = tl.zeros([1, D], tl.float32)
    for first in range(0, n_parts, PARTS_TOGETHER):
        m_p = first + o_p < n_parts
        b_lse = tl.load(p_part_lse + i_row * n_parts + first + o_p, mask=m_p, other=-float("inf"))
        # [PARTS_TOGETHER, D]
        o_part = (i_row * n_parts + first + o_p)[:, None] * D + o_d[None, :]
        b_part = tl.load(p_part_out + o_part, mask=m_p[:, None], other=0.0)
        b_next = tl.maximum(b_max, tl.max(b_lse, 0))
        b_shift = tl.where(b_next == -float("inf"), 0.0, b_next)
        b_weight = tl.exp2(b_lse - b_shift)
        b_faded = tl.exp2(b_max - b_shift)
        b_sum = b_sum * b_faded + tl.sum(b_weight, 0)
        b_out = b_out * b_faded[:, None] + tl.sum(b_part * b_weight[:, None], 0)[None, :]
        b_max = b_next
    b_out, b_lse = finish(b_max, b_sum, b_out)
    o_one = i_row + tl.arange(0, 1)
    tl.store(p_lse + o_one, b_lse * LN_2)
    tl.store(p_out + o_one[:, None] * D + o_d[None, :], b_out.to(p_out.dtype.element_ty))
