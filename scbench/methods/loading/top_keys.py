"""The keys with the highest products, found by computing all of them."""

import torch
from torch import Tensor

PRODUCTS = 2**26
"""Bound on the products held at once (256 MiB in float32); more rows are searched in blocks."""


def top_keys(q: Tensor, k: Tensor, count: int) -> Tensor:
    """Positions of the `count` keys with the highest q k^T of each row and query head: [query_heads, T, count].

    q [1, query_heads, T, head_dim]; k [1, kv_heads, n, head_dim], n >= count. Among equals any is taken.
    """
    _, heads, rows, dim = q.shape
    kv_heads, keys = k.shape[1:3]
    block = max(1, PRODUCTS // (heads * keys))
    found = []
    for low in range(0, rows, block):
        asked = q[:, :, low : low + block].reshape(kv_heads, -1, dim)
        products = (asked @ k[0].transpose(1, 2)).float().view(heads, -1, keys)
        found.append(products.topk(count, dim=-1).indices)
    return torch.cat(found, dim=1)
