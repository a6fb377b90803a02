"""Keys and values in the host's memory, and attention to those of them that a query retrieves."""

from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

from scbench.kv.partial import Part, keys_read, keys_seen, over_chosen
from scbench.methods.loading.top_keys import top_keys


class Search(Protocol):
    """An approximate index of the keys; `bytes` counts all of it."""

    @property
    def bytes(self) -> int: ...

    def search(self, q: Tensor, count: int) -> tuple[Tensor, Tensor, int]:
        """Positions and bias [query_heads, T, count], as `over_chosen` takes them, and the bytes read to find them."""
        ...


@dataclass(frozen=True, slots=True)
class HostIndex:
    """k, v [1, kv_heads, m, head_dim] on the host; without `approximate`, all products are computed to search."""

    k: Tensor
    v: Tensor
    approximate: Search | None

    @classmethod
    def of(cls, k: Tensor, v: Tensor, approximate: Search | None = None) -> Self:
        """Take over copies of k, v [1, kv_heads, m, head_dim]."""
        host = (x.to("cpu", copy=True, memory_format=torch.contiguous_format) for x in (k, v))
        return cls(*host, approximate)

    @property
    def bytes(self) -> int:
        """Bytes of the rows and of the index over them."""
        return self.k.nbytes + self.v.nbytes + (self.approximate.bytes if self.approximate else 0)

    def attend(self, q: Tensor, count: int, scaling: float) -> tuple[Part, int, int]:
        """Attention of q [1, query_heads, T, head_dim] to the `count` keys that each row and query head retrieves.

        Returns it on q's device, the keys attended to, summed over rows, and the bytes read.
        """
        asked = q.to(self.k.device)
        if self.approximate:
            positions, bias, scanned = self.approximate.search(asked, count)
        else:
            positions, bias, scanned = top_keys(asked, self.k, count), None, self.k.nbytes
        part = over_chosen(asked, self.k, self.v, positions, scaling, bias)
        _, kv_heads, keys, dim = self.k.shape
        read = 2 * keys_read(positions, bias, kv_heads, keys) * dim * self.k.element_size() + scanned
        return Part(part.out.to(q.device), part.lse.to(q.device)), keys_seen(positions, bias), read
