"""KIVI: the first prompt's KV in 2, 4 or 8 bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from scbench.errors import UserError
from scbench.methods.base import Complexity, Method, Stage
from scbench.methods.budget import Budget

if TYPE_CHECKING:
    from torch import Tensor

    from scbench.kv import Kept, LayerKV, Step

BITS = (2, 4, 8)


@dataclass(frozen=True, kw_only=True)
class Kivi(Method):
    """Keys are quantised per channel in groups of `group` tokens, values per token in groups of `group` channels.

    Of n tokens the longest multiple of `residual` has quantised keys, all but the last `residual` quantised values; the
    rest stays exact. The first prompt itself is encoded exactly. The budget is bits / 16 and leaves scales and zero
    points out, as published; the measured bytes count them.

    grow: false, as the paper's authors benchmark it, leaves everything after the first prompt exact. true goes on as
    KIVI does in a stream: with every further multiple of `residual` tokens, after the pass that reached it, keys are
    quantised up to there and values up to one `residual` before. (KIVI lets values go one by one; here they go with the
    keys, so that up to twice `residual` of them are exact.)
    """

    name: ClassVar[str] = "kivi"
    title: ClassVar[str] = "KIVI"
    stage: ClassVar[Stage] = "compression"
    paper: ClassVar[str] = "Liu et al., KIVI: A Tuning-Free Asymmetric 2bit Quantization for KV Cache, 2024"
    complexity: ClassVar[Complexity] = Complexity(
        prefill_efficient=False, decode_efficient=True, kv_size="O(n)", prefill="O(n^2)", decode="O(nm)"
    )
    modules: ClassVar[tuple[str, ...]] = (
        "scbench.methods.compression.kivi",
        "scbench.methods.compression.packed_prompt",
        "scbench.methods.compression.affine",
        "kernels.dense_decode",
        "kernels.dense_decode_triton",
        "kernels.dispatch",
        "kernels.gather_decode",
        "kernels.gather_decode_triton",
        "kernels.paged_decode",
        "kernels.paged_decode_triton",
        "kernels.quantized_decode",
        "kernels.quantized_decode_triton",
        "kernels.softmax_triton",
        "kernels.split_triton",
    )

    bits: int
    group: int
    residual: int
    grow: bool

    @classmethod
    def resolve(cls, settings: Mapping[str, Any], context_tokens: int) -> Self:
        if settings.get("bits") in BITS:
            settings = {"budget": settings["bits"] / 16} | dict(settings)
        return super().resolve(settings, context_tokens)

    @classmethod
    def sizes(cls, budget: Budget, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"bits": int(16 * budget.share), "group": 32, "residual": 32, "grow": False}

    @classmethod
    def neutral(cls, tokens: int) -> dict[str, Any]:
        # A residual longer than the prompt leaves nothing to quantise.
        return {"residual": 32 * (tokens // 32 + 1)}

    def check(self) -> None:
        if self.budget * 16 != self.bits or self.bits not in BITS:
            raise UserError(
                f"kivi.budget: a share of {self.budget:g} with {self.bits} bits; the share is bits / 16 and bits are "
                "2, 4 or 8, so give budget 1/8, 1/4 or 1/2, or `bits` alone"
            )
        self._at_least(1, "group", "residual")
        if type(self.grow) is not bool:
            raise UserError(f"kivi.grow: {self.grow!r} is neither true nor false; give one of them")
        if self.residual % self.group:
            raise UserError(
                f"kivi.residual: {self.residual} is not a multiple of the group of {self.group}; give one that is"
            )

    @property
    def turns_together(self) -> bool:
        return not self.grow

    def compress(self, layer: LayerKV) -> Kept | None:
        if layer.tokens < self.residual and not self.grow:
            return None
        channels = layer.v.shape[3]
        if channels % min(self.group, channels):
            raise UserError(
                f"kivi.group: {self.group} does not divide the {channels} channels of the model's heads; "
                "give one that does"
            )
        from scbench.methods.compression.packed_prompt import PackedPrompt

        keys = layer.tokens - layer.tokens % self.residual
        values = max(0, layer.tokens - self.residual)
        window = self.residual if self.grow else 0
        return layer.pack(PackedPrompt.of(layer.k, layer.v, self.bits, self.group, keys, values, window))

    def load(self, step: Step) -> Tensor:
        packed = step.packed
        if packed is None or packed.fused is None:
            return step.dense()
        each = [1] * step.rows if step.apart else [step.rows]
        keys, read = [packed.tokens * rows for rows in each], [packed.bytes] * len(each)
        return step.with_resident(packed.attend(step.q, step.scaling), keys, read)
