"""Attention in float64, slow and obvious: what every kernel is compared with, in tests and before it is timed."""

import torch
from torch import Tensor

TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}
"""Largest difference from float64 at inputs of unit variance, by the dtype of q, k and v."""


def attention(q: Tensor, k: Tensor, v: Tensor, seen: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    """softmax(scaling * q k^T) v over the keys that are `seen`, and the log-sum-exp of each row's logits, in float64.

    q [1, query_heads, T, head_dim]; k, v [1, kv_heads, S, head_dim]; seen, boolean, broadcasts to [query_heads, T, S].
    Returns [1, query_heads, T, head_dim] and [1, query_heads, T]; a row that sees nothing gives 0 and -inf.
    """
    group = q.shape[1] // k.shape[1]
    keys, values = (x.double().repeat_interleave(group, dim=1) for x in (k, v))
    logits = (scaling * q.double() @ keys.transpose(2, 3)).masked_fill(~seen, float("-inf"))
    lse = logits.logsumexp(-1)
    weights = (logits - lse.clamp(min=torch.finfo(torch.float64).min)[..., None]).exp()
    return weights @ values, lse


def drawn(
    query_heads: int,
    kv_heads: int,
    rows: int,
    keys: int,
    dim: int,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Random q [1, query_heads, rows, dim] and k, v [1, kv_heads, keys, dim], of unit variance."""
    generator = torch.Generator(device).manual_seed(seed)
    q = torch.randn(1, query_heads, rows, dim, generator=generator, device=device)
    k, v = torch.randn(2, 1, kv_heads, keys, dim, generator=generator, device=device)
    return q.to(dtype), k.to(dtype), v.to(dtype)
