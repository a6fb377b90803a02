"""Approximate search for the highest inner products: keys lie in clusters, and a query looks into the nearest ones.

The largest inner product is made the nearest neighbour: one more coordinate gives all keys the same norm, and queries
get 0 there (Bachrach et al., Speeding Up the Xbox Recommender System Using a Euclidean Transformation, 2014).
"""

from dataclasses import dataclass
from typing import Self

import faiss
import numpy as np
import torch
from torch import Tensor

faiss.omp_set_num_threads(1)  # one order of sums: a cluster, and so a result, does not depend on the machine's cores


@dataclass(frozen=True, slots=True)
class InvertedLists:
    """One index a KV head. faiss seeds its clustering with a constant."""

    heads: tuple[faiss.IndexIVFFlat, ...]

    @classmethod
    def of(cls, k: Tensor, lists: int, probes: int) -> Self:
        """Cluster the keys k [1, kv_heads, m, head_dim] of each head into min(lists, m) lists, m >= 1."""
        return cls(tuple(_index(keys, min(lists, k.shape[2]), probes) for keys in k[0].float().cpu()))

    @property
    def bytes(self) -> int:
        """Bytes of the keys in the lists with their numbers, and of the clusters' centres."""
        return sum(index.ntotal * (index.code_size + 8) + index.nlist * index.code_size for index in self.heads)

    def search(self, q: Tensor, count: int, apart: bool) -> tuple[Tensor, Tensor, list[int]]:
        """Positions and bias [query_heads, T, count], bias -inf where the lists hold fewer keys, and bytes read.

        q [1, query_heads, T, head_dim] on the CPU. A list is read once, however many rows look into it; `apart`: once
        for each row, whose bytes are then told by themselves.
        """
        _, query_heads, rows, dim = q.shape
        grouped = torch.nn.functional.pad(q.float().reshape(len(self.heads), -1, dim), (0, 1))
        found, scanned = [], [0] * (rows if apart else 1)
        for index, asked in zip(self.heads, grouped.numpy(), strict=True):
            distances, probed = index.quantizer.search(asked, index.nprobe)
            found.append(torch.from_numpy(index.search_preassigned(asked, count, probed, distances)[1]))
            by_row = probed.reshape(-1, rows, index.nprobe).transpose(1, 0, 2) if apart else [probed]
            for share, looked in enumerate(by_row):
                inside = sum(index.invlists.list_size(int(part)) for part in np.unique(looked))
                scanned[share] += (inside + index.nlist) * index.code_size
        positions = torch.stack(found).view(query_heads, rows, count)
        missing = positions < 0
        bias = torch.zeros(positions.shape).masked_fill_(missing, float("-inf"))
        return positions.clamp(min=0), bias, scanned


def _index(keys: Tensor, lists: int, probes: int) -> faiss.IndexIVFFlat:
    norms = keys.square().sum(dim=1)
    padded = torch.cat([keys, (norms.max() - norms).sqrt()[:, None]], dim=1).numpy()
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(padded.shape[1]), padded.shape[1], lists)
    index.cp.min_points_per_centroid = 1  # short prompts make small clusters; faiss would warn of them
    index.train(padded)
    index.add(padded)
    index.nprobe = min(probes, lists)
    return index
