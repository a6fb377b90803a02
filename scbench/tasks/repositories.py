"""Repositories as contexts: the code around the functions asked about, cut so that these stand evenly in it."""

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from scbench.errors import UserError
from scbench.sessions import Span
from scbench.tasks.base import Scale, spread
from scbench.tasks.functions import Function
from scbench.tasks.mixing import Unit

# How a line of comment begins: a file's path stands in one above the file.
COMMENTS = {"python": "#", "java": "//", "typescript": "//", "rust": "//", "cpp": "//", "go": "//", "php": "//"}
PAPER_TOKENS = 64_000
# No token has more characters than this on average: how far to look for what fills a budget.
CHARACTERS_A_TOKEN = 16


@dataclass(frozen=True)
class Described:
    """A function of a file, [start, stop) in characters; description: what it does, None where nobody says."""

    name: str
    start: int
    stop: int
    description: str | None = None


@dataclass(frozen=True)
class SourceFile:
    """A file as it is shown, and its outermost functions in their order."""

    path: str
    text: str
    functions: tuple[Described, ...]


@dataclass(frozen=True)
class Repository:
    """Files of one language, in the order they are shown."""

    name: str
    language: str
    files: tuple[SourceFile, ...]

    @cached_property
    def listing(self) -> "Listing":
        """The repository as one text."""
        return Listing(self)


class Listing:
    """A repository as one text, every file below a line with its path.

    functions: all functions, in characters of the whole text; needles: those that a question can mean: alone on their
    lines, and told from the others by name, description and code.
    """

    def __init__(self, repository: Repository) -> None:
        self._comment = COMMENTS[repository.language]
        self._starts: list[int] = []
        self._paths = [file.path for file in repository.files]
        self.functions: list[Described] = []
        parts: list[str] = []
        length = 0
        for file in repository.files:
            head, end = self._header(file.path), "" if file.text.endswith("\n") else "\n"
            self._starts.append(length)
            offset = length + len(head)
            self.functions += [replace(f, start=f.start + offset, stop=f.stop + offset) for f in file.functions]
            parts += [head, file.text, end]
            length = offset + len(file.text) + len(end)
        self.text = "".join(parts)
        self._lines = [self.lines(function) for function in self.functions]
        self.ellipsis = f"{self._comment} ...\n"
        self.needles = self._needles()

    def _needles(self) -> list[Described]:
        ends = [0, *(stop for _, stop in self._lines)]
        starts = [*(start for start, _ in self._lines[1:]), len(self.text)]
        described = [
            function
            for function, (start, stop), before, behind in zip(self.functions, self._lines, ends, starts, strict=False)
            if function.description is not None and before <= start and stop <= behind
        ]
        told_by: list[Callable[[Described], str]] = [lambda f: f.name, lambda f: f.description, self.code]
        counts = [(told, Counter(map(told, described))) for told in told_by]
        return [function for function in described if all(count[told(function)] == 1 for told, count in counts)]

    def code(self, function: Described) -> str:
        return self.text[function.start : function.stop]

    def lines(self, function: Described) -> Span:
        """The whole lines that `function` stands in."""
        start = self.text.rfind("\n", 0, function.start) + 1
        return start, self.text.index("\n", function.stop) + 1

    def units(self, start: int, stop: int) -> list[str]:
        """text[start:stop], whole lines, as lines; a function is one piece."""
        cuts, place = [start], start
        while (place := self.text.find("\n", place, stop) + 1) > 0:
            before = bisect_right(self._lines, (place, 0)) - 1
            if before < 0 or place >= self._lines[before][1]:
                cuts.append(place)
        return [self.text[low:high] for low, high in pairwise(cuts)]

    def next_line(self, place: int) -> int:
        """Where the first line at `place` or behind it begins."""
        return place if place in (0, len(self.text)) else self.text.index("\n", place - 1) + 1

    def break_at(self, place: int) -> str:
        """What shows that code was left out before `place`, and which file goes on there."""
        header = self._header(self._paths[bisect_right(self._starts, place) - 1])
        # A file that begins here brings its own header.
        return self.ellipsis if self.text.startswith(header, place) else f"{self.ellipsis}{header}"

    def _header(self, path: str) -> str:
        return f"{self._comment} Path: {path}\n"


