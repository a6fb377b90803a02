"""Bounds of q k^T over the keys of a page, from the smallest and largest value of each channel (Quest, 3.3)."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from kernels.dispatch import serves
from kernels.paged_decode import page_extremes, page_scores
from scbench.kv.partial import ChosenPages


@dataclass(frozen=True, slots=True)
class Pages:
    """Pages of `page` keys, the last one of what is left of `tokens`; low, high [kv_heads, pages, head_dim]."""

    low: Tensor
    high: Tensor
    page: int
    tokens: int

    @classmethod
    def of(cls, k: Tensor, page: int) -> Self:
        """The pages of k [1, kv_heads, n, head_dim], n >= 1."""
        if serves(k, k, k):
            return cls(*page_extremes(k, page), page, k.shape[2])
        whole = k.shape[2] // page * page
        low, high = k[0, :, :whole].unflatten(1, (-1, page)).aminmax(dim=2)
        if whole < k.shape[2]:
            last_low, last_high = k[0, :, whole:].aminmax(dim=1, keepdim=True)
            low, high = torch.cat([low, last_low], dim=1), torch.cat([high, last_high], dim=1)
        return cls(low, high, page, k.shape[2])

    @property
    def bytes(self) -> int:
        """Bytes of the metadata."""
        return self.low.nbytes + self.high.nbytes

    def bounds(self, q: Tensor) -> Tensor:
        """The sum over channels of max(q low, q high), q [1, query_heads, T, head_dim]: [query_heads, T, pages]."""
        if serves(q, self.low[None], self.high[None]):
            return page_scores(q, self.low, self.high)
        _, heads, rows, dim = q.shape
        grouped = q.reshape(self.low.shape[0], -1, dim)
        # A positive channel of q is largest with the page's largest value, a negative one with its smallest.
        above = grouped.clamp(min=0) @ self.high.transpose(1, 2) + grouped.clamp(max=0) @ self.low.transpose(1, 2)
        return above.float().view(heads, rows, -1)

    def choose(self, q: Tensor, heads: int, count: int) -> ChosenPages:
        """The `count` pages with the highest bounds of each row.

        heads is query_heads, or kv_heads to choose by the mean over a group.
        """
        bounds = self.bounds(q)
        best = bounds.view(heads, -1, *bounds.shape[1:]).mean(dim=1).topk(count, dim=-1).indices
        return ChosenPages(best, self.page, self.tokens)
