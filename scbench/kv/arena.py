"""Preallocated key and value rows of every layer, shared by a store and its forks without copying."""

from collections.abc import Sequence
from typing import Protocol
from weakref import WeakSet

import torch
from torch import Tensor

Rows = tuple[Tensor, Tensor]
"""Keys and values of one layer, each [1, heads, n, head_dim]."""


class Reader(Protocol):
    """A store that reads the first `tail` appended rows of an arena."""

    tail: int


class Arena:
    """Per layer one buffer [1, heads, base + room, head_dim] of keys and one of values.

    The first `base[layer]` rows are what a method kept of the first prompt (none before that) and never change; the
    `room` rows behind them take appended tokens. A row is overwritten only when no other reader can see it, so forks
    used one after another write into the same buffer, and two that write side by side part ways by `copy`.
    """

    def __init__(self, rows: Sequence[Rows], room: int, appended: int = 0) -> None:
        """Copy the `rows` of each layer, the last `appended` of them appended ones, and make room for `room` such."""
        self.room = room
        self.base = [keys.shape[2] - appended for keys, _ in rows]
        self.keys = [_extended(keys, room - appended) for keys, _ in rows]
        self.values = [_extended(values, room - appended) for _, values in rows]
        self.readers: WeakSet[Reader] = WeakSet()

    def may_write(self, reader: Reader, count: int) -> bool:
        """Whether `reader` may append `count` rows in place."""
        tail = reader.tail
        return tail + count <= self.room and all(other is reader or other.tail <= tail for other in self.readers)

    def may_replace(self, reader: Reader) -> bool:
        """Whether no other reader sees any row."""
        return all(other is reader for other in self.readers)

    def copy(self, tail: int, room: int) -> "Arena":
        """An arena of its own with the first `tail` appended rows of this one."""
        return Arena([self.read(layer, tail) for layer in range(len(self.base))], room, tail)

    def write(self, layer: int, tail: int, keys: Tensor, values: Tensor) -> Rows:
        """Put keys, values [1, kv_heads, T, head_dim] behind the first `tail` appended rows of `layer`.

        Returns views of every row up to and with the new ones. A buffer that holds more heads than arrive (selection
        per query head) takes each KV head once per query head of its group.
        """
        k, v = self.keys[layer], self.values[layer]
        repeats = k.shape[1] // keys.shape[1]
        if repeats > 1:
            keys, values = keys.repeat_interleave(repeats, dim=1), values.repeat_interleave(repeats, dim=1)
        start, count = self.base[layer] + tail, keys.shape[2]
        k.narrow(2, start, count).copy_(keys)
        v.narrow(2, start, count).copy_(values)
        return k.narrow(2, 0, start + count), v.narrow(2, 0, start + count)

    def replace(self, layer: int, positions: Tensor, keys: Tensor, values: Tensor) -> None:
        """Put keys, values [1, kv_heads, T, head_dim] into the appended rows `positions` [T] of `layer`."""
        rows = positions + self.base[layer]
        self.keys[layer].index_copy_(2, rows, keys)
        self.values[layer].index_copy_(2, rows, values)

    def read(self, layer: int, tail: int) -> Rows:
        """Views of the kept rows and the first `tail` appended rows of `layer`."""
        count = self.base[layer] + tail
        return self.keys[layer].narrow(2, 0, count), self.values[layer].narrow(2, 0, count)

    def bytes(self, tail: int) -> int:
        """Bytes of the rows in use, all layers; the room behind them is not counted."""
        return sum(part.nbytes for layer in range(len(self.base)) for part in self.read(layer, tail))


def _extended(rows: Tensor, more: int) -> Tensor:
    _, heads, count, dim = rows.shape
    buffer = torch.empty(1, heads, count + more, dim, dtype=rows.dtype, device=rows.device)
    buffer.narrow(2, 0, count).copy_(rows)
    return buffer
