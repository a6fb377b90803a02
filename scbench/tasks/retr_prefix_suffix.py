"""Retr.Prefix-Suffix: find the one string of a dictionary that has both a prefix and a suffix (paper, Table 3).

The published configuration reads "dictionary size 6000, len of string [65, 123)". A published row has 174,986 bytes,
about 25 a string beside quotes and comma, so [65, 123) must be the range of code points, `A` to `z`, and not a length.
"""

import random
from dataclasses import dataclass

from scbench.sessions import Session, Turn
from scbench.tasks.base import Scale, Split, Writer, belongs, spread, stream
from scbench.tasks.retr_kv import code

HEAD = "Dictionary = ["
QUESTION, MIDDLE = "Prefix: ", "; Suffix: "
QUESTION_END = ". The word with both prefix and suffix from the dict is"
PHRASES = (HEAD + '"', '"]', QUESTION, MIDDLE, QUESTION_END)

PAPER_WORDS = 6000
PAPER_AFFIX = 6
# Quote and backslash lie outside `A`..`z` but for the backslash, which would have to be escaped in the list.
ALPHABET = "".join(chr(point) for point in range(65, 123) if chr(point) != "\\")

Parts = tuple[str, str, str]  # prefix, middle, suffix


class _Mini:
    """Strings of three letter-digit pieces, each of one split alone; prefix and suffix are one piece each."""

    distractors = 1

    def __init__(self, split: Split) -> None:
        self._split = split

    def allows(self, parts: Parts) -> bool:
        return belongs("".join(parts), self._split)

    def affix(self, rng: random.Random) -> str:
        return code(rng)

    def middle(self, rng: random.Random) -> str:
        return code(rng)


class _Paper:
    """Strings of 12 to 38 characters from `A`..`z`; prefix and suffix of six."""

    distractors = 2

    def allows(self, parts: Parts) -> bool:
        return True

    def affix(self, rng: random.Random) -> str:
        return "".join(rng.choices(ALPHABET, k=PAPER_AFFIX))

    def middle(self, rng: random.Random) -> str:
        return "".join(rng.choices(ALPHABET, k=rng.randint(0, 26)))


def query(prefix: str, suffix: str) -> str:
    return f"{QUESTION}{prefix}{MIDDLE}{suffix}{QUESTION_END}"


def _words(rng: random.Random, count: int, targets: list[int], draw: _Mini | _Paper) -> list[Parts]:
    """`count` strings, distinct in (prefix, suffix); each target shares its prefix, and its suffix, with others."""
    taken: set[tuple[str, str]] = set()

    def word(prefix: str | None = None, suffix: str | None = None) -> Parts:
        while True:
            parts = (prefix or draw.affix(rng), draw.middle(rng), suffix or draw.affix(rng))
            if (parts[0], parts[2]) not in taken and draw.allows(parts):
                taken.add((parts[0], parts[2]))
                return parts

    chosen = {target: word() for target in targets}
    others = []
    for prefix, _, suffix in chosen.values():
        others += [word(prefix=prefix) for _ in range(draw.distractors)]
        others += [word(suffix=suffix) for _ in range(draw.distractors)]
    others = others[: count - len(targets)]
    others += [word() for _ in range(count - len(targets) - len(others))]
    rng.shuffle(others)
    return [chosen[place] if place in chosen else others.pop() for place in range(count)]


@dataclass(frozen=True)
class RetrPrefixSuffix:
    name: str = "retr_prefix_suffix"
    title: str = "Retr.Prefix-Suffix"
    category: str = "string"
    description: str = "Find the string with a given prefix and suffix in a large list"
    capability: str = "String retrieval"
    turns: int = 5
    subtasks: tuple[str, ...] = ("retr_prefix_suffix",)
    min_tokens: int = 40

    @property
    def max_new_tokens(self) -> dict[str, int]:
        return {"mini": 6, "paper": 150}

    def build(self, scale: Scale, seed: int, index: int) -> Session:
        """A list of strings that fills `scale.tokens` (paper scale without `tokens`: 6,000 strings)."""
        rng = stream(self.name, scale, seed, index)
        draw = _Paper() if scale.name == "paper" else _Mini(scale.split)
        if scale.tokens is None:
            count = PAPER_WORDS
        else:
            sample = '", "'.join(draw.affix(rng) + draw.middle(rng) + draw.affix(rng) for _ in range(16))
            count = int((scale.tokens - scale.count(f'{HEAD}""]')) * 16 / (scale.count(sample) + 1))
            count = max(count, 2 * scale.turns)
        targets = spread(rng, count, scale.turns, scale.order)
        words = _words(rng, count, targets, draw)
        text = Writer()
        text.add(HEAD)
        spans = []
        for number, parts in enumerate(words):
            text.add(", " if number else "")
            spans.append(text.add(f'"{"".join(parts)}"'))
        text.add("]")
        turns = tuple(
            Turn(query(words[target][0], words[target][2]), ("".join(words[target]),), self.name, (spans[target],))
            for target in targets
        )
        return Session(self.name, f"{self.name}-{index:05d}", text.text, turns)


RETR_PREFIX_SUFFIX = RetrPrefixSuffix()
