"""ICL.ManyShot: classify after many labelled examples in the context (paper, Table 3: three tasks of BIG-Bench-Hard).

At mini scale each family keeps its parent's subject, but the label depends on knowledge that only the examples hold
(who plays where, which day a feast falls on, what a translator gets wrong), so that losing examples costs accuracy.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scbench.errors import UserError
from scbench.sessions import Session, Span, Turn
from scbench.tasks.base import Scale, Writer, belongs, spread, stream
from scbench.tasks.documents import Examples
from scbench.tasks.mini import require_mini
from scbench.tasks.retr_kv import code

LETTERS = "ABCDEFG"
PLAYERS = tuple(
    "Alice Bob Claire Dave Eve Fred Gertrude Hugo Irma Jonas Karin Leo Mona Nils Olga Pablo Rosa Sven Tilda Urs Vera "
    "Willem Xenia Yusuf Zoe".split()
)
FEAST_KINDS = tuple(
    "Amber Barley Cedar Dawn Ember Frost Harvest Iron Jade Lantern Meadow Night Ocean Pearl River Silver".split()
)
FEASTS = ("Day", "Eve", "Fair", "Feast", "Games", "March", "Vigil", "Week")

PAPER_SHOTS = 150
SESSIONS_A_CONTEXT = 18
SHOTS_A_KEY = 4


@dataclass(frozen=True)
class Family:
    """How one of the three kinds of item is written at mini scale: `{lead}{key}{tail} (C)`."""

    name: str
    head: str
    options: tuple[str, ...]
    tail: str
    draw: Callable[[random.Random], str]
    lead: Callable[[random.Random, str], str]

    def question(self, rng: random.Random, key: str) -> str:
        return f"{self.lead(rng, key)}{key}{self.tail}"


def _partner(rng: random.Random, key: str) -> str:
    return rng.choice([player for player in PLAYERS if player != key]) + " trades with "


FAMILIES = (
    Family(
        "tracking_shuffled_objects",
        "All matches start alike, then two players trade positions.\nOptions:\n",
        ("striker", "right winger", "left winger", "benchwarmer", "goalkeeper", "center midfielder", "cheerleader"),
        " and is playing",
        lambda rng: rng.choice(PLAYERS),
        _partner,
    ),
    Family(
        "date_understanding",
        "Every feast has its day of the week.\nOptions:\n",
        ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
        ", so tomorrow is a",
        lambda rng: f"{rng.choice(FEAST_KINDS)} {rng.choice(FEASTS)}",
        lambda rng, key: "Today is ",
    ),
    Family(
        "salient_translation_error_detection",
        "Each translation contains one kind of error.\nOptions:\n",
        (
            "Modifiers or Adjectives",
            "Numerical Values",
            "Negation or Antonyms",
            "Named Entities",
            "Dropped Content",
            "Facts",
        ),
        " contains an error pertaining to",
        lambda rng: code(rng) + code(rng),
        lambda rng, key: "The translation of ",
    ),
)
PHRASES = (
    *(family.head for family in FAMILIES),
    *(family.tail for family in FAMILIES),
    *(f"{family.tail} (" for family in FAMILIES),
    *(f"({letter}) {option}\n" for family in FAMILIES for letter, option in zip(LETTERS, family.options, strict=False)),
    " trades with ",
    "Today is ",
    "The translation of ",
    ")\n",
)


def _keys(rng: random.Random, family: Family, count: int, scale: Scale) -> list[str]:
    keys: dict[str, None] = {}
    for _ in range(200 * count):
        key = family.draw(rng)
        if family.name.startswith("tracking") or belongs(key, scale.split):
            keys[key] = None
        if len(keys) == count:
            break
    return list(keys)


def _labels(rng: random.Random, family: Family, keys: list[str], scale: Scale) -> dict[str, str]:
    """A letter for every key. Players are too few to be kept for one split, so who has which letter is kept."""
    while True:
        label = {key: rng.choice(LETTERS[: len(family.options)]) for key in keys}
        if not family.name.startswith("tracking") or belongs(str(sorted(label.items())), scale.split):
            return label


@dataclass(frozen=True)
class IclManyshot:
    name: str = "icl_manyshot"
    title: str = "ICL.ManyShot"
    category: str = "global"
    description: str = "Classify after many labelled examples"
    capability: str = "Global information processing"
    turns: int = 5
    subtasks: tuple[str, ...] = ("icl_manyshot",)
    min_tokens: int = 56

    @property
    def max_new_tokens(self) -> dict[str, int]:
        return {"mini": 4, "paper": 10}

    def build(self, scale: Scale, seed: int, index: int, documents: Sequence[Examples] = ()) -> Session:
        """Labelled examples that fill `scale.tokens`, then `scale.turns` unlabelled ones.

        Of `documents`, one kind each, 150 examples (as many as fit `scale.tokens`) that 18 sessions share. Raises
        UserError at paper scale without any, and when there are too few examples or keys to ask about.
        """
        if documents:
            return self._examples(documents, scale, seed, index)
        require_mini(self, scale, "the labelled examples of BIG-Bench-Hard")
        return self._mini(scale, seed, index)

    def _mini(self, scale: Scale, seed: int, index: int) -> Session:
        rng = stream(self.name, scale, seed, index)
        family = FAMILIES[index % len(FAMILIES)]
        text = Writer()
        text.add(family.head)
        for letter, option in zip(LETTERS, family.options, strict=False):
            text.add(f"({letter}) {option}\n")
        probe = f"{family.question(rng, family.draw(rng))} (A)\n"
        room = (scale.tokens - scale.count(text.text)) // scale.count(probe)
        keys = _keys(rng, family, max(scale.turns, room // SHOTS_A_KEY), scale)
        if len(keys) < scale.turns:
            raise UserError(
                f"icl_manyshot: data.turns {scale.turns} is more than the {len(keys)} keys that {family.name} has; "
                f"set data.turns to {len(keys)} or less"
            )
        label = _labels(rng, family, keys, scale)
        shots = (keys * (room // len(keys) + 1))[: max(room, len(keys))]
        rng.shuffle(shots)
        spans: dict[str, list[Span]] = {key: [] for key in keys}
        for key in shots:
            spans[key].append(text.add(f"{family.question(rng, key)} ({label[key]})\n"))
        asked = sorted(keys, key=lambda key: spans[key][0])
        turns = []
        for place in spread(rng, len(asked), scale.turns, scale.order):
            key = asked[place]
            turns.append(Turn(family.question(rng, key), (label[key],), self.name, tuple(spans[key])))
        return Session(self.name, f"{self.name}-{index:05d}", text.text, tuple(turns), {"subtask": family.name})

    def _examples(self, documents: Sequence[Examples], scale: Scale, seed: int, index: int) -> Session:
        context, place = divmod(index, SESSIONS_A_CONTEXT)
        kind = documents[context % len(documents)]
        items = list(dict.fromkeys(kind.items))
        stream(f"{self.name}/{kind.name}", scale, seed, context // len(documents)).shuffle(items)
        held = SESSIONS_A_CONTEXT * scale.turns
        if held >= len(items):
            raise UserError(
                f"{self.name}: data.turns {scale.turns}: {SESSIONS_A_CONTEXT} sessions ask about {held} examples of "
                f"{kind.name} and show the others, but there are {len(items)}; lower data.turns"
            )
        shots = [f"{question}\nAnswer: ({letter})\n\n" for question, letter in items[held:][:PAPER_SHOTS]]
        text = "".join(shots if scale.tokens is None else scale.take(shots)).rstrip()
        asked = items[place * scale.turns : (place + 1) * scale.turns]
        turns = tuple(Turn(question, (letter,), self.name) for question, letter in asked)
        return Session(self.name, f"{self.name}-{index:05d}", text, turns, {"subtask": kind.name})


ICL_MANYSHOT = IclManyshot()
