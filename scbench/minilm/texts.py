"""What drills on texts are made with: texts of which some tokens are left out, and questions behind them.

A model has to learn several moves at once for the tasks on such texts: to see what a question asks for, to find where
the text holds it, and to read from there, often backwards and over a distance that differs, to the answer. What it can
do after the look-ups is to find a token and read what stands beside it. So most texts are thinned: of what is neither
asked for nor asked with, a share is shown, from nothing, where the answer stands beside what is asked with, to all, as
in the tasks. Without the thin ones some seeds stood still for two million tokens and longer.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from scbench.minilm.drills import Drill
from scbench.tasks import Scale

Ids = Sequence[int]


@dataclass(frozen=True)
class Texts:
    """What makes a drill from text. encode: the ids of a text's tokens; count: how many there are.

    tokens: of a text, about; length: of a text with its questions, of which there is one at least.
    """

    encode: Callable[[str], Ids]
    count: Callable[[str], int]
    tokens: int
    length: int

    def scale(self, rng: random.Random, times: int = 1) -> Scale:
        """Texts of `tokens` tokens or half as many, or `times` as many."""
        tokens = times * rng.choice((self.tokens // 2, self.tokens))
        return Scale(name="mini", tokens=tokens, turns=1, count=self.count, split="train")

    def drill(self, text: Iterable[int], questions: Iterable[tuple[Ids, Ids]]) -> Drill:
        """`text`, then as many of the (question, answer) as fit, one at least."""
        ids = [*text]
        asked: list[range] = []
        for question, answer in questions:
            if asked and len(ids) + len(question) + len(answer) > self.length:
                break
            ids += question
            asked.append(range(len(ids), len(ids) + len(answer)))
            ids += answer
        return ids, asked


def thin(rng: random.Random, ids: Ids, kept: Iterable[int], shown: float) -> list[int]:
    """`ids` with every one of `kept` where it stands first, and a share `shown` of all the rest."""
    waiting = set(kept)
    found = []
    for token in ids:
        if token in waiting or rng.random() < shown:
            waiting.discard(token)
            found.append(token)
    return found


def share(rng: random.Random) -> float:
    """How much a text shows: in a quarter of cases nothing, in another one all."""
    return max(0.0, min(1.0, rng.uniform(-0.5, 1.5)))
