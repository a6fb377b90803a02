"""From scored turns to the numbers of the tables: turn -> task -> category -> average.

The paper publishes no rule for its averages. The one here reproduces every published row that could be checked: a
multi-turn task is the mean over turns of each turn's mean over sessions, a multi-request task the mean over all its
turns, a mixed task the mean of its two sub-metrics; a category is the unweighted mean of its tasks, and the average the
unweighted mean of the four categories.

The public functions take a frame of scored turns (the columns of `scbench.records.Result` with `score_compat` and
`score_strict` in [0, 1]) and return a tidy frame with `score` in percent. What is missing stays missing: a task
without one of its sub-metrics, a category without one of its tasks and an average without one of its categories are
NaN, and `missing`, a tuple of names, says what they lack. Nothing is ever counted as 0 because it is absent.

Intervals and tests of tables and figures are in `scbench.intervals`. Inside, means are frames with one column for the
scores as they are (column 0) and one for each bootstrap draw, for the percentile intervals of the models' cards.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scbench.errors import UserError
from scbench.tasks import TASKS

RUN = ["study", "model", "method", "mode"]  # one row of Table 4, in one of its two halves
CATEGORIES: dict[str, tuple[str, ...]] = {
    category: tuple(name for name, task in TASKS.items() if task.category == category)
    for category in ("string", "semantic", "global", "multi")
}
# What each task weighs in the categories and in the average.
WEIGHTS: dict[str, dict[str, float]] = {
    category: dict.fromkeys(tasks, 1 / len(tasks)) for category, tasks in CATEGORIES.items()
} | {"average": {task: 1 / len(tasks) / len(CATEGORIES) for tasks in CATEGORIES.values() for task in tasks}}
FLOOR_POINTS = 30.0

_PARTS = tuple((name, subtask) for name, task in TASKS.items() for subtask in task.subtasks)
_CATEGORY_OF = {task: category for category, tasks in CATEGORIES.items() for task in tasks}
_TURN = [*RUN, "task", "subtask", "turn"]


@dataclass(frozen=True)
class Bootstrap:
    """A percentile interval over sessions: how many draws, the share of them inside, the seed.

    The sessions of each task are drawn with replacement; a drawn session brings its turns under every model, method and
    mode with it, so draws of different methods are paired. A task's draws do not depend on which other tasks there are.
    """

    draws: int = 1000
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class TurnMeans:
    """Means over sessions. Both frames: index RUN, task, subtask, turn; column 0 as scored, then one for each draw.

    score: percent, NaN where a draw has no session with that turn; sessions: how many there are, repeats counted.
    """

    score: pd.DataFrame
    sessions: pd.DataFrame


def per_task(scores: pd.DataFrame, profile: str = "strict", bootstrap: Bootstrap | None = None) -> pd.DataFrame:
    """Rows for the twelve tasks of every run: RUN, task, score, missing (sub-metrics); low, high on request."""
    parts = _parts(turn_means(scores, profile, bootstrap))
    return _with_missing(summarise(_tasks(parts), bootstrap), parts, "subtask", [*RUN, "task"])


def per_category(scores: pd.DataFrame, profile: str = "strict", bootstrap: Bootstrap | None = None) -> pd.DataFrame:
    """Rows for the four categories of every run: RUN, category, score, missing (tasks); low, high on request."""
    tasks = _tasks(_parts(turn_means(scores, profile, bootstrap)))
    return _with_missing(summarise(_by_category(tasks), bootstrap), tasks, "task", [*RUN, "category"])


def average(scores: pd.DataFrame, profile: str = "strict", bootstrap: Bootstrap | None = None) -> pd.DataFrame:
    """The mean of the four categories of every run: RUN, score, missing (tasks); low, high on request."""
    tasks = _tasks(_parts(turn_means(scores, profile, bootstrap)))
    means = _group(_by_category(tasks), RUN)
    return _with_missing(summarise(means, bootstrap), tasks, "task", RUN)


def floors(
    scores: pd.DataFrame, profile: str = "strict", *, full: str = "full", floor: str = "no_context"
) -> pd.DataFrame:
    """How far full attention stands above the same questions asked without their context.

    A row for each study, model, mode and task: full, no_context, difference (points) and flagged (below FLOOR_POINTS:
    the task says little about the use of the context). Where one of the two rows is missing, so are these.
    """
    tasks = per_task(scores, profile)
    keys = ["study", "model", "mode", "task"]
    wide = tasks[keys].drop_duplicates(ignore_index=True)
    for method, column in ((full, "full"), (floor, "no_context")):
        found = tasks.loc[tasks["method"] == method, [*keys, "score"]].rename(columns={"score": column})
        wide = wide.merge(found, on=keys, how="left")
    wide["difference"] = wide["full"] - wide["no_context"]
    wide["flagged"] = (wide["difference"] < FLOOR_POINTS).astype("boolean").mask(wide["difference"].isna())
    return wide


def turn_means(scores: pd.DataFrame, profile: str = "strict", bootstrap: Bootstrap | None = None) -> TurnMeans:
    """The means over sessions that everything else is computed from; for statistics of one's own.

    Group `score` by some of its index levels, take means, and hand the result to `summarise`.
    Raises UserError for an unknown profile or task and for a missing column.
    """
    frame = scored_turns(scores, profile)
    score, sessions = [], []
    for (_, task), block in frame.groupby(["study", "task"]):
        groups = block.groupby(_TURN)["score"]
        index, cell = groups.size().index, groups.ngroup().to_numpy()
        session, names = pd.factorize(block["session"], sort=True)
        total = np.zeros((len(index), len(names)))
        count = np.zeros_like(total)
        np.add.at(total, (cell, session), block["score"].to_numpy())
        np.add.at(count, (cell, session), 1.0)
        weights = _weights(str(task), len(names), bootstrap)
        # einsum and not a BLAS product: its sums do not depend on the number of threads.
        drawn = np.einsum("cs,ds->cd", count, weights)
        with np.errstate(invalid="ignore"):
            score.append(pd.DataFrame(np.einsum("cs,ds->cd", total, weights) / drawn, index))
        sessions.append(pd.DataFrame(drawn, index))
    if not score:
        raise UserError("stats: there is not one scored turn; run the study, or read its score files")
    return TurnMeans(pd.concat(score).sort_index(), pd.concat(sessions).sort_index())


def summarise(means: pd.DataFrame, bootstrap: Bootstrap | None = None) -> pd.DataFrame:
    """Means with a column for each draw as a tidy frame: index levels, score and, with a bootstrap, low and high."""
    tidy = means[[0]].rename(columns={0: "score"})
    if bootstrap is not None:
        draws = means.drop(columns=0)
        for column, share in (("low", (1 - bootstrap.level) / 2), ("high", (1 + bootstrap.level) / 2)):
            tidy[column] = draws.quantile(share, axis=1)
    return tidy.reset_index()


def scored_turns(scores: pd.DataFrame, profile: str) -> pd.DataFrame:
    """The turns that have a score: RUN, task, subtask, turn, session and `score` in percent.

    Raises UserError for an unknown profile or task, a missing column or name and a turn that stands twice.
    """
    column = f"score_{profile}"
    lacking = [name for name in (*_TURN, "session", column) if name not in scores.columns]
    if lacking:
        profiles = [name.removeprefix("score_") for name in scores.columns if str(name).startswith("score_")]
        raise UserError(
            f"stats: the scores have no column {', '.join(lacking)}; build the score files again, "
            f"or use one of the profiles they have: {', '.join(profiles) or 'none'}"
        )
    if nameless := [name for name in (*_TURN, "session") if scores[name].hasnans]:
        raise UserError(f"stats: turns without a {nameless[0]}; build the score files again")
    found = scores[["task", "subtask"]].drop_duplicates().itertuples(index=False, name=None)
    for task, subtask in sorted(set(found) - set(_PARTS)):
        allowed = TASKS[task].subtasks if task in TASKS else tuple(TASKS)
        raise UserError(f"stats: task {task!r} with sub-task {subtask!r} is unknown; use one of {', '.join(allowed)}")
    twice = scores.duplicated([*RUN, "task", "session", "turn"])
    if twice.any():
        row = scores.loc[twice].iloc[0]
        raise UserError(
            f"stats: turn {row['turn']} of session {row['session']!r} is scored twice for {row['method']} on "
            f"{row['model']} in {row['mode']} of study {row['study']}; read each score file once"
        )
    return scores[[*_TURN, "session"]].assign(score=scores[column] * 100.0).dropna(subset="score")


def _weights(task: str, sessions: int, bootstrap: Bootstrap | None) -> np.ndarray:
    """How often each session counts, (1 + draws, sessions): once in row 0, as often as it was drawn in the others."""
    once = np.ones((1, sessions))
    if bootstrap is None:
        return once
    rng = np.random.default_rng([bootstrap.seed, zlib.crc32(task.encode("utf-8"))])
    return np.concatenate([once, rng.multinomial(sessions, np.full(sessions, 1 / sessions), bootstrap.draws)])


def _parts(turns: TurnMeans) -> pd.DataFrame:
    """Scores of all sub-metrics of every run, NaN where missing."""
    keys = [*RUN, "task", "subtask"]
    in_turn = turns.score.index.get_level_values("mode") == "multi_turn"
    asked_in_turn = turns.score[in_turn].groupby(level=keys).mean()
    total = (turns.score * turns.sessions)[~in_turn].groupby(level=keys).sum()
    pooled = total / turns.sessions[~in_turn].groupby(level=keys).sum()
    return _complete(pd.concat([asked_in_turn, pooled]), RUN, _PARTS, ["task", "subtask"])


def _complete(
    means: pd.DataFrame, prefix: list[str], members: Sequence[tuple[str, ...]], levels: list[str]
) -> pd.DataFrame:
    """`means` with a row for every one of the members under each prefix that occurs, NaN where there was none."""
    found = means.index.droplevel(levels).unique().sort_values()
    rows = [(*start, *member) for start in found for member in members]
    return means.reindex(pd.MultiIndex.from_tuples(rows, names=[*prefix, *levels]))


def _group(means: pd.DataFrame, levels: list[str]) -> pd.DataFrame:
    """Unweighted means, NaN where any of the parts is; groups in order of appearance."""
    return means.groupby(level=levels, sort=False).mean(skipna=False)


def _tasks(parts: pd.DataFrame) -> pd.DataFrame:
    return _group(parts, [*RUN, "task"])


def _by_category(tasks: pd.DataFrame) -> pd.DataFrame:
    named = tasks.rename(index=_CATEGORY_OF, level="task").rename_axis(index={"task": "category"})
    return _group(named, list(named.index.names))


def _with_missing(tidy: pd.DataFrame, parts: pd.DataFrame, part: str, keys: list[str]) -> pd.DataFrame:
    """`tidy` with the names of the parts that each of its rows lacks."""
    gone = parts[0][parts[0].isna()].reset_index()
    if "category" in keys:
        gone["category"] = gone["task"].map(_CATEGORY_OF)
    lacking = gone.groupby(keys, sort=False)[part].agg(tuple).to_dict()
    rows = tidy[keys].itertuples(index=False, name=None)
    return tidy.assign(missing=[lacking.get(row, ()) for row in rows])
