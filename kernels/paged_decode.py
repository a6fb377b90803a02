"""Quest: attention of few rows to the pages of keys that could matter most to each.

    low[g, p], high[g, p] = the smallest and the largest value of each channel over the keys of page p
    scores[h, t, p] = sum_d max(q[h, t, d] low[g, p, d], q[h, t, d] high[g, p, d]) >= q[h, t] . k[g, j] for j in p

g is the KV head of query head h; page p holds the keys [p * page, (p + 1) * page), the last one what is left of them.
Quest (Tang et al., 2024), section 3.3.
"""

import torch
from torch import Tensor

from kernels.dense_decode import check_rows_and_keys
from kernels.dispatch import check_attention, check_range, check_scaling, check_shape, use_triton
from kernels.gather_decode import check_lists
from kernels.gather_decode import reference as gathered

PAGES = (2, 4, 8, 16, 32, 64)
"""Keys that a page may have in the attention kernel."""


def page_extremes(k: Tensor, page: int) -> tuple[Tensor, Tensor]:
    """The pages' low and high [kv_heads, pages, head_dim] of k [1, kv_heads, n, head_dim], in its dtype.

    Triton on CUDA, else the reference. Raises ValueError for what does not fit.
    """
    check_attention(k[:, :, :1] if k.dim() == 4 else k, k, k, ("k", "k", "k"))
    if page < 1:
        raise ValueError(f"page: {page} keys, expected at least 1")
    if use_triton(k):
        from kernels.paged_decode_triton import launch_extremes

        return launch_extremes(k, page)
    return extremes_reference(k, page)


def extremes_reference(k: Tensor, page: int) -> tuple[Tensor, Tensor]:
    """`page_extremes`, page by page."""
    low, high = zip(*(keys.aminmax(dim=1) for keys in k[0].split(page, dim=1)), strict=True)
    return torch.stack(low, dim=1), torch.stack(high, dim=1)


def page_scores(q: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The scores of the formula above, [query_heads, T, pages] in float32.

    q [1, query_heads, T, head_dim]; low, high [kv_heads, pages, head_dim], as `page_extremes` gives them. Triton on
    CUDA, else the reference. Raises ValueError for what does not fit.
    """
    if low.dim() != 3:
        raise ValueError(f"low: shape {list(low.shape)}, expected [kv_heads, pages, head_dim]")
    check_shape("high", high, low.shape)
    check_rows_and_keys(q, low[None], high[None], ("q", "low", "high"))
    if use_triton(q, low, high):
        from kernels.paged_decode_triton import launch_scores

        return launch_scores(q, low, high)
    return scores_reference(q, low, high).float()


def scores_reference(q: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """`page_scores` in float64, channel by channel."""
    group = q.shape[1] // low.shape[0]
    least, most = (x.double().repeat_interleave(group, dim=0)[:, None] for x in (low, high))
    asked = q[0].double()[:, :, None]
    return torch.maximum(asked * least, asked * most).sum(-1)


def paged_decode(
    q: Tensor, k: Tensor, v: Tensor, index: Tensor, page: int, scaling: float, *, in_range: bool = False
) -> tuple[Tensor, Tensor]:
    """Attention of each row to the keys of the pages listed for it, and its log-sum-exp, as `gather_decode` gives them.

    q [1, query_heads, T, head_dim]; k, v [1, kv_heads, n, head_dim], not repeated; index [lists, T, m] int64, distinct
    pages of `page` keys in a row, lists being kv_heads or query_heads. in_range: the caller vouches for the index, and
    checking it, which waits for the device, is left out. Triton on CUDA, else the reference. Raises ValueError for
    what does not fit.
    """
    check(q, k, v, index, page, scaling, in_range)
    if use_triton(q, k, v):
        from kernels.gather_decode_triton import launch

        return launch(q, k, v, index, scaling, None, page, k.shape[2])
    out, lse = reference(q, k, v, index, page, scaling)
    return out.to(q.dtype), lse.float()


def reference(q: Tensor, k: Tensor, v: Tensor, index: Tensor, page: int, scaling: float) -> tuple[Tensor, Tensor]:
    """`paged_decode` in float64, over the keys of the pages one by one."""
    positions = (index[..., None] * page + torch.arange(page, device=index.device)).flatten(2)
    beyond = positions >= k.shape[2]
    bias = torch.zeros(positions.shape, device=q.device).masked_fill_(beyond, float("-inf"))
    return gathered(q, k, v, positions.clamp(max=k.shape[2] - 1), scaling, bias)


def check(q: Tensor, k: Tensor, v: Tensor, index: Tensor, page: int, scaling: float, in_range: bool) -> None:
    """Raise ValueError unless `paged_decode` can be computed."""
    check_rows_and_keys(q, k, v)
    check_lists("index", index, q, k)
    if page not in PAGES:
        raise ValueError(f"page: {page} keys, expected one of {PAGES}")
    if not in_range:
        check_range("index", index, 0, -(-k.shape[2] // page))
    check_scaling(scaling)
