"""SnapKV: keep what the last rows of the first prompt attended to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scbench.methods.base import Complexity, Stage
from scbench.methods.compression.window_selection import WindowSelection


@dataclass(frozen=True, kw_only=True)
class SnapKV(WindowSelection):
    """Every layer keeps `capacity` tokens: the last `window` and the others that these attended to most.

    capacity, window, kernel, selection: see `WindowSelection`.
    """

    name: ClassVar[str] = "snapkv"
    title: ClassVar[str] = "SnapKV"
    stage: ClassVar[Stage] = "compression"
    paper: ClassVar[str] = "Li et al., SnapKV: LLM Knows What You are Looking for Before Generation, 2024"
    complexity: ClassVar[Complexity] = Complexity(
        prefill_efficient=False, decode_efficient=True, kv_size="O(k)", prefill="O(n^2)", decode="O(km)"
    )
    modules: ClassVar[tuple[str, ...]] = (
        "scbench.methods.compression.snapkv",
        "scbench.methods.compression.window_selection",
        "scbench.methods.compression.window_scores",
        "kernels.dispatch",
        "kernels.softmax_triton",
        "kernels.split_triton",
        "kernels.window_scores",
        "kernels.window_scores_triton",
    )
