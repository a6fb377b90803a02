"""Keys and values of chunks of text, kept from one prompt to the next by what the chunks say."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scbench.kv import Counters, KVStore
from scbench.methods.full import Full

if TYPE_CHECKING:
    from scbench.engines.conversation import Engine

CAPACITY = 2**31
"""Bytes of main memory that an engine keeps chunks in: what both modes and neighbouring sessions share of a context."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A chunk of T tokens at positions 0 .. T - 1 with nothing before it.

    keys, values [layers, kv_heads, T, head_dim] in main memory, positions encoded; cost: the work of encoding it.
    """

    keys: Tensor
    values: Tensor
    cost: Counters

    @property
    def bytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes


class ChunkCache:
    """Encoded chunks by their tokens; what was used longest ago goes first when `capacity` bytes are full."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.bytes = 0
        self._kept: OrderedDict[bytes, Encoded] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, ids: Sequence[int]) -> Encoded | None:
        """The chunk of tokens `ids`, if it is kept."""
        found = self._kept.get(key := content(ids))
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, ids: Sequence[int], chunk: Encoded) -> None:
        """Keep `chunk`, whose tokens are `ids` and which is not kept yet, if it fits at all."""
        if chunk.bytes > self.capacity:
            return
        self._kept[content(ids)] = chunk
        self.bytes += chunk.bytes
        while self.bytes > self.capacity:
            self.bytes -= self._kept.popitem(last=False)[1].bytes


def content(ids: Sequence[int]) -> bytes:
    """What names a chunk: its tokens themselves, so that no two chunks are ever taken for each other."""
    return array("q", ids).tobytes()


def encode_alone(engine: Engine, ids: Sequence[int], step: int) -> Encoded:
    """Encode the chunk `ids` from position 0 in passes of at most `step` tokens."""
    store = KVStore(engine.shape, Full(budget=1.0), len(ids), capacity=len(ids))
    for start in range(0, len(ids), step):
        part = ids[start : start + step]
        engine.forward(store, part, store.prefill(len(part)))
    keys, values = zip(*(store.rows(layer) for layer in range(engine.shape.layers)), strict=True)
    encoded = Encoded(torch.cat(keys).cpu(), torch.cat(values).cpu(), store.counters)
    store.close()
    return encoded
