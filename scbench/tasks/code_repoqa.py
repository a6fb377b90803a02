"""Code.RepoQA: repeat the function of a repository that a description fits (RepoQA's needle search; paper, Table 3)."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from scbench.canonical import canonical_json
from scbench.sessions import Session, Span, Turn
from scbench.tasks import functions, repositories
from scbench.tasks.base import Scale, spread, stream
from scbench.tasks.functions import Function
from scbench.tasks.mini import require_mini, require_room
from scbench.tasks.mixing import write
from scbench.tasks.repositories import Repository

PHRASES = functions.PHRASES


def turns(
    targets: Sequence[Function], language: str, repo: str, spans: Mapping[Hashable, Span], opening: str = ""
) -> list[Turn]:
    """One question a target, `opening` in front; the targets are the candidates among which an answer is placed."""
    candidates = canonical_json([{"name": target.name, "code": target.code} for target in targets])
    return [
        Turn(
            query=opening + target.description,
            golds=(target.code,),
            subtask="code_repoqa",
            evidence=(spans[target.name],),
            meta={"name": target.name, "language": language, "repo": repo, "candidates": candidates},
        )
        for target in targets
    ]


@dataclass(frozen=True)
class CodeRepoQA:
    name: str = "code_repoqa"
    title: str = "Code.RepoQA"
    category: str = "semantic"
    description: str = "Find the function of a repository that a description fits"
    capability: str = "Semantic retrieval"
    turns: int = 5
    subtasks: tuple[str, ...] = ("code_repoqa",)
    min_tokens: int = 64

    @property
    def max_new_tokens(self) -> dict[str, int]:
        return {"mini": 40, "paper": 1024}

    def build(self, scale: Scale, seed: int, index: int, documents: Sequence[Repository] = ()) -> Session:
        """A repository that fills `scale.tokens`; the answer to a description is the code of one function.

        Of `documents`, one repository after the other. Raises UserError at paper scale without any, and when there are
        fewer functions than turns; a repository of `documents` may have fewer.
        """
        if documents:
            return self._excerpt(documents[index % len(documents)], scale, seed, index)
        require_mini(self, scale, "source repositories")
        rng = stream(self.name, scale, seed, index)
        language, repository = functions.repository(rng, scale, scale.tokens)
        require_room(self, scale, scale.turns, len(repository), "functions")
        context, spans = write(functions.units(repository))
        sid = f"{self.name}-{index:05d}"
        targets = [repository[place] for place in spread(rng, len(repository), scale.turns, scale.order)]
        asked = turns(targets, language, sid, spans)
        return Session(self.name, sid, context, tuple(asked), {"language": language, "repo": sid})

    def _excerpt(self, repository: Repository, scale: Scale, seed: int, index: int) -> Session:
        rng = stream(self.name, scale, seed, index)
        limit = self.max_new_tokens[scale.name]
        targets, units = repositories.sample(self.name, rng, repository, scale.turns, scale, limit)
        context, spans = write(units)
        if scale.order == "balanced":
            rng.shuffle(targets)
        found = repositories.locate(context, targets, spans)
        asked = turns(targets, repository.language, repository.name, found)
        meta = {"language": repository.language, "repo": repository.name}
        return Session(self.name, f"{self.name}-{index:05d}", context, tuple(asked), meta)


CODE_REPOQA = CodeRepoQA()
