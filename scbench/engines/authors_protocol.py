"""The published protocol, to measure ours against: one prefill per method and mode, turns one after the other, and
caches that grow by concatenation.

Written from a description of what the paper's authors run, for `scripts.compare_protocols`; no result of a study comes
from here. The model's code is ours, and so is the arithmetic of each method, with the same settings: what is compared
is the protocol alone. Where the published drivers repeat KV per query head or loop over heads in Python, this does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scbench.errors import UserError
from scbench.kv import Chunk, Counters, KVShape, LayerKV, Step
from scbench.methods import Method, parts_of
from scbench.prompts import EncodedSession

if TYPE_CHECKING:
    from scbench.engines.transformers import TransformersEngine

TOKEN_BY_TOKEN = ("kivi", "retrieval_attention")
"""Methods whose published driver feeds everything after the first prompt one token at a time."""


@dataclass
class Work:
    """Of sessions run by this protocol: prompt tokens computed, and forward passes of prompts and of one new token."""

    prefill_tokens: int = 0
    prompt_passes: int = 0
    decode_steps: int = 0


@dataclass
class _Layer:
    """Rows of one layer, [1, heads, n, head_dim]; `prompt` of them are what was kept of the first prompt."""

    keys: Tensor
    values: Tensor
    prompt: int
    packed: object = None
    index: object = None


@dataclass
class ConcatenatedCache:
    """What a model's attention asks for rows (`kv_store`): every pass copies a layer's rows into longer tensors."""

    shape: KVShape
    method: Method
    total: int
    counters: Counters = field(default_factory=Counters)

    def __post_init__(self) -> None:
        self.seen = 0
        self._layers: list[_Layer] = []

    def announce(self, count: int) -> list[int]:
        """Positions of the `count` tokens of the next pass."""
        self.seen += count
        return list(range(self.seen - count, self.seen))

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scaling: float) -> Tensor:
        """As `KVStore.attend`; the first pass is the whole first prompt."""
        if layer == len(self._layers):
            return self._first(layer, q, k, v, scaling)
        held = self._layers[layer]
        repeats = held.keys.shape[1] // k.shape[1]
        if repeats > 1:
            k, v = k.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
        held.keys, held.values = torch.cat([held.keys, k], dim=2), torch.cat([held.values, v], dim=2)
        step = Step(
            q=q,
            k=held.keys,
            v=held.values,
            prompt=held.prompt,
            layer=layer,
            layers=self.shape.layers,
            packed=held.packed,
            index=held.index,
            scaling=scaling,
            sight=None,
            counters=[self.counters],
        )
        return self.method.load(step)

    def drop(self, count: int) -> None:
        """Forget the last `count` tokens."""
        self.seen -= count
        for held in self._layers:
            rows = held.keys.shape[2] - count
            held.keys, held.values = held.keys[:, :, :rows], held.values[:, :, :rows]

    def _first(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scaling: float) -> Tensor:
        layers, rows = self.shape.layers, self.method.query_rows
        out = self.method.encode(Chunk(q, k, v, layer, layers, self.total, scaling, self.counters))
        whole = LayerKV(layer, layers, k, v, q[:, :, -rows:] if rows else None, scaling)
        index, kept = self.method.index(whole), self.method.compress(whole)
        keys, values = (kept.k, kept.v) if kept else (k, v)
        self._layers.append(_Layer(keys, values, keys.shape[2], kept.packed if kept else None, index))
        return out


def check_method(method: Method) -> None:
    """Raise UserError for a method that cannot be run by this protocol."""
    if method.assembles:
        raise UserError(
            f"{method.name}: the published protocol reuses no chunks, it shares prefixes alone; leave it out"
        )
    if not method.turns_together:
        raise UserError(
            f"{method.name}: the published protocol changes nothing that is held of earlier tokens; leave it out"
        )


def run_session(
    engine: TransformersEngine, session: EncodedSession, method: Method, work: Work
) -> list[tuple[int, ...]]:
    """The tokens of each answer, with golden history in multi-turn sessions; what it took is added to `work`."""
    check_method(method)
    cache = ConcatenatedCache(engine.shape, method, len(session.first))
    at_once = not set(parts_of(method.name)) & set(TOKEN_BY_TOKEN)
    first = _feed(engine, cache, session.first, work, at_once=True) if session.first else None
    answers = []
    for turn, (query, limit) in enumerate(zip(session.queries, session.max_new_tokens, strict=True)):
        follows = session.mode == "multi_turn" and turn > 0
        prompt = (session.answers[turn - 1] if follows else ()) + query
        logits = _feed(engine, cache, prompt, work, at_once) if prompt else first
        answer = _decode(engine, cache, logits, limit, session.stop_ids, work)
        answers.append(tuple(answer))
        fed = len(answer) - (len(answer) == limit)
        cache.drop(fed if session.mode == "multi_turn" else fed + len(prompt))
    return answers


def _feed(
    engine: TransformersEngine, cache: ConcatenatedCache, ids: Sequence[int], work: Work, at_once: bool
) -> Tensor:
    work.prefill_tokens += len(ids)
    passes = [ids] if at_once else [ids[n : n + 1] for n in range(len(ids))]
    for part in passes:
        logits = engine.forward(cache, part, cache.announce(len(part)))[0]
    work.prompt_passes += len(passes)
    return logits


def _decode(
    engine: TransformersEngine,
    cache: ConcatenatedCache,
    logits: Tensor,
    limit: int,
    stop_ids: frozenset[int],
    work: Work,
) -> list[int]:
    answer: list[int] = []
    while (token := int(logits.argmax())) not in stop_ids:
        answer.append(token)
        if len(answer) == limit:
            break
        logits = engine.forward(cache, [token], cache.announce(1))[0]
        work.decode_steps += 1
    return answer
