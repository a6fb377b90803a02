"""Causal attention of a whole prompt to the keys that a sparse mask allows, each query head by its own.

A mask has one of two forms, lines or blocks. On a GPU each has its kernel. Elsewhere either is attended a block of rows
at a time: the keys that these rows may meet are gathered, and the mask is applied among those alone, so that the dense
scores are never computed.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d, pad, scaled_dot_product_attention

from kernels.block_sparse_prefill import BLOCK_SIZES, block_sparse_prefill, chosen_blocks
from kernels.dispatch import serves
from kernels.vertical_slash_prefill import vertical_slash_prefill

ROWS = 64
"""Rows attended together under `Lines`: fewer meet fewer keys that only one of them sees, more launch fewer kernels."""

GATHERED_ELEMENTS = 2**24
"""Bound on the elements of the keys gathered at once (64 MiB in float32); more heads are attended in turns."""

HIDDEN = float("-inf")


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows [low, high) of a mask, in G groups of R rows, each with keys of its own.

    keys [m, G, U]; bias [m, G, R, U], additive: 0 where a row sees a key, -inf elsewhere; none is seen twice.
    """

    low: int
    high: int
    keys: Tensor
    bias: Tensor


@dataclass(frozen=True, slots=True)
class Lines:
    """Row i sees key j <= i where columns[j] or diagonals[i - j]: MInference's A-shape and vertical-slash heads.

    heads [m]: the query heads it is for; columns, diagonals [m, n] boolean over the n tokens of the prompt; diagonal 0
    is always chosen, so that every row sees its own key.
    """

    heads: Tensor
    columns: Tensor
    diagonals: Tensor

    @property
    def pairs(self) -> Tensor:
        """Pairs of row and key that each head sees, [m]."""
        return line_pairs(self.columns, self.diagonals)

    def by_kernel(self, q: Tensor, k: Tensor, v: Tensor, scaling: float) -> Tensor:
        """As `attend`, by the kernel."""
        return vertical_slash_prefill(q, k, v, self.columns, self.diagonals, scaling, self.heads)

    @property
    def has_kernel(self) -> bool:
        return True

    def pieces(self, dtype: torch.dtype) -> Iterator[Piece]:
        """The mask, `ROWS` rows at a time."""
        tokens = self.columns.shape[1]
        columns, band = _listed(self.columns, -2 * tokens), self._band()
        # What a diagonal brings is left out of the columns, so that no row sees a key twice.
        beside, upon = self._by_distance(~self.diagonals, dtype), self._by_distance(self.diagonals, dtype)
        on_band = _windows(upon, -band).contiguous()
        on_column = _bias(self.columns, dtype)[:, None]
        repeated = upon.flip(1)[:, None].expand(-1, ROWS, -1).contiguous()
        first_column, last_band = columns.amin(0).tolist(), band.amax(0).tolist()
        for low in range(0, tokens, ROWS):
            high = min(low + ROWS, tokens)
            met = columns[:, : bisect_left(first_column, high)]
            met_on_band = band[:, bisect_left(last_band, -low) :] + low
            if met.shape[1] + met_on_band.shape[1] >= high:
                keys = torch.arange(high, device=band.device).expand(len(band), 1, -1)
                yield Piece(low, high, keys, _over_all(low, high, repeated, on_column)[:, None])
                continue
            before_prompt = (met_on_band < 0)[:, None]
            bias = torch.cat(
                [
                    _windows(beside, low - met),
                    on_band[:, :, -met_on_band.shape[1] :].masked_fill(before_prompt, HIDDEN),
                ],
                dim=2,
            )
            keys = torch.cat([met, met_on_band], dim=1).clamp(0, tokens - 1)
            yield Piece(low, high, keys[:, None], bias[:, None, : high - low])

    def _band(self) -> Tensor:
        """The keys that diagonals bring to `ROWS` rows, relative to the first row: the same for every such block."""
        tokens = self.diagonals.shape[1]
        first_row = pad(self.diagonals.flip(1).float(), (ROWS - 1, ROWS - 1))
        return _listed(max_pool1d(first_row, ROWS, 1) > 0, -tokens) - (tokens - 1)

    def _by_distance(self, allowed: Tensor, dtype: torch.dtype) -> Tensor:
        """The bias of distances [-ROWS, n + ROWS) between row and key: 0 where it is `allowed` and not negative."""
        return pad(_bias(allowed, dtype), (ROWS, ROWS), value=HIDDEN)


