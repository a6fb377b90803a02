"""How likely MagicPIG samples a key: for floats at planning, for tensors in a step (MagicPIG, section 4.3)."""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

CHANNELS = 128
"""The head size of the paper's models, for which shares are worked out: in fewer channels angles spread wider."""
ANGLES = 200
MOST_TABLES = 2**16


def chance(same: float | Tensor, bits: int, tables: int) -> float | Tensor:
    """The chance that a key falls into a query's bucket in two tables or more.

    same: the chance of one equal bit, 1 - angle / pi; a bucket has `bits` bits. In float64, if a tensor.
    """
    once = same**bits
    never = (1 - once) ** (tables - 1)
    return 1 - never * (1 - once) - tables * once * never


@lru_cache(maxsize=1024)
def unrelated_share(bits: int, tables: int) -> float:
    """The share that a query samples of keys in random directions: the mean chance over their angles to it.

    Directions in n channels have an angle to a given one with a density in proportion to sin^(n - 2).
    """
    angles = [math.pi * (step + 0.5) / ANGLES for step in range(ANGLES)]
    densities = [math.sin(angle) ** (CHANNELS - 2) for angle in angles]
    sampled = (
        density * chance(1 - angle / math.pi, bits, tables) for angle, density in zip(angles, densities, strict=True)
    )
    return sum(sampled) / sum(densities)


def tables_for(share: float, bits: int) -> int:
    """The fewest tables with which the share of unrelated keys is `share` at least, 0 <= share < 1."""
    # The share of a number of tables gives back that number, whatever the last bits of the arithmetic.
    return bisect_left(range(MOST_TABLES), share * (1 - 1e-9), lo=2, key=lambda tables: unrelated_share(bits, tables))
