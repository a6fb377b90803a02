"""En.Sum: summarise one document out of several papers, in one sentence (paper, Table 3)."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from scbench.sessions import Session, Span, Turn
from scbench.tasks import papers, shelves
from scbench.tasks.base import Scale, spread, stream
from scbench.tasks.documents import Paper
from scbench.tasks.mini import require_mini, require_room
from scbench.tasks.mixing import write
from scbench.tasks.papers import Document

PHRASES = papers.PHRASES


def turns(targets: Iterable[Document], spans: Mapping[Hashable, Span]) -> list[Turn]:
    """One question a document."""
    return [Turn(target.query, (target.summary,), "en_sum", papers.evidence(target, spans)) for target in targets]


@dataclass(frozen=True)
class EnSum:
    name: str = "en_sum"
    title: str = "En.Sum"
    category: str = "global"
    description: str = "Summarise one of several papers"
    capability: str = "Global information processing"
    turns: int = 5
    subtasks: tuple[str, ...] = ("en_sum",)
    min_tokens: int = 64

    @property
    def max_new_tokens(self) -> dict[str, int]:
        return {"mini": 32, "paper": 200}

    def build(self, scale: Scale, seed: int, index: int, documents: Sequence[Paper] = ()) -> Session:
        """Documents that fill `scale.tokens`; the answer is a sentence made from one document's claims.

        Of `documents`, eight whole papers and the references of `scale.turns` at most. Raises UserError at paper scale
        without any, and when there are fewer documents than turns.
        """
        if documents:
            return self._shelf(documents, scale, seed, index)
        require_mini(self, scale, "papers")
        rng = stream(self.name, scale, seed, index)
        documents = papers.shelf(rng, scale, scale.turns, scale.tokens)
        require_room(self, scale, scale.turns, len(documents), "documents")
        context, spans = write(papers.units(documents))
        targets = [documents[place] for place in spread(rng, len(documents), scale.turns, scale.order)]
        return Session(self.name, f"{self.name}-{index:05d}", context, tuple(turns(targets, spans)))

    def _shelf(self, documents: Sequence[Paper], scale: Scale, seed: int, index: int) -> Session:
        shelf = shelves.shelf(self.name, documents, scale, seed, index)
        context, spans = write(shelves.units(shelf))
        known = shelves.summarised(shelf)
        rng = stream(self.name, scale, seed, index)
        places = spread(rng, len(known), min(scale.turns, len(known)), scale.order)
        asked = tuple(known[place].turn(spans) for place in places)
        return Session(self.name, f"{self.name}-{index:05d}", context, asked)


EN_SUM = EnSum()
