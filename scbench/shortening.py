"""Sessions whose context a method has shortened, and how their prompts relate to those of the whole context."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

from scbench.prompts import EncodedSession
from scbench.sessions import Session, Span, Turn


def shortened(session: Session, kept: Sequence[Span]) -> Session:
    """The session with what lies in `kept` of its context, ascending and apart; its questions are untouched.

    Evidence of which a letter or digit was dropped is not evidence any more.
    """
    context = "".join(session.context[start:stop] for start, stop in kept)
    return replace(
        session, context=context, turns=tuple(_shortened(turn, session.context, kept) for turn in session.turns)
    )


def _shortened(turn: Turn, context: str, kept: Sequence[Span]) -> Turn:
    evidence = [_moved(span, context, kept) for span in turn.evidence]
    return replace(turn, evidence=() if None in evidence else tuple(evidence))


def _moved(span: Span, context: str, kept: Sequence[Span]) -> Span | None:
    """Where `span` stands in the shortened context; None where a letter or digit of it is missing."""
    first = bisect_right(kept, span[0], key=lambda other: other[1])
    place = sum(stop - start for start, stop in kept[:first])
    moved, reached = [], span[0]
    for start, stop in kept[first:]:
        low, high = max(start, span[0]), min(stop, span[1])
        if low >= high:
            break
        if any(map(str.isalnum, context[reached:low])):
            return None
        moved += [place + low - start, place + high - start]
        place, reached = place + stop - start, high
    return None if not moved or any(map(str.isalnum, context[reached : span[1]])) else (moved[0], moved[-1])


def related(short: EncodedSession, whole: EncodedSession, before: Session, after: Session) -> EncodedSession:
    """`short`, the encoding of the shortened session `after`, with what it lacks of `whole`, that of `before`."""
    evidence_kept = tuple(
        False if old.evidence and not new.evidence else kept
        for old, new, kept in zip(before.turns, after.turns, short.evidence_kept, strict=True)
    )
    lengths = [len(encoded.first) + encoded.dropped_tokens for encoded in (whole, short)]
    return replace(short, evidence_kept=evidence_kept, shortened_tokens=lengths[0] - lengths[1])
