"""Scores of single turns: every task's metric, as published (`compat`) and corrected (`strict`)."""

from collections.abc import Collection, Sequence
from typing import Any

from scbench.errors import UserError
from scbench.quirks import Quirk
from scbench.scoring import answers, choices, functions, numbers, strings, summaries
from scbench.scoring.metric import Metric

PROFILES = ("compat", "strict")

_METRIC_OF_TASK: dict[str, Metric] = {
    "retr_kv": strings.KEY_VALUE,
    "retr_prefix_suffix": strings.AFFIXES,
    "retr_multihop": strings.VARIABLES,
    "code_repoqa": functions.FUNCTION,
    "en_qa": answers.ENGLISH,
    "zh_qa": answers.CHINESE,
    "en_multichoice": choices.CHOICE,
    "icl_manyshot": choices.MANY_SHOT,
    "math_find": numbers.EXTREME,
    "en_sum": summaries.SUMMARY,
    "needle": numbers.NEEDLE,
}
# Task that scores a turn -> name of its metric. The mixed tasks are not here: each of their turns names its own.
METRICS: dict[str, str] = {task: metric.name for task, metric in _METRIC_OF_TASK.items()}


def quirks_of(task: str) -> tuple[Quirk, ...]:
    """The quirks of the published scorer of `task`, a key of METRICS. Raises UserError for another."""
    return _metric(task).quirks


def score_turn(task: str, prediction: str, golds: Sequence[str], *, profile: str, **meta: Any) -> float:
    """Score one answer, in [0, 1].

    task: the sub-task whose metric scores the turn, a key of METRICS.
    golds: the accepted answers as `scbench.sessions.Turn` holds them.
    profile: "compat", the published rules with all their quirks, or "strict", the corrected ones.
    meta: what the metric needs besides: `options` (en_multichoice), `name`, `language`, `candidates` (code_repoqa), and
        for quirks of `compat` the `mode` and the `session_task` that the turn belongs to, the `pool` of candidates that
        its file holds, and what type its golds are `stored_as` ("str" unless it says otherwise). Others are ignored.
    Raises UserError for an unknown task or profile and for golds or meta that the metric cannot read.
    """
    if profile not in PROFILES:
        raise UserError(f"scoring: profile {profile!r} is unknown; use one of {', '.join(PROFILES)}")
    return score_with(quirks_of(task) if profile == "compat" else (), task, prediction, golds, **meta)


def score_with(quirks: Collection[Quirk], task: str, prediction: str, golds: Sequence[str], **meta: Any) -> float:
    """As `score_turn`, with just these quirks switched on."""
    metric = _metric(task)
    if not golds:
        raise UserError(f"scoring: a turn of {task} has no gold answer; add at least one to `golds`")
    return float(metric.score(prediction, golds, meta, quirks))


def _metric(task: str) -> Metric:
    if task not in _METRIC_OF_TASK:
        raise UserError(
            f"scoring: task {task!r} has no metric; use one of {', '.join(METRICS)} "
            "(a turn of a mixed task is scored by its sub-task)"
        )
    return _METRIC_OF_TASK[task]


__all__ = ["METRICS", "PROFILES", "quirks_of", "score_turn", "score_with"]
