"""What the tasks that are not generated are made from: books, papers, labelled examples (`repositories` has code).

`scbench.corpus` reads them, from raw inputs or from a user's folder; the tasks turn them into sessions. Nothing here
knows where a document came from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from scbench.errors import UserError
from scbench.sessions import Span

D = TypeVar("D")


@dataclass(frozen=True)
class Question:
    """A question about a book. answers: all accepted; options: of a multiple choice; evidence: spans of the text."""

    text: str
    answers: tuple[str, ...]
    options: tuple[str, ...] = ()
    evidence: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Book:
    """A text and the questions of one session about it."""

    name: str
    text: str
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Paper:
    """A text and its reference summary; a paper without one stands among the others and is not asked about."""

    name: str
    text: str
    summary: str | None


@dataclass(frozen=True)
class Examples:
    """Labelled examples of one kind: (question with its options, letter of the right one)."""

    name: str
    items: tuple[tuple[str, str], ...]


def pick(task: str, documents: Sequence[D], index: int) -> D:
    """The document of session `index`. Raises UserError when there are fewer."""
    if index >= len(documents):
        raise UserError(
            f"{task}: data.sessions: session {index + 1} is asked for, but the documents make {len(documents)}; "
            f"set data.sessions to {len(documents)} or less"
        )
    return documents[index]


def groups(count: int, most: int) -> list[range]:
    """range(count) in as few runs of at most `most` as there can be, all of about one length."""
    number = -(-count // most)
    return [range(low, high) for low, high in pairwise(run * count // number for run in range(number + 1))]
