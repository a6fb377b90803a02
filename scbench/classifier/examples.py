"""What the classifier learns from: contexts of training sessions, each token labelled by whether a question needs it.

A session's builder knows which characters of the context its questions rest on. A token of these is kept (label 1), and
so is a mark next to it, which parts it from its neighbours; all others are dropped (label 0). The classifier sees the
context alone, so that what it learns is how likely a token is to be needed by a question that it does not know.
(LLMLingua-2 distils the choice of a large language model instead.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from transformers import PreTrainedTokenizerBase

from scbench.errors import UserError
from scbench.methods.generation.token_classifier import CHUNK, affixes, chunk_stops, ends_chunk, tokens_of
from scbench.sessions import Session
from scbench.tasks import TASKS, Scale


@dataclass(frozen=True)
class Example:
    """A chunk of a context: token ids as the classifier takes them, and the label of each; None for special tokens."""

    task: str
    ids: tuple[int, ...]
    labels: tuple[int | None, ...]


def session(task: str, seed: int, number: int, tokens: int, turns: int, count: Callable[[str], int]) -> Session:
    """Session `number` of the stream `seed` with as many of `turns` turns as its builder finds room for.

    It is of the training half of the world: what an evaluation session is about never occurs in it (`Scale.split`).
    """
    while True:
        try:
            return TASKS[task].build(
                Scale(tokens=tokens, turns=turns, count=count, order="balanced", split="train"), seed, number
            )
        except (UserError, ValueError):
            if turns == 1:
                raise
            turns = turns * 3 // 4


def examples(session: Session, tokenizer: PreTrainedTokenizerBase) -> Iterator[Example]:
    """The chunks of the session's context, cut as the method cuts them."""
    before, after = affixes(tokenizer)
    ids, spans = tokens_of(tokenizer, session.context)
    needed = bytearray(len(session.context))
    for turn in session.turns:
        for start, stop in turn.evidence:
            needed[start:stop] = b"\1" * (stop - start)
    labels = _with_marks(
        [any(needed[start:stop]) for start, stop in spans],
        [not any(map(str.isalnum, session.context[start:stop])) for start, stop in spans],
    )
    stops = chunk_stops(
        [ends_chunk(session.context[start:stop]) for start, stop in spans], CHUNK - len(before) - len(after)
    )
    for start, stop in pairwise([0, *stops]):
        yield Example(
            session.task,
            (*before, *ids[start:stop], *after),
            (*[None] * len(before), *labels[start:stop], *[None] * len(after)),
        )


def _with_marks(needed: Sequence[bool], marks: Sequence[bool]) -> list[int]:
    """The labels of tokens that are `needed` or are marks next to one that is."""
    around = zip((False, *needed), needed, (*needed[1:], False), marks, strict=False)
    return [int(itself or (mark and (before or after))) for before, itself, after, mark in around]
