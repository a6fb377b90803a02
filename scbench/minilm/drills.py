"""Drills: documents of random tokens that teach the two moves every task is made of, before and beside the tasks.

`repeat` follows a segment by itself: find a token, copy what came after it. `reverse` follows it by its mirror image:
find a token, copy what came before it. Without the second, the tasks that read backwards (from a suffix to the middle
of its string, from a value to the variable that holds it) stood still for a million tokens; with it they rise at once.
"""

import random
from collections.abc import Callable, Sequence

Drill = tuple[list[int], list[range]]  # token ids, and the positions that are asked for

# The second copy is asked for once its first tokens have told which segment, and which direction, it is.
KNOWN = 2


def _copies(rng: random.Random, pool: Sequence[int], length: int, copy: Callable[[list[int]], list[int]]) -> Drill:
    ids: list[int] = []
    asked: list[range] = []
    while (room := length - len(ids)) >= 12:
        segment = rng.sample(pool, min(rng.randrange(5, room // 2), len(pool)))
        ids += segment + copy(segment)
        asked.append(range(len(ids) - len(segment) + KNOWN, len(ids)))
    return ids, asked


def repeat(rng: random.Random, pool: Sequence[int], length: int) -> Drill:
    """Segments of distinct tokens of `pool`, each followed by itself, at most `length` tokens in all."""
    return _copies(rng, pool, length, list)


def reverse(rng: random.Random, pool: Sequence[int], length: int) -> Drill:
    """Segments of distinct tokens of `pool`, each followed by itself backwards, at most `length` tokens in all."""
    return _copies(rng, pool, length, lambda segment: segment[::-1])


DRILLS: dict[str, Callable[[random.Random, Sequence[int], int], Drill]] = {"repeat": repeat, "reverse": reverse}
# Made of text, not of random tokens: `scbench.minilm.thinned` and `scbench.minilm.retold`.
NAMING, FACTS, DEEDS = "naming", "facts", "deeds"
AFFIXES, KEYS, CLAIMS, PASS_KEYS = "affixes", "keys", "claims", "pass_keys"
ON_TEXTS = (NAMING, FACTS, DEEDS, AFFIXES, KEYS, CLAIMS, PASS_KEYS)
TEXT_DRILL_TOKENS = 32  # in half as many, some functions do not fit
KNOWN_DRILLS = (*DRILLS, *ON_TEXTS)
