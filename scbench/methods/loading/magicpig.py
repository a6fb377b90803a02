"""MagicPIG: each step loads a random sample of keys, drawn by hash collisions and weighted by their chance."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from scbench.errors import UserError
from scbench.methods.base import Complexity, Method, Stage
from scbench.methods.budget import Budget
from scbench.methods.loading.collisions import tables_for, unrelated_share

if TYPE_CHECKING:
    from torch import Tensor

    from scbench.kv import LayerKV, Step
    from scbench.methods.loading.hash_tables import HashTables

MOST_BITS = 16  # a table has 2^bits buckets, of which the empty ones cost as much as the others


@dataclass(frozen=True, kw_only=True)
class MagicPIG(Method):
    """The first `sink` and last `local` tokens are attended to exactly; of those between, a query samples keys.

    A key is sampled if it falls into the query's bucket in two or more of `tables` hash tables. A bucket is the sides
    of `bits` random hyperplanes on which a vector lies; keys are hashed after their mean over the prompt is taken off.
    A sampled key's weight exp(logit) is divided by its chance of being sampled, so that the sums which softmax is a
    quotient of are right on average. Every layer samples; the original leaves two in 32 exact. Prompts of up to
    sink + local tokens are attended to whole.

    The budget is nominal: the share of tokens that a query attends to if centred keys lie in random directions of 128
    channels, the head size of the paper's models. Keys near a query are sampled more often, others less, and in smaller
    heads more of them are near; the keys attended to are counted as they come.

    sink, local: 4 and 64 as published, at most a quarter of the budget each. bits: 10 as published from 16,384 tokens
    of context up, less below, so that hashing a query does not outweigh what it saves. tables: as many as the budget
    asks for. seed: of the hyperplanes, which each layer draws for itself and its heads share.
    """

    name: ClassVar[str] = "magicpig"
    title: ClassVar[str] = "MagicPIG"
    stage: ClassVar[Stage] = "loading"
    paper: ClassVar[str] = "Chen et al., MagicPIG: LSH Sampling for Efficient LLM Generation, 2024"
    complexity: ClassVar[Complexity] = Complexity(
        prefill_efficient=False, decode_efficient=True, kv_size="O(n)", prefill="O(n^2)", decode="O(km)"
    )
    turns_together: ClassVar[bool] = True
    modules: ClassVar[tuple[str, ...]] = (
        "scbench.methods.loading.magicpig",
        "scbench.methods.loading.collisions",
        "scbench.methods.loading.hash_tables",
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
    lengths: ClassVar[tuple[str, ...]] = ("sink", "local")

    sink: int
    local: int
    bits: int
    tables: int
    seed: int

    @classmethod
    def resolve(cls, settings: Mapping[str, Any], context_tokens: int) -> Self:
        method = super().resolve(settings, context_tokens)
        static = method.sink + method.local
        if "tables" not in settings:
            if static > method.budget * context_tokens:
                raise UserError(
                    f"magicpig.local: sink + local is {static} tokens, above the budget of "
                    f"{method.budget * context_tokens:.0f}; give less, or a larger budget"
                )
            return method
        if "budget" not in settings:
            return dataclasses.replace(method, budget=method._nominal(context_tokens))
        rest = {key: value for key, value in settings.items() if key != "tables"}
        tables = cls.resolve(rest, context_tokens).tables
        if tables != method.tables and static < context_tokens:
            raise UserError(
                f"magicpig.budget: {settings['budget']!r} makes {tables} tables, but tables is {method.tables}; "
                "leave the budget or the tables out"
            )
        return method

    @classmethod
    def sizes(cls, budget: Budget, given: Mapping[str, Any]) -> dict[str, Any]:
        sink = given.get("sink", min(4, budget.tokens // 4))
        # Sampling cannot take everything: the whole context is a window.
        window = budget.context - sink if budget.share == 1 else min(64, budget.tokens // 4)
        local = given.get("local", window)
        bits = given.get("bits", min(10, max(4, budget.context.bit_length() - 5)))
        between = budget.context - sink - local
        drawn = max(0.0, budget.share * budget.context - sink - local)
        tables = 2
        if between > 0 and "tables" not in given and 1 <= bits <= MOST_BITS:
            tables = tables_for(drawn / between, bits)
        return {"sink": sink, "local": local, "bits": bits, "tables": tables, "seed": 0}

    def check(self) -> None:
        self._at_least(0, "sink", "local", "seed")
        self._at_least(1, "bits")
        self._at_least(2, "tables")
        if self.bits > MOST_BITS:
            raise UserError(f"magicpig.bits: {self.bits} is above {MOST_BITS}; give {MOST_BITS} or less")

    def _nominal(self, context: int) -> float:
        between = max(0, context - self.sink - self.local)
        return 1 - between * (1 - unrelated_share(self.bits, self.tables)) / context

    def index(self, layer: LayerKV) -> HashTables | None:
        if layer.tokens <= self.sink + self.local:
            return None
        from scbench.methods.loading.hash_tables import HashTables

        return HashTables.of(layer, self.sink, layer.tokens - self.local, self.bits, self.tables, self.seed)

    def load(self, step: Step) -> Tensor:
        if step.index is None:
            return step.dense()
        positions, bias, scanned = step.index.sample(step.q, step.k, step.prompt, step.apart)
        return step.chosen(positions, scanned, bias)
