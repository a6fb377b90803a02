"""CacheBlend: chunks encoded alone, a few of their tokens computed again in the prompt they are put into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scbench.errors import UserError
from scbench.methods.base import Complexity, Method, Stage
from scbench.methods.budget import Budget

if TYPE_CHECKING:
    from scbench.kv import Assembly

CHECKED = 1
"""The layer whose deviations choose; like the ones below it, it keeps the exact rows of all tokens, as published."""
MIN_CHUNK, MAX_CHUNK = 16, 256


@dataclass(frozen=True, kw_only=True)
class CacheBlend(Method):
    """The context is cut into chunks of `chunk` tokens, each of which is encoded alone or taken from an earlier prompt.

    Its keys are moved to where the chunk stands now. Of these tokens the share `recompute` whose keys and values in
    layer 1 are farthest from the exact ones is then computed in all layers, attending to the blend of old and new rows.
    What does not fill a chunk, and the question, is always computed. (Published: the distance of the values alone, and
    256 tokens a chunk; here of keys and values together, as the paper defines it.)

    chunk: 256 from 4,096 tokens of context up, 1/16 of the context below, at least 16 or the whole context. recompute:
    from 0, reuse alone, to 1, full attention. All keys and values are kept: the budget is 1, and no other can be given.
    """

    name: ClassVar[str] = "cacheblend"
    title: ClassVar[str] = "CacheBlend"
    stage: ClassVar[Stage] = "retrieval"
    paper: ClassVar[str] = (
        "Yao et al., CacheBlend: Fast Large Language Model Serving with Cached Knowledge Fusion, 2025"
    )
    complexity: ClassVar[Complexity] = Complexity(
        prefill_efficient=True, decode_efficient=False, kv_size="O(n)", prefill="O(n^2)", decode="O(nm)"
    )
    starts_dense: ClassVar[bool] = False
    assembles: ClassVar[bool] = True
    modules: ClassVar[tuple[str, ...]] = (
        "scbench.methods.retrieval.cacheblend",
        "scbench.engines.assembly",
        "scbench.engines.chunks",
        "scbench.engines.rotary",
        "scbench.methods.full",
    )
    default_budget: ClassVar[float] = 1.0
    lengths: ClassVar[tuple[str, ...]] = ("chunk",)

    chunk: int
    recompute: float

    @classmethod
    def sizes(cls, budget: Budget, given: Mapping[str, Any]) -> dict[str, Any]:
        chunk = max(MIN_CHUNK, min(MAX_CHUNK, budget.tokens // 16))
        return {"chunk": min(chunk, budget.tokens), "recompute": 0.15}

    @classmethod
    def neutral(cls, tokens: int) -> dict[str, Any]:
        return {"recompute": 1.0}

    def check(self) -> None:
        if self.budget != 1:
            raise UserError(
                f"cacheblend.budget: {self.budget!r}, but it keeps everything; leave the budget out and set "
                "`recompute`, the share of the context that is computed again"
            )
        self._at_least(1, "chunk")
        share = self.recompute
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise UserError(f"cacheblend.recompute: {share!r} is not a share from 0 to 1; give for example 0.15")

    def assemble(self, prompt: Assembly) -> None:
        reused = prompt.reuse(range(self.chunk, prompt.context + 1, self.chunk))
        count = round(self.recompute * reused)
        if count == reused:
            prompt.recompute(range(reused))
        elif count:
            # Sorted stably, so that among equals the earlier token is chosen, on every machine.
            farthest = prompt.deviation(CHECKED).argsort(descending=True, stable=True)[:count]
            prompt.recompute(farthest.sort().values.tolist())
