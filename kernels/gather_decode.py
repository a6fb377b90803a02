"""Attention of few rows to listed keys, each row to its own, with its log-sum-exp: MagicPIG, exact top-k, retrieval.

    out[h, t] = sum_i p[t, i] v[g, index[l, t, i]],  p[t, :] = softmax over i of
    scaling * q[h, t] . k[g, index[l, t, i]] + bias[l, t, i]

g is the KV head of query head h, and l its list: that of its KV head or its own.
"""

import torch
from torch import Tensor

from kernels.dense_decode import check_rows_and_keys
from kernels.dispatch import check_device, check_dtype, check_range, check_scaling, check_shape, use_triton


def gather_decode(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    index: Tensor,
    scaling: float,
    bias: Tensor | None = None,
    *,
    in_range: bool = False,
) -> tuple[Tensor, Tensor]:
    """The formula above, [1, query_heads, T, head_dim], and the log-sum-exp of its logits [1, query_heads, T, 1].

    q [1, query_heads, T, head_dim]; k, v [1, kv_heads, S, head_dim], not repeated; index [lists, T, m] int64, each in
    [0, S), lists being kv_heads or query_heads; bias [lists, T, m] float32, -inf for a key that is not seen. The
    log-sum-exp is natural and in float32. A row that sees no key gives 0 and -inf. in_range: the caller vouches for
    the index, and checking it, which waits for the device, is left out. Triton on CUDA, else the reference. Raises
    ValueError for what does not fit.
    """
    check(q, k, v, index, scaling, bias, in_range)
    if use_triton(q, k, v):
        from kernels.gather_decode_triton import launch

        return launch(q, k, v, index, scaling, bias)
    out, lse = reference(q, k, v, index, scaling, bias)
    return out.to(q.dtype), lse.float()


def reference(
    q: Tensor, k: Tensor, v: Tensor, index: Tensor, scaling: float, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`gather_decode` in float64, every listed key copied."""
    lists = index.shape[0]
    _, heads, rows, dim = q.shape
    source = torch.arange(lists, device=q.device)[:, None, None] * k.shape[1] // lists
    keys, values = k[0, source, index].double(), v[0, source, index].double()
    asked = q[0].double().view(lists, heads // lists, rows, dim).transpose(1, 2)
    logits = scaling * asked @ keys.transpose(2, 3)
    if bias is not None:
        logits = logits + bias[:, :, None]
    lse = logits.logsumexp(-1, keepdim=True)
    out = (logits - lse.clamp(min=torch.finfo(torch.float64).min)).exp() @ values
    return out.transpose(1, 2).reshape(q.shape), lse.transpose(1, 2).reshape(1, heads, rows, 1)


def check(q: Tensor, k: Tensor, v: Tensor, index: Tensor, scaling: float, bias: Tensor | None, in_range: bool) -> None:
    """Raise ValueError unless `gather_decode` can be computed."""
    check_rows_and_keys(q, k, v)
    check_lists("index", index, q, k)
    if bias is not None:
        check_shape("bias", bias, index.shape)
        check_dtype("bias", bias, torch.float32)
        check_device("bias", bias, q.device)
    if not in_range:
        check_range("index", index, 0, k.shape[2])
    check_scaling(scaling)


def check_lists(name: str, index: Tensor, q: Tensor, k: Tensor) -> None:
    """Raise ValueError unless `index` [lists, T, m] int64 has a list for every row of q and KV head or query head."""
    check_shape(name, index, (None, q.shape[2], None))
    if index.shape[0] not in (k.shape[1], q.shape[1]):
        raise ValueError(
            f"{name}: lists of {index.shape[0]} heads, expected {k.shape[1]} (KV heads) or {q.shape[1]} (query heads)"
        )
    check_dtype(name, index, torch.int64)
    check_device(name, index, q.device)
