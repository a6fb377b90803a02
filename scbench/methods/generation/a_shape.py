"""A-shape: sparse prefill with a sink and a local window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from scbench.methods.base import Complexity, Stage
from scbench.methods.sink_window import SinkWindow

if TYPE_CHECKING:
    from torch import Tensor

    from scbench.kv import Chunk


@dataclass(frozen=True, kw_only=True)
class AShape(SinkWindow):
    """Row i of the first prompt attends to keys j <= i with j < sink or i - j < local; all keys are stored.

    The mask covers the whole first prompt, a question in it included; every later row is dense over what was encoded.
    sink, local: tokens; together the budget.
    """

    name: ClassVar[str] = "a_shape"
    title: ClassVar[str] = "A-shape"
    stage: ClassVar[Stage] = "generation"
    paper: ClassVar[str] = "Jiang et al., MInference 1.0, 2024; Xiao et al., StreamingLLM, 2024 (the mask)"
    complexity: ClassVar[Complexity] = Complexity(
        prefill_efficient=True, decode_efficient=False, kv_size="O(n)", prefill="O(kn)", decode="O(nm)"
    )
    starts_dense: ClassVar[bool] = False
    modules: ClassVar[tuple[str, ...]] = (
        "scbench.methods.generation.a_shape",
        "scbench.kv.banded",
        "scbench.methods.sink_window",
        "kernels.block_sparse_prefill",
        "kernels.block_sparse_prefill_triton",
        "kernels.dispatch",
        "kernels.softmax_triton",
    )

    @property
    def own_rows(self) -> int:
        return 0

    def encode(self, chunk: Chunk) -> Tensor:
        return chunk.banded(self.sink, self.local)
