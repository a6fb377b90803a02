"""Attention over a part of the keys, with what it takes to merge parts: outputs and log-sum-exp of the logits.

Softmax over a union of disjoint key sets is the mean of the parts' outputs weighted by exp(lse) (FlashAttention,
section 3.1; RetrievalAttention, equation 5). On a GPU each has its kernel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from kernels.dense_decode import dense_decode
from kernels.dispatch import serves
from kernels.gather_decode import gather_decode
from kernels.paged_decode import PAGES, paged_decode

GATHERED_ELEMENTS = 2**24
"""Bound on the elements of the keys gathered at once (64 MiB in float32); more rows are attended in blocks."""


@dataclass(frozen=True, slots=True)
class Part:
    """out [1, query_heads, T, head_dim]; lse [1, query_heads, T, 1] in float32, -inf where a row saw no key."""

    out: Tensor
    lse: Tensor


@dataclass(frozen=True)
class ChosenPages:
    """For each row t of head h the pages index[h, t] of `page` keys each, among the first `tokens` keys.

    index [heads, T, m], distinct in a row; page p holds the keys [p * page, (p + 1) * page), the last one what is left.
    """

    index: Tensor
    page: int
    tokens: int

    @cached_property
    def keys(self) -> tuple[Tensor, Tensor | None]:
        """Their positions [heads, T, m * page], and a bias of that shape.

        The bias is -inf where the last page has no key, else 0; None where it is full.
        """
        positions = (self.index[..., None] * self.page + torch.arange(self.page, device=self.index.device)).flatten(2)
        if self.tokens % self.page == 0:
            return positions, None
        beyond = positions >= self.tokens
        bias = torch.zeros(positions.shape, device=positions.device).masked_fill_(beyond, float("-inf"))
        return positions.clamp(max=self.tokens - 1), bias


Choice = Tensor | ChosenPages
"""What rows attend to: positions [heads, T, m], or pages of them, which bring their own bias."""


def merge(parts: Sequence[Part]) -> Tensor:
    """Attention over all keys of `parts`, whose key sets are disjoint: [1, query_heads, T, head_dim]."""
    lse = torch.stack([part.lse for part in parts])
    weights = lse.softmax(dim=0)
    merged = sum(weight * part.out.float() for weight, part in zip(weights, parts, strict=True))
    return merged.to(parts[0].out.dtype)


def over_all(q: Tensor, k: Tensor, v: Tensor, scaling: float, visible: Tensor | None = None) -> Part:
    """Attention of T rows to k, v [1, kv_heads, S, head_dim], S >= T, the last T keys being the rows' own (causal).

    visible: boolean [T, m], which of the last m keys each row sees, where that is not those up to its own.
    """
    if serves(q, k, v):
        return Part(*dense_decode(q, k, v, scaling, visible))
    _, heads, rows, dim = q.shape
    kv_heads, keys = k.shape[1:3]
    logits = (q.reshape(kv_heads, -1, dim) @ k[0].transpose(1, 2)).float().mul_(scaling)
    if visible is None and rows > 1:
        visible = torch.ones(rows, rows, dtype=torch.bool, device=q.device).tril()
    if visible is not None:
        last = logits.view(kv_heads, -1, rows, keys)[..., keys - visible.shape[1] :]
        last.masked_fill_(~visible, float("-inf"))
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


def over_chosen(q: Tensor, k: Tensor, v: Tensor, positions: Choice, scaling: float, bias: Tensor | None = None) -> Part:
    """Attention of row t of head h to the keys positions[h, t] alone.

    q [1, query_heads, T, head_dim]; k, v [1, kv_heads, S, head_dim]; positions [heads, T, m], heads being kv_heads, a
    choice for the whole group, or query_heads; bias [heads, T, m] in float32 is added to the logits, and a key whose
    bias is -inf is not seen. A row that sees no key gives an empty part.
    """
    if serves(q, k, v):
        return _over_chosen_by_kernel(q, k, v, positions, scaling, bias)
    positions, bias = _listed(positions, bias)
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


def _over_chosen_by_kernel(
    q: Tensor, k: Tensor, v: Tensor, positions: Choice, scaling: float, bias: Tensor | None
) -> Part:
    """`over_chosen`; the methods vouch for what they chose, as checking it would wait for the device in every layer."""
    if isinstance(positions, ChosenPages) and positions.page in PAGES:
        k, v = k[:, :, : positions.tokens], v[:, :, : positions.tokens]
        return Part(*paged_decode(q, k, v, positions.index, positions.page, scaling, in_range=True))
    positions, bias = _listed(positions, bias)
    return Part(*gather_decode(q, k, v, positions, scaling, bias, in_range=True))


def _listed(positions: Choice, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    return positions.keys if isinstance(positions, ChosenPages) else (positions, bias)


def _gathered(x: Tensor, positions: Tensor) -> Tensor:
    """Rows of x [1, kv_heads, S, head_dim] at positions [heads, T, m]: [heads, T, m, head_dim]."""
    heads, (kv_heads, keys, dim) = positions.shape[0], x.shape[1:]
    if x.stride(3) != 1 or x.stride(1) % dim or x.stride(2) % dim:
        x = x.contiguous()
    # All rows as one list, in units of head_dim: on a CPU one index is several times faster than one a dimension, and
    # x is a part of longer buffers, which is not to be copied.
    between, apart = x.stride(1) // dim, x.stride(2) // dim
    rows = x.as_strided(((kv_heads - 1) * between + (keys - 1) * apart + 1, dim), (dim, 1))
    first = torch.arange(heads, device=x.device)[:, None, None] * kv_heads // heads * between
    return rows.index_select(0, (positions * apart + first).flatten()).view(*positions.shape, dim)


def _blocks(rows: int, elements: int) -> list[slice]:
    """Slices of `rows` rows, of `elements` gathered elements each."""
    step = max(1, GATHERED_ELEMENTS // max(1, elements))
    return [slice(low, low + step) for low in range(0, rows, step)]


def keys_seen(positions: Choice, bias: Tensor | None, apart: bool) -> list[int]:
    """How many keys the rows of `over_chosen` see, the mean over heads, rounded up: each row if `apart`, else all."""
    positions, bias = _listed(positions, bias)
    heads, rows, count = positions.shape
    if bias is None:
        return [count] * rows if apart else [rows * count]
    by_row = bias.isfinite().sum(dim=(0, 2))
    return [-(-seen // heads) for seen in (by_row.tolist() if apart else [int(by_row.sum())])]


def keys_read(positions: Choice, bias: Tensor | None, kv_heads: int, keys: int, apart: bool) -> list[int]:
    """How many of `keys` keys of each KV head are seen in `over_chosen`: by each row if `apart`, else by any."""
    positions, bias = _listed(positions, bias)
    if bias is not None:
        positions = positions.masked_fill(~bias.isfinite(), keys)  # a column that is not counted
    together = positions.transpose(0, 1) if apart else positions.flatten(1)[None]
    seen = torch.zeros(*together.shape[:2], keys + 1, dtype=torch.bool, device=positions.device)
    seen.scatter_(2, together, True)
    return seen[..., :keys].unflatten(1, (kv_heads, -1)).any(dim=2).sum(dim=(1, 2)).tolist()
