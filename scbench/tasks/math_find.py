"""Math.Find: the extreme values of a long list of integers (InfiniteBench's task, in the paper's Table 3)."""

import random
from dataclasses import dataclass

from scbench.sessions import Session, Turn
from scbench.tasks.base import Scale, belongs, stream

QUESTION = "You should answer with only one number, no other words. The "
QUESTION_END = " of the list is"
PHRASES = (
    QUESTION,
    QUESTION_END,
    "What is the ",
    *(f"{rank}{kind} number" for kind in ("largest", "smallest") for rank in ("", "second ", "third ")),
)

PAPER_NUMBERS, PAPER_HIGHEST = 30_000, 999
MINI_HIGHEST = 99
# As in the published rows: the order in which the six are asked.
TARGETS = tuple((rank, kind) for kind in ("largest", "smallest") for rank in range(3))
RANKS = ("", "second ", "third ")


def query(rank: int, kind: str) -> str:
    """The turn input; rank 0, 1, 2 for the first, second, third extreme value."""
    return f"{QUESTION}{RANKS[rank]}{kind} number{QUESTION_END}"


def _bounds(rng: random.Random, highest: int) -> tuple[int, int]:
    """Either end of the range is moved by up to a fifth, so that the answer is not always 0 or the highest number."""
    if rng.random() < 0.5:
        return 0, rng.randint(highest * 4 // 5, highest)
    return rng.randint(0, highest // 5), highest


@dataclass(frozen=True)
class MathFind:
    name: str = "math_find"
    title: str = "Math.Find"
    category: str = "global"
    description: str = "Find the extreme values of a long list of numbers"
    capability: str = "Global information processing"
    turns: int = 6
    subtasks: tuple[str, ...] = ("math_find",)
    min_tokens: int = 24

    @property
    def max_new_tokens(self) -> dict[str, int]:
        return {"mini": 4, "paper": 5}

    def build(self, scale: Scale, seed: int, index: int) -> Session:
        """A list of integers, written as Python writes it, that fills `scale.tokens` (paper: 30,000 numbers).

        At most six questions exist, so a session has min(6, scale.turns) turns.
        """
        rng = stream(self.name, scale, seed, index)
        highest = PAPER_HIGHEST if scale.name == "paper" else MINI_HIGHEST
        if scale.tokens is None:
            count = PAPER_NUMBERS
        else:
            sample = ", ".join(str(rng.randint(10, highest)) for _ in range(64))
            count = max(8, int((scale.tokens - 2) * 64 / scale.count(sample)))
        low, high = _bounds(rng, highest)
        # A third of the range never occurs, so that an answer cannot be guessed from its neighbour.
        allowed = sorted(rng.sample(range(low, high + 1), max(8, (high - low + 1) * 2 // 3)))
        numbers = allowed[:3] + allowed[-3:] + [rng.choice(allowed) for _ in range(count - 6)]
        rng.shuffle(numbers)
        # Whole lists are held out: their values are too few to be.
        while scale.name == "mini" and not belongs(str(numbers), scale.split):
            rng.shuffle(numbers)
        ordered = {"largest": allowed[::-1], "smallest": allowed}
        spans, position = {}, 1
        for number in numbers:
            spans.setdefault(number, (position, position + len(str(number))))
            position += len(str(number)) + 2
        targets = list(TARGETS[: min(scale.turns, len(TARGETS))])
        if scale.order == "balanced" or scale.split == "train":
            targets = rng.sample(TARGETS, len(targets))
        turns = tuple(
            Turn(
                query(rank, kind),
                (str(ordered[kind][rank]),),
                self.name,
                (spans[ordered[kind][rank]],),
            )
            for rank, kind in targets
        )
        return Session(self.name, f"{self.name}-{index:05d}", str(numbers), turns)


MATH_FIND = MathFind()
