"""The KV cache of one session and its verbs.

prefill, place and replace, seal, append, branch and grow, attend, mark, rollback, fork, close.
"""

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from scbench.kv.arena import Arena, Rows
from scbench.kv.branches import Branches
from scbench.kv.dense import dense_at
from scbench.kv.hooks import Chunk, Counters, Index, Kept, LayerKV, Packed, Sight, Step

ROOM = 256
"""Rows of room for later tokens where the caller states no capacity, and the least an arena grows by."""


class Hooks(Protocol):
    """Where a method acts; `scbench.methods.base.Method` says what each hook may do."""

    @property
    def query_rows(self) -> int: ...

    def encode(self, chunk: Chunk) -> Tensor: ...

    def index(self, layer: LayerKV) -> Index | None: ...

    def compress(self, layer: LayerKV) -> Kept | None: ...

    def load(self, step: Step) -> Tensor: ...


@dataclass(frozen=True)
class KVShape:
    """What a model's cache looks like; `query_heads` is a multiple of `kv_heads`."""

    layers: int
    query_heads: int
    kv_heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device

    @property
    def dense_bytes_per_token(self) -> int:
        """Bytes of one token's keys and values in 16 bits, all layers."""
        return 2 * 2 * self.layers * self.kv_heads * self.head_dim


@dataclass(frozen=True, slots=True)
class Mark:
    """A point after `seal` to roll back to: `length` tokens into the session."""

    length: int


class Ended(Exception):
    """A pass has reached the layer that it was announced to end in (`KVStore.replace`)."""


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class _Past:
    """What a store held until packed representations took over its exact rows; kept while a mark can lead back to it.

    It held this from `since` to `length` tokens, in the end `tail` rows of the arena. A reader of the arena, so that no
    fork writes over rows that a rollback brings back.
    """

    since: int
    length: int
    tail: int
    arena: Arena
    packed: list[Packed | None]


@dataclass(frozen=True, slots=True)
class _Replacing:
    """A pass over stored tokens: their positions, also as an index on the device, and the layer that ends it."""

    positions: Sequence[int]
    index: Tensor
    until: int | None


