"""Summaries: ROUGE-Lsum F by the `rouge-score` library.

The same in both profiles, with the settings of the published scorer: no stemmer, lower-cased runs of ASCII letters and
digits as tokens, sentences split at newlines only, so the order of sentences does not matter but of words does.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from rouge_score.rouge_scorer import RougeScorer

from scbench.quirks import Quirk
from scbench.scoring.metric import Metric


@cache
def _scorer() -> RougeScorer:
    return RougeScorer(["rougeLsum"], use_stemmer=False)


@lru_cache(maxsize=65536)
def _rouge_lsum(prediction: str, gold: str) -> float:
    return float(_scorer().score(target=gold, prediction=prediction)["rougeLsum"].fmeasure)


def _best(prediction: str, golds: Sequence[str], meta: Mapping[str, Any], quirks: Collection[Quirk]) -> float:
    """The best ROUGE-Lsum F of the answer against a gold."""
    return max(_rouge_lsum(prediction, gold) for gold in golds)


SUMMARY = Metric("rouge_lsum", _best)
