"""XAttention: each block of rows attends to the blocks whose antidiagonals carry the most attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scbench.errors import UserError
from scbench.methods.base import Complexity, Method, Stage
from scbench.methods.budget import Budget, block_tokens

if TYPE_CHECKING:
    from torch import Tensor

    from scbench.kv import Chunk

STRIDE, BLOCK = 8, 128


@dataclass(frozen=True, kw_only=True)
class XAttention(Method):
    """Row i of the first prompt sees key j <= i where the row of blocks of i has taken the block of j; all are stored.

    A block of `block` x `block` logits is judged by every `stride`-th of its antidiagonals. A row of blocks takes the
    first block, its own, and others by falling share of the attention until they hold the threshold. That is one for
    each head, the highest at which the head sees as many keys as A-shape of the same budget (the forced blocks in any
    case), and at most `threshold`. `budget: 1, threshold: 0.9` is the method as published, which has no budget; the
    authors' per-head thresholds, which they search for, are left out. Later rows are dense over what was encoded.

    kept: keys a row sees, which is the budget; block, stride: tokens, smaller in short contexts than the published 128
    and 8.
    """

    name: ClassVar[str] = "xattention"
    title: ClassVar[str] = "XAttention"
    stage: ClassVar[Stage] = "generation"
    paper: ClassVar[str] = "Xu et al., XAttention: Block Sparse Attention with Antidiagonal Scoring, 2025"
    complexity: ClassVar[Complexity] = Complexity(
        prefill_efficient=True, decode_efficient=False, kv_size="O(n)", prefill="O(kn)", decode="O(nm)"
    )
    starts_dense: ClassVar[bool] = False
    whole_prompt: ClassVar[bool] = True
    modules: ClassVar[tuple[str, ...]] = (
        "scbench.methods.generation.xattention",
        "scbench.methods.generation.antidiagonal",
        "scbench.kv.banded",
        "scbench.kv.sparse_prefill",
        "kernels.block_sparse_prefill",
        "kernels.block_sparse_prefill_triton",
        "kernels.dispatch",
        "kernels.softmax_triton",
        "kernels.vertical_slash_prefill",
        "kernels.vertical_slash_prefill_triton",
    )

    lengths: ClassVar[tuple[str, ...]] = ("kept",)
    budgeted: ClassVar[tuple[str, ...]] = ("kept",)

    kept: int
    threshold: float
    block: int
    stride: int

    @classmethod
    def sizes(cls, budget: Budget, given: Mapping[str, Any]) -> dict[str, Any]:
        block = given.get("block", block_tokens(budget.tokens, BLOCK))
        return {"kept": budget.tokens, "threshold": 1.0, "block": block, "stride": min(STRIDE, max(1, block // 2))}

    def check(self) -> None:
        self._at_least(1, "kept", "block", "stride")
        if type(self.threshold) not in (int, float) or not 0 < self.threshold <= 1:
            raise UserError(
                f"xattention.threshold: {self.threshold!r} is not a share of the attention; give more than 0, at most 1"
            )
        if self.block % self.stride:
            raise UserError(
                f"xattention.stride: {self.stride} does not divide the block of {self.block}; give one that does"
            )

    def encode(self, chunk: Chunk) -> Tensor:
        import torch

        from scbench.kv.banded import banded_keys
        from scbench.kv.sparse_prefill import Blocks
        from scbench.methods.generation.antidiagonal import block_shares, choose_blocks

        chunk.check_whole()
        shares = block_shares(chunk.q, chunk.k, self.block, self.stride, chunk.scaling)
        allowed = banded_keys(0, chunk.total, 0, self.kept)
        chosen = choose_blocks(shares, self.block, chunk.total, allowed, self.threshold)
        heads = torch.arange(chunk.q.shape[1], device=chunk.q.device)
        return chunk.sparse([Blocks(heads, chosen, self.block, chunk.total)])