@dataclass(frozen=True, slots=True)
class Blocks:
    """Row i sees key j <= i where chosen[i // size, j // size].

    heads [m]: the query heads it is for; chosen [m, N, N] boolean, N blocks of `size` tokens in the prompt of `tokens`,
    the last one cut short; each row of blocks holds its diagonal block or one before it.
    """

    heads: Tensor
    chosen: Tensor
    size: int
    tokens: int

    @property
    def pairs(self) -> Tensor:
        """Pairs of row and key that each head sees, [m]."""
        return (self.chosen * block_pairs(self.tokens, self.size, self.chosen.device)).sum((1, 2))

    def by_kernel(self, q: Tensor, k: Tensor, v: Tensor, scaling: float) -> Tensor:
        """As `attend`, by the kernel."""
        return block_sparse_prefill(q, k, v, chosen_blocks(self.chosen, self.size, self.tokens), scaling, self.heads)

    @property
    def has_kernel(self) -> bool:
        """Blocks of a tiny context may be smaller than a tile of the tensor cores."""
        return self.size in BLOCK_SIZES

    def pieces(self, dtype: torch.dtype) -> Iterator[Piece]:
        """The mask, a row of blocks at a time, or as many as make `ROWS` rows; one that is cut short by itself."""
        heads, count, _ = self.chosen.shape
        causal = self.chosen.tril()
        # A row with fewer blocks than another is filled up with one behind the prompt, which nothing sees.
        listed = _listed(causal.flatten(0, 1), count).view(heads, count, -1)
        inner = torch.arange(self.size, device=self.chosen.device)
        lengths = causal.sum(2).amax(0).tolist()
        whole, step = self.tokens // self.size, max(1, ROWS // self.size)
        for first in [*range(0, whole, step), *range(whole, count)]:
            last = min(first + step, whole) if first < whole else count
            low, high = first * self.size, min(last * self.size, self.tokens)
            keys = (listed[:, first:last, -max(lengths[first:last]) :, None] * self.size + inner).flatten(2)
            rows = torch.arange(low, high, device=keys.device).view(last - first, -1, 1)
            bias = torch.zeros(heads, *rows.shape[:2], keys.shape[2], dtype=dtype, device=keys.device)
            bias.masked_fill_(keys[:, :, None] > rows, HIDDEN)
            yield Piece(low, high, keys.clamp(max=self.tokens - 1), bias)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Lines | Blocks, scaling: float) -> Tensor:
    """Attention of the heads of `mask`, [1, m, n, head_dim].

    q [1, query_heads, n, head_dim]; k, v [1, kv_heads, n, head_dim].
    """
    if serves(q, k, v) and mask.has_kernel:
        return mask.by_kernel(q, k, v, scaling)
    source = mask.heads * k.shape[1] // q.shape[1]
    asked, all_keys, all_values = q[0, mask.heads], k[0].flatten(0, 1), v[0].flatten(0, 1)
    out = torch.empty_like(asked)
    for piece in mask.pieces(q.dtype):
        together = max(1, GATHERED_ELEMENTS // (piece.keys[0].numel() * k.shape[3]))
        for first in range(0, len(source), together):
            some = slice(first, first + together)
            place = some, slice(piece.low, piece.high)
            rows = asked[place].unflatten(1, piece.bias.shape[1:3])  # [m, G, R, head_dim]
            places = source[some, None, None] * k.shape[2] + piece.keys[some]
            keys, values = _gathered(all_keys, places), _gathered(all_values, places)
            found = scaled_dot_product_attention(rows, keys, values, attn_mask=piece.bias[some], scale=scaling)
            out[place] = found.flatten(1, 2)
    return out[None]


def line_pairs(columns: Tensor, diagonals: Tensor) -> Tensor:
    """Pairs of row i and key j <= i with columns[j] or diagonals[i - j], per head; both [m, n] boolean: [m]."""
    tokens = columns.shape[1]
    reach = torch.arange(tokens, 0, -1, device=columns.device)  # rows on column j, rows on diagonal o
    crossings = diagonals.long().cumsum(1).flip(1)  # of column j with the diagonals, counted twice otherwise
    return (columns * (reach - crossings) + diagonals * reach).sum(1)


def block_pairs(tokens: int, size: int, device: torch.device | None = None) -> Tensor:
    """Pairs of row and key, not after it, in each of the N x N blocks of `size`: [N, N]."""
    count = -(-tokens // size)
    rows = torch.full((count,), size, device=device)
    rows[-1] = tokens - (count - 1) * size
    return (rows[:, None] * size).expand(-1, count).tril(-1) + torch.diag(rows * (rows + 1) // 2)


def _listed(chosen: Tensor, filler: int) -> Tensor:
    """The positions of the true values in each row of `chosen` [m, L], ascending; shorter lists begin with `filler`."""
    counts = chosen.sum(1, keepdim=True)
    longest = int(counts.max())
    order = chosen.byte().sort(dim=1, stable=True).indices[:, chosen.shape[1] - longest :]
    return order.masked_fill(torch.arange(longest, device=chosen.device) < longest - counts, filler)


def _windows(by_distance: Tensor, first_row: Tensor) -> Tensor:
    """The bias of `ROWS` rows over keys that lie first_row[m, U] before the first of them: [m, ROWS, U]."""
    head = torch.arange(len(by_distance), device=by_distance.device)[:, None]
    place = first_row.clamp(-ROWS, by_distance.shape[1] - 2 * ROWS) + ROWS
    return by_distance.unfold(1, ROWS, 1)[head, place].transpose(1, 2)


def _over_all(low: int, high: int, repeated: Tensor, on_column: Tensor) -> Tensor:
    """The bias of rows [low, high) over the keys [0, high): [m, high - low, high].

    repeated [m, ROWS, n + 2 ROWS]: the bias by distance, backwards, once a row; on_column [m, 1, n].
    """
    heads, rows, width = repeated.shape
    # Each row begins one before the row above: a stride that is one short aligns them.
    start = width - 1 - rows - low
    on_diagonal = repeated.as_strided((heads, high - low, high), (rows * width, width - 1, 1), start)
    bias = torch.maximum(on_diagonal, on_column[:, :, :high])
    later = torch.ones(high - low, high - low, dtype=torch.bool, device=bias.device).triu_(1)
    bias[:, :, low:].masked_fill_(later, HIDDEN)
    return bias


def _bias(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where `allowed`, -inf elsewhere."""
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, HIDDEN)


def _gathered(rows: Tensor, places: Tensor) -> Tensor:
    """The `rows` [L, head_dim] at `places`, of any shape: [*places, head_dim]."""
    # Of one dimension, as that is several times faster on a CPU than an index over heads and positions.
    return rows.index_select(0, places.flatten()).unflatten(0, places.shape)
