"""What the store hands to a method at each stage, and what it takes back.

A generation method sees each `Chunk` of the first prompt and chooses which keys its rows attend to; a compression
method sees each layer's `LayerKV` once, at `seal`, and returns what is `Kept`. Both act through objects that count, so
that a method's cost is the store's measurement and not the method's own claim. A retrieval method gets the whole first
prompt as an `Assembly`, which it puts together from chunks. A loading method may index each layer at `seal`, and sees
every later pass as a `Step`, where it chooses what the rows attend to.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from scbench.kv.banded import banded, banded_keys, causal_keys
from scbench.kv.dense import dense, dense_seeing
from scbench.kv.partial import Choice, Part, keys_read, keys_seen, merge, over_all, over_chosen
from scbench.kv.sparse_prefill import Blocks, Lines, attend


@dataclass(slots=True)
class Counters:
    """Work done so far; never rolled back. A fork goes on from its parent's, as if it had done that work itself.

    keys_attended: keys seen per KV head, summed over rows and layers, the first prompt included.
    bytes_read: KV bytes read by rows after the first prompt, metadata and index included; a pass reads each key once,
    and what it scans to choose keys counts besides.
    tokens_prefilled: prompt tokens computed, as often as they were; a pass that ended early counts in proportion to
    the layers it went through. Generated tokens are left out.
    """

    keys_attended: int = 0
    bytes_read: int = 0
    tokens_prefilled: int = 0

    def add(self, other: "Counters") -> None:
        """Count the work of `other` as well."""
        self.keys_attended += other.keys_attended
        self.bytes_read += other.bytes_read
        self.tokens_prefilled += other.tokens_prefilled

    def since(self, before: "Counters") -> "Counters":
        """The work done after these counters stood at `before`."""
        return Counters(
            self.keys_attended - before.keys_attended,
            self.bytes_read - before.bytes_read,
            self.tokens_prefilled - before.tokens_prefilled,
        )


@dataclass(slots=True)
class Chunk:
    """Rows [start, stop) of the first prompt in layer `layer` of `layers`, and every key up to `stop`.

    q [1, query_heads, stop - start, head_dim]; k, v [1, kv_heads, stop, head_dim], positions encoded; total: length of
    the whole first prompt; scaling: factor of q k^T. The verbs return [1, query_heads, stop - start, head_dim].
    """

    q: Tensor
    k: Tensor
    v: Tensor
    layer: int
    layers: int
    total: int
    scaling: float
    counters: Counters = field(repr=False)

    @property
    def start(self) -> int:
        return self.stop - self.q.shape[2]

    @property
    def stop(self) -> int:
        return self.k.shape[2]

    def dense(self) -> Tensor:
        """Every row attends to every key up to its own."""
        self.counters.keys_attended += causal_keys(self.start, self.stop)
        return dense(self.q, self.k, self.v, self.scaling)

    def banded(self, sink: int, local: int, dense_from: int | None = None) -> Tensor:
        """Row i attends to keys j <= i with j < sink or i - j < local; rows from position `dense_from` on to all."""
        edge = self.stop if dense_from is None else min(max(dense_from, self.start), self.stop)
        if edge == self.start:
            return self.dense()
        self.counters.keys_attended += banded_keys(self.start, edge, sink, local) + causal_keys(edge, self.stop)
        return banded(self.q, self.k, self.v, self.start, sink, local, self.scaling, edge)

    def check_whole(self) -> None:
        """Raise RuntimeError unless the chunk is the whole first prompt (`Method.whole_prompt` asks for that)."""
        if self.start or self.stop < self.total:
            raise RuntimeError(f"rows [{self.start}, {self.stop}) of {self.total}: this takes the prompt in one chunk")

    def sparse(self, masks: Sequence[Lines | Blocks]) -> Tensor:
        """Each query head's rows attend to the keys that its mask allows; `masks` hold every query head once.

        The mean over the query heads is counted. Raises RuntimeError unless the chunk is the whole first prompt.
        """
        self.check_whole()
        out = torch.empty_like(self.q)
        for mask in masks:
            out[:, mask.heads] = attend(self.q, self.k, self.v, mask, self.scaling)
        pairs = sum(int(mask.pairs.sum()) for mask in masks)
        self.counters.keys_attended += round(pairs / self.q.shape[1])
        return out


class Assembly(Protocol):
    """A first prompt that a retrieval method puts together from chunks, each encoded alone from position 0.

    A chunk's keys and values are a function of its tokens: kept from another prompt or computed now, they are the same
    bits. What the method leaves out at the end of the prompt is encoded exactly, over what is stored, after its hook.

    ids: the prompt's tokens; context: how many of them, from the first on, are context; a question may follow.
    """

    ids: Sequence[int]
    context: int

    def reuse(self, stops: Sequence[int]) -> int:
        """Store chunks that end at `stops`, ascending, the first beginning the prompt, moved to their positions.

        Returns how many tokens are stored: up to the last of `stops`, but never the prompt's last token.
        """
        ...

    def deviation(self, layer: int) -> Tensor:
        """How far the stored keys and values of `layer` are from the exact ones: [stored tokens], float32.

        A token's deviation is the L2 norm of the difference over all heads, keys and values together. It takes a pass
        through the layers below `layer` (the last layer, where a model has fewer); these and `layer` itself hold exact
        rows from then on.
        """
        ...

    def recompute(self, positions: Sequence[int]) -> None:
        """Compute the stored tokens at `positions`, ascending, in all layers: what results replaces what was stored.

        Each attends to what is stored up to its own position.
        """
        ...


class Packed(Protocol):
    """A method's own representation of positions, restored by each pass that reads them; `bytes` counts all of it.

    It never changes: where it is to grow, another takes its place.
    """

    @property
    def bytes(self) -> int: ...

    def before(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the packed positions, with exact rows [1, kv_heads, m, head_dim] behind them."""
        ...

    def absorb(self, keys: Tensor, values: Tensor) -> "Packed | None":
        """What takes the place of this and of all exact rows behind it, keys, values [1, kv_heads, m, head_dim].

        Asked after each pass over later tokens; None leaves everything as it is. It must not depend on how the rows
        were cut into passes, and all layers must decide alike.
        """
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """What remains of one layer: exact rows k, v [1, heads, n, head_dim] (heads is kv_heads, or query_heads where each
    query head chose its own), and a packed representation of others."""

    k: Tensor
    v: Tensor
    packed: Packed | None = None


