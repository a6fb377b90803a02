"""What every task offers, and the means its builder uses: scale, slots, held-out splits."""

import itertools
import random
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from scbench.sessions import Session

Order = Literal["published", "balanced"]
Split = Literal["eval", "train"]


def _four_characters_a_token(text: str) -> int:
    return -(-len(text) // 4)


@dataclass(frozen=True)
class Scale:
    """How large a session is, and from which half of the world it is drawn.

    name: `mini` for the small generators, `paper` for the published sizes.
    tokens: target length of the context in tokens of `count`; None takes the task's published size (paper only).
    turns: questions a session.
    count: tokens in a text; the study's tokenizer at mini scale.
    order: `published` asks turn i about slot i of the context, `balanced` asks about the slots in random order, so that
        "later turn" and "evidence nearer" are not one thing.
    split: what an `eval` session is about never occurs in a `train` session; frames and single words are shared.
    """

    name: Literal["mini", "paper"] = "mini"
    tokens: int | None = 1024
    turns: int = 5
    count: Callable[[str], int] = _four_characters_a_token
    order: Order = "published"
    split: Split = "eval"

    def take(self, pieces: Iterable[str], budget: int | None = None) -> list[str]:
        """The longest prefix of `pieces` whose summed token counts stay within `budget` (default: `tokens`)."""
        left = self.tokens if budget is None else budget
        taken = []
        for piece in pieces:
            left -= self.count(piece)
            if left < 0:
                break
            taken.append(piece)
        return taken


class Task(Protocol):
    """One of the twelve tasks. `scbench.tasks.TASKS` maps names to objects of this shape.

    name, title, category ("string" | "semantic" | "global" | "multi"): as in the paper's Tables 2 and 4.
    description, capability: the paper's Table 2, in our words.
    turns: questions a session in the published set; subtasks: the tasks its turns are scored as.
    min_tokens: the shortest context the mini generator can build.
    max_new_tokens: {"mini": n, "paper": n}, the decode budget a turn.
    """

    name: str
    title: str
    category: str
    description: str
    capability: str
    turns: int
    subtasks: tuple[str, ...]
    min_tokens: int
    max_new_tokens: dict[str, int]

    def build(self, scale: Scale, seed: int, index: int) -> Session:
        """Session number `index` of the stream `seed`: the same arguments give the same session.

        The tasks of `scbench.corpus.KINDS` take documents as a fourth argument, of the kind named there, to make the
        session from; without any it is generated, where a generator for the scale exists.
        Raises UserError when `scale` asks for what the task cannot build.
        """
        ...


def stream(task: str, scale: Scale, seed: int, index: int) -> random.Random:
    """The random stream of one session, independent of every other session's, split's and task's."""
    return random.Random(f"{task}/{scale.name}/{scale.split}/{seed}/{index}")


def belongs(entity: str, split: Split) -> bool:
    """Whether `entity` (a name, a key, a string) is drawn in `split`: about one in four is kept for evaluation."""
    return (zlib.crc32(entity.encode("utf-8")) % 4 == 0) == (split == "eval")


def spread(rng: random.Random, places: int, turns: int, order: Order) -> list[int]:
    """`turns` distinct positions in range(places), one in each of `turns` equal slots, in the order they are asked.

    Raises ValueError when there are fewer places than turns.
    """
    if places < turns:
        raise ValueError(f"{turns} targets do not fit into {places} places")
    bounds = [slot * places // turns for slot in range(turns + 1)]
    targets = [rng.randrange(low, high) for low, high in itertools.pairwise(bounds)]
    if order == "balanced":
        rng.shuffle(targets)
    return targets


class Writer:
    """A text under construction that remembers where its pieces stand."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0

    def add(self, text: str) -> tuple[int, int]:
        """Append `text`; return its character span [start, stop)."""
        start = self._length
        self._parts.append(text)
        self._length += len(text)
        return start, self._length

    @property
    def text(self) -> str:
        return "".join(self._parts)
