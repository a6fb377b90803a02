"""What the card of a model that was trained here states in numbers: what it reached, and the paper's effects on it.

Both are under strict scoring, multi-turn; intervals are percentiles of a bootstrap over sessions.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd

from scbench import stats
from scbench.artifacts.board import read_board
from scbench.errors import UserError
from scbench.study import FLOOR, ITSELF, Study
from scbench.tasks import TASKS

BOOTSTRAP = stats.Bootstrap()
_PART = ["task", "subtask"]


class Contrast(NamedTuple):
    """A difference between two rows of a study on the same sessions: on turn `turn`, or over all where it is None."""

    words: str
    more: str
    less: str
    turn: int | None


CONTRASTS = (
    Contrast("4 bits less 2 bits, all turns", "kivi-4bit", "kivi-2bit", None),
    Contrast("Tri-shape less A-shape on turn 1", "tri_shape", "a_shape", 1),
    Contrast("full attention less StreamingLLM, all turns", ITSELF, "streaming_llm", None),
)


def accuracy(study: Study, model: str, scores: pd.DataFrame) -> dict[str, Any]:
    """What `model` reached: full attention by part of a task, its interval, its turns and the floor, categories.

    Raises UserError where the study's rows of full attention or of the floor are not among `scores`.
    """
    scores = _own(study, model, scores)
    if not {ITSELF, FLOOR} <= set(scores["method"]):
        raise UserError(f"--scores: study {study.name} lacks rows of {ITSELF} or {FLOOR}; give both score files")
    means = _means(scores)
    full, floor = means.xs(ITSELF, level="method"), means.xs(FLOOR, level="method")
    floors = floor[0].groupby(_PART).mean()
    rows = []
    for row in stats.summarise(full.groupby(level=_PART, sort=False).mean(), BOOTSTRAP).itertuples():
        turns = full[0].xs((row.task, row.subtask), level=_PART)
        rows.append(
            {
                "task": row.task if row.task == row.subtask else f"{row.task}: {row.subtask}",
                "score": row.score,
                "low": row.low,
                "high": row.high,
                "turns": [f"{value:.0f}" for value in turns],
                "floor": floors.get((row.task, row.subtask)),
            }
        )
    whole = scores[scores["method"] == ITSELF]
    categories = stats.per_category(whole)[["category", "score"]].itertuples(index=False, name=None)
    average = ("average", stats.average(whole)["score"].item())
    return {"tokens": study.data.tokens, "rows": rows, "categories": [*categories, average]}


def effects(study: Study, model: str, scores: pd.DataFrame) -> dict[str, Any]:
    """What the methods of `study` do to the first and the later turns of `model`, and those of `CONTRASTS` it has.

    rows: task, method, budget, and (score, low, high) of turn 1, of the mean of the later turns and of what the first
    is ahead. contrasts: (words, [(task, (score, low, high)), ...]).
    Raises UserError for a study of single turns or without `model`, where a turn of a row has not the study's sessions,
    and for a task whose turns alternate between two metrics, so that an early and a later one are not of one kind.
    """
    board = read_board(study)
    lines = {line.label: line for line in board.lines if line.model == model}
    if study.data.turns < 2 or not lines:
        raise UserError(f"--effects: study {study.name} has no later turns, or no {model}; give one that has both")
    if mixed := [task for task in board.sessions if len(TASKS[task].subtasks) > 1]:
        raise UserError(
            f"--effects: study {study.name}: turns of {', '.join(mixed)} alternate between two metrics; take it out"
        )
    scores = _own(study, model, scores)
    cells = [range(1, study.data.turns + 1), board.sessions, lines]
    wanted = pd.MultiIndex.from_product(cells, names=["turn", "task", "method"])
    found = scores.groupby(wanted.names)["session"].nunique().reindex(wanted, fill_value=0)
    for (turn, task, label), sessions in found.items():
        if sessions != board.sessions[task]:
            raise UserError(
                f"--effect-scores: study {study.name}, {label}, {task}, turn {turn}: {sessions} of "
                f"{board.sessions[task]} sessions are scored; run the study to its end and give its score files"
            )
    means = _means(scores).droplevel("subtask")
    rows = []
    for task in board.sessions:
        for label, line in lines.items():
            turns = means.xs((label, task), level=["method", "task"])
            first, later = turns.loc[1], turns.loc[2:].mean()
            limits = dict(zip(("first", "later", "ahead"), _limits(first, later, first - later), strict=True))
            rows.append({"task": task, "method": line.title, "budget": line.budget, **limits})
    contrasts = [
        (contrast.words, [(task, _difference(means, contrast, task)) for task in board.sessions])
        for contrast in CONTRASTS
        if {contrast.more, contrast.less} <= set(lines)
    ]
    about = {"study": board.study, "tokens": study.data.tokens, "sessions": study.data.sessions, "order": board.order}
    return about | {"rows": rows, "contrasts": contrasts}


def _own(study: Study, model: str, scores: pd.DataFrame) -> pd.DataFrame:
    own = (scores["study"] == study.name) & (scores["model"] == model) & (scores["mode"] == "multi_turn")
    return scores[own]


def _means(scores: pd.DataFrame) -> pd.DataFrame:
    """Index method, task, subtask, turn; column 0 as scored, then one for each draw."""
    return stats.turn_means(scores, "strict", BOOTSTRAP).score.droplevel(["study", "model", "mode"])


def _difference(means: pd.DataFrame, contrast: Contrast, task: str) -> tuple[float, float, float]:
    more, less = (means.xs((label, task), level=["method", "task"]) for label in (contrast.more, contrast.less))
    apart = more - less
    (limits,) = _limits(apart.mean() if contrast.turn is None else apart.loc[contrast.turn])
    return limits


def _limits(*series: pd.Series) -> Iterator[tuple[float, float, float]]:
    """(score, low, high) of each series over column 0 and the draws."""
    for row in stats.summarise(pd.DataFrame(series).reset_index(drop=True), BOOTSTRAP).itertuples():
        yield row.score, row.low, row.high