class KVStore:
    """One session's keys and values under one method.

    The life of a store: `prefill` until the first prompt is complete, `seal` once, then `append`, `mark` and
    `rollback` at will. `prefill(n)` and `append(n)` announce the n tokens of the next forward pass and return their
    first position; that pass calls `attend` once per layer. Positions keep counting original tokens, whatever a method
    drops. Tokens of the first prompt may also be taken over with `place`, as they were encoded elsewhere, and computed
    once more with `replace`. Several continuations of the session may share their passes: `branch`, then `grow`, until
    a rollback ends them all. A verb at the wrong time raises RuntimeError.

    total: tokens of the first prompt; length: tokens so far; tail: those of them in the arena's appended rows.
    """

    def __init__(
        self, shape: KVShape, method: Hooks, total: int, capacity: int | None = None, query_rows: int | None = None
    ) -> None:
        """A store for a first prompt of `total` tokens.

        capacity: tokens to allocate for, first prompt included; exceeding it costs a copy. query_rows: last query rows
        to keep until `seal`, where forks will need more of them than `method` does.
        """
        self.shape = shape
        self.method = method
        self.total = total
        self.query_rows = method.query_rows if query_rows is None else query_rows
        self.length = 0
        self.tail = 0
        self.sealed = False
        self.counters = Counters()
        self._arriving = 0
        self._replacing: _Replacing | None = None
        self._branches: Branches | None = None
        self._sight: Sight | None = None
        self._paying = [self.counters]
        self._marks: set[Mark] = set()
        self._pasts: list[_Past] = []
        # The length at which the arena's appended rows begin.
        self._since = total
        self._scaling = [0.0] * shape.layers
        self._queries: list[Tensor | None] = [None] * shape.layers
        self._packed: list[Packed | None] = [None] * shape.layers
        self._indices: list[Index | None] = [None] * shape.layers
        self._capacity = max(total, total + ROOM if capacity is None else capacity)
        self._arena = self._empty(self._capacity)
        self._arena.readers.add(self)

    def prefill(self, count: int) -> int:
        """Announce the next `count` tokens of the first prompt; return the position of the first of them."""
        self._expect("prefill", count)
        self.counters.tokens_prefilled += count
        return self._announce(count)

    def place(self, rows: Sequence[Rows], cost: Counters) -> None:
        """Take over the next tokens of the first prompt: per layer keys, values [1, kv_heads, T, head_dim].

        Positions are encoded in the keys. cost: the work of encoding them, counted as this store's.
        """
        count = rows[0][0].shape[2]
        self._expect("place", count)
        self._announce(count)
        self._arriving = 0
        self.counters.add(cost)
        for layer, (keys, values) in enumerate(rows):
            self._arena.write(layer, self.tail - count, keys, values)

    def replace(self, positions: Sequence[int], until: int | None = None) -> None:
        """Announce a pass over the stored tokens at `positions`, ascending, of the first prompt.

        Their new keys and values take the place of the stored ones, layer by layer, and they attend densely to what is
        stored up to their own position. until: the layer in which `attend` ends the pass by raising `Ended`, once the
        keys and values of that layer are stored.
        """
        if self.sealed or not positions or positions[-1] >= self.length:
            raise RuntimeError(f"replace among {self.length} tokens, positions {positions[-1:]}, sealed: {self.sealed}")
        if not self._arena.may_replace(self):
            self._enter(self._arena.copy(self.tail, self._arena.room))
        layers, passed = self.shape.layers, self.shape.layers if until is None else until
        self.counters.tokens_prefilled += -(-len(positions) * passed // layers)
        self._arriving = len(positions)
        self._replacing = _Replacing(positions, torch.tensor(positions, device=self.shape.device), until)

    def append(self, count: int, *, generated: bool = False) -> int:
        """Announce `count` tokens after the first prompt; return the position of the first of them."""
        self._expect_later("append")
        if not generated:
            self.counters.tokens_prefilled += count
        return self._announce(count)

    def branch(self, counts: Sequence[int], chained: bool, room: int) -> tuple[Branches, list[int]]:
        """Part into branches with prompts of `counts` tokens, and announce these, branch after branch, for one pass.

        chained, room: see `Branches`. Returns the branches and the positions of the tokens. Only for a method whose
        `turns_together` says so.
        """
        self._expect_later("branch")
        branches = Branches(self.length, counts, chained, room, self.shape.device)
        positions, sight = branches.prompts()
        self.counters.tokens_prefilled += branches.rows
        self._announce(branches.rows)
        self._branches, self._sight = branches, None if chained else sight
        return branches, positions

    def grow(self, branches: Sequence[int]) -> list[int]:
        """Announce one generated token in each of `branches`; return their positions.

        What a token costs counts in its branch's counters, and in the store's when a rollback ends the branches.
        """
        parted = self._branches
        if parted is None:
            raise RuntimeError("grow without branches")
        self._announce(len(branches))
        positions, self._sight = parted.grow(branches)
        self._paying = [parted.counters[branch] for branch in branches]
        return positions

    def branch_bytes(self, branch: int) -> tuple[int, int]:
        """`resident_bytes` and `dense_bytes` of a store that held this branch alone."""
        parted = self._branches
        if parted is None:
            raise RuntimeError("branch_bytes without branches")
        others = parted.rows - parted.visible_rows(branch)
        resident = self._arena.bytes(self.tail - others) + self._aside_bytes
        return resident, parted.lengths[branch] * self.shape.dense_bytes_per_token

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scaling: float) -> Tensor:
        """Store the announced tokens' keys and values in `layer` and attend to what the method keeps.

        q [1, query_heads, T, head_dim]; k, v [1, kv_heads, T, head_dim], un-repeated, positions encoded; scaling:
        factor of q k^T. Returns [1, query_heads, T, head_dim].
        """
        count = q.shape[2]
        if count != self._arriving:
            raise RuntimeError(f"{count} tokens reached layer {layer}, {self._arriving} were announced")
        if self._replacing is not None:
            return self._replace(self._replacing, layer, q, k, v, scaling)
        keys, values = self._arena.write(layer, self.tail - count, k, v)
        if not self.sealed:
            self._scaling[layer] = scaling
            if self.query_rows:
                self._remember(layer, q)
            chunk = Chunk(q, keys, values, layer, self.shape.layers, self.total, scaling, self.counters)
            return self.method.encode(chunk)
        out = self.method.load(
            Step(
                q=q,
                k=keys,
                v=values,
                prompt=keys.shape[2] - (self.length - self._since),
                layer=layer,
                layers=self.shape.layers,
                packed=self._packed[layer],
                index=self._indices[layer],
                scaling=scaling,
                sight=self._sight,
                counters=self._paying,
            )
        )
        if layer == self.shape.layers - 1:
            self._absorb()
        return out

    def seal(self) -> None:
        """End the first prompt: here a method indexes, drops or packs, and later only what is packed may grow."""
        if self.sealed or self.length != self.total:
            raise RuntimeError(f"seal at {self.length} of {self.total} tokens, sealed: {self.sealed}")
        layers = [self._layer(layer) for layer in range(self.shape.layers)]
        self._indices = [self.method.index(layer) for layer in layers]
        kept = [self.method.compress(layer) for layer in layers]
        if any(part is not None for part in kept):
            rows = [(part.k, part.v) if part else self._arena.read(layer, self.tail) for layer, part in enumerate(kept)]
            self._packed = [part.packed if part else None for part in kept]
            self._enter(Arena(rows, self._capacity - self.length))
            self.tail = 0
        self._queries = [None] * self.shape.layers
        self._since = self.total
        self.sealed = True

    def mark(self) -> Mark:
        """A point to return to; only after `seal`."""
        self._expect_later("mark")
        mark = Mark(self.length)
        self._marks.add(mark)
        return mark

    def rollback(self, mark: Mark) -> None:
        """Drop every token after `mark`: what is stored is then bit-identical to what it was there."""
        if mark not in self._marks:
            raise RuntimeError(f"rollback to token {mark.length}, which is not a mark in this store's past")
        self._join()
        self._marks = {other for other in self._marks if other.length <= mark.length}
        while self._pasts and self._pasts[-1].length > mark.length:
            past = self._pasts.pop()
            self._enter(past.arena)
            self._packed, self._since, self.length, self.tail = past.packed, past.since, past.length, past.tail
        self.tail -= self.length - mark.length
        self.length = mark.length

    def fork(self, method: Hooks | None = None, total: int | None = None) -> "KVStore":
        """A store that goes on from here by itself; rows are shared until one side writes over what the other sees.

        Before `seal` the fork may take another method that has encoded these tokens alike, and another total length of
        a first prompt that begins with them. Its counters go on from this store's.
        """
        if self._branches is not None:
            raise RuntimeError("fork of a store in branches; roll back first")
        twin = copy.copy(self)
        if method is not None or total is not None:
            if self.sealed:
                raise RuntimeError("fork to another method or first prompt after seal")
            twin.method = method or self.method
            twin.total = self.total if total is None else total
            twin.query_rows = twin.method.query_rows
            if twin.query_rows > self.query_rows:
                raise RuntimeError(f"the fork needs {twin.query_rows} query rows, {self.query_rows} were kept")
        twin.counters = dataclasses.replace(self.counters)
        twin._paying = [twin.counters]
        twin._marks, twin._pasts = set(self._marks), list(self._pasts)
        twin._scaling, twin._queries = list(self._scaling), list(self._queries)
        twin._packed, twin._indices = list(self._packed), list(self._indices)
        self._arena.readers.add(twin)
        return twin

    def close(self) -> None:
        """Give up every row; no verb works afterwards."""
        self._enter(Arena([], 0))
        self._queries, self._packed, self._indices, self._pasts = [], [], [], []
        self.sealed, self.total = False, -1

    def rows(self, layer: int) -> Rows:
        """Keys and values that `layer` holds now, [1, heads, n, head_dim], packed positions restored and in front."""
        keys, values = self._arena.read(layer, self.tail)
        packed = self._packed[layer]
        return packed.before(keys, values) if packed else (keys, values)

    @property
    def resident_bytes(self) -> int:
        """Bytes that this store needs to go on, scales and other metadata included.

        Unused room is not counted, nor are rows that only a rollback would need again.
        """
        return self._arena.bytes(self.tail) + self._aside_bytes

    @property
    def dense_bytes(self) -> int:
        """Bytes of 16-bit dense KV of the same tokens."""
        return self.length * self.shape.dense_bytes_per_token

    @property
    def _aside_bytes(self) -> int:
        """Bytes of everything held besides rows of the arena."""
        packed = sum(part.bytes for part in (*self._packed, *self._indices) if part)
        return packed + sum(rows.nbytes for rows in self._queries if rows is not None)

    def _expect(self, verb: str, count: int) -> None:
        if self.sealed or self.length + count > self.total:
            raise RuntimeError(f"{verb} of {count} tokens at {self.length} of {self.total}, sealed: {self.sealed}")

    def _expect_later(self, verb: str) -> None:
        if not self.sealed:
            raise RuntimeError(f"{verb} before seal: the first prompt has not ended")
        if self._branches is not None:
            raise RuntimeError(f"{verb} in a store in branches; roll back first")

    def _join(self) -> None:
        """Leave the branches, if there are any."""
        for counters in self._branches.counters if self._branches else ():
            self.counters.add(counters)
        self._branches, self._sight, self._paying = None, None, [self.counters]

    def _announce(self, count: int) -> int:
        if not self._arena.may_write(self, count):
            self._enter(self._arena.copy(self.tail, max(self._arena.room, self.tail + count + ROOM)))
        self._replacing = None
        position = self.length
        self.tail += count
        self.length += count
        self._arriving = count
        return position

    def _absorb(self) -> None:
        packed = [part and part.absorb(*self._arena.read(layer, self.tail)) for layer, part in enumerate(self._packed)]
        if not all(packed):
            return
        if self._branches is not None:
            raise RuntimeError(f"{self.method}: what it packs grows along the turns; they cannot share passes")
        if any(mark.length >= self._since for mark in self._marks):
            past = _Past(self._since, self.length, self.tail, self._arena, self._packed)
            self._arena.readers.add(past)
            self._pasts.append(past)
        self._packed, self._since, self.tail = packed, self.length, 0
        self._enter(self._empty(ROOM))

    def _empty(self, room: int) -> Arena:
        shape = self.shape
        nothing = torch.empty(1, shape.kv_heads, 0, shape.head_dim, dtype=shape.dtype, device=shape.device)
        return Arena([(nothing, nothing)] * shape.layers, room)

    def _enter(self, arena: Arena) -> None:
        self._arena.readers.discard(self)
        self._arena = arena
        arena.readers.add(self)

    def _replace(self, again: _Replacing, layer: int, q: Tensor, k: Tensor, v: Tensor, scaling: float) -> Tensor:
        self._arena.replace(layer, again.index, k, v)
        if layer == again.until:
            raise Ended
        self.counters.keys_attended += sum(again.positions) + len(again.positions)
        return dense_at(q, *self._arena.read(layer, self.tail), again.positions, scaling)

    def _remember(self, layer: int, q: Tensor) -> None:
        kept = self._queries[layer]
        if kept is not None and q.shape[2] < self.query_rows:
            q = torch.cat([kept, q], dim=2)
        # A clone, so that the window does not keep the whole chunk's queries alive.
        self._queries[layer] = q[:, :, -self.query_rows :].clone()

    def _layer(self, layer: int) -> LayerKV:
        keys, values = self._arena.read(layer, self.tail)
        queries = self._queries[layer] if self.method.query_rows else None
        if queries is not None:
            queries = queries[:, :, -self.method.query_rows :]
        return LayerKV(layer, self.shape.layers, keys, values, queries, self._scaling[layer])
