"""XAttention's estimate of how much attention falls on each block, and which blocks are taken.

XAttention (Xu et al., 2025), Sections 2.1 and 2.2: a tile of `stride` x `stride` logits is judged by its antidiagonal.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from scbench.kv.sparse_prefill import block_pairs

ESTIMATED_ELEMENTS = 2**24
"""Bound on the tiles judged at once (64 MiB); a longer prompt is judged some rows of blocks after the other."""

UNITS = 2**40
"""Shares of attention are added in these units, as integers: a sum does not depend on its order."""


def block_shares(q: Tensor, k: Tensor, size: int, stride: int, scaling: float) -> Tensor:
    """The share of the attention of each block of `size` rows that falls on each block of keys: [query_heads, N, N].

    q [1, query_heads, n, head_dim]; k [1, kv_heads, n, head_dim], filled up with zeros to N whole blocks; stride
    divides size. A tile's logit is the mean of those on its antidiagonal, softmax runs over the tiles of a row up to
    its own, and a block is the sum of its tiles, those of rows beyond the prompt left out. float32.
    """
    heads, tokens = q.shape[1:3]
    group, per_block = heads // k.shape[1], size // stride
    asked = _tiles(q, size, stride, backwards=True).unflatten(0, (-1, group))
    keys = _tiles(k, size, stride, backwards=False)[:, None].transpose(2, 3)
    count, blocks = asked.shape[2], asked.shape[2] // per_block
    real = torch.arange(count, device=q.device) < -(-tokens // stride)
    step = per_block * max(1, ESTIMATED_ELEMENTS // (heads * per_block * count))
    shares = []
    for low in range(0, count, step):
        high = min(low + step, count)
        logits = (asked[:, :, low:high] @ keys[..., :high]).float().mul_(scaling / stride)
        later = torch.ones(high - low, high, dtype=torch.bool, device=q.device).triu_(low + 1)
        weights = logits.masked_fill_(later, float("-inf")).softmax(-1) * real[low:high, None]
        summed = weights.view(heads, -1, per_block, high // per_block, per_block).sum((2, 4))
        shares.append(pad(summed, (0, blocks - high // per_block)))
    found = torch.cat(shares, dim=1)
    return found / found.sum(2, keepdim=True)


def choose_blocks(shares: Tensor, size: int, tokens: int, allowed: int, threshold: float) -> Tensor:
    """The blocks to attend to, [query_heads, N, N] boolean, of `shares` as `block_shares` gives them.

    Each row of blocks takes the first block, its own, and others by falling share while what it has holds less than a
    threshold. The same for all rows of a head, it is the highest, up to `threshold`, at which the head sees at most
    `allowed` pairs of row and key.
    """
    count = shares.shape[1]
    own = torch.eye(count, dtype=torch.bool, device=shares.device)
    forced = own.clone()
    forced[:, 0] = True
    later = torch.ones_like(own).triu(1)
    units = (shares.double() * UNITS).round().long()
    order = shares.masked_fill(forced, 2.0).masked_fill(later, -1.0).sort(dim=2, descending=True, stable=True).indices
    falling = units.gather(2, order)
    before = torch.empty_like(units).scatter_(2, order, falling.cumsum(2) - falling)  # what the row has without it
    before = before.masked_fill(forced, -1).flatten(1)
    wanted = (~later).expand_as(shares).flatten(1)
    if threshold < 1:
        wanted = wanted & (before < round(threshold * UNITS))
    by_need = before.masked_fill(~wanted, 2 * UNITS).sort(dim=1, stable=True).indices
    costs = (wanted * block_pairs(tokens, size, shares.device).flatten()).gather(1, by_need)
    fits = torch.empty_like(wanted).scatter_(1, by_need, costs.cumsum(1) <= allowed)
    return (wanted & fits).view(shares.shape) | (forced & ~later)


def _tiles(rows: Tensor, size: int, stride: int, *, backwards: bool) -> Tensor:
    """Each `stride` rows in one, in order or `backwards`: [heads, tiles, stride * head_dim]."""
    whole = pad(rows[0], (0, 0, 0, -rows.shape[2] % size)).unflatten(1, (-1, stride))
    return (whole.flip(2) if backwards else whole).flatten(2)
