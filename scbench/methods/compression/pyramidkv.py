"""PyramidKV: SnapKV's selection, with more of the budget in the lower layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from scbench.methods.base import Complexity, Stage
from scbench.methods.budget import Budget
from scbench.methods.compression.window_selection import WindowSelection


@dataclass(frozen=True, kw_only=True)
class PyramidKV(WindowSelection):
    """The positions kept before the window fall by equal steps from the first layer to the last.

    With c = capacity - window they begin at 2c - c / beta and end at c / beta: a mean of c, and up to half as many
    tokens more as the model has layers, because steps are rounded down as published. Where the first layer would keep
    more than there is, it keeps everything and the last layer what that leaves. Prompts below 2c tokens are cut to
    `capacity` in every layer. beta: 1 makes it SnapKV. The other settings: see `WindowSelection`.
    """

    name: ClassVar[str] = "pyramidkv"
    title: ClassVar[str] = "PyramidKV"
    stage: ClassVar[Stage] = "compression"
    paper: ClassVar[str] = (
        "Cai et al., PyramidKV: Dynamic KV Cache Compression Based on Pyramidal Information Funneling, 2024"
    )
    complexity: ClassVar[Complexity] = Complexity(
        prefill_efficient=False, decode_efficient=True, kv_size="O(k)", prefill="O(n^2)", decode="O(km)"
    )
    modules: ClassVar[tuple[str, ...]] = (
        "scbench.methods.compression.pyramidkv",
        "scbench.methods.compression.window_selection",
        "scbench.methods.compression.window_scores",
        "kernels.dispatch",
        "kernels.softmax_triton",
        "kernels.split_triton",
        "kernels.window_scores",
        "kernels.window_scores_triton",
    )

    beta: int

    @classmethod
    def sizes(cls, budget: Budget, given: Mapping[str, Any]) -> dict[str, Any]:
        return super().sizes(budget, given) | {"beta": 20}

    def check(self) -> None:
        super().check()
        self._at_least(1, "beta")

    def share(self, tokens: int, layer: int, layers: int) -> int:
        mean = self.capacity - self.window
        if tokens < 2 * mean or layers == 1:
            return mean
        least = mean // self.beta
        most = 2 * mean - least
        if most >= tokens - self.window:
            most = tokens - self.window
            least = 2 * mean - most
        return most - layer * ((most - least) // (layers - 1))
