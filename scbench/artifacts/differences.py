"""How an answer differs from the gold, word by word: for a page in bold type, for a program in the marks of wdiff."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby
from typing import Literal

from scbench.artifacts.latex import NO_LIGATURE, Tex, escape

SHOWN = 240  # characters of an answer on a page
CHUNK = 20  # characters after which a longer word may be broken or cut
PREFIX = 3  # characters that two words must begin with alike for that to be said
_WIDE = "\u2e80-\uffdc\U00020000-\U0003ffff"  # scripts without spaces: each character stands alone
_WORD = re.compile(rf"[{_WIDE}]|[^\W{_WIDE}]+(?:'[^\W{_WIDE}]+)*|\S")
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn")
_CLOSING = set(".,;:!?)]}'\"")
_CUT = Tex(r"\,\ldots{}")
_OMITTED = Tex(r"{\tiny$\wedge$}")


@dataclass(frozen=True)
class Piece:
    """A word, a sign or a part of a long word; space: whether one stands before it.

    kind: `same` as in the gold, `other` than there, or `lacking`, of the gold alone.
    """

    text: str
    space: bool
    kind: Literal["same", "other", "lacking"] = "same"


def visible(text: str) -> str:
    """`text` on one line, single spaces; a character that controls or is none becomes its code, `U+001B`."""
    return "".join(
        f"U+{ord(char):04X}" if unicodedata.category(char) in _UNSEEN else char for char in " ".join(text.split())
    )


def compare_words(gold: str, said: str) -> list[Piece]:
    """The pieces of `said` and, where they would stand, those that the gold has and it lacks.

    Where one word stands for another, what both begin with is the same.
    """
    theirs, ours = _pieces(visible(gold)), _pieces(visible(said))
    matcher = SequenceMatcher(None, [piece.text for piece in theirs], [piece.text for piece in ours], autojunk=False)
    found: list[Piece] = []
    for tag, first, last, start, stop in matcher.get_opcodes():
        if tag == "equal":
            found += ours[start:stop]
        elif last - first == stop - start == 1:
            found += _one_for_one(theirs[first], ours[start])
        else:
            found += [Piece(piece.text, piece.space, "lacking") for piece in theirs[first:last]]
            found += [Piece(piece.text, piece.space, "other") for piece in ours[start:stop]]
    return found


def as_wdiff(pieces: Iterable[Piece]) -> str:
    """`{+what the gold does not have+}` and `[-what it has alone-]`, the rest as it is."""
    marks = {"same": ("", ""), "other": ("{+", "+}"), "lacking": ("[-", "-]")}
    text = ""
    for kind, run in groupby(pieces, key=lambda piece: piece.kind):
        own = list(run)
        inner = "".join((" " if piece.space else "") + piece.text for piece in own)
        space = " " if own[0].space else ""
        text += space + marks[kind][0] + inner[len(space) :] + marks[kind][1]
    return text.strip()


def as_tex(pieces: Iterable[Piece]) -> Tex:
    """What was said, at most SHOWN characters, cut between words: bold what the gold does not have, a wedge where it
    has more."""
    text = ""
    room = SHOWN
    for kind, run in groupby(_chunks(_without_replaced(pieces)), key=lambda piece: piece.kind):
        own = list(run)
        if kind == "lacking":
            text += _OMITTED
            continue
        kept = list(_fitting(own, room))
        room -= sum(len(piece.text) + piece.space for piece in kept)
        inner = "".join(_glue(piece) + escape(piece.text) for piece in kept[1:])
        if kept:
            inner = escape(kept[0].text) + inner
            text += (_glue(kept[0]) if text else "") + (rf"\textbf{{{inner}}}" if kind == "other" else inner)
        if len(kept) < len(own):
            return Tex(text.strip() + _CUT)
    return Tex(text.strip())


def plain_tex(text: str) -> Tex:
    """`text` on one line, cut and broken as `as_tex` does."""
    return as_tex(_pieces(visible(text)))


def _pieces(text: str) -> list[Piece]:
    """Words and single signs of a text with single spaces."""
    return [Piece(match[0], text[: match.start()].endswith(" ")) for match in _WORD.finditer(text)]


def _one_for_one(theirs: Piece, ours: Piece) -> Iterator[Piece]:
    """One word in place of another: what both begin with, what the gold goes on with, what was said instead."""
    length = 0
    while length < min(len(theirs.text), len(ours.text)) and theirs.text[length] == ours.text[length]:
        length += 1
    length = length if length >= PREFIX else 0
    if length:
        yield Piece(ours.text[:length], ours.space)
    if theirs.text[length:]:
        yield Piece(theirs.text[length:], theirs.space and not length, "lacking")
    if ours.text[length:]:
        yield Piece(ours.text[length:], ours.space and not length, "other")


def _without_replaced(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """`pieces` without what is lacking beside something else in its place: bold says that already."""
    runs = [(kind, list(run)) for kind, run in groupby(pieces, key=lambda piece: piece.kind)]
    for number, (kind, run) in enumerate(runs):
        following = runs[number + 1][0] if number + 1 < len(runs) else ""
        if kind != "lacking" or following != "other":
            yield from run


def _chunks(pieces: Iterable[Piece]) -> Iterator[Piece]:
    for piece in pieces:
        for start in range(0, len(piece.text), CHUNK):
            yield Piece(piece.text[start : start + CHUNK], piece.space and start == 0, piece.kind)


def _fitting(pieces: Iterable[Piece], room: int) -> Iterator[Piece]:
    for piece in pieces:
        room -= len(piece.text) + piece.space
        if room < 0:
            return
        yield piece


def _glue(piece: Piece) -> str:
    """A space, or a place where a line may break; either keeps signs from a ligature."""
    if piece.space:
        return " "
    return NO_LIGATURE if piece.text[0] in _CLOSING else r"\allowbreak{}"
