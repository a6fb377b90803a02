"""Where the answers of a published session stand in its context; the published rows do not say."""

from scbench.sessions import Span


def located(context: str, *pieces: str) -> tuple[Span, ...]:
    """The spans of `pieces`, each of which must stand exactly once in `context`; () where one does not."""
    spans = []
    for piece in pieces:
        start = context.find(piece)
        if start < 0 or context.find(piece, start + 1) >= 0:
            return ()
        spans.append((start, start + len(piece)))
    return tuple(spans)
