"""What the generators of code and papers share: a check of the scale, templates with slots, names of two pieces."""

import re
from collections.abc import Callable, Iterable
from functools import cache
from itertools import islice, tee
from typing import TypeVar

from scbench.errors import UserError
from scbench.tasks.base import Scale, Split, Task, belongs

_SLOT = re.compile(r"<([a-z]+)>")
T = TypeVar("T")


def require_mini(task: Task, scale: Scale, corpus: str) -> None:
    """Raise UserError unless `scale` is one that can be generated; `corpus` names what it is made from otherwise."""
    if scale.name != "mini":
        raise UserError(
            f"{task.name}: data.scale {scale.name!r} is made from {corpus}, and none are given; name yours "
            "(docs/corpus.md), or set data.scale to 'mini'"
        )
    if scale.tokens is None or scale.tokens < task.min_tokens:
        raise UserError(
            f"{task.name}: data.tokens {scale.tokens} is too short a context; "
            f"set data.tokens to {task.min_tokens} or more"
        )
    if scale.turns < 1:
        raise UserError(f"{task.name}: data.turns {scale.turns} asks nothing; set data.turns to 1 or more")


def require_room(task: Task, scale: Scale, needed: int, found: int, things: str) -> None:
    """Raise UserError when a context holds `found` of the `needed` things that the turns ask about."""
    if found < needed:
        raise UserError(
            f"{task.name}: data.turns {scale.turns} needs {needed} {things}, but data.tokens {scale.tokens} holds "
            f"{found}; lower data.turns or raise data.tokens"
        )


def fill(template: str, **words: str) -> str:
    """`template` with each slot `<name>` replaced by the word of that name."""
    return _SLOT.sub(lambda slot: words[slot[1]], template)


def constants(templates: Iterable[str]) -> tuple[str, ...]:
    """The texts between the slots that deserve a token of their own: with a mark, a digit or three words in them.

    Shorter texts, such as " by the", are left to the words they consist of: as a phrase, they would cut words of other
    texts apart (" by them").
    """
    texts = dict.fromkeys(text for template in templates for text in _SLOT.split(template)[::2])
    return tuple(
        text
        for text in texts
        if len(parts := re.findall(r"[A-Za-z]+|[^A-Za-z ]", text)) > 2
        or (len(parts) == 2 and not all(part.isalpha() for part in parts))
    )


@cache
def composed(first: tuple[str, ...], second: tuple[str, ...], joint: str, split: Split) -> tuple[str, ...]:
    """All names `first + joint + second` of a split: its pieces are known to both splits, its names to one."""
    names = (f"{one}{joint}{other}" for one in first for other in second)
    return tuple(name for name in names if belongs(name, split))


def fitting(scale: Scale, items: Iterable[T], text: Callable[[T], str], budget: int) -> list[T]:
    """The longest prefix of `items` whose texts fit into `budget` tokens; no more items are drawn than needed."""
    texts, kept = tee(items)
    return list(islice(kept, len(scale.take(map(text, texts), budget))))
