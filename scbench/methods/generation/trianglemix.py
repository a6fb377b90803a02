"""TriangleMix: exact attention in the lower layers, Tri-shape in the upper ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scbench.errors import UserError
from scbench.methods.base import Complexity
from scbench.methods.budget import Budget
from scbench.methods.generation.tri_shape import TriShape

if TYPE_CHECKING:
    from torch import Tensor

    from scbench.kv import Chunk


@dataclass(frozen=True, kw_only=True)
class TriangleMix(TriShape):
    """The first `dense_share` of the layers encode the first prompt exactly, the others as Tri-shape does.

    dense_share: 0, which is Tri-shape, to 1, full attention; half a layer is rounded down. sink, local, last: as in
    Tri-shape; sink and local are the budget of an upper layer. The authors recommend a sink of 8, a window of 512 and
    128 last rows at any length.
    """

    name: ClassVar[str] = "trianglemix"
    title: ClassVar[str] = "TriangleMix"
    paper: ClassVar[str] = (
        "He et al., TriangleMix: A Lossless and Efficient Attention Pattern for Long Context Prefilling, 2025"
    )
    complexity: ClassVar[Complexity] = Complexity(
        prefill_efficient=True, decode_efficient=False, kv_size="O(n)", prefill="O(n^2)", decode="O(nm)"
    )
    modules: ClassVar[tuple[str, ...]] = ("scbench.methods.generation.trianglemix", *TriShape.modules)

    dense_share: float

    @classmethod
    def sizes(cls, budget: Budget, given: Mapping[str, Any]) -> dict[str, Any]:
        return super().sizes(budget, given) | {"dense_share": 0.5}

    def check(self) -> None:
        super().check()
        if type(self.dense_share) not in (int, float) or not 0 <= self.dense_share <= 1:
            raise UserError(
                f"{self.name}.dense_share: {self.dense_share!r} is not a share of the layers; give a number from 0 to 1"
            )

    def encode(self, chunk: Chunk) -> Tensor:
        if chunk.layer + 0.5 < self.dense_share * chunk.layers:
            return chunk.dense()
        return super().encode(chunk)
