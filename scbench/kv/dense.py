"""Exact causal attention over un-repeated keys and values: by flash-attn where it serves, else by PyTorch's SDPA.

No key is ever repeated. Rows are aligned to the last keys: row i of T sees keys [0, S - T + i]. Where PyTorch has no
kernel for that, the query heads of one group are folded into the rows of their KV head, under a mask.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.backends.cuda import SDPAParams, can_use_flash_attention
from torch.nn.functional import scaled_dot_product_attention

from kernels import flash

MASK_ELEMENTS = 2**24
"""Bound on the elements of one mask (64 MiB in float32); longer chunks are attended in blocks of rows."""


def dense(q: Tensor, k: Tensor, v: Tensor, scaling: float) -> Tensor:
    """softmax(scaling * q k^T, causal) v.

    q [1, query_heads, T, head_dim]; k, v [1, kv_heads, S, head_dim] with S >= T, the last T keys being the rows' own.
    Returns [1, query_heads, T, head_dim].
    """
    out = flash.flash_attention(q, k, v, scaling)
    if out is not None:
        return out
    rows, keys = q.shape[2], k.shape[2]
    if rows == 1:
        return folded(q, k, v, None, scaling)
    if rows == keys:
        return scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=True)
    if _has_flash(q, k, v):
        from torch.nn.attention.bias import causal_lower_right  # brings the compiler, seconds of imports, with it

        tail = causal_lower_right(rows, keys)
        return scaled_dot_product_attention(q, k, v, attn_mask=tail, scale=scaling, enable_gqa=True)
    block = max(1, MASK_ELEMENTS // (q.shape[1] // k.shape[1] * keys))
    parts = []
    for start in range(0, rows, block):
        stop = min(start + block, rows)
        seen = keys - rows + stop
        bias = _causal_bias(stop - start, seen, q.shape[1] // k.shape[1], q.dtype, q.device)
        parts.append(folded(q[:, :, start:stop], k[:, :, :seen], v[:, :, :seen], bias, scaling))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def dense_at(q: Tensor, k: Tensor, v: Tensor, positions: Sequence[int], scaling: float) -> Tensor:
    """As `dense`, for rows that stand anywhere: row i sees keys [0, positions[i]], positions ascending, below S."""
    rows, stop = len(positions), positions[-1] + 1
    if stop - positions[0] == rows:
        return dense(q, k[:, :, :stop], v[:, :, :stop], scaling)
    group = q.shape[1] // k.shape[1]
    block = max(1, MASK_ELEMENTS // (group * stop))
    parts = []
    for start in range(0, rows, block):
        own = positions[start : start + block]
        seen = own[-1] + 1
        last = torch.tensor(own, device=q.device)[:, None]
        bias = additive(torch.arange(seen, device=q.device) <= last, group, q.dtype)
        parts.append(folded(q[:, :, start : start + block], k[:, :, :seen], v[:, :, :seen], bias, scaling))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def dense_seeing(q: Tensor, k: Tensor, v: Tensor, visible: Tensor, scaling: float) -> Tensor:
    """As `dense`, for rows that see every key but some of the last m: row i sees those that visible [T, m] says."""
    rows, keys, group = q.shape[2], k.shape[2], q.shape[1] // k.shape[1]
    block = max(1, MASK_ELEMENTS // (group * keys))
    if rows <= block:
        return folded(q, k, v, _seeing_bias(visible, keys, group, q.dtype), scaling)
    parts = []
    for start in range(0, rows, block):
        bias = _seeing_bias(visible[start : start + block], keys, group, q.dtype)
        parts.append(folded(q[:, :, start : start + block], k, v, bias, scaling))
    return torch.cat(parts, dim=2)


def folded(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scaling: float) -> Tensor:
    """Attention with an additive `bias` [group * T, S] (`additive` makes one), or with every key seen where it is None.

    Shapes as in `dense`; row r of the bias belongs to query row r mod T of each KV head's group.
    """
    _, heads, rows, dim = q.shape
    kv_heads = k.shape[1]
    out = scaled_dot_product_attention(
        q.reshape(1, kv_heads, heads // kv_heads * rows, dim), k, v, attn_mask=bias, scale=scaling
    )
    return out.view(1, heads, rows, dim)


def _has_flash(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether PyTorch's own flash kernel takes these, which needs no mask where rows are fewer than the keys."""
    return q.is_cuda and can_use_flash_attention(SDPAParams(q, k, v, None, 0.0, False, True))


def additive(allowed: Tensor, group: int, dtype: torch.dtype) -> Tensor:
    """The bias of `folded` for a boolean mask `allowed` [T, S]: 0 where a key is seen, -inf elsewhere."""
    bias = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, float("-inf"))
    return bias.repeat(group, 1)


# Every layer of a forward pass asks for the same bias; two entries cover the pass and the one it alternates with.
@lru_cache(maxsize=2)
def _causal_bias(rows: int, keys: int, group: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return additive(torch.ones(rows, keys, dtype=torch.bool, device=device).tril(keys - rows), group, dtype)


# As above; a tensor equals itself alone here, and the one that a pass asks with is the same in every layer.
@lru_cache(maxsize=2)
def _seeing_bias(visible: Tensor, keys: int, group: int, dtype: torch.dtype) -> Tensor:
    rows, last = visible.shape
    bias = torch.zeros(group, rows, keys, dtype=dtype, device=visible.device)
    bias[:, :, keys - last :].masked_fill_(~visible, float("-inf"))
    return bias.flatten(0, 1)
