"""KNorm: keep the tokens whose keys are shortest, whatever is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scbench.methods.base import Complexity, Method, Stage
from scbench.methods.budget import Budget

if TYPE_CHECKING:
    from scbench.kv import Kept, LayerKV


@dataclass(frozen=True, kw_only=True)
class KNorm(Method):
    """Of the first prompt each KV head keeps the `capacity` tokens with the smallest L2 norm of their keys.

    No query has a say, so that what is kept does not depend on whether the first prompt holds a question. Every layer
    is cut alike; the authors spare the first two of a model. capacity: the budget in tokens.
    """

    name: ClassVar[str] = "knorm"
    title: ClassVar[str] = "KNorm"
    stage: ClassVar[Stage] = "compression"
    paper: ClassVar[str] = "Devoto et al., A Simple and Effective L2 Norm-Based Strategy for KV Cache Compression, 2024"
    complexity: ClassVar[Complexity] = Complexity(
        prefill_efficient=False, decode_efficient=True, kv_size="O(k)", prefill="O(n^2)", decode="O(km)"
    )
    modules: ClassVar[tuple[str, ...]] = ("scbench.methods.compression.knorm",)
    lengths: ClassVar[tuple[str, ...]] = ("capacity",)
    budgeted: ClassVar[tuple[str, ...]] = ("capacity",)

    capacity: int

    @classmethod
    def sizes(cls, budget: Budget, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"capacity": budget.tokens}

    def check(self) -> None:
        self._at_least(1, "capacity")

    def compress(self, layer: LayerKV) -> Kept | None:
        if layer.tokens <= self.capacity:
            return None
        norms = layer.k[0].float().norm(dim=-1)
        return layer.keep(norms.topk(self.capacity, largest=False).indices.sort().values)
