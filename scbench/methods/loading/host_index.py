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

    def search(self, q: Tensor, count: int, apart: bool) -> tuple[Tensor, Tensor, list[int]]:
        """Positions and bias [query_heads, T, count], as `over_chosen` takes them, and the bytes read to find them: for
        each row if `apart`, else for all together."""
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

    def attend(self, q: Tensor, count: int, scaling: float, apart: bool) -> tuple[Part, list[int], list[int]]:
        """Attention of q [1, query_heads, T, head_dim] to the `count` keys that each row and query head retrieves.

        Returns it on q's device, the keys attended to and the bytes read: of each row if `apart`, else one sum.
        """
        asked = q.to(self.k.device)
        if self.approximate:
            positions, bias, scanned = self.approximate.search(asked, count, apart)
        else:
            positions, bias = top_keys(asked, self.k, count), None
            scanned = [self.k.nbytes] * (q.shape[2] if apart else 1)
        part = over_chosen(asked, self.k, self.v, positions, scaling, bias)
        _, kv_heads, keys, dim = self.k.shape
        row = 2 * dim * self.k.element_size()
        distinct = keys_read(positions, bias, kv_heads, keys, apart)
        read = [row * keys + scan for keys, scan in zip(distinct, scanned, strict=True)]
        return Part(part.out.to(q.device), part.lse.to(q.device)), keys_seen(positions, bias, apart), read
