"""What methods share that keep, of the first prompt, its last rows and what these attended to (SnapKV's selection)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scbench.errors import UserError
from scbench.methods.base import Method
from scbench.methods.budget import Budget

if TYPE_CHECKING:
    from scbench.kv import Kept, LayerKV

SELECTIONS = ("kv_head", "query_head")


@dataclass(frozen=True, kw_only=True)
class WindowSelection(Method):
    """Of n tokens the last `window` are kept and, per head, as many others as `share` says, those with the best scores.

    A score is the attention that the window's rows pay to a position, summed over them and averaged over `kernel`
    neighbours (`window_scores`). Prompts of up to `capacity` tokens are kept whole.

    capacity: the budget in tokens. window: 32 from a capacity of 256 up, less below. kernel: odd. selection: `kv_head`
    averages the scores of a group's query heads and stores un-repeated KV; `query_head`, as published, lets each query
    head choose and stores the group's KV once per query head.
    """

    lengths: ClassVar[tuple[str, ...]] = ("capacity",)
    budgeted: ClassVar[tuple[str, ...]] = ("capacity",)

    capacity: int
    window: int
    kernel: int
    selection: str

    @classmethod
    def sizes(cls, budget: Budget, given: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "capacity": budget.tokens,
            "window": max(1, min(32, budget.tokens // 8)),
            "kernel": 5,
            "selection": "kv_head",
        }

    def check(self) -> None:
        self._at_least(1, "capacity", "window", "kernel")
        if self.selection not in SELECTIONS:
            raise UserError(
                f"{self.name}.selection: {self.selection!r} is not one of {', '.join(SELECTIONS)}; choose one of them"
            )
        if self.window > self.capacity:
            raise UserError(
                f"{self.name}.window: {self.window} rows do not fit into a capacity of {self.capacity}; "
                "give a smaller one"
            )
        if self.kernel % 2 == 0:
            raise UserError(f"{self.name}.kernel: {self.kernel} is even and has no middle; give an odd number")

    @property
    def query_rows(self) -> int:
        return self.window

    def share(self, tokens: int, layer: int, layers: int) -> int:
        """Positions that layer `layer` of `layers` keeps before the window, of `tokens` > capacity tokens in all."""
        return self.capacity - self.window

    def compress(self, layer: LayerKV) -> Kept | None:
        if layer.tokens <= self.capacity:
            return None
        from scbench.methods.compression.window_scores import select, window_scores

        groups = layer.k.shape[1] if self.selection == "kv_head" else layer.queries.shape[1]
        scores = window_scores(layer.queries, layer.k, layer.scaling, self.kernel)
        return layer.keep(select(scores, groups, self.share(layer.tokens, layer.layer, layer.layers), self.window))
