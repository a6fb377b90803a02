"""How many sessions and turns there are: by the paper, by the published set's card, and as found in its files."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from scbench.places import ROOT

TABLE = ROOT / "resources" / "published" / "counts.csv"
TOTAL = "total"


class Counts(NamedTuple):
    """Sessions of a task, and turns in all of them."""

    sessions: int
    turns: int


@dataclass(frozen=True)
class Published:
    """A line of the paper's Table 2 (lengths in tokens, rounded there to thousands), and what the card says."""

    input_tokens: int
    output_tokens: int
    paper: Counts
    card: Counts


@dataclass(frozen=True)
class Disagreement:
    """A number that paper, card and files do not agree about. found: in the files; None where they were not read."""

    task: str
    quantity: str  # sessions | turns
    paper: int
    card: int
    found: int | None

    def sentence(self) -> str:
        """The disagreement in words, without the task."""
        found = "" if self.found is None else f", its files {self.found:,}"
        return f"{self.quantity}: the paper says {self.paper:,}, the published set's card {self.card:,}{found}"


@lru_cache(maxsize=1)
def published_counts() -> Mapping[str, Published]:
    """The table by task, in the paper's order, its own total last under TOTAL."""
    with open(TABLE, encoding="utf-8", newline="") as file:
        lines = [
            {name: value if name == "task" else int(value) for name, value in row.items()}
            for row in csv.DictReader(file)
        ]
    return {
        line["task"]: Published(
            line["paper_input"],
            line["paper_output"],
            Counts(line["paper_sessions"], line["paper_turns"]),
            Counts(line["card_sessions"], line["card_turns"]),
        )
        for line in lines
    }


def disagreements(found: Mapping[str, Counts] | None = None) -> list[Disagreement]:
    """Every number of sessions or turns on which the paper, the card and `found` differ, in the paper's order.

    found: what whole published files hold, of the tasks that were read.
    """
    listed = []
    for task, known in published_counts().items():
        read = (found or {}).get(task)
        for place, quantity in enumerate(Counts._fields):
            numbers = known.paper[place], known.card[place], None if read is None else read[place]
            if len({number for number in numbers if number is not None}) > 1:
                listed.append(Disagreement(task, quantity, *numbers))
    return listed
