"""Mix.RepoQA+KV: functions and values of keys asked in turn over one repository (paper, Table 3)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scbench.sessions import Session, Span, Turn
from scbench.tasks import code_repoqa, functions, repositories, retr_kv
from scbench.tasks.base import Scale, spread, stream
from scbench.tasks.mini import require_mini, require_room
from scbench.tasks.mixing import Unit, alternate, insert_evenly, shares, targets, write
from scbench.tasks.repositories import Repository

# The prompt of a mixed task has no instruction in front of the context, so the question says what is wanted.
OPENING = "Repeat the function of the code above that does this: "
PHRASES = (*functions.PHRASES, *retr_kv.PHRASES, OPENING)

PAPER_PAIRS = 100
# At mini scale one pair stands in so many tokens of context, up to the published number.
TOKENS_A_PAIR = 64


def line(key: str, value: str) -> str:
    """A pair as it stands between two functions, without the blank line in front."""
    return f'"{key}": "{value}"'


def with_pairs(units: Sequence[Unit], pairs: Sequence[tuple[str, str]]) -> list[Unit]:
    """`units` (functions) with the pairs evenly between them, a line each, under the keys ("pair", 0), ..."""
    lines = [(("pair", number), functions.GAP + line(*pair)) for number, pair in enumerate(pairs)]
    return insert_evenly(units, lines)


def _lookup(pair: tuple[str, str], span: Span) -> Turn:
    return Turn(retr_kv.query(pair[0]), (pair[1],), "retr_kv", (span,))


@dataclass(frozen=True)
class MixRepoqaKV:
    name: str = "mix_repoqa_kv"
    title: str = "Mix.RepoQA+KV"
    category: str = "multi"
    description: str = "Find functions, and values of keys inserted between functions, in turn"
    capability: str = "Multi-tasking"
    turns: int = 8
    subtasks: tuple[str, ...] = ("code_repoqa", "retr_kv")
    min_tokens: int = 96

    @property
    def max_new_tokens(self) -> dict[str, int]:
        return {"mini": 40, "paper": 1024}

    def build(self, scale: Scale, seed: int, index: int, documents: Sequence[Repository] = ()) -> Session:
        """Functions with key/value lines between them that fill `scale.tokens`.

        Of `documents`, one repository after the other, with the published 100 pairs. Raises UserError at paper scale
        without any, and when there are fewer functions than are asked for; a repository of `documents` may have fewer.
        """
        if documents:
            return self._excerpt(documents[index % len(documents)], scale, seed, index)
        require_mini(self, scale, "source repositories")
        rng = stream(self.name, scale, seed, index)
        searches, lookups = shares(scale.turns)
        pairs = retr_kv.pairs(rng, max(lookups + 1, min(PAPER_PAIRS, scale.tokens // TOKENS_A_PAIR)), scale)
        budget = scale.tokens - sum(scale.count(functions.GAP + line(*pair)) for pair in pairs)
        language, repository = functions.repository(rng, scale, budget)
        require_room(self, scale, searches, len(repository), "functions")
        context, spans = write(with_pairs(functions.units(repository), pairs))
        sid = f"{self.name}-{index:05d}"
        first, second = targets(rng, (len(repository), len(pairs)), scale)
        wanted = [repository[place] for place in first]
        asked = [_lookup(pairs[place], spans["pair", place]) for place in second]
        turns = alternate(code_repoqa.turns(wanted, language, sid, spans, OPENING), asked)
        return Session(self.name, sid, context, tuple(turns), {"language": language, "repo": sid})

    def _excerpt(self, repository: Repository, scale: Scale, seed: int, index: int) -> Session:
        rng = stream(self.name, scale, seed, index)
        searches, lookups = shares(scale.turns)
        room = scale.tokens or repositories.PAPER_TOKENS
        pairs = retr_kv.pairs(rng, max(lookups + 1, min(PAPER_PAIRS, room // TOKENS_A_PAIR)), scale)
        lines = [(("pair", number), f"{line(*pair)}\n") for number, pair in enumerate(pairs)]
        code = replace(scale, tokens=max(1, room - sum(scale.count(text) for _, text in lines)))
        limit = self.max_new_tokens[scale.name]
        wanted, units = repositories.sample(self.name, rng, repository, searches, code, limit)
        context, spans = write(insert_evenly(units, lines))
        places = spread(rng, len(pairs), min(lookups, len(wanted)), scale.order)
        if scale.order == "balanced":
            rng.shuffle(wanted)
        # Where the repository has fewer functions than are wanted, the two kinds still take turns.
        found = repositories.locate(context, wanted, spans)
        searched = code_repoqa.turns(wanted, repository.language, repository.name, found, OPENING)
        turns = alternate(searched, [_lookup(pairs[place], spans["pair", place]) for place in places])
        meta = {"language": repository.language, "repo": repository.name}
        return Session(self.name, f"{self.name}-{index:05d}", context, tuple(turns), meta)


MIX_REPOQA_KV = MixRepoqaKV()
