"""RetrievalAttention: the first prompt's KV lies on the host, and each query retrieves keys from a vector index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from math import isqrt
from typing import TYPE_CHECKING, Any, ClassVar

from scbench.errors import UserError
from scbench.methods.base import Complexity, Method, Stage
from scbench.methods.budget import Budget, sink_tokens

if TYPE_CHECKING:
    from torch import Tensor

    from scbench.kv import Kept, LayerKV, Step
    from scbench.methods.loading.host_index import HostIndex

SEARCHES = ("exact", "ann")
MIN_RECENT = 32


@dataclass(frozen=True, kw_only=True)
class RetrievalAttention(Method):
    """The first `sink` and last `recent` tokens stay on the device, the rest goes to the host's memory.

    Each row and query head attends to the static tokens, to everything after the first prompt, and to the `top_k` keys
    of the index with the highest inner product; the host computes the attention to these, and the parts are merged by
    their log-sum-exp. Prompts of up to sink + recent + top_k tokens stay on the device whole.

    sink, recent, top_k: tokens; together the budget. As the benchmark's authors set them, 128 and 512 of 4,096, and in
    proportion elsewhere, with minima of 16 and 32. search: `exact`, by all inner products, as the benchmark's authors
    run it, or `ann`, by the inverted lists of the library faiss: keys lie in `lists` clusters, the square root of the
    context, and a query looks into the `probes` nearest, a quarter of them.
    """

    name: ClassVar[str] = "retrieval_attention"
    title: ClassVar[str] = "RetrievalAttention"
    stage: ClassVar[Stage] = "loading"
    paper: ClassVar[str] = (
        "Liu et al., RetrievalAttention: Accelerating Long-Context LLM Inference via Vector Retrieval, 2024"
    )
    complexity: ClassVar[Complexity] = Complexity(
        prefill_efficient=False, decode_efficient=True, kv_size="O(n)", prefill="O(n^2)", decode="O(km)"
    )
    turns_together: ClassVar[bool] = True
    modules: ClassVar[tuple[str, ...]] = (
        "scbench.methods.loading.retrieval_attention",
        "scbench.methods.loading.host_index",
        "scbench.methods.loading.inverted_lists",
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
    lengths: ClassVar[tuple[str, ...]] = ("sink", "recent", "top_k")
    budgeted: ClassVar[tuple[str, ...]] = ("sink", "recent", "top_k")

    sink: int
    recent: int
    top_k: int
    search: str
    lists: int
    probes: int

    @classmethod
    def sizes(cls, budget: Budget, given: Mapping[str, Any]) -> dict[str, Any]:
        kept = budget.tokens
        sink = given.get("sink", sink_tokens(kept))
        recent = given.get("recent", max(round(kept / 8), min(MIN_RECENT, kept // 4)))
        lists = given.get("lists", max(1, isqrt(budget.context)))
        return {
            "sink": sink,
            "recent": recent,
            "top_k": kept - sink - recent,
            "search": "exact",
            "lists": lists,
            "probes": -(-lists // 4),
        }

    def check(self) -> None:
        self._at_least(0, "sink", "recent")
        self._at_least(1, "top_k", "lists", "probes")
        if self.search not in SEARCHES:
            raise UserError(
                f"retrieval_attention.search: {self.search!r} is not one of {', '.join(SEARCHES)}; choose one of them"
            )
        if self.probes > self.lists:
            raise UserError(
                f"retrieval_attention.probes: {self.probes} is above the {self.lists} lists that there are; give less"
            )
        if self.search == "ann" and find_spec("faiss") is None:
            raise UserError(
                "retrieval_attention.search: 'ann' needs the library faiss, which is not installed; run pip install "
                "--requirement requirements.lock, or choose exact"
            )

    def _static(self, tokens: int) -> bool:
        return tokens <= self.sink + self.recent + self.top_k

    def index(self, layer: LayerKV) -> HostIndex | None:
        if self._static(layer.tokens):
            return None
        from scbench.methods.loading.host_index import HostIndex

        rest = slice(self.sink, layer.tokens - self.recent)
        k, v = layer.k[:, :, rest], layer.v[:, :, rest]
        if self.search == "exact":
            return HostIndex.of(k, v)
        from scbench.methods.loading.inverted_lists import InvertedLists

        return HostIndex.of(k, v, InvertedLists.of(k, self.lists, self.probes))

    def compress(self, layer: LayerKV) -> Kept | None:
        if self._static(layer.tokens):
            return None
        return layer.keep([*range(self.sink), *range(layer.tokens - self.recent, layer.tokens)])

    def load(self, step: Step) -> Tensor:
        if step.index is None:
            return step.dense()
        return step.with_resident(*step.index.attend(step.q, self.top_k, step.scaling, step.apart))
