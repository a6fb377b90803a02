"""Answers that are numbers: the needle's digits and the extremes of a list."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from scbench.errors import UserError
from scbench.quirks import CUT_DECIMALS, FIRST_DIGITS, NUMBER_LABEL, UNSIGNED, Quirk
from scbench.scoring.metric import Metric

_ASCII_DIGITS = re.compile(r"[0-9]+")
_UNSIGNED = re.compile(r"\d+\.\d+|\d+")
# A number that is no part of a word ("2nd") or of a longer number; a comma groups three digits or ends the number.
_NUMBER = re.compile(
    r"""(?<!\w)(?<!\d\.)
    (?P<sign>[-\N{MINUS SIGN}])?
    (?P<whole>[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])|[0-9]+)
    (?P<rest>\.[0-9]+)?
    (?!\w|\.[0-9])""",
    re.VERBOSE,
)


def _needle(prediction: str, golds: Sequence[str], meta: Mapping[str, Any], quirks: Collection[Quirk]) -> float:
    """1 if the digits of the first number equal a gold; digits inside a word, decimals and separators do not mislead.

    A needle is a code and not a quantity: leading zeros count, a sign does not.
    """
    if NUMBER_LABEL in quirks and meta.get("stored_as", "str") != "str":
        return 0.0
    if FIRST_DIGITS in quirks:
        digits = _ASCII_DIGITS.search(prediction)
        return float(digits is not None and digits[0] in golds)
    first = _NUMBER.search(prediction)
    if first is None or first["rest"]:
        return 0.0
    return float(first["whole"].replace(",", "") in golds)


def _value(gold: str) -> Decimal:
    try:
        value = Decimal(gold)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise UserError(
            f"math_find: gold {gold!r} is not a number; write decimal digits in `golds` and build the sessions again"
        )
    return value


def _first_number(text: str, unsigned: bool) -> Decimal | None:
    """The first number with its sign, decimals and thousands separators. unsigned: the published reading, in which -5
    is 5 and 1,000 is 1."""
    if unsigned:
        digits = _UNSIGNED.search(text)
        return None if digits is None else Decimal(digits[0])
    first = _NUMBER.search(text)
    if first is None:
        return None
    sign = "-" if first["sign"] else ""
    return Decimal(sign + first["whole"].replace(",", "") + (first["rest"] or ""))


def _equal_cut(found: Decimal, gold: str) -> bool:
    """The published comparison, in floating point: 12.7 is 12, but not where the gold is no integer."""
    number = float(found)
    if not gold.lstrip("-").isdecimal():
        return number == float(_value(gold))
    return math.isfinite(number) and int(number) == int(_value(gold))


def _extreme(prediction: str, golds: Sequence[str], meta: Mapping[str, Any], quirks: Collection[Quirk]) -> float:
    """1 if the first number of the answer has the value of a gold."""
    found = _first_number(prediction, UNSIGNED in quirks)
    if found is None:
        return 0.0
    if CUT_DECIMALS in quirks:
        return float(any(_equal_cut(found, gold) for gold in golds))
    return float(any(found == _value(gold) for gold in golds))


NEEDLE = Metric("first_integer", _needle, (NUMBER_LABEL, FIRST_DIGITS))
EXTREME = Metric("number", _extreme, (UNSIGNED, CUT_DECIMALS))
