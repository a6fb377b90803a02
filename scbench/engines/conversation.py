"""One session with one method: the verbs that the modes are written in, and what each answer took."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from scbench.engines.assembly import Assembler
from scbench.engines.chunks import ChunkCache
from scbench.engines.rotary import Rotary
from scbench.kv import KVShape, KVStore, Mark
from scbench.methods import Method

CHUNK = 4096
"""Tokens of one forward pass over a first prompt, at most: bounds the activations of long ones."""


@dataclass(slots=True)
class EngineCounters:
    """Work of an engine over all sessions.

    dense_prefills: exact encodings begun from an empty store, each of which all methods that start dense can share;
    dense_prefill_tokens: tokens of first prompts computed exactly; prefill_tokens: all prompt tokens computed in place;
    chunk_tokens: tokens of chunks encoded alone; chunk_tokens_reused: tokens of chunks that were kept from before;
    decode_steps: forward passes of one generated token.
    """

    dense_prefills: int = 0
    dense_prefill_tokens: int = 0
    prefill_tokens: int = 0
    chunk_tokens: int = 0
    chunk_tokens_reused: int = 0
    decode_steps: int = 0


class Engine(Protocol):
    """What a conversation needs of an engine."""

    tokenizer: PreTrainedTokenizerBase
    counters: EngineCounters
    clock: Callable[[], float]
    shape: KVShape
    chunks: ChunkCache

    @property
    def rotary(self) -> Rotary: ...

    def forward(self, store: KVStore, ids: Sequence[int], position: int | Sequence[int]) -> Tensor: ...


@dataclass(frozen=True)
class TurnOutput:
    """One answer. Fields that `scbench.records` also has are explained there.

    token_ids: the answer without its end token. prompt_seconds: everything fed since the answer before; a conversation
    that was forked counts the shared prefill in full.
    """

    prediction: str
    token_ids: tuple[int, ...]
    finish: Literal["eos", "length"]
    new_tokens: int
    prompt_tokens: int
    kv_bytes: int
    kv_bytes_dense: int
    keys_attended: int
    bytes_read: int
    tokens_prefilled: int
    prompt_seconds: float
    decode_seconds: float


@dataclass(slots=True)
class _Prompt:
    """What was fed since the answer before."""

    tokens: int = 0
    seconds: float = 0.0
    prefilled_before: int = 0


class Conversation:
    """A store, the logits of the last token fed to it, and the engine that computes both."""

    def __init__(self, engine: Engine, store: KVStore) -> None:
        self._engine = engine
        self._prompt = _Prompt()
        self._collected: tuple[int, ...] = ()
        self.store = store
        self.logits: Tensor | None = None

    def prefill(self, ids: Sequence[int], question: int = 0) -> None:
        """Encode the next tokens of the first prompt; the last `question` of them are not context."""
        if self.store.method.assembles:
            ids = self._assemble(ids, question)
        counters, dense = self._engine.counters, self.store.method.starts_dense
        if dense and ids:
            counters.dense_prefills += self.store.length == 0
            counters.dense_prefill_tokens += len(ids)
        step = max(1, len(ids)) if self.store.method.whole_prompt else CHUNK
        for start in range(0, len(ids), step):
            self._feed(ids[start : start + step], self.store.prefill)

    def seal(self) -> None:
        """End the first prompt; the next answer's first token still comes from the logits before."""
        began = self._engine.clock()
        self.store.seal()
        self._prompt.seconds += self._engine.clock() - began

    def append(self, ids: Sequence[int]) -> None:
        """Feed tokens after the first prompt, in one pass."""
        if ids:
            self._feed(ids, self.store.append)

    def answer(self, limit: int, stop_ids: Collection[int]) -> TurnOutput:
        """Decode greedily until a stop token or `limit` tokens; the answer stays in the store until rolled back."""
        engine, store, prompt = self._engine, self.store, self._prompt
        if self.logits is None:
            raise RuntimeError("nothing was fed before the answer")
        kv_bytes, kv_bytes_dense = store.resident_bytes, store.dense_bytes
        keys_attended, bytes_read = store.counters.keys_attended, store.counters.bytes_read
        tokens_prefilled = store.counters.tokens_prefilled
        began = engine.clock()
        ids: list[int] = []
        while (token := int(self.logits.argmax())) not in stop_ids:
            ids.append(token)
            if len(ids) >= limit:
                break
            self.logits = engine.forward(store, (token,), store.append(1, generated=True))
        seconds = engine.clock() - began
        engine.counters.decode_steps += len(ids) - (len(ids) == limit)
        self._prompt = _Prompt(prefilled_before=tokens_prefilled)
        return TurnOutput(
            prediction=engine.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False),
            token_ids=tuple(ids),
            finish="length" if len(ids) == limit else "eos",
            new_tokens=len(ids),
            prompt_tokens=prompt.tokens,
            kv_bytes=kv_bytes,
            kv_bytes_dense=kv_bytes_dense,
            keys_attended=store.counters.keys_attended - keys_attended,
            bytes_read=store.counters.bytes_read - bytes_read,
            tokens_prefilled=tokens_prefilled - prompt.prefilled_before,
            prompt_seconds=prompt.seconds,
            decode_seconds=seconds,
        )

    def mark(self) -> tuple[Mark, Tensor | None]:
        """A point to roll back to."""
        return self.store.mark(), self.logits

    def rollback(self, mark: tuple[Mark, Tensor | None]) -> None:
        """Forget everything fed and generated since `mark`."""
        self.store.rollback(mark[0])
        self.logits = mark[1]

    def fork(self, method: Method | None = None, total: int | None = None) -> Conversation:
        """A conversation that goes on from here by itself (`KVStore.fork`)."""
        twin = copy.copy(self)
        twin.store, twin._prompt = self.store.fork(method, total), copy.copy(self._prompt)
        return twin

    def close(self) -> None:
        """Free the store's rows."""
        self.store.close()
        self.logits = None

    def _assemble(self, ids: Sequence[int], question: int) -> Sequence[int]:
        """Let the method put the first prompt together once all of it is there; return what is left to be encoded."""
        self._collected += tuple(ids)
        if len(self._collected) < self.store.total:
            return ()
        began = self._engine.clock()
        context = max(0, self.store.total - question)
        self.store.method.assemble(Assembler(self._engine, self.store, self._collected, context, CHUNK))
        self._prompt.seconds += self._engine.clock() - began
        self._prompt.tokens += self.store.length
        return self._collected[self.store.length :]

    def _feed(self, ids: Sequence[int], announce: Callable[[int], int]) -> None:
        began = self._engine.clock()
        self.logits = self._engine.forward(self.store, ids, announce(len(ids)))
        self._prompt.seconds += self._engine.clock() - began
        self._prompt.tokens += len(ids)
        self._engine.counters.prefill_tokens += len(ids)
