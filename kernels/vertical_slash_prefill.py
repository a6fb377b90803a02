"""Causal attention of a prompt's rows to columns and diagonals of keys, each head its own: MInference's vertical-slash.

    out[h, i] = sum_j p[i, j] v[g, j],  p[i, :] = softmax over the seen j of scaling * q[h, i] . k[g, j]

g is the KV head of query head h. Row i sees key j <= i where columns[h, j] or diagonals[h, i - j]; neighbours of a
chosen diagonal that fall into the same block are not seen.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from kernels.dispatch import (
    check_attention,
    check_device,
    check_dtype,
    check_heads,
    check_scaling,
    check_shape,
    use_triton,
)
from kernels.reference import attention

WORD = 32
"""Diagonals in one word of `LineIndex.words`, which are 64 bits wide so that none is negative."""

LEAD = 128
"""Zero bits in front of diagonal 0, as many as a tile may have rows: they hide later keys without a comparison."""


@dataclass(frozen=True, eq=False, slots=True)
class LineIndex:
    """Where a kernel with tiles of R = `rows` rows x C = `keys` keys finds the lines of m heads over n keys.

    Tiles are counted from position 0, Q tiles of rows. How far a key tile lies before the last one that row tile I
    meets says which diagonals cross it: offset d is key tile R / C * (I + 1) - 1 - d, for all I alike.
    columns [m, n]: positions of the chosen columns, ascending, then 0; met [m, Q]: how many of them lie before the end
    of a tile of rows. full, masked [m, R / C * Q]: the offsets of key tiles all of whose diagonals are chosen, and of
    those with some, ascending; n_full, n_masked [m, Q]: how many of them a tile of rows meets. All int32.
    chosen [m, n] boolean: the columns again; words [m, W] int64: the diagonals, `WORD` a word behind `LEAD` zeros.
    """

    rows: int
    keys: int
    columns: Tensor
    met: Tensor
    full: Tensor
    masked: Tensor
    n_full: Tensor
    n_masked: Tensor
    chosen: Tensor
    words: Tensor


def vertical_slash_prefill(
    q: Tensor, k: Tensor, v: Tensor, columns: Tensor, diagonals: Tensor, scaling: float, heads: Tensor | None = None
) -> Tensor:
    """Attention of the query heads `heads` by their lines, [1, m, T, head_dim]: the formula above.

    q [1, query_heads, T, head_dim], the rows of the last T keys; k, v [1, kv_heads, n, head_dim], not repeated;
    columns, diagonals [m, n] boolean, diagonal 0 chosen, so that each row sees a key; heads [m] int64, every query head
    in order where it is None; scaling > 0. Triton on CUDA, else the reference. Raises ValueError for what does not fit.
    """
    heads = check(q, k, v, columns, diagonals, scaling, heads)
    if use_triton(q, k, v):
        from kernels.vertical_slash_prefill_triton import launch

        return launch(q, k, v, columns, diagonals, scaling, heads)
    return reference(q, k, v, columns, diagonals, scaling, heads).to(q.dtype)


def reference(
    q: Tensor, k: Tensor, v: Tensor, columns: Tensor, diagonals: Tensor, scaling: float, heads: Tensor
) -> Tensor:
    """`vertical_slash_prefill` with every logit computed, in float64."""
    source = heads * k.shape[1] // q.shape[1]
    return attention(q[:, heads], k[:, source], v[:, source], seen(columns, diagonals, q.shape[2]), scaling)[0]


def seen(columns: Tensor, diagonals: Tensor, rows: int) -> Tensor:
    """What the last `rows` rows see by columns, diagonals [m, n]: [m, rows, n] boolean."""
    tokens = columns.shape[1]
    i = torch.arange(tokens - rows, tokens, device=columns.device)[:, None]
    j = torch.arange(tokens, device=columns.device)
    return (j <= i) & (columns[:, None] | diagonals[:, (i - j).clamp(min=0)])


def check(
    q: Tensor, k: Tensor, v: Tensor, columns: Tensor, diagonals: Tensor, scaling: float, heads: Tensor | None
) -> Tensor:
    """Raise ValueError unless `vertical_slash_prefill` can be computed; returns the heads."""
    check_attention(q, k, v)
    heads = check_heads(q, heads)
    for name, lines in (("columns", columns), ("diagonals", diagonals)):
        check_shape(name, lines, (len(heads), k.shape[2]))
        check_dtype(name, lines, torch.bool)
        check_device(name, lines, q.device)
    if not bool(diagonals[:, 0].all()):
        raise ValueError("diagonals: a head without diagonal 0, expected it in each, as a row must see its own key")
    check_scaling(scaling)
    return heads


def line_index(columns: Tensor, diagonals: Tensor, rows: int, keys: int) -> LineIndex:
    """The index of columns, diagonals [m, n] boolean for tiles of `rows` x `keys`, keys a divisor of rows, at most 64.

    Made on the device; nothing waits for it.
    """
    tokens, device = columns.shape[1], columns.device
    tiles, ratio = -(-tokens // rows), rows // keys
    last_rows = torch.arange(rows - 1, rows * tiles, rows, device=device).clamp(max=tokens - 1)
    # The diagonals that cross offset d: from keys * (d + 1) - rows - keys + 1 to keys * (d + 1) - 1.
    ends = keys * torch.arange(1, ratio * tiles + 1, device=device)
    counts = pad(diagonals.cumsum(1, dtype=torch.int32), (1, 0))
    crossing = counts[:, ends.clamp(max=tokens)] - counts[:, (ends - rows - keys + 1).clamp(0, tokens)]
    full = (crossing == rows + keys - 1) & (ends >= rows + keys - 1)
    masked = (crossing > 0) & ~full
    met = torch.arange(ratio - 1, ratio * tiles, ratio, device=device)  # the largest offset of each tile of rows
    return LineIndex(
        rows,
        keys,
        _places(columns),
        columns.cumsum(1, dtype=torch.int32)[:, last_rows].contiguous(),
        _places(full),
        _places(masked),
        full.cumsum(1, dtype=torch.int32)[:, met].contiguous(),
        masked.cumsum(1, dtype=torch.int32)[:, met].contiguous(),
        columns.contiguous(),
        _words(diagonals, rows),
    )


def _places(chosen: Tensor) -> Tensor:
    """The positions of the true values in each row of `chosen` [m, L], ascending, then 0: [m, L] int32."""
    heads, length = chosen.shape
    target = torch.where(chosen, chosen.cumsum(1) - 1, length)
    places = torch.zeros(heads, length + 1, dtype=torch.int32, device=chosen.device)
    everything = torch.arange(length, dtype=torch.int32, device=chosen.device).expand(heads, -1)
    return places.scatter_(1, target, everything)[:, :length].contiguous()


def _words(diagonals: Tensor, rows: int) -> Tensor:
    """The diagonals [m, n] as bits behind `LEAD` zeros, with zeros behind them for as far as a cut tile looks."""
    behind = rows + 3 * WORD
    bits = pad(diagonals, (LEAD, behind + -(LEAD + diagonals.shape[1] + behind) % WORD)).unflatten(1, (-1, WORD))
    return (bits.long() << torch.arange(WORD, device=diagonals.device)).sum(2)
