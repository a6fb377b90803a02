"""Which words of a text a token classifier's probabilities keep: the selection rule of LLMLingua-2, without a model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

Span = tuple[int, int]

END_OF_TEXT = "<|endoftext|>"
"""A mark between documents, which is never kept, as published."""


class Word(NamedTuple):
    """A word of a text: characters [start, stop), `tokens` tokens of the classifier, the probability to be kept.

    forced: it is kept whatever the classifier says, and its probability is 1.
    """

    start: int
    stop: int
    tokens: int
    probability: float
    forced: bool = False


def words_of(text: str, spans: Sequence[Span], probabilities: Sequence[float], forced: Sequence[Span]) -> list[Word]:
    """The words of one chunk of `text`, from its tokens' character `spans` and probabilities, in the order of the text.

    A word's probability is the mean of its tokens'. A run of `forced` strings is a word of its own: of one token, or of
    none where it stands within a token of more.
    """
    whole = {position for start, stop in forced for position in range(start, stop)}
    words, covered = [], set()
    for group in _merged(text, spans, probabilities):
        places = range(group[0].start, max(token.stop for token in group))
        if not whole.issuperset(places):
            mean = sum(token.probability for token in group) / len(group)
            words.append(Word(places.start, places.stop, len(group), mean))
            covered.update(whole.intersection(places))
    words += [Word(start, stop, int(start not in covered), 1.0, True) for start, stop in forced]
    return sorted(words)


def _merged(text: str, spans: Sequence[Span], probabilities: Sequence[float]) -> Iterator[list[Word]]:
    """The tokens of each word; tokens of nothing but white space belong to none."""
    group: list[Word] = []
    end = 0  # of the letters and marks so far
    for (start, stop), probability in zip(spans, probabilities, strict=True):
        piece = text[start:stop]
        if not piece or piece.isspace():
            continue
        if group and not _continues(text, end, start + len(piece) - len(piece.lstrip())):
            yield group
            group = []
        group.append(Word(start, stop, 1, probability))
        end = stop - len(piece) + len(piece.rstrip())
    if group:
        yield group


def _continues(text: str, end: int, start: int) -> bool:
    """Whether a token from `start` on belongs to the word whose last token ends at `end`.

    It does where letters or digits join, so that white space (SentencePiece's underline) and marks part words. Of
    ideographs, which nothing parts, each token is a word. Tokens of one character's bytes overlap.
    """
    if start < end:
        return True
    return start == end and text[start - 1].isalnum() and text[start].isalnum() and not _ideograph(text[start])


def _ideograph(letter: str) -> bool:
    return "\u3400" <= letter <= "\u9fff"


def forced_runs(text: str, force: Iterable[str]) -> list[Span]:
    """Where strings of `force` stand in `text`; those without anything between them are one run."""
    strings = sorted(force, key=len, reverse=True)
    if not strings:
        return []
    return [match.span() for match in re.finditer(f"(?:{'|'.join(map(re.escape, strings))})+", text)]


def chosen(words: Sequence[Word], rate: float) -> list[bool]:
    """Whether each word of a chunk is kept, 0 < rate < 1.

    The threshold is a percentile of the words' probabilities, each counted once a token: as published the whole percent
    above 100 (1 - rate). Kept is what lies above it, and where nothing does, what is most probable.
    """
    if not words:
        return []
    probabilities = [word.probability for word in words]
    counted = np.repeat(probabilities, [word.tokens for word in words])
    threshold = np.percentile(counted, int(100 * (1 - rate) + 1))
    top = max(probabilities)
    return [probability > threshold or (top <= threshold and probability == top) for probability in probabilities]


def kept_spans(text: str, words: Sequence[Word], stays: Sequence[bool]) -> list[Span]:
    """The character ranges of `text` that are left when of its `words` only those stay, ascending and apart.

    White space between words goes with the one after it, and two words that any white space parted stay apart. A forced
    run that no kept word parts from the same run before is dropped: lines without a word leave no empty lines.
    """
    mask = bytearray(len(text))
    reached, end, last = 0, 0, ""
    for word, stay in zip(words, stays, strict=True):
        start = word.start if word.forced else min(word.start, reached)
        reached = max(reached, word.stop)
        if not stay or (word.forced and text[start : word.stop] == last):
            continue
        last = text[start : word.stop] if word.forced else ""
        mask[start : word.stop] = b"\1" * (word.stop - start)
        if text[end - 1 : end].isalnum() and text[start].isalnum():
            gap = next((place for place in reversed(range(end, start)) if text[place].isspace()), None)
            if gap is not None:
                mask[gap] = 1
        end = max(end, word.stop)
    for match in re.finditer(re.escape(END_OF_TEXT), text):
        mask[slice(*match.span())] = bytes(len(END_OF_TEXT))
    return [match.span() for match in re.finditer(b"\1+", mask)]
