"""A conversation kept as its tokens, for engines that are given a whole prompt and hold no store of ours.

Every answer is asked of the whole dialogue so far. What of it is computed is the engine's to say: the recurrent one
encodes all of it again, as the paper's authors do; vLLM finds its beginning in a cache of prefixes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from transformers import PreTrainedTokenizerBase

from scbench.engines.conversation import EngineCounters, TurnOutput
from scbench.methods import Method


@dataclass(frozen=True)
class Completion:
    """What an engine said after a prompt, and what it took; fields that `scbench.records` has too are explained there.

    token_ids: without the stop token. tokens_prefilled: prompt tokens computed, those found in a cache left out.
    """

    token_ids: tuple[int, ...]
    tokens_prefilled: int
    kv_bytes: int
    kv_bytes_dense: int
    keys_attended: int
    bytes_read: int
    prompt_seconds: float
    decode_seconds: float


class Completing(Protocol):
    """What a dialogue needs of an engine."""

    tokenizer: PreTrainedTokenizerBase
    counters: EngineCounters

    def complete(self, ids: Sequence[int], limit: int, stop_ids: Collection[int], *, first: bool) -> Completion:
        """Continue the prompt `ids` greedily until a token of `stop_ids` or `limit` tokens.

        first: whether a dialogue begins, in which nothing may be found that was computed before.
        """
        ...


@dataclass
class Transcript:
    """All tokens of a dialogue so far; stands where other conversations have a KV store."""

    method: Method
    ids: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        return len(self.ids)


class Dialogue:
    """The verbs of a `Conversation`, over tokens; nothing is computed before an answer is asked for."""

    turns_together = False

    def __init__(self, engine: Completing, method: Method) -> None:
        self._engine = engine
        self._fed = 0
        self._answered = False
        self.store = Transcript(method)

    def prefill(self, ids: Sequence[int], question: int = 0) -> None:
        """The next tokens of the first prompt; the last `question` of them are not context."""
        self.append(ids)

    def seal(self) -> None:
        """End the first prompt."""

    def append(self, ids: Sequence[int]) -> None:
        """Tokens after those before."""
        self.store.ids += ids
        self._fed += len(ids)

    def answer(self, limit: int, stop_ids: Collection[int]) -> TurnOutput:
        """Decode greedily until a stop token or `limit` tokens; the answer stays until rolled back."""
        if not self.store.ids:
            raise RuntimeError("nothing was fed before the answer")
        done = self._engine.complete(self.store.ids, limit, stop_ids, first=not self._answered)
        fed, self._fed, self._answered = self._fed, 0, True
        self.store.ids += done.token_ids
        counters, count = self._engine.counters, len(done.token_ids)
        counters.prefill_tokens += done.tokens_prefilled
        # The last token of an answer that reached its limit is never passed.
        counters.decode_steps += count - (count == limit)
        counters.decode_tokens += count - (count == limit)
        text = self._engine.tokenizer.decode(
            done.token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return TurnOutput(
            prediction=text,
            token_ids=done.token_ids,
            finish="length" if count == limit else "eos",
            new_tokens=count,
            prompt_tokens=fed,
            kv_bytes=done.kv_bytes,
            kv_bytes_dense=done.kv_bytes_dense,
            keys_attended=done.keys_attended,
            bytes_read=done.bytes_read,
            tokens_prefilled=done.tokens_prefilled,
            prompt_seconds=done.prompt_seconds,
            decode_seconds=done.decode_seconds,
        )

    def mark(self) -> int:
        """A point to roll back to."""
        return self.store.length

    def rollback(self, mark: int) -> None:
        """Forget everything fed and generated since `mark`."""
        del self.store.ids[mark:]

    def fork(self, method: Method | None = None, total: int | None = None) -> Dialogue:
        """A dialogue that goes on from here by itself, `total` being what its first prompt will have."""
        twin = Dialogue(self._engine, method or self.store.method)
        twin.append(self.store.ids)
        return twin

    def close(self) -> None:
        """Forget the tokens."""
        self.store.ids = []
