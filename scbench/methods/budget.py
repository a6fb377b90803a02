"""Budgets: how much of the context a method keeps or attends to, and the sizes that follow from it.

The published code states sizes for a context of 131,072 tokens and a budget of 1/32, 4,096 tokens: a sink of 128, a
window of 3,968. Here sizes scale with the kept tokens, with minima that keep them meaningful at 1,024 tokens.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from scbench.errors import UserError

MIN_SINK = 16
MIN_BLOCK = 4


@dataclass(frozen=True)
class Budget:
    """`share` of the context, 0 < share <= 1, and the `tokens` this makes of its `context` tokens."""

    share: float
    tokens: int
    context: int


def read_budget(method: str, value: Any, context_tokens: int) -> Budget:
    """The budget a user wrote: a share (0.125, "1/8", 1 for all) or a whole number of tokens from 2 up.

    Raises UserError when it is neither or lies above `context_tokens`.
    """
    number = _number(value)
    if number is None or not 0 < number <= context_tokens or (number > 1 and number.denominator > 1):
        raise UserError(
            f"{method}.budget: {value!r} is neither a share of the context (above 0, at most 1) nor a whole number of "
            f"tokens up to its {context_tokens}; give for example 1/8"
        )
    if number > 1:
        return Budget(float(number / context_tokens), int(number), context_tokens)
    return Budget(float(number), max(1, round(number * context_tokens)), context_tokens)


def _number(value: Any) -> Fraction | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return Fraction(value)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None


def sink_tokens(kept: int) -> int:
    """First tokens to keep of `kept`: 1 in 32, but at least 16, and never more than a quarter where `kept` is tiny."""
    return max(round(kept / 32), min(MIN_SINK, kept // 4))


def block_tokens(kept: int, published: int) -> int:
    """Tokens of a block where a row sees `kept` keys: a power of two that leaves it eight blocks or more.

    At most the published size, which fits 131,072 tokens, at least `MIN_BLOCK`.
    """
    return max(MIN_BLOCK, min(published, 1 << max(0, (kept // 8).bit_length() - 1)))
