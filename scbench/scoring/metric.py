"""What every metric is: one rule, and the quirks of the published scorer that can be switched on in it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scbench.quirks import Quirk

# (prediction, golds, meta, quirks) -> score in [0, 1]. Pure: no state, no files, no clock.
Scorer = Callable[[str, Sequence[str], Mapping[str, Any], Collection[Quirk]], float]


@dataclass(frozen=True)
class Metric:
    """A metric.

    name: the identifier that `METRICS` gives for a task.
    score: without quirks what the metric is meant to measure, where several golds are alternatives and the best one
        counts; with all of `quirks` the rule of the published scorer, for comparison with published numbers.
    quirks: those that it knows; others change nothing.
    """

    name: str
    score: Scorer
    quirks: tuple[Quirk, ...] = ()
