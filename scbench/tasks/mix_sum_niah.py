"""Mix.Sum+NIAH: summaries and pass keys asked in turn over one shelf of papers (paper, Table 3).

The published set hides five pass keys; one question cannot tell them apart, so here each pass key has a name.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from scbench.errors import UserError
from scbench.sessions import Session, Span, Turn
from scbench.tasks import en_sum, papers, shelves
from scbench.tasks.base import Scale, spread, stream
from scbench.tasks.documents import Paper
from scbench.tasks.mini import composed, constants, fill, require_mini, require_room
from scbench.tasks.mixing import Unit, alternate, insert_evenly, shares, targets, write

NAMES = (
    tuple(
        "copper broken golden hidden silent wooden narrow frozen sunken dusty crimson ancient northern southern "
        "eastern western upper lower inner outer".split()
    ),
    tuple(
        "river gate tower vault cellar harbor bridge temple tunnel garden library chapel palace cottage stable "
        "fortress mill barn cave attic dungeon gallery kitchen pantry workshop foundry bakery brewery "
        "tavern museum".split()
    ),
)
SENTENCES = {
    "mini": " The pass key of the<name> is <number>. Remember it.",
    # The frame of InfiniteBench's pass key, with the name in it.
    "paper": " The pass key of the<name> is <number>. Remember it. <number> is the pass key of the<name>.",
}
QUERY = "What is the pass key of the<name>?"
NUMBERS = {"mini": range(1000, 10_000), "paper": range(10_000, 100_000)}
PHRASES = (*papers.PHRASES, *constants((SENTENCES["mini"], QUERY)))


@dataclass(frozen=True)
class Needle:
    """A named pass key: the sentence to hide (with the space in front), the question, the number."""

    sentence: str
    query: str
    number: str

    def turn(self, span: Span) -> Turn:
        """The question for it, hidden at `span`."""
        return Turn(self.query, (self.number,), "needle", (span,))


def needles(rng: random.Random, count: int, scale: Scale) -> list[Needle]:
    """`count` pass keys with distinct names and numbers: four digits at mini scale, five at paper scale.

    Raises UserError when there are fewer names.
    """
    names = composed(*NAMES, " ", scale.split)
    if count > len(names):
        raise UserError(
            f"mix_sum_niah: data.turns {scale.turns} needs {count} pass keys, but there are names for {len(names)}; "
            "lower data.turns"
        )
    drawn = zip(rng.sample(names, count), rng.sample(NUMBERS[scale.name], count), strict=True)
    words = [{"name": f" {name}", "number": str(number)} for name, number in drawn]
    return [Needle(fill(SENTENCES[scale.name], **w), fill(QUERY, **w), w["number"]) for w in words]


def with_needles(units: Sequence[Unit], hidden: Sequence[Needle]) -> list[Unit]:
    """`units` (sentences or paragraphs) with the pass keys evenly between them, under the keys ("needle", 0), ..."""
    return insert_evenly(units, [(("needle", number), needle.sentence) for number, needle in enumerate(hidden)])


@dataclass(frozen=True)
class MixSumNiah:
    name: str = "mix_sum_niah"
    title: str = "Mix.Sum+NIAH"
    category: str = "multi"
    description: str = "Summarise papers and find pass keys hidden between their sentences, in turn"
    capability: str = "Multi-tasking"
    turns: int = 8
    subtasks: tuple[str, ...] = ("en_sum", "needle")
    min_tokens: int = 96

    @property
    def max_new_tokens(self) -> dict[str, int]:
        return {"mini": 32, "paper": 800}

    def build(self, scale: Scale, seed: int, index: int, documents: Sequence[Paper] = ()) -> Session:
        """Documents and pass keys, one more than is asked for (five at eight turns), that fill `scale.tokens`.

        Of `documents`, eight whole papers with the pass keys between their paragraphs. Raises UserError at paper scale
        without any, and when there are fewer documents than summaries asked; a shelf of `documents` may have fewer.
        """
        if documents:
            return self._shelf(documents, scale, seed, index)
        require_mini(self, scale, "papers")
        rng = stream(self.name, scale, seed, index)
        summaries, lookups = shares(scale.turns)
        hidden = needles(rng, lookups + 1, scale)
        budget = scale.tokens - sum(scale.count(needle.sentence) for needle in hidden)
        documents = papers.shelf(rng, scale, summaries, budget)
        require_room(self, scale, summaries, len(documents), "documents")
        context, spans = write(with_needles(papers.units(documents), hidden))
        first, second = targets(rng, (len(documents), len(hidden)), scale)
        asked = [hidden[place].turn(spans["needle", place]) for place in second]
        turns = alternate(en_sum.turns([documents[place] for place in first], spans), asked)
        return Session(self.name, f"{self.name}-{index:05d}", context, tuple(turns))

    def _shelf(self, documents: Sequence[Paper], scale: Scale, seed: int, index: int) -> Session:
        rng = stream(self.name, scale, seed, index)
        summaries, lookups = shares(scale.turns)
        shelf = shelves.shelf(self.name, documents, scale, seed, index)
        hidden = needles(rng, lookups + 1, scale)
        context, spans = write(with_needles(shelves.units(shelf), hidden))
        known = shelves.summarised(shelf)
        first = spread(rng, len(known), min(summaries, len(known)), scale.order)
        # Where the shelf has fewer summaries than are wanted, the two kinds still take turns.
        second = spread(rng, len(hidden), min(lookups, len(first)), scale.order)
        asked = [hidden[place].turn(spans["needle", place]) for place in second]
        turns = alternate([known[place].turn(spans) for place in first], asked)
        return Session(self.name, f"{self.name}-{index:05d}", context, tuple(turns))


MIX_SUM_NIAH = MixSumNiah()
