"""How much the last rows of a prompt attend to each position before them, and which positions win (SnapKV, 4.1)."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d

from kernels.dispatch import serves
from kernels.window_scores import window_scores as fused_window_scores


def window_scores(queries: Tensor, k: Tensor, scaling: float, kernel: int) -> Tensor:
    """Attention that the last w rows pay to each earlier position, per query head: [query_heads, n - w], float32.

    queries [1, query_heads, w, head_dim], the rows of the last w keys; k [1, kv_heads, n, head_dim], n > w. Each row's
    softmax runs over every key up to its own; the rows are summed, then averaged over `kernel` neighbouring positions,
    with zeros beyond the ends, as published.
    """
    if serves(queries, k, k):
        return fused_window_scores(queries, k, scaling, kernel)
    _, heads, rows, dim = queries.shape
    kv_heads, tokens = k.shape[1:3]
    grouped = queries.reshape(kv_heads, heads // kv_heads * rows, dim)
    logits = (grouped @ k[0].transpose(1, 2)).float().mul_(scaling).view(heads, rows, tokens)
    later = torch.ones(rows, rows, dtype=torch.bool, device=k.device).triu(1)
    logits[:, :, tokens - rows :].masked_fill_(later, float("-inf"))
    received = logits.softmax(dim=-1)[:, :, : tokens - rows].sum(dim=1)
    return avg_pool1d(received[:, None], kernel, stride=1, padding=kernel // 2)[:, 0]


def select(scores: Tensor, heads: int, count: int, window: int) -> Tensor:
    """The `count` best positions of each of `heads` heads, ascending, and the last `window`: [heads, count + window].

    scores [query_heads, n - window], averaged over each head's group of query heads.
    """
    scores = scores.view(heads, -1, scores.shape[1]).mean(dim=1)
    best = scores.topk(count, dim=-1).indices.sort(dim=-1).values
    last = torch.arange(scores.shape[1], scores.shape[1] + window, device=scores.device)
    return torch.cat([best, last.expand(heads, -1)], dim=-1)
