"""Attention over a part of the keys, with what it takes to merge parts: outputs and log-sum-exp of the logits.

Softmax over a union of disjoint key sets is the mean of the parts' outputs weighted by exp(lse) (FlashAttention,
section 3.1; RetrievalAttention, equation 5).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

GATHERED_ELEMENTS = 2**24
"""Bound on the elements of the keys gathered at once (64 MiB in float32); more rows are attended in blocks."""


@dataclass(frozen=True, slots=True)
class Part:
    """out [1, query_heads, T, head_dim]; lse [1, query_heads, T, 1] in float32, -inf where a row saw no key."""

    out: Tensor
    lse: Tensor


def merge(parts: Sequence[Part]) -> Tensor:
    """Attention over all keys of `parts`, whose key sets are disjoint: [1, query_heads, T, head_dim]."""
    lse = torch.stack([part.lse for part in parts])
    weights = lse.softmax(dim=0)
    merged = sum(weight * part.out.float() for weight, part in zip(weights, parts, strict=True))
    return merged.to(parts[0].out.dtype)


def over_all(q: Tensor, k: Tensor, v: Tensor, scaling: float) -> Part:
    """Attention of T rows to k, v [1, kv_heads, S, head_dim], S >= T, the last T keys being the rows' own (causal)."""
    _, heads, rows, dim = q.shape
    kv_heads, keys = k.shape[1:3]
    logits = (q.reshape(kv_heads, -1, dim) @ k[0].transpose(1, 2)).float().mul_(scaling)
    if rows > 1:
        later = torch.ones(rows, keys, dtype=torch.bool, device=q.device).triu(keys - rows + 1)
        logits.view(kv_heads, -1, rows, keys).masked_fill_(later, float("-inf"))
    lse = logits.logsumexp(dim=-1, keepdim=True)
    out = (logits - lse).exp_().to(v.dtype) @ v[0]
    return Part(out.view(1, heads, rows, dim), lse.view(1, heads, rows, 1))


def chosen_products(q: Tensor, k: Tensor, positions: Tensor) -> Tensor:
    """q k^T of row t of head h with the keys positions[h, t], as in `over_chosen`: [heads, T, group, m] in float32."""
    heads, rows, count = positions.shape
    asked = q.reshape(heads, q.shape[1] // heads, rows, -1).transpose(1, 2)  # [heads, T, group, head_dim]
    return torch.cat(
        [
            (asked[:, block] @ _gathered(k, positions[:, block]).transpose(2, 3)).float()
            for block in _blocks(rows, heads * count * q.shape[3])
        ],
        dim=1,
    )


def over_chosen(q: Tensor, k: Tensor, v: Tensor, positions: Tensor, scaling: float, bias: Tensor | None = None) -> Part:
    """Attention of row t of head h to the keys positions[h, t] alone.

    q [1, query_heads, T, head_dim]; k, v [1, kv_heads, S, head_dim]; positions [heads, T, m], heads being kv_heads, a
    choice for the whole group, or query_heads; bias [heads, T, m] in float32 is added to the logits, and a key whose
    bias is -inf is not seen. A row that sees no key gives an empty part.
    """
    _, query_heads, rows, dim = q.shape
    heads, _, count = positions.shape
    logits = chosen_products(q, k, positions).mul_(scaling)
    if bias is not None:
        logits += bias[:, :, None]
    lse = logits.logsumexp(dim=-1, keepdim=True)
    # The weights of a row that sees no key are to be 0, not undefined.
    weights = (logits - lse.clamp(min=torch.finfo(torch.float32).min)).exp_().to(v.dtype)
    blocks = _blocks(rows, heads * count * dim)
    out = torch.cat([weights[:, block] @ _gathered(v, positions[:, block]) for block in blocks], dim=1)
    return Part(
        out.transpose(1, 2).reshape(1, query_heads, rows, dim), lse.transpose(1, 2).reshape(1, query_heads, rows, 1)
    )


def _gathered(x: Tensor, positions: Tensor) -> Tensor:
    """Rows of x [1, kv_heads, S, head_dim] at positions [heads, T, m]: [heads, T, m, head_dim]."""
    heads = positions.shape[0]
    source = torch.arange(heads, device=x.device)[:, None, None] * x.shape[1] // heads
    return x[0][source, positions]


def _blocks(rows: int, elements: int) -> list[slice]:
    """Slices of `rows` rows, of `elements` gathered elements each."""
    step = max(1, GATHERED_ELEMENTS // max(1, elements))
    return [slice(low, low + step) for low in range(0, rows, step)]


def keys_seen(positions: Tensor, bias: Tensor | None) -> int:
    """How many keys the rows of `over_chosen` see, summed over rows; the mean over heads, rounded up."""
    heads, rows, count = positions.shape
    return rows * count if bias is None else -(-int(bias.isfinite().sum()) // heads)


def keys_read(positions: Tensor, bias: Tensor | None, kv_heads: int, keys: int) -> int:
    """How many of `keys` keys of each KV head any row of `over_chosen` sees, summed over KV heads."""
    if bias is not None:
        positions = positions.masked_fill(~bias.isfinite(), keys)  # a column that is not counted
    seen = torch.zeros(positions.shape[0], keys + 1, dtype=torch.bool, device=positions.device)
    seen.scatter_(1, positions.flatten(1), True)
    return int(seen[:, :keys].view(kv_heads, -1, keys).any(dim=1).sum())