def sample(
    task: str, rng: random.Random, repository: Repository, turns: int, scale: Scale, longest: int
) -> tuple[list[Function], list[Unit]]:
    """Up to `turns` functions, one from each equal slot of the repository's needles, and the code around them.

    The code is cut between functions and lines to `scale.tokens` (64,000 by default), so that the functions stand
    evenly in it as far as the repository allows. Functions come in the order of the context; their units have their
    names for keys, other units numbers. longest: tokens of the longest answer that can be decoded.

    Raises UserError when no function has a description, or none is short enough.
    """
    listing = repository.listing
    # Four characters a token are counted by default; code has rather three.
    needles = [found for found in listing.needles if scale.count(listing.code(found)) <= longest * 3 // 4]
    while needles:
        chosen = _choose(rng, needles, min(turns, len(needles)), len(listing.text))
        units = _excerpt(listing, chosen, scale)
        text = "".join(part for _, part in units)
        # Code may also stand within another function, where it was not counted.
        again = {found.name for found in chosen if text.count(listing.code(found)) > 1}
        if not again:
            return [Function(found.name, listing.code(found), found.description) for found in chosen], units
        needles = [found for found in needles if found.name not in again]
    raise UserError(
        f"{task}: {repository.name}: none of its {len(listing.functions)} {repository.language} functions can be asked "
        f"about: one needs a description that does not name it, and an answer of at most {longest * 3 // 4} tokens; "
        "supply descriptions in the questions file, or name another repository"
    )


def _choose(rng: random.Random, needles: Sequence[Described], turns: int, length: int) -> list[Described]:
    """`turns` of the needles in their order: each from the middle half of its slot, so that none are near each other.

    Where such a half has none, from slots of as many needles each.
    """
    quarter = length / turns / 4
    middles: list[list[Described]] = [[] for _ in range(turns)]
    for needle in needles:
        slot, place = divmod(needle.start, 4 * quarter)
        if quarter <= place < 3 * quarter:
            middles[int(slot)].append(needle)
    if all(middles):
        return [rng.choice(middle) for middle in middles]
    return [needles[place] for place in spread(rng, len(needles), turns, "published")]


def _excerpt(listing: Listing, chosen: Sequence[Described], scale: Scale) -> list[Unit]:
    """The functions with the code around them."""
    spans = [listing.lines(function) for function in chosen]
    budget = (scale.tokens or PAPER_TOKENS) - sum(scale.count(listing.text[low:high]) for low, high in spans)
    gaps = list(pairwise([0, *(place for span in spans for place in span), len(listing.text)]))[::2]
    numbers = iter(range(len(listing.text)))
    units: list[Unit] = []
    for number, (gap, room) in enumerate(zip(gaps, _rooms(listing, gaps, budget, scale), strict=True)):
        filling = _fill(listing, gap, room, scale, first=number == 0, last=number == len(chosen))
        units += [(next(numbers), text) for text in filling]
        if number < len(chosen):
            units.append((chosen[number].name, listing.text[slice(*spans[number])]))
    return units


def _rooms(listing: Listing, gaps: Sequence[Span], budget: int, scale: Scale) -> list[int]:
    """Tokens of each gap: shares of `budget`, half ones at both ends; what a short gap leaves goes to the others."""
    reach = max(budget, 0) * CHARACTERS_A_TOKEN
    rooms = [scale.count(listing.text[start : min(stop, start + reach)]) for start, stop in gaps]
    weights = dict.fromkeys(range(len(gaps)), 2) | {0: 1, len(gaps) - 1: 1}
    while True:
        share = budget / sum(weights.values()) if weights else 0
        short = [number for number, weight in weights.items() if rooms[number] <= share * weight]
        if not short:
            return [int(share * weights[number]) if number in weights else room for number, room in enumerate(rooms)]
        for number in short:
            budget -= rooms[number]
            del weights[number]


def _fill(listing: Listing, gap: Span, room: int, scale: Scale, first: bool, last: bool) -> list[str]:
    """What a gap shows: all of it, or its two ends (one at the ends of the context) within `room` tokens."""
    start, stop = gap
    reach = max(room, 0) * CHARACTERS_A_TOKEN
    if stop - start <= reach and scale.count(listing.text[start:stop]) <= room:
        return listing.units(start, stop)
    room -= scale.count(listing.break_at(stop))
    head: list[str] = []
    if not first:
        near = listing.units(start, listing.next_line(min(start + reach, stop)))
        head = scale.take(near, room if last else room // 2)
    if last:
        return [*head, listing.ellipsis]
    near = listing.units(listing.next_line(max(stop - reach, start)), stop)
    tail = scale.take(reversed(near), room - sum(map(scale.count, head)))[::-1]
    return [*head, listing.break_at(stop - sum(map(len, tail))), *tail]


def locate(context: str, functions: Iterable[Function], lines: Mapping[Hashable, Span]) -> dict[Hashable, Span]:
    """Where the code of each function stands in `context`, within its lines."""
    found: dict[Hashable, Span] = {}
    for function in functions:
        start = context.index(function.code, lines[function.name][0])
        found[function.name] = (start, start + len(function.code))
    return found
