"""Quest: each step loads the pages whose keys could matter most to its query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scbench.errors import UserError
from scbench.methods.base import Complexity, Method, Stage
from scbench.methods.budget import Budget

if TYPE_CHECKING:
    from torch import Tensor

    from scbench.kv import LayerKV, Step
    from scbench.methods.loading.pages import Pages

SELECTIONS = ("query_head", "kv_head")
LEAST_PAGES = 3


@dataclass(frozen=True, kw_only=True)
class Quest(Method):
    """Of each page of `page` keys the smallest and the largest value of every channel are known; they bound q k^T.

    A query attends to the max(3, token_budget // page) pages with the highest bounds, chosen anew for every row, head
    and layer, and to everything after the first prompt. Prompts of up to `token_budget` tokens are attended to whole.

    token_budget: the budget in tokens. page: 16 as published from a budget of 256 tokens up, then 8, below 128 tokens
    4. selection: `query_head`, as published, or `kv_head`, one choice for a group by the mean of its heads' bounds.
    dense_layers: first layers that attend to everything; 0 as the benchmark's authors run it, 2 in the original.
    """

    name: ClassVar[str] = "quest"
    title: ClassVar[str] = "Quest"
    stage: ClassVar[Stage] = "loading"
    paper: ClassVar[str] = "Tang et al., Quest: Query-Aware Sparsity for Efficient Long-Context LLM Inference, 2024"
    complexity: ClassVar[Complexity] = Complexity(
        prefill_efficient=False, decode_efficient=True, kv_size="O(n)", prefill="O(n^2)", decode="O(km)"
    )
    turns_together: ClassVar[bool] = True
    modules: ClassVar[tuple[str, ...]] = (
        "scbench.methods.loading.quest",
        "scbench.methods.loading.pages",
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
    lengths: ClassVar[tuple[str, ...]] = ("token_budget",)
    budgeted: ClassVar[tuple[str, ...]] = ("token_budget",)

    token_budget: int
    page: int
    selection: str
    dense_layers: int

    @classmethod
    def sizes(cls, budget: Budget, given: Mapping[str, Any]) -> dict[str, Any]:
        page = 16 if budget.tokens >= 256 else 8 if budget.tokens >= 128 else 4
        return {"token_budget": budget.tokens, "page": page, "selection": "query_head", "dense_layers": 0}

    def check(self) -> None:
        self._at_least(1, "token_budget", "page")
        self._at_least(0, "dense_layers")
        if self.selection not in SELECTIONS:
            raise UserError(
                f"quest.selection: {self.selection!r} is not one of {', '.join(SELECTIONS)}; choose one of them"
            )

    @property
    def pages(self) -> int:
        """Pages that a row attends to."""
        return max(LEAST_PAGES, self.token_budget // self.page)

    def index(self, layer: LayerKV) -> Pages | None:
        if layer.layer < self.dense_layers or layer.tokens <= max(self.token_budget, self.pages * self.page):
            return None
        from scbench.methods.loading.pages import Pages

        return Pages.of(layer.k, self.page)

    def load(self, step: Step) -> Tensor:
        if step.index is None:
            return step.dense()
        heads = step.q.shape[1] if self.selection == "query_head" else step.k.shape[1]
        return step.chosen(step.index.choose(step.q, heads, self.pages), step.index.bytes)
