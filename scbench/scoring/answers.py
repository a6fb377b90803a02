"""Free answers: inclusion for English (En.QA), F1 over characters for Chinese (Zh.QA)."""

import string
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from scbench.quirks import CHARACTERS, PARTS, RAW_TEXT, SIGNS, Quirk
from scbench.scoring.metric import Metric
from scbench.scoring.normalise import stands, words

# The signs that the published scorer deletes; 《 is not among them.
_PUBLISHED_SIGNS = frozenset(
    string.punctuation
    + "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》"
    + "「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏"
)


def _inclusion(prediction: str, golds: Sequence[str], meta: Mapping[str, Any], quirks: Collection[Quirk]) -> float:
    """1 if a gold stands in the answer as consecutive whole words; case, punctuation and articles do not count."""
    if RAW_TEXT in quirks:
        answer, phrases = prediction.strip().upper(), [gold.upper() for gold in golds]
    else:
        answer, phrases = " ".join(words(prediction)), [" ".join(words(gold)) for gold in golds]
    if PARTS in quirks:
        return float(any(phrase in answer for phrase in phrases))
    return float(any(stands(phrase, answer) for phrase in phrases))


def _characters_published(text: str) -> str:
    return "".join("".join(char for char in text.lower() if char not in _PUBLISHED_SIGNS).split())


def _characters(text: str) -> str:
    """Letters, digits and marks only, full-width forms as their plain twins."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in folded if unicodedata.category(char)[0] in "LNM")


def _f1(prediction: str, gold: str) -> float:
    """F1 of the two multisets of characters."""
    shared = sum((Counter(prediction) & Counter(gold)).values())
    return 2 * shared / (len(prediction) + len(gold)) if shared else 0.0


def _chinese(prediction: str, golds: Sequence[str], meta: Mapping[str, Any], quirks: Collection[Quirk]) -> float:
    """Best F1 over characters against a whole gold.

    With CHARACTERS, against any *one* character of it: a perfect answer of n characters gets 2 / (n + 1), any single
    character of the gold gets 1. Golds that are stored as a list, as the published set's are not, escape that.
    """
    plain = _characters_published if SIGNS in quirks else _characters
    answer = plain(prediction)
    if CHARACTERS in quirks and meta.get("stored_as", "str") != "list":
        golds = [char for gold in golds for char in gold]
    return max((_f1(answer, plain(gold)) for gold in golds), default=0.0)


ENGLISH = Metric("answer_inclusion", _inclusion, (RAW_TEXT, PARTS))
CHINESE = Metric("character_f1", _chinese, (CHARACTERS, SIGNS))
