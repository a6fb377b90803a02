"""Prompts and answers of several conversations in passes that all of them share, each computed as if it were alone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scbench.engines.alike import STEP
from scbench.kv import KVStore

if TYPE_CHECKING:
    from scbench.engines.conversation import Answers


@dataclass(frozen=True, slots=True)
class Part:
    """What one store adds to a pass: tokens `ids` announced to it, and the numbers of those whose logits are wanted."""

    store: KVStore
    ids: Sequence[int]
    positions: Sequence[int]
    rows: Sequence[int]


class Together:
    """A pass of several parts; what a model's attention asks in the place of a store.

    ids, positions, rows: of all parts, one after the other, and then filler, which attends to nothing; `wanted` of the
    rows are no filler. seconds: what each part's store took.
    """

    sealed = True

    def __init__(self, parts: Sequence[Part], multiple: int) -> None:
        """multiple: tokens and rows are filled up to one of it."""
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.rows: list[int] = []
        self.seconds = [0.0] * len(parts)
        self._stores: list[tuple[KVStore, slice]] = []
        for part in parts:
            start = len(self.ids)
            self._stores.append((part.store, slice(start, start + len(part.ids))))
            self.ids += part.ids
            self.positions += part.positions
            self.rows += [start + row for row in part.rows]
        self.wanted = len(self.rows)
        for column in (self.ids, self.positions, self.rows):
            column += column[-1:] * (-len(column) % multiple)

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scaling: float) -> Tensor:
        """As `KVStore.attend`."""
        out = torch.zeros_like(q)
        for number, (store, rows) in enumerate(self._stores):
            if rows.start == rows.stop:
                continue
            began = time.perf_counter()
            out[:, :, rows] = store.attend(layer, q[:, :, rows], k[:, :, rows], v[:, :, rows], scaling)
            self.seconds[number] += time.perf_counter() - began
        return out


def decode(answers: Sequence[Answers]) -> None:
    """Feed the prompts of all of `answers`, of conversations of one engine, and decode each to its end.

    Where the engine computes the rows of a pass alike whatever stands beside them (`Engine.rows_alike`), they share
    passes; elsewhere one is answered after the other.
    """
    for group in [answers] if answers and answers[0].engine.rows_alike else [[one] for one in answers]:
        for one, tokens, seconds in _passed([(one, one.prompts()) for one in group], generated=False):
            one.begin(tokens, seconds)
        while live := [one for one in group if one.live]:
            for one, tokens, seconds in _passed([(one, one.step()) for one in live], generated=True):
                one.take(tokens, seconds)


def _passed(parts: Sequence[tuple[Answers, Part]], *, generated: bool) -> Iterator[tuple[Answers, list[int], float]]:
    """The tokens that follow the rows of each part, and the seconds it took; parts share passes where they may.

    generated: whether it is generated tokens that are fed, not prompts.
    """
    engine = parts[0][0].engine
    for group in _groups(parts, engine.rows_alike):
        began = engine.clock()
        # The arithmetic of a row may depend on the number of rows where these are few, or no multiple of STEP.
        together = Together([part for _, part in group], STEP if engine.rows_alike else 1)
        tokens: Iterator[int] = iter(())
        if together.ids:
            logits = engine.forward(together, together.ids, together.positions, together.rows)
            tokens = iter(logits[: together.wanted].argmax(dim=-1).tolist())
        # What the stores did not take falls on all rows alike.
        rest = engine.clock() - began - sum(together.seconds)
        rows = sum(len(part.ids) for _, part in group)
        if generated:
            engine.counters.decode_steps += 1
            engine.counters.decode_tokens += rows
        else:
            engine.counters.prefill_tokens += rows
        for (one, part), own in zip(group, together.seconds, strict=True):
            yield one, [next(tokens) for _ in part.rows], own + rest * len(part.ids) / max(1, rows)


def _groups(parts: Sequence[tuple[Answers, Part]], most: int) -> Iterator[list[tuple[Answers, Part]]]:
    """`parts` in groups of at most `most` rows; what has more by itself is a group of its own."""
    group: list[tuple[Answers, Part]] = []
    for one, part in parts:
        if group and sum(len(other.ids) for _, other in group) + len(part.ids) > most:
            yield group
            group = []
        group.append((one, part))
    yield group
