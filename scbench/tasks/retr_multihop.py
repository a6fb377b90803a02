"""Retr.MultiHop: trace a value through variable assignments in noise (RULER's variable tracking; paper, Table 3).

The paper's Table 3 says two chains, its text five, each asked about once; with five turns five chains are needed, and
that is what is built: one chain a turn, each of `HOPS` + 1 variables.
"""

import itertools
import random
import string
from dataclasses import dataclass
from functools import cache

from scbench.sessions import Session, Turn
from scbench.tasks.base import Scale, Split, Writer, belongs, stream
from scbench.tasks.retr_kv import code

HEAD = "Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n"
NOISE = ("The grass is green.", " The sky is blue.", " The sun is yellow.", " Here we go.", " There and back again.\n")
QUESTION = "Question: Find all variables that are assigned the value "
QUESTION_END = " in the text above."
PHRASES = (HEAD, *NOISE, "VAR ", " = ", " = VAR ", QUESTION, QUESTION_END)

HOPS = 2
PAPER_TOKENS = 124_000


def query(value: str) -> str:
    return f"{QUESTION}{value}{QUESTION_END}"


def _names(rng: random.Random, count: int, scale: Scale) -> list[str]:
    names: dict[str, None] = {}
    while len(names) < count:
        names["".join(rng.choices(string.ascii_uppercase, k=5)) if scale.name == "paper" else code(rng)] = None
    return list(names)


@cache
def _mini_values(split: Split) -> tuple[str, ...]:
    """The values that chains of one split start from; no chain of the other split does."""
    return tuple(value for value in map(str, range(1000, 10_000)) if belongs(value, split))


def _values(rng: random.Random, count: int, scale: Scale) -> list[str]:
    if scale.name == "paper":
        return [str(value) for value in rng.sample(range(10_000, 100_000), count)]
    return rng.sample(_mini_values(scale.split), count)


def _interleave(rng: random.Random, chains: list[list[str]]) -> list[tuple[int, str]]:
    """All statements in one random order that keeps each chain's own order, as (chain, statement)."""
    order = [number for number, chain in enumerate(chains) for _ in chain]
    rng.shuffle(order)
    left = [iter(chain) for chain in chains]
    return [(number, next(left[number])) for number in order]


@dataclass(frozen=True)
class RetrMultihop:
    name: str = "retr_multihop"
    title: str = "Retr.MultiHop"
    category: str = "string"
    description: str = "Trace a value through chains of variable assignments"
    capability: str = "String retrieval"
    turns: int = 5
    subtasks: tuple[str, ...] = ("retr_multihop",)
    min_tokens: int = 48

    @property
    def max_new_tokens(self) -> dict[str, int]:
        return {"mini": 10, "paper": 30}

    def build(self, scale: Scale, seed: int, index: int) -> Session:
        """`scale.turns` chains among noise sentences that fill `scale.tokens` (paper scale: 124,000 by default)."""
        rng = stream(self.name, scale, seed, index)
        chains = scale.turns
        names = _names(rng, chains * (HOPS + 1), scale)
        values = _values(rng, chains, scale)
        variables = [names[start : start + HOPS + 1] for start in range(0, len(names), HOPS + 1)]
        statements = [
            [f"VAR {row[0]} = {value}\n"] + [f"VAR {new} = VAR {old}\n" for old, new in itertools.pairwise(row)]
            for row, value in zip(variables, values, strict=True)
        ]
        # A statement that cuts into a line of noise takes a line break of its own besides.
        room = (
            (scale.tokens or PAPER_TOKENS)
            - scale.count(HEAD)
            - sum(scale.count(f"\n{statement}") for chain in statements for statement in chain)
        )
        costs = [scale.count(sentence) for sentence in NOISE]
        sentences, number = [], 0
        while room >= costs[number % len(NOISE)]:
            sentences.append(NOISE[number % len(NOISE)])
            room -= costs[number % len(NOISE)]
            number += 1
        cuts = sorted(rng.randint(0, len(sentences)) for _ in range(chains * (HOPS + 1)))

        text = Writer()
        text.add(HEAD)
        spans: list[list[tuple[int, int]]] = [[] for _ in range(chains)]
        written = 0
        for cut, (chain, statement) in zip(cuts, _interleave(rng, statements), strict=True):
            text.add("".join(sentences[written:cut]))
            if cut > written and not sentences[cut - 1].endswith("\n"):
                text.add("\n")
            written = cut
            spans[chain].append(text.add(statement))
        text.add("".join(sentences[written:]))
        asked = sorted(range(chains), key=lambda chain: spans[chain][0])
        if scale.order == "balanced":
            rng.shuffle(asked)
        turns = tuple(
            Turn(query(values[chain]), tuple(variables[chain]), self.name, tuple(spans[chain])) for chain in asked
        )
        return Session(self.name, f"{self.name}-{index:05d}", text.text, turns)


RETR_MULTIHOP = RetrMultihop()
