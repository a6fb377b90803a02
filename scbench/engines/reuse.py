"""What a retrieval method saves and loses on prompts that share chunks, in whatever order the chunks stand.

In the benchmark's sessions the context stands at the front of every prompt, and a cache of prefixes would do. Here
prompts are made of the same chunks in new orders, where it does not:

    chunks = [ids[start : start + method.chunk] for start in range(0, len(ids), method.chunk)]
    reuse_in(engine, method, [sum(chunks, ()), sum(reversed(chunks), ())])
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING

import torch

from scbench.methods import Method
from scbench.methods.full import Full

if TYPE_CHECKING:
    from scbench.engines.transformers import TransformersEngine


@dataclass(frozen=True)
class Reuse:
    """One prompt, after those before it.

    tokens: its length; prefix_tokens: how many of them a cache of prefixes would have held, from the prompts before;
    chunk_tokens: encoded alone for it; chunk_tokens_reused: in chunks that were kept from before; recomputed_tokens:
    computed in place, through all layers; error: relative L2 distance of its keys and values, all layers together, from
    those of full attention.
    """

    tokens: int
    prefix_tokens: int
    chunk_tokens: int
    chunk_tokens_reused: int
    recomputed_tokens: int
    error: float


def reuse_in(engine: TransformersEngine, method: Method, prompts: Sequence[Sequence[int]]) -> list[Reuse]:
    """Encode `prompts` of token ids one after another with the retrieval method `method`, and each with full attention.

    What the engine kept of earlier prompts, those of other calls included, is reused.
    """
    return [_reuse(engine, method, prompt, prompts[:number]) for number, prompt in enumerate(prompts)]


def _reuse(
    engine: TransformersEngine, method: Method, prompt: Sequence[int], earlier: Sequence[Sequence[int]]
) -> Reuse:
    before = replace(engine.counters)
    ours = _encoded(engine, method, prompt)
    after = replace(engine.counters)
    exact = _encoded(engine, Full(budget=1.0), prompt)
    return Reuse(
        tokens=len(prompt),
        prefix_tokens=max((_common(prompt, other) for other in earlier), default=0),
        chunk_tokens=after.chunk_tokens - before.chunk_tokens,
        chunk_tokens_reused=after.chunk_tokens_reused - before.chunk_tokens_reused,
        recomputed_tokens=after.prefill_tokens - before.prefill_tokens,
        error=float((ours - exact).norm() / exact.norm()),
    )


def _encoded(engine: TransformersEngine, method: Method, prompt: Sequence[int]) -> torch.Tensor:
    """Keys and values that the prompt's store holds, [2 * layers, kv_heads, T, head_dim] in float64."""
    with closing(engine.start(method, len(prompt))) as talk:
        talk.prefill(prompt)
        return torch.cat([part for layer in range(engine.shape.layers) for part in talk.store.rows(layer)]).double()


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
