"""MInference: each head attends to the columns, diagonals or blocks that an estimate of its attention points to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from scbench.errors import UserError
from scbench.methods.base import Complexity, Method, Stage
from scbench.methods.budget import Budget, block_tokens
from scbench.methods.generation.head_patterns import HeadPattern, read_patterns

if TYPE_CHECKING:
    from torch import Tensor

    from scbench.kv import Chunk
    from scbench.methods.generation.head_masks import Sizes
    from scbench.models import Model

# The authors' sizes: 30 and 100 lines forced among 512 columns and 2,048 diagonals, blocks of 64 tokens.
PUBLISHED_LINES, FORCED_COLUMNS, FORCED_DIAGONALS, BLOCK = 2560, 30, 100, 64
# What is forced at least in short contexts, and never more than a quarter and a half of a budget that is tiny.
MIN_COLUMNS, MIN_DIAGONALS = 4, 8


@dataclass(frozen=True, kw_only=True)
class MInference(Method):
    """The first prompt is encoded by a pattern a head, chosen by its last rows or by block means; all keys are stored.

    vertical_slash: row i sees key j <= i where j is a chosen column or i - j a chosen diagonal: those that gather the
    most attention of the last `rows` rows, the `first` columns and the `recent` diagonals in any case. stream: the
    first columns and the nearest diagonals, which is A-shape. block_sparse: each block of `block` rows sees the key
    blocks whose mean key its mean query agrees with most. Later rows are dense over what was encoded.

    vertical, slash: columns and diagonals; their sum is the budget, their proportion that of the file the authors ship
    for Llama-3.1-8B (512 : 2048).
    fitted: lines that are short or cross see fewer keys than their number says, so both numbers are raised in
    proportion, head by head, until the head sees as many keys as A-shape of the same budget; false takes them as they
    are, as published. Blocks are taken for vertical + slash keys a row, rounded up to whole ones.
    patterns: a file with each head's pattern and proportion (rules/patterns.smk); without one every head is
    vertical_slash, as in the authors' file. patterns_sha256: that file's digest, found when the settings are resolved.
    """

    name: ClassVar[str] = "minference"
    title: ClassVar[str] = "MInference"
    stage: ClassVar[Stage] = "generation"
    paper: ClassVar[str] = "Jiang et al., MInference 1.0, 2024"
    complexity: ClassVar[Complexity] = Complexity(
        prefill_efficient=True, decode_efficient=False, kv_size="O(n)", prefill="O(kn)", decode="O(nm)"
    )
    starts_dense: ClassVar[bool] = False
    whole_prompt: ClassVar[bool] = True
    modules: ClassVar[tuple[str, ...]] = (
        "scbench.methods.generation.minference",
        "scbench.methods.generation.head_masks",
        "scbench.methods.generation.head_patterns",
        "scbench.kv.banded",
        "scbench.kv.sparse_prefill",
        "kernels.block_sparse_prefill",
        "kernels.block_sparse_prefill_triton",
        "kernels.dispatch",
        "kernels.line_scores",
        "kernels.line_scores_triton",
        "kernels.softmax_triton",
        "kernels.vertical_slash_prefill",
        "kernels.vertical_slash_prefill_triton",
    )
    lengths: ClassVar[tuple[str, ...]] = ("vertical", "slash")
    budgeted: ClassVar[tuple[str, ...]] = ("vertical", "slash")

    vertical: int
    slash: int
    rows: int
    first: int
    recent: int
    block: int
    fitted: bool
    patterns: str | None
    patterns_sha256: str | None

    @classmethod
    def resolve(cls, settings: Mapping[str, Any], context_tokens: int) -> Self:
        path = settings.get("patterns")
        if path is None:
            return super().resolve(settings, context_tokens)
        if not isinstance(path, str):
            raise UserError(f"minference.patterns: {path!r} is not a path; give a pattern file's, or leave it out")
        found = read_patterns("minference.patterns", path).sha256
        if settings.get("patterns_sha256", found) != found:
            raise UserError(
                f"minference.patterns_sha256: {settings['patterns_sha256']!r}, but {path} has {found}; leave it out to "
                "take the file as it is"
            )
        return super().resolve({**settings, "patterns_sha256": found}, context_tokens)

    @classmethod
    def sizes(cls, budget: Budget, given: Mapping[str, Any]) -> dict[str, Any]:
        vertical = given.get("vertical", max(0, budget.tokens - given.get("slash", budget.tokens - budget.tokens // 5)))
        slash = given.get("slash", budget.tokens - vertical)
        kept = vertical + slash
        return {
            "vertical": vertical,
            "slash": slash,
            "rows": 64,
            "first": _forced(kept, FORCED_COLUMNS, min(MIN_COLUMNS, kept // 4)),
            "recent": _forced(kept, FORCED_DIAGONALS, max(1, min(MIN_DIAGONALS, kept // 2))),
            "block": block_tokens(kept, BLOCK),
            "fitted": True,
            "patterns": None,
            "patterns_sha256": None,
        }

    def check(self) -> None:
        self._at_least(0, "vertical", "first")
        self._at_least(1, "slash", "recent", "rows", "block")
        if self.first + self.recent > self.vertical + self.slash:
            raise UserError(
                f"minference.first: first + recent is {self.first + self.recent}, above the {self.vertical} columns "
                f"and {self.slash} diagonals in all; give less"
            )
        if type(self.fitted) is not bool:
            raise UserError(f"minference.fitted: {self.fitted!r} is neither true nor false; give one of them")
        if self.patterns is None and self.patterns_sha256 is not None:
            raise UserError("minference.patterns_sha256: there is no `patterns` file that it could be of; leave it out")

    def check_model(self, model: Model) -> None:
        if self.patterns is not None:
            read_patterns("minference.patterns", self.patterns).check_model("minference.patterns", model)

    def encode(self, chunk: Chunk) -> Tensor:
        from scbench.methods.generation.head_masks import head_masks

        chunk.check_whole()
        return chunk.sparse(head_masks(chunk.q, chunk.k, chunk.scaling, self._heads(chunk), self.taken()))

    def taken(self) -> Sizes:
        """How much a head's mask holds."""
        from scbench.methods.generation.head_masks import Sizes

        return Sizes(self.rows, self.first, self.recent, self.block, self.vertical + self.slash, self.fitted)

    def _heads(self, chunk: Chunk) -> tuple[HeadPattern, ...]:
        """The patterns of the chunk's query heads."""
        heads = chunk.q.shape[1]
        if self.patterns is None:
            return (HeadPattern("vertical_slash", self.vertical, self.slash),) * heads
        file = read_patterns("minference.patterns", self.patterns)
        if file.sha256 != self.patterns_sha256:
            raise UserError(f"minference.patterns: {self.patterns} changed while the job ran; run the workflow again")
        return file.layer("minference.patterns", chunk.layer, chunk.layers, heads)


def _forced(kept: int, published: int, least: int) -> int:
    """Lines to take in any case: the published number at the published size, in proportion below, at least `least`."""
    return min(published, max(least, round(kept * published / PUBLISHED_LINES)))
