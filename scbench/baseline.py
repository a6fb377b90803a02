"""Whether full attention works at all, asked before a mini study spends its time on methods.

Weights that were cut short, a broken kernel or a context longer than the model was trained for do not stop a run: they
give tables of small numbers in which every method looks about as good as full attention. So each model first answers
look-ups and pass keys, at the study's length and on sessions that are not the study's own, and has to reach the floors.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from statistics import NormalDist
from typing import Any, Protocol

from scbench import cellkey, codedigest, sessionkey
from scbench.canonical import digest_value
from scbench.costs import session_seconds
from scbench.errors import UserError
from scbench.journal import Turns
from scbench.models import Model
from scbench.plan import Cell
from scbench.progress import Progress
from scbench.sessions import Session, Turn
from scbench.study import Row, Study
from scbench.tasks import TASKS, Scale

QUERIES = 250  # a floor; their standard error is 3 points at .70 and 1.4 at .95
MOST_TURNS, FEWEST_TURNS = 10, 2  # a session; even, for of a mixed task every second one counts
SEED = -1  # a study's own seeds begin at 0
LEVEL = 0.95  # of the interval that is reported
FULL = Row("full", "full", {})

# What decides a result besides what decides sessions and turns. The metrics decide it too, but an edit of one is no
# reason to ask the model again: the study's own scores will show what it does.
CODE = ("scbench.baseline", "scripts.check_baseline")
METRICS = ("scbench.scoring",)


@dataclass(frozen=True)
class Floor:
    """The share of right answers (strict) that full attention has to reach in the `subtask` turns of `task`."""

    task: str
    subtask: str
    share: float


FLOORS = (Floor("retr_kv", "retr_kv", 0.70), Floor("mix_sum_niah", "needle", 0.95))


@dataclass(frozen=True)
class Reached:
    """What full attention reached on one task.

    queries, right: how many were asked and answered; cut_off: queries whose evidence did not fit into the model's
    context. accuracy: their share, with its `LEVEL` interval from low to high (Wilson's, queries taken as independent).
    """

    task: str
    subtask: str
    queries: int
    right: int
    cut_off: int
    accuracy: float
    low: float
    high: float
    floor: float


class Answering(Protocol):
    """What answers sessions with full attention; `scbench.compute.Computer` in earnest."""

    def probe(self, session: Session, subtask: str) -> Turns: ...


def applies(study: Study) -> bool:
    """Whether the models of `study` are checked."""
    return study.check_baseline and study.data.scale == "mini"


def job(model: Model) -> str:
    """The name of the job that checks `model`."""
    return f"check_baseline_{model.name}"


def floors(study: Study) -> list[Floor]:
    """The floors that each model of `study` has to reach: those whose task can be built at its length."""
    if not applies(study):
        return []
    return [floor for floor in FLOORS if study.data.tokens >= TASKS[floor.task].min_tokens]


def fields(study: Study, model: Model) -> dict[str, Any]:
    """What decides the result for `model` on any machine, the metrics aside."""
    probed = _probed(study)
    tasks = [floor.task for floor in floors(study)]
    return {
        "floors": [asdict(floor) for floor in floors(study)],
        "sessions": {task: sessionkey.fields(probed, task) for task in tasks},
        "cells": {task: cellkey.fields(probed, Cell(model, FULL, task, "multi_turn")) for task in tasks},
        "device": study.execution.device,
        "code": codedigest.digest(CODE),
    }


def digest(study: Study, model: Model) -> str:
    """sha256 of the fields and of what else is known before the model is there."""
    libraries = {name: cellkey.version(name) for name in sessionkey.LIBRARIES}
    return digest_value(fields(study, model) | {"libraries": libraries})


def seconds(study: Study, model: Model) -> float:
    """Estimated seconds of the check of `model`, where the length holds sessions of `MOST_TURNS`."""
    found = model.seconds.load
    for floor in floors(study):
        sessions = QUERIES * len(TASKS[floor.task].subtasks) / MOST_TURNS
        found += sessions * session_seconds(_probed(study), model, floor.task, cells=1, prefills=1)
    return found


def _probed(study: Study) -> Study:
    """The study of which the check would be a part: `study` with sessions of the check's own."""
    data = replace(study.data, source="build", sessions=QUERIES, turns=MOST_TURNS, order="published", seed=SEED)
    return replace(study, data=data, history="golden")


def measure(model: Answering, scale: Scale, floor: Floor, progress: Progress) -> Reached:
    """Ask `QUERIES` queries of `floor` in sessions of `scale`. Raises UserError when no such session can be built."""
    from scbench.scoring import score_turn  # its libraries are many, and planning needs none

    right = cut_off = 0
    for turn, answer in islice(_answered(model, scale, floor), QUERIES):
        right += score_turn(turn.subtask, answer["prediction"], turn.golds, profile="strict") == 1
        cut_off += answer["evidence_kept"] is False
        progress.advance(1)
    low, high = interval(right, QUERIES)
    return Reached(floor.task, floor.subtask, QUERIES, right, cut_off, right / QUERIES, low, high, floor.share)


def _answered(model: Answering, scale: Scale, floor: Floor) -> Iterator[tuple[Turn, dict[str, Any]]]:
    """Queries of `floor` and their answers, without end, in sessions of as many turns as context and model hold."""
    turns, number = MOST_TURNS, 0
    while True:
        try:
            session = TASKS[floor.task].build(replace(scale, turns=turns), SEED, number)
        except UserError:
            if turns == FEWEST_TURNS:
                raise
            turns -= 2
            continue
        answers = model.probe(session, floor.subtask)
        if answers[0]["dropped_tokens"] and turns > FEWEST_TURNS:
            turns -= 2  # the study's own sessions may be shorter than this one, and lose nothing
            continue
        number += 1
        yield from zip([turn for turn in session.turns if turn.subtask == floor.subtask], answers, strict=True)


def interval(right: int, queries: int) -> tuple[float, float]:
    """Wilson's interval of a share at `LEVEL`: it says something where all or none are right, too."""
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    share, shrink = right / queries, 1 + z * z / queries
    middle = (share + z * z / (2 * queries)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / queries + z * z / (4 * queries * queries))
    return max(0.0, middle - half), min(1.0, middle + half)


def said(found: Reached) -> str:
    """`found` in words."""
    queries = f"{found.queries} {found.subtask} queries"
    if found.subtask != found.task:
        queries += f" of {found.task}"
    cut_off = f", {found.cut_off} of them cut off with the middle of a context" if found.cut_off else ""
    return (
        f"{found.accuracy:.1%} of {queries} are answered (95% interval {found.low:.1%} to {found.high:.1%}{cut_off}), "
        f"the floor is {found.floor:.0%}"
    )


def judge(study: Study, model: Model, reached: Sequence[Reached]) -> None:
    """Raise UserError when an accuracy is below its floor."""
    if not (low := [found for found in reached if found.accuracy < found.floor]):
        return
    causes = [
        "the weights, the kernels or the libraries are broken",
        "the context is longer than the model was trained for",
    ]
    if study.prompts != "clean":
        causes.append(f"the model was not trained for prompts: {study.prompts}")
    raise UserError(
        f"{study.name}: {model.name} fails with full attention at data.tokens {study.data.tokens}: "
        f"{' and '.join(map(said, low))}; {', or '.join(causes)}: retrain or mend the model, or lower data.tokens, "
        "or set check_baseline: false in the study to go on all the same"
    )
