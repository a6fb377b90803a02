"""How much attention a prompt's last rows pay to each position before them: SnapKV's and PyramidKV's choice.

    scores[h, j] = (1 / kernel) sum over |o| <= kernel // 2 of received[h, j + o],  received[h, j] = sum_i p[i, j],
    p[i, :] = softmax over j <= i of scaling * q[h, i] . k[g, j]

The sum runs over the last w rows i of n, j over the n - w positions before them, beyond which `received` is 0; g is the
KV head of query head h. SnapKV (Li et al., 2024), section 4.1.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d

from kernels.dispatch import check_attention, check_scaling, use_triton
from kernels.reference import attention


def window_scores(q: Tensor, k: Tensor, scaling: float, kernel: int) -> Tensor:
    """The scores of the formula above, [query_heads, n - w] in float32.

    q [1, query_heads, w, head_dim], the rows of the last w keys; k [1, kv_heads, n, head_dim], n > w, not repeated;
    kernel odd. Triton on CUDA, which writes no score of a single row; else the reference. Raises ValueError for what
    does not fit.
    """
    check(q, k, scaling, kernel)
    if use_triton(q, k):
        from kernels.window_scores_triton import launch

        return pooled(launch(q, k, scaling), kernel)
    return reference(q, k, scaling, kernel).float()


def reference(q: Tensor, k: Tensor, scaling: float, kernel: int) -> Tensor:
    """`window_scores` with every weight written, in float64."""
    rows, tokens = q.shape[2], k.shape[2]
    seen = torch.ones(rows, tokens, dtype=torch.bool, device=k.device).tril(tokens - rows)
    unit = torch.eye(tokens, dtype=torch.float64, device=k.device).expand(1, k.shape[1], -1, -1)
    weights = attention(q, k, unit, seen, scaling)[0][0]
    return pooled(weights[..., : tokens - rows].sum(dim=1), kernel)


def pooled(received: Tensor, kernel: int) -> Tensor:
    """The mean of `kernel` neighbours of received [heads, m], zeros beyond the ends."""
    return avg_pool1d(received[:, None], kernel, stride=1, padding=kernel // 2)[:, 0]


def check(q: Tensor, k: Tensor, scaling: float, kernel: int) -> None:
    """Raise ValueError unless `window_scores` can be computed."""
    check_attention(q, k, k, ("q", "k", "k"))
    if q.shape[2] == k.shape[2]:
        raise ValueError(f"q: {q.shape[2]} rows over as many keys, expected at least one key before the window")
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"kernel: {kernel}, expected an odd number")
    check_scaling(scaling)
