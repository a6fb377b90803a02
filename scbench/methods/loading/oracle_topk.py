"""Oracle: each step loads the keys with the highest logits, which only the full product of query and keys can tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scbench.methods.base import Complexity, Method, Stage
from scbench.methods.budget import Budget

if TYPE_CHECKING:
    from torch import Tensor

    from scbench.kv import Step


@dataclass(frozen=True, kw_only=True)
class OracleTopK(Method):
    """A query attends to the `top_k` keys of the first prompt with the highest q k^T, and to everything after it.

    The bound of what loading by choice can reach at a budget; each row and query head chooses for itself. It saves
    nothing: all keys are read to choose, and the bytes read say so. Prompts of up to `top_k` tokens are attended to
    whole. top_k: the budget in tokens.
    """

    name: ClassVar[str] = "oracle_topk"
    title: ClassVar[str] = "Oracle top-k"
    stage: ClassVar[Stage] = "loading"
    paper: ClassVar[str] = "Behnam et al., RocketKV, 2025, which compares with it as exact top-k"
    complexity: ClassVar[Complexity] = Complexity(
        prefill_efficient=False, decode_efficient=False, kv_size="O(n)", prefill="O(n^2)", decode="O(nm)"
    )
    turns_together: ClassVar[bool] = True
    modules: ClassVar[tuple[str, ...]] = (
        "scbench.methods.loading.oracle_topk",
        "scbench.methods.loading.top_keys",
        "kernels.dense_decode",
        "kernels.dense_decode_triton",
        "kernels.dispatch",
        "kernels.gather_decode",
        "kernels.gather_decode_triton",
        "kernels.paged_decode",
        "kernels.paged_decode_triton",
        "kernels.softmax_triton",
        "kernels.split_triton",
    )
    lengths: ClassVar[tuple[str, ...]] = ("top_k",)
    budgeted: ClassVar[tuple[str, ...]] = ("top_k",)

    top_k: int

    @classmethod
    def sizes(cls, budget: Budget, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"top_k": budget.tokens}

    def check(self) -> None:
        self._at_least(1, "top_k")

    def load(self, step: Step) -> Tensor:
        if step.prompt <= self.top_k:
            return step.dense()
        from scbench.methods.loading.top_keys import top_keys

        keys = step.k[:, :, : step.prompt]
        return step.chosen(top_keys(step.q, keys, self.top_k), scanned=keys.nbytes)
