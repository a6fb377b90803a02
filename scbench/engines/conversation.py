"""One session with one method: the verbs that the modes are written in, and what each answer took."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Literal, Protocol

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from scbench.engines.assembly import Assembler
from scbench.engines.chunks import ChunkCache
from scbench.engines.rotary import Rotary
from scbench.engines.together import Part, Together
from scbench.kv import Counters, KVShape, KVStore, Mark
from scbench.methods import Method


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
    prefill_chunk: int

    @property
    def rotary(self) -> Rotary: ...

    def over_heads(self, sums: Tensor) -> Tensor: ...

    @property
    def rows_alike(self) -> int:
        """Up to how many rows of a pass are computed alike whatever stands beside them (`scbench.engines.alike`)."""
        ...

    def forward(
        self,
        store: KVStore | Together,
        ids: Sequence[int],
        position: int | Sequence[int],
        rows: Sequence[int] | None = None,
    ) -> Tensor: ...


@dataclass(frozen=True)
class TurnOutput:
    """One answer. Fields that `scbench.records` also has are explained there.

    token_ids: the answer without its end token. prompt_seconds: everything fed since the answer before; a conversation
    that was forked counts the shared prefill in full. Of a pass that was shared, what a store took is its answers' own,
    and the rest is shared out by tokens.
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
    """What was fed since the answer before; prefilled: what the store had counted when that began."""

    tokens: int = 0
    seconds: float = 0.0
    prefilled: int = 0


@dataclass(slots=True)
class _Fed:
    """What an answer answers: tokens fed and the seconds that took, prompt tokens computed, and the bytes of KV then
    held by the store and by dense attention."""

    tokens: int
    seconds: float
    prefilled: int
    held: tuple[int, int]


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
        step = max(1, len(ids)) if self.store.method.whole_prompt else self._engine.prefill_chunk
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
        """Whether `ask_all` may be called (`Method.turns_together`)."""
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
            engine.counters.decode_steps += 1
            engine.counters.decode_tokens += 1
        reply.seconds = engine.clock() - began
        self._prompt = _Prompt(prefilled=before.tokens_prefilled)
        fed = _Fed(prompt.tokens, prompt.seconds, before.tokens_prefilled - prompt.prefilled, held)
        return _output(engine, reply, fed, store.counters.since(before))

    def ask_all(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], stop_ids: Collection[int], *, chained: bool
    ) -> Answers:
        """Announce several prompts; to feed them and find the answers is left to `scbench.engines.together.decode`.

        chained: each prompt continues the one before it, answers left out; else each follows what was fed so far.
        Until `Answers.finish` nothing else can be asked.
        """
        answers = Answers(self, prompts, limits, stop_ids, chained)
        self._prompt = _Prompt(prefilled=self.store.counters.tokens_prefilled)
        return answers

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
        chunk = self._engine.prefill_chunk
        self.store.method.assemble(Assembler(self._engine, self.store, self._collected, context, chunk))
        self._prompt.seconds += self._engine.clock() - began
        self._prompt.tokens += self.store.length
        return self._collected[self.store.length :]

    def _feed(self, ids: Sequence[int], announce: Callable[[int], int]) -> None:
        began = self._engine.clock()
        self.logits = self._engine.forward(self.store, ids, announce(len(ids)))[0]
        self._prompt.seconds += self._engine.clock() - began
        self._prompt.tokens += len(ids)
        self._engine.counters.prefill_tokens += len(ids)


class Answers:
    """The answers to several prompts of one conversation in the making, each in a branch of its store.

    live: the branches whose answers go on, for which the token before has to be fed.
    """

    def __init__(
        self,
        talk: Conversation,
        prompts: Sequence[Sequence[int]],
        limits: Sequence[int],
        stop_ids: Collection[int],
        chained: bool,
    ) -> None:
        """Part the store of `talk` into branches and announce the prompts (`Conversation.ask_all`)."""
        if talk.logits is None and not all(prompts[:1] if chained else prompts):
            raise RuntimeError("nothing was fed before the answer")
        self._before = talk.logits
        self.engine = talk._engine
        self.store = store = talk.store
        self.live: Sequence[int] = range(len(limits))
        self._prompts = prompts
        self._chained = chained
        self._stop_ids = stop_ids
        self._replies = [_Reply(limit) for limit in limits]
        self._mark, before = store.mark(), talk._prompt
        prefilled = store.counters.tokens_prefilled - before.prefilled
        self._branches, self._positions = store.branch([len(prompt) for prompt in prompts], chained, sum(limits))
        self._fed = [
            _Fed(len(prompt), 0.0, len(prompt), store.branch_bytes(branch)) for branch, prompt in enumerate(prompts)
        ]
        first = self._fed[0]
        self._fed[0] = _Fed(first.tokens + before.tokens, before.seconds, first.prefilled + prefilled, first.held)

    def prompts(self) -> Part:
        """All prompts, announced, of which the logits of the last tokens are wanted."""
        ends = accumulate(len(prompt) for prompt in self._prompts)
        rows = [end - 1 for prompt, end in zip(self._prompts, ends, strict=True) if prompt]
        return Part(self.store, [token for prompt in self._prompts for token in prompt], self._positions, rows)

    def begin(self, tokens: Sequence[int], seconds: float) -> None:
        """Begin with `tokens`, one for each prompt that is not empty; feeding these took `seconds`."""
        computed, first = iter(tokens), []
        before = None if self._before is None else int(self._before.argmax())
        for prompt, fed in zip(self._prompts, self._fed, strict=True):
            fed.seconds += seconds * len(prompt) / max(1, len(self._positions))
            first.append(next(computed) if prompt else before)
            if self._chained:
                before = first[-1]
        self.take(first)

    def step(self) -> Part:
        """The last token of each live branch, announced to the store."""
        ids = [self._replies[branch].ids[-1] for branch in self.live]
        return Part(self.store, ids, self.store.grow(self.live), range(len(ids)))

    def take(self, tokens: Sequence[int], seconds: float = 0.0) -> None:
        """Go on with `tokens`, one for each live branch, all of which took `seconds`."""
        for branch in self.live:
            self._replies[branch].seconds += seconds / len(self.live)
        found = zip(self.live, tokens, strict=True)
        self.live = [branch for branch, token in found if self._replies[branch].goes_on(token, self._stop_ids)]

    def finish(self) -> list[TurnOutput]:
        """The answers, none of which goes on; the store forgets them and their prompts."""
        self.store.rollback(self._mark)
        costs = self._branches.counters
        return [
            _output(self.engine, reply, fed, cost)
            for reply, fed, cost in zip(self._replies, self._fed, costs, strict=True)
        ]


def _output(engine: Engine, reply: _Reply, fed: _Fed, cost: Counters) -> TurnOutput:
    text = engine.tokenizer.decode(reply.ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return TurnOutput(
        prediction=text,
        token_ids=tuple(reply.ids),
        finish="length" if len(reply.ids) == reply.limit else "eos",
        new_tokens=len(reply.ids),
        prompt_tokens=fed.tokens,
        kv_bytes=fed.held[0],
        kv_bytes_dense=fed.held[1],
        keys_attended=cost.keys_attended,
        bytes_read=cost.bytes_read,
        tokens_prefilled=fed.prefilled,
        prompt_seconds=fed.seconds,
        decode_seconds=reply.seconds,
    )
