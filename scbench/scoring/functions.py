"""Code.RepoQA: is the answer, among the session's functions, most like the one asked for? (pass@1 at similarity 0.8)"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from scbench.errors import UserError
from scbench.quirks import FENCES, FILE_POOL, FIRST_FUNCTION, GRAMMARS, Quirk
from scbench.scoring.languages import first_function
from scbench.scoring.metric import Metric

THRESHOLD = 0.8

# As published: a fence opens at the start of a line, its tag has word characters only, and it must be closed.
_FENCE_PUBLISHED = re.compile(r"^```\w*\s*\n(.*?)^```", re.DOTALL | re.MULTILINE)
# Corrected: text before the fence, tags such as "c++", and an answer cut by the token limit.
_FENCE = re.compile(r"```(?:[^\s`]*[ \t]*\n)?(.*?)(?:```|\Z)", re.DOTALL)
_SMOOTHING = SmoothingFunction().method4


@lru_cache(maxsize=65536)
def similarity(answer: str, code: str) -> float:
    """Sentence BLEU of `answer` against `code` over whitespace-separated tokens, Chen and Cherry's smoothing 4."""
    return float(sentence_bleu([code.split()], answer.split(), smoothing_function=_SMOOTHING))


@lru_cache(maxsize=4096)
def _candidates(text: str) -> tuple[tuple[str, str], ...]:
    try:
        return tuple((entry["name"], entry["code"]) for entry in json.loads(text))
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"code_repoqa: meta `candidates` is {text[:60]!r}, not a JSON list of objects with `name` and `code`; "
            "rebuild the session file"
        ) from error


def _target(
    golds: Sequence[str], meta: Mapping[str, Any], quirks: Collection[Quirk]
) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """(name, language, candidates) of a turn; without candidates the golds are the pool."""
    for key in ("name", "language"):
        if key not in meta:
            raise UserError(f"code_repoqa: meta has no `{key}`; a turn needs the target's name and its language")
    key = "pool" if FILE_POOL in quirks and "pool" in meta else "candidates"
    pool = _candidates(meta[key]) if key in meta else ()
    return meta["name"], meta["language"], pool or tuple((meta["name"], gold) for gold in golds)


def _blocks(prediction: str, quirks: Collection[Quirk]) -> list[str]:
    if FENCES in quirks:
        return _FENCE_PUBLISHED.findall(prediction.strip())
    return [block for block in _FENCE.findall(prediction) if block.strip()] or [prediction]


def _answers(prediction: str, language: str, quirks: Collection[Quirk]) -> list[str]:
    """What the prediction may mean: its first function, and the block around it, which keeps a decorator.

    The published scorer stops at PHP; with GRAMMARS, a PHP block is compared as it stands. With FENCES, an answer in
    which no block is seen is compared as it stands, what is written around the code included.
    """
    blocks = _blocks(prediction, quirks)
    grammar = "compat" if GRAMMARS in quirks else "strict"
    for block in blocks:
        function = first_function(block, language, grammar)
        if function is not None:
            return [function, block]
    return blocks[:1] or [prediction]


def _first_of_the_best(answer: str, candidates: Sequence[tuple[str, str]]) -> tuple[str | None, float]:
    """Name and similarity of the candidate most like `answer`, the first of equals; (None, 0) where none is like it."""
    best_name, best = None, 0.0
    for name, code in candidates:
        found = similarity(answer, code)
        if found > best:
            best_name, best = name, found
    return best_name, best


def _likeness(answer: str, code: str) -> float:
    """`similarity`, but 1 for equal tokens: BLEU of fewer than four tokens is below 1 even against itself."""
    return 1.0 if answer.split() == code.split() else similarity(answer, code)


def _pass(prediction: str, golds: Sequence[str], meta: Mapping[str, Any], quirks: Collection[Quirk]) -> float:
    """1 if the answer is at least 0.8 like a gold and no other candidate is more like it."""
    name, language, candidates = _target(golds, meta, quirks)
    answers = _answers(prediction, language, quirks)
    if FIRST_FUNCTION in quirks:
        best_name, best = _first_of_the_best(answers[0], candidates)
        return float(best_name == name and best >= THRESHOLD)
    targets = [*golds, *(code for candidate, code in candidates if candidate == name)]
    others = [code for candidate, code in candidates if candidate != name]
    for answer in answers:
        found = max(_likeness(answer, code) for code in targets)
        if found >= THRESHOLD and all(_likeness(answer, code) <= found for code in others):
            return 1.0
    return 0.0


FUNCTION = Metric("pass_at_1", _pass, (FILE_POOL, GRAMMARS, FENCES, FIRST_FUNCTION))
