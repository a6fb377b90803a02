"""Attention of few rows to every key that they see, with its log-sum-exp: what is resident beside a choice of keys.

    out[h, t] = sum_j p[t, j] v[g, j],  p[t, :] = softmax over the seen j of scaling * q[h, t] . k[g, j]

g is the KV head of query head h. Every key before the last m is seen by all rows.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from kernels.dispatch import check_attention, check_device, check_dtype, check_scaling, check_shape, use_triton
from kernels.reference import attention


def dense_decode(
    q: Tensor, k: Tensor, v: Tensor, scaling: float, visible: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The formula above, [1, query_heads, T, head_dim], and the log-sum-exp of its logits [1, query_heads, T, 1].

    q [1, query_heads, T, head_dim]; k, v [1, kv_heads, S, head_dim], not repeated. visible: boolean [T, m], which of
    the last m <= S keys each row sees; None where the last T keys are the rows' own, seen up to each one's. The
    log-sum-exp is natural and in float32. A row that sees no key gives 0 and -inf. Triton on CUDA, else the reference.
    Raises ValueError for what does not fit.
    """
    check(q, k, v, scaling, visible)
    if use_triton(q, k, v):
        from kernels.dense_decode_triton import launch

        return launch(q, k, v, scaling, visible)
    out, lse = reference(q, k, v, scaling, visible)
    return out.to(q.dtype), lse.float()


def reference(q: Tensor, k: Tensor, v: Tensor, scaling: float, visible: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """`dense_decode` in float64."""
    rows, keys = q.shape[2], k.shape[2]
    if visible is None:
        visible = torch.ones(rows, rows, dtype=torch.bool, device=q.device).tril()
    before = torch.ones(rows, keys - visible.shape[1], dtype=torch.bool, device=q.device)
    out, lse = attention(q, k, v, torch.cat([before, visible], dim=1), scaling)
    return out, lse[..., None]


def check(q: Tensor, k: Tensor, v: Tensor, scaling: float, visible: Tensor | None) -> None:
    """Raise ValueError unless `dense_decode` can be computed."""
    if visible is None:
        check_attention(q, k, v)
    else:
        check_rows_and_keys(q, k, v)
        check_shape("visible", visible, (q.shape[2], None))
        check_dtype("visible", visible, torch.bool)
        check_device("visible", visible, q.device)
        if visible.shape[1] > k.shape[2]:
            raise ValueError(f"visible: tells of the last {visible.shape[1]} keys, but there are {k.shape[2]}")
    check_scaling(scaling)


def check_rows_and_keys(q: Tensor, k: Tensor, v: Tensor, names: Sequence[str] = ("q", "k", "v")) -> None:
    """Raise ValueError unless rows q [1, query_heads, T, head_dim], T >= 1, of any number, can attend to k, v [1,
    kv_heads, S, head_dim], S >= 1: as `check_attention` where the last keys need not be the rows' own."""
    if q.dim() == 4 and not q.shape[2]:
        raise ValueError(f"{names[0]}: shape {list(q.shape)}, expected at least one row")
    check_attention(q[:, :, :1] if q.dim() == 4 else q, k, v, names)
