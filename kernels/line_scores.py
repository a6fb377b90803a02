"""How much attention of a prompt's last rows falls on each column and each diagonal: vertical-slash is chosen by it.

    columns[h, j] = sum_i p[i, j],  diagonals[h, o] = sum_i p[i, i - o],  p[i, :] = softmax over j <= i of
    scaling * q[h, i] . k[g, j]

The sums run over the last R rows i of n; g is the KV head of query head h. MInference 1.0 (Jiang et al., 2024),
Algorithm 1.
"""

import torch
from torch import Tensor

from kernels.dispatch import check_attention, check_heads, check_scaling, use_triton
from kernels.reference import attention

MAX_ROWS = 64
"""Rows that the kernel holds in one tile."""


def line_scores(q: Tensor, k: Tensor, scaling: float, heads: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The sums of the query heads `heads` over columns and over diagonals, two of [m, n], float32.

    q [1, query_heads, R, head_dim], the rows of the last R <= 64 keys; k [1, kv_heads, n, head_dim], not repeated;
    heads [m] int64, every query head in order where it is None; scaling > 0. Triton on CUDA, else the reference.
    Raises ValueError for what does not fit.
    """
    heads = check(q, k, scaling, heads)
    if use_triton(q, k):
        from kernels.line_scores_triton import launch

        return launch(q, k, scaling, heads)
    columns, diagonals = reference(q, k, scaling, heads)
    return columns.float(), diagonals.float()


def reference(q: Tensor, k: Tensor, scaling: float, heads: Tensor) -> tuple[Tensor, Tensor]:
    """`line_scores` with every weight written, in float64."""
    rows, tokens = q.shape[2], k.shape[2]
    i = torch.arange(tokens - rows, tokens, device=k.device)[:, None]
    distance = i - torch.arange(tokens, device=k.device)
    unit = torch.eye(tokens, dtype=torch.float64, device=k.device)[None, None]
    source = heads * k.shape[1] // q.shape[1]
    weights = attention(q[:, heads], k[:, source], unit.expand(-1, len(heads), -1, -1), distance >= 0, scaling)[0][0]
    diagonals = torch.zeros(len(heads), tokens, dtype=torch.float64, device=k.device)
    diagonals.scatter_add_(1, distance.clamp(min=0).expand_as(weights).flatten(1), weights.flatten(1))
    return weights.sum(1), diagonals


def check(q: Tensor, k: Tensor, scaling: float, heads: Tensor | None) -> Tensor:
    """Raise ValueError unless `line_scores` can be computed; returns the heads."""
    check_attention(q, k, k, ("q", "k", "k"))
    if q.shape[2] > MAX_ROWS:
        raise ValueError(f"q: {q.shape[2]} rows, expected at most {MAX_ROWS}")
    check_scaling(scaling)
    return check_heads(q, heads)
