"""The step that attention kernels repeat: a tile of logits and its values join what a block of rows has so far."""

import torch
import triton
import triton.language as tl

LOG2_E = 1.4426950408889634
"""Kernels scale their logits by it besides, and use powers of 2."""


def precision(dtype: torch.dtype) -> str:
    """How float32 goes through the tensor cores: in three terms, as one alone keeps 10 bits."""
    return "tf32x3" if dtype == torch.float32 else "tf32"


@triton.jit
def fold(b_max, b_sum, b_out, b_logits, b_v, PRECISION: tl.constexpr):
    """The state (b_max [R], b_sum [R], b_out [R, D], float32) of R rows after b_logits [R, C], in powers of 2 and -inf
    where nothing is seen, and b_v [C, D]. It begins with -inf, 0 and 0; a row that sees nothing keeps that."""
    b_next = tl.maximum(b_max, tl.max(b_logits, 1))
    b_shift = tl.where(b_next == -float("inf"), 0.0, b_next)
    b_weights = tl.exp2(b_logits - b_shift[:, None])
    b_faded = tl.exp2(b_max - b_shift)
    b_sum = b_sum * b_faded + tl.sum(b_weights, 1)
    b_out = tl.dot(b_weights.to(b_v.dtype), b_v, b_out * b_faded[:, None], input_precision=PRECISION)
    return b_next, b_sum, b_out


@triton.jit
def fold_sum(b_max, b_sum, b_logits):
    """`fold` where there are no values, and no output."""
    b_next = tl.maximum(b_max, tl.max(b_logits, 1))
    b_shift = tl.where(b_next == -float("inf"), 0.0, b_next)
    return b_next, b_sum * tl.exp2(b_max - b_shift) + tl.sum(tl.exp2(b_logits - b_shift[:, None]), 1)


@triton.jit
def log_sum(b_max, b_sum):
    """The base-2 log-sum-exp [R] of a state's logits: -inf if nothing is seen."""
    return tl.where(b_sum == 0.0, -float("inf"), b_max + tl.log2(tl.where(b_sum == 0.0, 1.0, b_sum)))


@triton.jit
def finish(b_max, b_sum, b_out):
    """The attention [R, D] of a state, and the base-2 log-sum-exp of its logits [R]: 0 and -inf if nothing is seen."""
    b_norm = tl.where(b_sum == 0.0, 1.0, b_sum)
    return b_out / b_norm[:, None], log_sum(b_max, b_sum)
