"""A first prompt put together from chunks: what a retrieval method acts through (`scbench.kv.Assembly`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from scbench.engines.chunks import Encoded, content, encode_alone
from scbench.kv import Counters, Ended, KVStore

if TYPE_CHECKING:
    from scbench.engines.conversation import Engine


class Assembler:
    """The verbs of `Assembly` over an engine and an empty store.

    Work is counted in the store as if no chunk had been kept from another prompt: each distinct chunk of this one is
    encoded once. So a result does not depend on what ran before; the engine counts what was saved.
    """

    def __init__(self, engine: Engine, store: KVStore, ids: Sequence[int], context: int, step: int) -> None:
        """A prompt `ids` for `store`, its first `context` tokens context, in passes of at most `step` tokens."""
        self.ids = ids
        self.context = context
        self._engine = engine
        self._store = store
        self._step = step
        self._counted: set[bytes] = set()

    def reuse(self, stops: Sequence[int]) -> int:
        for stop in stops:
            start = self._store.length
            self._place(self.ids[start:stop], start, min(stop, len(self.ids) - 1) - start)
        return self._store.length

    def deviation(self, layer: int) -> Tensor:
        store = self._store
        layer = min(layer, store.shape.layers - 1)
        before = [part.clone() for part in store.rows(layer)]
        for start in range(0, store.length, self._step):
            positions = range(start, min(start + self._step, store.length))
            store.replace(positions, until=layer)
            try:
                self._compute(positions)
            except Ended:
                continue
        squares = [
            (new.float() - old.float()).square().sum((0, 1, 3))
            for new, old in zip(store.rows(layer), before, strict=True)
        ]
        return self._engine.over_heads(squares[0] + squares[1]).sqrt()

    def recompute(self, positions: Sequence[int]) -> None:
        for start in range(0, len(positions), self._step):
            part = positions[start : start + self._step]
            self._store.replace(part)
            self._compute(part)
            self._engine.counters.prefill_tokens += len(part)

    def _place(self, ids: Sequence[int], start: int, count: int) -> None:
        """Store the first `count` tokens of the chunk `ids` from position `start` on."""
        chunk, device = self._encoded(ids), self._store.shape.device
        keys = self._engine.rotary.moved(chunk.keys.to(device), start)[:, None, :, :count]
        values = chunk.values.to(device)[:, None, :, :count]
        known = content(ids) in self._counted
        self._counted.add(content(ids))
        self._store.place(list(zip(keys, values, strict=True)), Counters() if known else chunk.cost)

    def _encoded(self, ids: Sequence[int]) -> Encoded:
        chunks, counters = self._engine.chunks, self._engine.counters
        chunk = chunks.get(ids)
        if chunk is not None:
            counters.chunk_tokens_reused += len(ids)
            return chunk
        chunk = encode_alone(self._engine, ids, self._step)
        counters.chunk_tokens += len(ids)
        chunks.put(ids, chunk)
        return chunk

    def _compute(self, positions: Sequence[int]) -> None:
        self._engine.forward(self._store, [self.ids[position] for position in positions], positions)