@dataclass(frozen=True, slots=True)
class LayerKV:
    """Layer `layer` of `layers` with the whole first prompt, n tokens, as it stands at `seal`.

    k, v [1, kv_heads, n, head_dim]: views, valid during the hook; queries [1, query_heads, min(query_rows, n),
    head_dim]: the last query rows, as many as the method asked for, None where it asked for none.
    """

    layer: int
    layers: int
    k: Tensor
    v: Tensor
    queries: Tensor | None
    scaling: float

    @property
    def tokens(self) -> int:
        return self.k.shape[2]

    def keep(self, positions: Tensor | Sequence[int]) -> Kept:
        """Keep `positions`: [m] for every head alike, or [heads, m], heads being kv_heads or query_heads."""
        chosen = torch.as_tensor(positions, dtype=torch.long, device=self.k.device)
        if chosen.dim() == 1:
            return Kept(self.k.index_select(2, chosen), self.v.index_select(2, chosen))
        heads = torch.arange(chosen.shape[0], device=self.k.device)[:, None] * self.k.shape[1] // chosen.shape[0]
        return Kept(self.k[:, heads, chosen], self.v[:, heads, chosen])

    def pack(self, packed: Packed) -> Kept:
        """Keep `packed` in place of every row."""
        return Kept(self.k[:, :, :0], self.v[:, :, :0], packed)


class Index(Protocol):
    """What a loading method built of one layer at `seal`, to choose from later; never changed afterwards.

    bytes: all of it, rows that it took over included.
    """

    @property
    def bytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Sight:
    """What the T rows of a pass see of the last m rows, where that is not each up to its own (`scbench.kv.branches`).

    visible: boolean [T, m]; seen: how many of them each row sees. Every row before them is seen by all.
    """

    visible: Tensor
    seen: Sequence[int]


