"""What MInference's heads attend to: estimates of a head's columns, diagonals and blocks, and how many are taken.

MInference 1.0 (Jiang et al., 2024), Algorithms 1 and 2 and Appendix C.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from kernels.dispatch import serves
from kernels.line_scores import MAX_ROWS
from kernels.line_scores import line_scores as fused_line_scores
from scbench.kv.banded import banded_keys
from scbench.kv.sparse_prefill import Blocks, Lines, line_pairs
from scbench.methods.generation.head_patterns import HeadPattern


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is taken; the fields are explained at `scbench.methods.generation.minference.MInference`, and `kept` is
    its vertical + slash."""

    rows: int
    first: int
    recent: int
    block: int
    kept: int
    fitted: bool


def head_masks(
    q: Tensor, k: Tensor, scaling: float, patterns: Sequence[HeadPattern], sizes: Sizes
) -> list[Lines | Blocks]:
    """The masks of the query heads, by `patterns`, one a head, over a whole prompt of n tokens.

    q [1, query_heads, n, head_dim]; k [1, kv_heads, n, head_dim].
    """
    of_lines = [head for head, pattern in enumerate(patterns) if pattern.kind != "block_sparse"]
    of_blocks = [head for head, pattern in enumerate(patterns) if pattern.kind == "block_sparse"]
    masks: list[Lines | Blocks] = []
    if of_lines:
        masks.append(_lines(q, k, scaling, [patterns[head] for head in of_lines], of_lines, sizes))
    if of_blocks:
        heads = torch.tensor(of_blocks, device=q.device)
        chosen = pooled_blocks(q, k, heads, sizes.block, -(-sizes.kept // sizes.block))
        masks.append(Blocks(heads, chosen, sizes.block, q.shape[2]))
    return masks


def _lines(
    q: Tensor, k: Tensor, scaling: float, patterns: Sequence[HeadPattern], numbers: Sequence[int], sizes: Sizes
) -> Lines:
    """The lines of the query heads `numbers`: estimated ones, and of stream heads the first columns and diagonals."""
    heads = torch.tensor(numbers, device=q.device)
    columns, diagonals = line_scores(q, k, heads, sizes.rows, scaling)
    in_order = -torch.arange(q.shape[2], dtype=torch.float32, device=q.device)
    stream = torch.tensor([pattern.kind == "stream" for pattern in patterns], device=q.device)[:, None]
    columns, diagonals = (torch.where(stream, in_order, scores) for scores in (columns, diagonals))
    parts = torch.tensor([(pattern.vertical, pattern.slash) for pattern in patterns], device=q.device)
    return Lines(heads, *choose_lines(columns, diagonals, parts, sizes))


def line_scores(q: Tensor, k: Tensor, heads: Tensor, rows: int, scaling: float) -> tuple[Tensor, Tensor]:
    """What the last `rows` query rows attend to, summed over columns and over diagonals: two of [m, n], float32.

    Entry j of the first is the attention to key j, entry o of the second that of every row i to key i - o. Each row's
    softmax runs over every key up to its own. Shapes of q and k as in `head_masks`; heads [m].
    """
    tokens = k.shape[2]
    rows = min(rows, tokens)
    if serves(q, k, k) and rows <= MAX_ROWS:
        return fused_line_scores(q[:, :, tokens - rows :], k, scaling, heads)
    logits = (q[0, heads, tokens - rows :] @ k[0, heads * k.shape[1] // q.shape[1]].transpose(1, 2)).float() * scaling
    later = torch.ones(rows, rows, dtype=torch.bool, device=q.device).triu(1)
    logits[:, :, tokens - rows :].masked_fill_(later, float("-inf"))
    attention = logits.softmax(dim=-1)
    # Backwards, the key o before row a of the window stands at o + rows - 1 - a: a stride that is one short aligns the
    # diagonals.
    skewed = pad(attention.flip(2), (0, rows)).contiguous()
    width = tokens + rows
    aligned = skewed.as_strided((len(heads), rows, tokens), (rows * width, width - 1, 1), rows - 1)
    return attention.sum(1), aligned.sum(1)


def choose_lines(columns: Tensor, diagonals: Tensor, parts: Tensor, sizes: Sizes) -> tuple[Tensor, Tensor]:
    """The columns and diagonals of each head, both [m, n] boolean, by their scores [m, n] and parts [m, 2].

    The best are taken in the proportion of a head's `parts`, besides the first columns and the nearest diagonals, which
    are forced. In all they are `kept` lines; `fitted`, as many as see no more pairs of row and key than rows do that
    see `kept` keys each.
    """
    tokens = columns.shape[1]
    ranks = _ranks(columns, sizes.first), _ranks(diagonals, sizes.recent)
    vertical, total = parts[:, :1], parts.sum(1, keepdim=True)

    def taken(lines: Tensor) -> tuple[Tensor, Tensor]:
        upright = (2 * lines * vertical + total) // (2 * total)
        return ranks[0] < upright.clamp(min=sizes.first), ranks[1] < (lines - upright).clamp(min=sizes.recent)

    if not sizes.fitted:
        return taken(torch.full_like(total, sizes.kept))
    allowed = banded_keys(0, tokens, 0, sizes.kept)
    # With this many lines the larger part is every column, or every diagonal, there is.
    low, high = torch.ones_like(total), tokens * total // parts.amax(1, keepdim=True) + 1
    for _ in range(int(high.max()).bit_length()):
        middle = (low + high + 1) // 2
        fits = (line_pairs(*taken(middle)) <= allowed)[:, None]
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle - 1)
    return taken(low)


def pooled_blocks(q: Tensor, k: Tensor, heads: Tensor, size: int, count: int) -> Tensor:
    """The `count` key blocks, not after its own, that each block of `size` rows agrees with most: [m, N, N] boolean.

    Agreement is the product of the means of the queries and of the keys in the blocks. Shapes as in `line_scores`.
    """
    rows, keys = _pooled(q[0, heads], size), _pooled(k[0, heads * k.shape[1] // q.shape[1]], size)
    scores = rows @ keys.transpose(1, 2)
    later = torch.ones(scores.shape[1:], dtype=torch.bool, device=q.device).triu(1)
    best = scores.masked_fill_(later, float("-inf")).topk(min(count, scores.shape[2]), dim=2).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(2, best, True).tril()


def _ranks(scores: Tensor, forced: int) -> Tensor:
    """The place of each entry by falling score, the first `forced` in front, equal ones in order: [m, n]."""
    scores = scores.clone()
    scores[:, :forced] = float("inf")
    order = scores.sort(dim=1, descending=True, stable=True).indices
    places = torch.arange(scores.shape[1], device=scores.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def _pooled(rows: Tensor, size: int) -> Tensor:
    """Means over blocks of `size` rows [m, n, head_dim], the last one over what it has: [m, N, head_dim], float32."""
    tokens = rows.shape[1]
    sums = pad(rows.float(), (0, 0, 0, -tokens % size)).unflatten(1, (-1, size)).sum(2)
    counts = torch.full((sums.shape[1], 1), float(size), device=rows.device)
    counts[-1] = tokens - (len(counts) - 1) * size
    return sums / counts
