"""Normal forms and whole occurrences, shared by the metrics that compare text."""

import re
import unicodedata
from functools import lru_cache

_APOSTROPHES = re.compile("['’‘`´]")
_NOT_WORD = re.compile(r"[\W_]+")
_ARTICLES = frozenset({"a", "an", "the"})
WORD = r"\w"


def words(text: str) -> tuple[str, ...]:
    """Words of `text` without case, punctuation and articles; an answer that is only an article keeps it."""
    folded = _APOSTROPHES.sub("", unicodedata.normalize("NFKC", text).casefold())
    every = tuple(_NOT_WORD.sub(" ", folded).split())
    return tuple(word for word in every if word not in _ARTICLES) or every


def contains(text: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    """Whether `phrase` stands in `text` as consecutive whole words. An empty phrase stands nowhere."""
    size = len(phrase)
    return size > 0 and any(text[start : start + size] == phrase for start in range(len(text) - size + 1))


def stands(value: str, text: str, alphabet: str = WORD, *, ignore_case: bool = False) -> bool:
    """Whether `value` stands in `text` by itself and not within a longer string.

    alphabet: the characters that would make it a part of one, as in a regular expression's brackets. An empty value
    stands nowhere.
    """
    return bool(value) and _whole(value, alphabet, ignore_case).search(text) is not None


@lru_cache(maxsize=65536)
def _whole(value: str, alphabet: str, ignore_case: bool) -> re.Pattern[str]:
    pattern = rf"(?<![{alphabet}]){re.escape(value)}(?![{alphabet}])"
    return re.compile(pattern, re.IGNORECASE if ignore_case else 0)