@dataclass(slots=True)
class Step:
    """T rows after the first prompt in layer `layer` of `layers`, and every row they may see.

    q [1, query_heads, T, head_dim]; k, v [1, heads, S, head_dim]: first the rows kept of the first prompt, `prompt` of
    them, then the appended ones, the last T being the rows' own; packed: positions in a method's own representation, in
    front of them; index: what the method's `index` returned for this layer; scaling: factor of q k^T; sight: which of
    the appended rows each row sees, None where all up to its own. The verbs return [1, query_heads, T, head_dim]; a
    method calls exactly one of them.

    counters: one for the pass; or one a row, where each row's cost is counted by itself, as if it were a pass alone.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    prompt: int
    layer: int
    layers: int
    packed: Packed | None
    index: Index | None
    scaling: float
    sight: Sight | None
    counters: Sequence[Counters] = field(repr=False)

    @property
    def rows(self) -> int:
        return self.q.shape[2]

    @property
    def apart(self) -> bool:
        """Whether each row's cost is counted by itself; what a verb is told of costs then is a list, by row."""
        return len(self.counters) == self.rows

    def dense(self) -> Tensor:
        """Every row attends to everything that is kept and to every appended row that it sees."""
        keys, values = self.k, self.v
        if self.packed:
            keys, values = self.packed.before(keys, values)
        self._count_resident(0, keys.shape[2] - self.k.shape[2], self.packed.bytes if self.packed else 0)
        if self.sight is None:
            return dense(self.q, keys, values, self.scaling)
        return dense_seeing(self.q, keys, values, self.sight.visible, self.scaling)

    def chosen(self, positions: Choice, scanned: int | Sequence[int], bias: Tensor | None = None) -> Tensor:
        """Row t of head h attends to the kept rows positions[h, t] and to every appended row that it sees.

        positions [heads, T, m], each in [0, prompt), or pages of them; heads is kv_heads, a choice for the whole group,
        or query_heads. scanned: bytes of the index that were read to choose; one number where they do not depend on the
        rows. bias [heads, T, m] in float32 is added to the logits; what stands at a bias of -inf is not attended to,
        and everything else is distinct within a row.
        """
        k, v = self.k[:, :, : self.prompt], self.v[:, :, : self.prompt]
        row = 2 * k.shape[3] * k.element_size()
        distinct = keys_read(positions, bias, k.shape[1], self.prompt, self.apart)
        scans = [scanned] * len(distinct) if isinstance(scanned, int) else scanned
        read = [row * count + scan for count, scan in zip(distinct, scans, strict=True)]
        self._count(keys_seen(positions, bias, self.apart), read)
        return merge([over_chosen(self.q, k, v, positions, self.scaling, bias), self._resident(self.prompt)])

    def with_resident(self, part: Part, keys: Sequence[int], read: Sequence[int]) -> Tensor:
        """Every row attends to what it would in `dense`, and to the keys that `part` holds the attention over.

        keys: how many those are per KV head; read: bytes that were read for them, index included; each by row if
        `apart`, else one sum over the rows.
        """
        self._count(keys, read)
        return merge([part, self._resident(0)])

    def _resident(self, first: int) -> Part:
        """Attention to the rows from `first` on; at least the rows' own are among them."""
        self._count_resident(first)
        visible = None if self.sight is None else self.sight.visible
        return over_all(self.q, self.k[:, :, first:], self.v[:, :, first:], self.scaling, visible)

    def _count_resident(self, first: int, packed: int = 0, packed_bytes: int = 0) -> None:
        """Count the rows from `first` on, and `packed` positions in `packed_bytes` before them: read, and attended to
        by each row that sees them."""
        keys, size = self.k.shape[2] - first, (self.k.nbytes + self.v.nbytes) // self.k.shape[2]
        seen: Sequence[int] = range(keys - self.rows + 1, keys + 1)
        if self.sight is not None:
            seen = [keys - self.sight.visible.shape[1] + count for count in self.sight.seen]
        if self.apart:
            self._count([packed + count for count in seen], [packed_bytes + size * count for count in seen])
        else:
            self._count([packed * self.rows + sum(seen)], [packed_bytes + size * keys])

    def _count(self, keys: Sequence[int], read: Sequence[int]) -> None:
        for counters, attended, bytes_read in zip(self.counters, keys, read, strict=True):
            counters.keys_attended += attended
            counters.bytes_read += bytes_read
