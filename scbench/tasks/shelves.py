"""Shelves of papers that somebody wrote: the contexts of En.Sum and Mix.Sum+NIAH beyond mini scale."""

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from scbench.errors import UserError
from scbench.sessions import Span, Turn
from scbench.tasks import papers
from scbench.tasks.base import Scale, stream
from scbench.tasks.documents import Paper
from scbench.tasks.mini import fill
from scbench.tasks.mixing import Unit

PAPERS = 8  # a context (paper, Table 3)
_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")


@dataclass(frozen=True)
class Shelved:
    """Paper number `number` of a context, from 1."""

    number: int
    paper: Paper

    @property
    def units(self) -> list[Unit]:
        """A title and the paragraphs, keyed by (number, place)."""
        paragraphs = _BLANK_LINES.split(self.paper.text.strip())
        gap = papers.GAP if self.number > 1 else ""
        return [
            ((self.number, place), f"{papers.GAP if place else gap}{text}")
            for place, text in enumerate([f"Doc {self.number}", *paragraphs])
        ]

    def turn(self, spans: Mapping[Hashable, Span]) -> Turn:
        """The question for its summary; the evidence is all of it."""
        own = [spans[key] for key, _ in self.units]
        query = fill(papers.QUERY, number=str(self.number))
        return Turn(query, (self.paper.summary,), "en_sum", ((own[0][0], own[-1][1]),))


def shelves(count: int, summarised: int) -> int:
    """How many contexts `count` papers make, each with one at least of the `summarised` ones."""
    return min(-(-count // PAPERS), summarised)


def shelf(task: str, found: Sequence[Paper], scale: Scale, seed: int, index: int) -> list[Shelved]:
    """The papers of context number `index`: eight, or fewer where that spreads them better.

    Every paper with a summary stands in one of `shelves` contexts, drawn at random; then they are drawn anew.
    Raises UserError when no paper has a summary.
    """
    known = [paper for paper in found if paper.summary is not None]
    if not known:
        raise UserError(
            f"{task}: none of the {len(found)} papers has a reference summary; add them to the questions file"
        )
    number = shelves(len(found), len(known))
    rng = stream(f"{task}/shelf", scale, seed, index // number)
    others = [paper for paper in found if paper.summary is None]
    place = index % number
    drawn = [paper for kind in (known, others) for paper in rng.sample(kind, len(kind))[place::number]][:PAPERS]
    rng.shuffle(drawn)
    return [Shelved(number, paper) for number, paper in enumerate(drawn, start=1)]


def units(shelved: Iterable[Shelved]) -> list[Unit]:
    """All of them as units of a text."""
    return [unit for entry in shelved for unit in entry.units]


def summarised(shelved: Sequence[Shelved]) -> list[Shelved]:
    """Those that can be asked about."""
    return [entry for entry in shelved if entry.paper.summary is not None]
