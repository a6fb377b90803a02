"""One session with one method: the verbs that the modes are written in, and what each answer took."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Literal, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from scbench.engines.assembly import Assembler
from scbench.engines.chunks import ChunkCache
from scbench.engines.rotary import Rotary
from scbench.kv import Counters, KVShape, KVStore, Mark
from scbench.methods import Method

CHUNK = 4096
"""Tokens of one forward pass over a first prompt, at most: bounds the activations of long ones."""


@dataclass(slots=True)
class EngineCounters:
    """Work of an engine over all sessions.

    dense_prefills: exact encodings begun from an empty store, each of which all methods that start dense can share;
    dense_prefill_tokens: tokens of first prompts computed exactly; prefill_tokens: all prompt tokens computed in place;
    chunk_tokens: tokens of chunks encoded alone; chunk_tokens_reused: tokens of chunks that were kept from before;
    decode_steps: forward passes of generated tokens, one of each answer that shares the pass; decode_tokens: these
    tokens. (The last token of an answer that reached its limit is never passed.)
    """

    dense_prefills: int = 0
    dense_prefill_tokens: int = 0
    prefill_tokens: int = 0
    chunk_tokens: int = 0
    chunk_tokens_reused: int = 0
    decode_steps: int = 0
    decode_tokens: int = 0


class Engine(Protocol):
    """What a conversation needs of an engine."""

    tokenizer: PreTrainedTokenizerBase
    counters: EngineCounters
    clock: Callable[[], float]
    shape: KVShape
    chunks: ChunkCache

    @property
    def rotary(self) -> Rotary: ...

    def forward(
        self, store: KVStore, ids: Sequence[int], position: int | Sequence[int], rows: Sequence[int] | None = None
    ) -> Tensor: ...


@dataclass(frozen=True)
class TurnOutput:
    """One answer. Fields that `scbench.records` also has are explained there.

    token_ids: the answer without its end token. prompt_seconds: everything fed since the answer before; a conversation
    that was forked counts the shared prefill in full. Of a pass that answers shared each has its share.
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


@dataclass(slots=True)
class _Reply:
    """An answer of at most `limit` tokens in the making."""

    limit: int
    ids: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def goes_on(self, token: int, stop_ids: Collection[int]) -> bool:
        """Take the next token; whether the one after it is wanted, for which this one has to be fed."""
        if token in stop_ids:
            return False
        self.ids.append(token)
        return len(self.ids) < self.limit


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

    @property
    def turns_together(self) -> bool:
        """Whether `answer_all` may be asked for (`Method.turns_together`)."""
        return self.store.method.turns_together

    def answer(self, limit: int, stop_ids: Collection[int]) -> TurnOutput:
        """Decode greedily until a stop token or `limit` tokens; the answer stays in the store until rolled back."""
        engine, store, prompt = self._engine, self.store, self._prompt
        if self.logits is None:
            raise RuntimeError("nothing was fed before the answer")
        held, before = (store.resident_bytes, store.dense_bytes), replace(store.counters)
        began = engine.clock()
        reply = _Reply(limit)
        while reply.goes_on(int(self.logits.argmax()), stop_ids):
            self.logits = engine.forward(store, reply.ids[-1:], store.append(1, generated=True))[0]
            self._count_pass(1)
        reply.seconds = engine.clock() - began
        self._prompt = _Prompt(prefilled_before=before.tokens_prefilled)
        cost = store.counters.since(before)
        return self._output(reply, prompt, before.tokens_prefilled - prompt.prefilled_before, held, cost)

    def answer_all(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], stop_ids: Collection[int], *, chained: bool
    ) -> list[TurnOutput]:
        """Answer several prompts as `answer` does, in passes that all of them share, and forget prompts and answers.

        chained: each prompt continues the one before it, answers left out; else each follows what was fed so far. The
        seconds of a pass are shared out, of the prompts' by their tokens, of the others equally.
        """
        engine, store, mark = self._engine, self.store, self.store.mark()
        fed, prefilled = self._prompt, store.counters.tokens_prefilled
        began = engine.clock()
        branches, positions = store.branch([len(prompt) for prompt in prompts], chained, sum(limits))
        logits = self._after(prompts, positions, chained)
        held = [store.branch_bytes(branch) for branch in range(len(prompts))]
        fed_at = engine.clock()
        replies = [_Reply(limit) for limit in limits]
        live: Sequence[int] = range(len(prompts))
        decoded_at = fed_at
        while True:
            tokens = zip(live, logits.argmax(dim=-1).tolist(), strict=True)
            live = [branch for branch, token in tokens if replies[branch].goes_on(token, stop_ids)]
            if not live:
                break
            last = [replies[branch].ids[-1] for branch in live]
            logits = engine.forward(store, last, store.grow(live), range(len(live)))
            self._count_pass(len(live))
            passed, decoded_at = decoded_at, engine.clock()
            for branch in live:
                replies[branch].seconds += (decoded_at - passed) / len(live)
        store.rollback(mark)
        self._prompt = _Prompt(prefilled_before=store.counters.tokens_prefilled)
        outputs = []
        for branch, (prompt, reply) in enumerate(zip(prompts, replies, strict=True)):
            count = len(prompt)
            own = _Prompt(count, (fed_at - began) * count / max(1, len(positions)))
            if branch == 0:
                own = _Prompt(count + fed.tokens, own.seconds + fed.seconds)
                count += prefilled - fed.prefilled_before
            outputs.append(self._output(reply, own, count, held[branch], branches.counters[branch]))
        return outputs

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
        self.logits = self._engine.forward(self.store, ids, announce(len(ids)))[0]
        self._prompt.seconds += self._engine.clock() - began
        self._prompt.tokens += len(ids)
        self._engine.counters.prefill_tokens += len(ids)

    def _after(self, prompts: Sequence[Sequence[int]], positions: Sequence[int], chained: bool) -> Tensor:
        """Feed the announced `prompts`; the logits after each, [len(prompts), vocabulary]."""
        ids = [token for prompt in prompts for token in prompt]
        ends = accumulate(len(prompt) for prompt in prompts)
        rows = [end - 1 for prompt, end in zip(prompts, ends, strict=True) if prompt]
        computed = iter(self._engine.forward(self.store, ids, positions, rows) if ids else ())
        self._engine.counters.prefill_tokens += len(ids)
        before, after = self.logits, []
        for prompt in prompts:
            logits = next(computed) if prompt else before
            if logits is None:
                raise RuntimeError("nothing was fed before the answer")
            if chained:
                before = logits
            after.append(logits)
        return torch.stack(after)

    def _count_pass(self, tokens: int) -> None:
        self._engine.counters.decode_steps += 1
        self._engine.counters.decode_tokens += tokens

    def _output(
        self, reply: _Reply, prompt: _Prompt, tokens_prefilled: int, held: tuple[int, int], cost: Counters
    ) -> TurnOutput:
        text = self._engine.tokenizer.decode(reply.ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return TurnOutput(
            prediction=text,
            token_ids=tuple(reply.ids),
            finish="length" if len(reply.ids) == reply.limit else "eos",
            new_tokens=len(reply.ids),
            prompt_tokens=prompt.tokens,
            kv_bytes=held[0],
            kv_bytes_dense=held[1],
            keys_attended=cost.keys_attended,
            bytes_read=cost.bytes_read,
            tokens_prefilled=tokens_prefilled,
            prompt_seconds=prompt.seconds,
            decode_seconds=reply.seconds,
        )
