"""Tri-shape: A-shape whose last rows are dense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scbench.methods.base import Complexity, Stage
from scbench.methods.budget import Budget
from scbench.methods.sink_window import SinkWindow

if TYPE_CHECKING:
    from torch import Tensor

    from scbench.kv import Chunk

MIN_LAST = 32
"""Rows enough for a short question and the assistant header."""


@dataclass(frozen=True, kw_only=True)
class TriShape(SinkWindow):
    """As A-shape for all rows of the first prompt but the `last`, which attend to every key before them.

    In multi-turn sessions these rows hold the question, so that the first answer sees the whole context; in
    multi-request ones they are the end of the context. sink, local, last: tokens; `last` is 1/32 of the budget (128
    at 4,096, the paper's Table 9), at least 32.
    """

    name: ClassVar[str] = "tri_shape"
    title: ClassVar[str] = "Tri-shape"
    stage: ClassVar[Stage] = "generation"
    paper: ClassVar[str] = "Li et al., SCBench, 2025"
    complexity: ClassVar[Complexity] = Complexity(
        prefill_efficient=True, decode_efficient=False, kv_size="O(n)", prefill="O(kn)", decode="O(nm)"
    )
    starts_dense: ClassVar[bool] = False
    modules: ClassVar[tuple[str, ...]] = (
        "scbench.methods.generation.tri_shape",
        "scbench.kv.banded",
        "scbench.methods.sink_window",
        "kernels.block_sparse_prefill",
        "kernels.block_sparse_prefill_triton",
        "kernels.dispatch",
        "kernels.softmax_triton",
    )
    lengths: ClassVar[tuple[str, ...]] = (*SinkWindow.lengths, "last")

    last: int

    @classmethod
    def sizes(cls, budget: Budget, given: Mapping[str, Any]) -> dict[str, Any]:
        return super().sizes(budget, given) | {"last": max(MIN_LAST, round(budget.tokens / 32))}

    def check(self) -> None:
        super().check()
        self._at_least(0, "last")

    @property
    def own_rows(self) -> int:
        return self.last

    def encode(self, chunk: Chunk) -> Tensor:
        return chunk.banded(self.sink, self.local, dense_from=chunk.total - self.last)
