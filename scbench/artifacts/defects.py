"""Defects: what each quirk of the published evaluation, switched on alone, does to the scores of this study.

Answers are scored anew with one quirk on and all others corrected; the difference to the corrected score is taken on
the same sessions and averaged over methods. Quirks of the scorers stand in the score files (`score_quirks`); two of the
aggregation are computed here. Quirks that change what a model is asked need a run of their own and are named alone.
docs/defects.md describes each.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pandas as pd

from scbench import intervals
from scbench.artifacts.board import MODE_TITLES, Board
from scbench.artifacts.lacking import write_both
from scbench.artifacts.latex import MISSING, Tex, render
from scbench.artifacts.paging import pages
from scbench.artifacts.scored import holes, left_out
from scbench.artifacts.stamp import Stamp
from scbench.intervals import NOTHING, Interval, Sample
from scbench.quirks import OF_METRICS, SPECIAL_TOKENS, Quirk
from scbench.tasks import TASKS

CAP = 5
LINES = 30  # of a page that are counted: a title and the sentence below a group may take two lines each
MIXED = tuple(name for name, task in TASKS.items() if len(task.subtasks) > 1)
ABSENT_AS_ZERO = Quirk(
    "absent_as_zero", "B13", "A part of a mixed task counts as 0 at the turns where no session is asked it", MIXED
)
TURN_CAP = Quirk(
    "turn_cap", "B23", "Where the first session has more than 5 turns, those after the fifth are lost", tuple(TASKS)
)
TOGETHER = Quirk("compat", "", "All quirks of the scorers at once: the profile compat", tuple(TASKS))
# They decide what a model is asked, so that no answer shows them.
ASKED = (
    Quirk("last_target", "B4", "Every follow-up of Math.Find names the target of the last turn", ("math_find",)),
    Quirk("first_question", "B5", "The context of multi-request Math.Find shows the first question", ("math_find",)),
    Quirk("list_as_text", "B11", "Golden answers of Retr.MultiHop are shown as a Python list", ("retr_multihop",)),
    Quirk("this_paper", "B12", "Follow-ups of En.Sum begin the answer, its first turn does not", ("en_sum",)),
    Quirk("two_begins", "B14", "A prompt begins with two begin tokens", tuple(TASKS)),
    Quirk("unbudgeted", "B15", "Contexts are cut without room for later questions and answers", tuple(TASKS)),
    Quirk("turn_ends", "B16", "A generated history lacks the end of a turn, or its last token", tuple(TASKS)),
)
LEGEND = (
    "Strict: the corrected score in percent, averaged over the methods. Change: points that the quirk alone adds, with "
    "half of the width of the 95 % interval of the difference on the same sessions (too narrow where few turns "
    "change, and nothing where all sessions change alike). Turns: share of the turns whose score it changes, in percent"
)
END = "B17 as if every answer that ended of itself closed with the end token of Llama-3.1"
NEEDS_RUN = "Not measured, as they change what is asked and need a run with prompts: compat (B16: no profile has it)"
NOT_SEEN = "Measured, and no score of this study changes"
NUMBERS = ["strict", "with_quirk", "change", "low", "high", "sessions", "turns", "changed_turns"]
COLUMNS = ["study", "defect", "quirk", "sentence", "measured", "task", "mode", "model", "method", *NUMBERS, "missing"]


@dataclass(frozen=True)
class Effect:
    """A quirk and what it alone makes of each turn: scores [rows of the frame], NaN of a turn that it drops."""

    quirk: Quirk
    scores: pd.Series


def frame(scores: pd.DataFrame, board: Board) -> pd.DataFrame:
    """A row for each quirk, task that it can touch, mode and line (`method` empty: averaged over all but the floors).

    strict, with_quirk: percent; change, low, high: points, the limits missing where no turn changes; `measured` is
    false of the quirks that need a run, which have one row each.
    """
    scores = scores.reset_index(drop=True)
    lines = [line for line in board.lines if not line.floor]
    several = len({line.model for line in lines}) > 1
    lacking = defaultdict(list)
    for hole in holes(scores, board):
        if not hole.line.floor:
            model = f" on {hole.line.model_title}" if several and hole.line.title != hole.line.model_title else ""
            lacking[hole.mode, hole.task].append(hole.line.title + model)
    base = intervals.samples(scores)
    turns = scores[scores["score_strict"].notna()].groupby(intervals.CELL).size().to_dict()
    rows = []
    for effect in _effects(scores):
        tasks = [task for task in board.sessions if {task, *TASKS[task].subtasks} & set(effect.quirk.tasks)]
        samples, counts = base | _samples(scores, effect), _counts(scores, effect)
        for task, mode in product(tasks, board.modes):
            keys = [(board.study, line.model, line.label, mode, task) for line in lines]
            known = [key for key in keys if key in base and key in samples]
            about = _about(effect.quirk) | {"measured": True, "task": task, "mode": mode}
            about["missing"] = ", ".join(lacking[mode, task])
            together = _change(known, base, samples, counts, turns)
            rows.append(about | {"model": "", "method": ""} | together)
            for key in known if together["changed_turns"] else ():
                rows.append(about | {"model": key[1], "method": key[2]} | _change([key], base, samples, counts, turns))
    rows += [_about(quirk) | {"measured": False} for quirk in ASKED]
    return pd.DataFrame(rows, columns=COLUMNS).assign(study=board.study).astype(dict.fromkeys(NUMBERS, float))


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.tex`, to be read by \\input, and `<out>.csv`."""
    shown = frame[frame["measured"] & (frame["method"] == "")]
    moved, unmoved = [], []
    for _, own in shown.groupby("quirk", sort=False):
        if own["turns"].notna().any():
            (moved if (own["changed_turns"] > 0).any() else unmoved).append(own)
    lists = {NOT_SEEN: unmoved, NEEDS_RUN: [own for _, own in frame[~frame["measured"]].groupby("quirk", sort=False)]}
    notes = [LEGEND, END, *(f"{said}: {'; '.join(map(_title, found))}" for said, found in lists.items() if found)]
    values = {
        "stamp": stamp,
        "modes": [MODE_TITLES[mode] for mode in board.modes],
        "pages": pages([_group(own, board) for own in moved], limit=LINES) or [[]],
        "notes": [*notes, *board.caveats, *_incomplete(shown, board)],
    }
    return write_both(render("defects.tex.j2", values), frame, out)


def _effects(scores: pd.DataFrame) -> Iterator[Effect]:
    strict = scores["score_strict"]
    found: dict[str, dict[int, float]] = defaultdict(dict)
    told = scores["score_quirks"]
    for place, text in told[told != "{}"].items():
        for name, score in json.loads(text).items():
            found[name][place] = score
    for quirk in (*OF_METRICS, SPECIAL_TOKENS):
        changed = strict.copy()
        changed.loc[list(found[quirk.name])] = list(found[quirk.name].values())
        yield Effect(quirk, changed)
    yield Effect(ABSENT_AS_ZERO, strict * _share_of_turns(scores))
    yield Effect(TURN_CAP, strict.mask(_behind_cap(scores)))
    yield Effect(TOGETHER, scores["score_compat"])


def _share_of_turns(scores: pd.DataFrame) -> pd.Series:
    """Of each multi-turn row, the share of its cell's turns at which some session is asked its part of the task."""
    cell = ["model", "method", "mode", "task"]
    asked = scores.groupby([*cell, "subtask"])["turn"].transform("nunique")
    share = asked / scores.groupby(cell)["turn"].transform("nunique")
    return share.where(scores["mode"] == "multi_turn", 1.0)


def _behind_cap(scores: pd.DataFrame) -> pd.Series:
    first = scores.groupby("task")["session"].transform("min")
    length = scores["turn"].where(scores["session"] == first).groupby(scores["task"]).transform("max")
    return (length > CAP) & (scores["turn"] > CAP)


def _samples(scores: pd.DataFrame, effect: Effect) -> dict[tuple, Sample]:
    """The samples of the tasks on which the effect changes a score."""
    moved = scores.loc[_differs(scores, effect), "task"].unique()
    own = scores["task"].isin(moved) & effect.scores.notna()
    return intervals.samples(scores[own].assign(score_strict=effect.scores[own])) if own.any() else {}


def _counts(scores: pd.DataFrame, effect: Effect) -> dict[tuple, int]:
    """Cell (`intervals.CELL`) -> the turns whose score the effect changes, where there are any."""
    moved = scores[_differs(scores, effect)]
    return moved.groupby(intervals.CELL).size().to_dict()


def _differs(scores: pd.DataFrame, effect: Effect) -> pd.Series:
    """Which turns have a score that the effect changes or drops."""
    return scores["score_strict"].notna() & (effect.scores != scores["score_strict"])


def _about(quirk: Quirk) -> dict[str, str]:
    return {"defect": quirk.defect, "quirk": quirk.name, "sentence": quirk.sentence}


def _change(
    keys: Sequence[tuple],
    base: Mapping[tuple, Sample],
    samples: Mapping[tuple, Sample],
    counts: Mapping[tuple, int],
    turns: Mapping[tuple, int],
) -> dict[str, float | int | None]:
    """NUMBERS of some cells, averaged session by session; missing where there are none or they share no session."""
    if not keys:
        return dict.fromkeys(NUMBERS)
    before, after = (intervals.averaged([found[key] for key in keys]) for found in (base, samples))
    if not len(before.sessions):
        return dict.fromkeys(NUMBERS)
    changed = sum(counts.get(key, 0) for key in keys)
    found = intervals.change(before, after) if changed else Interval(0.0, NOTHING.low, NOTHING.high)
    score = intervals.interval(before).score
    row = {"strict": score, "with_quirk": score + found.score, "change": found.score}
    row |= {"low": found.low, "high": found.high, "sessions": len(before.sessions)}
    return row | {"turns": sum(turns[key] for key in keys), "changed_turns": changed}


def _title(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    return f"{first['defect']}, {first['sentence']}" if first["defect"] else first["sentence"]


def _group(rows: pd.DataFrame, board: Board) -> dict:
    """title, rows: the tasks of which something changes; rest: a sentence about the others."""
    by_task = {task: own.set_index("mode") for task, own in rows.groupby("task", sort=False)}
    known = {task: own for task, own in by_task.items() if own["turns"].notna().any()}
    moved = {task: own for task, own in known.items() if (own["changed_turns"] > 0).any()}
    still = [TASKS[task].title for task in known if task not in moved]
    typeset = [
        {"title": TASKS[task].title, "cells": [cell for mode in board.modes for cell in _cells(own.loc[mode])]}
        for task, own in moved.items()
    ]
    return {"title": _title(rows), "rows": typeset, "rest": f"Nothing changes on {', '.join(still)}" if still else ""}


def _cells(row: pd.Series) -> list[Tex]:
    if pd.isna(row["turns"]):
        return [Tex(MISSING)] * 3
    half = (row["high"] - row["low"]) / 2
    width = "" if pd.isna(half) else rf"{{\tiny$\pm${half:.1f}}}"
    change = f"{row['change']:+.1f}"
    change = "0.0" if float(change) == 0 else f"${change}$"
    share = 100 * row["changed_turns"] / row["turns"]
    return [Tex(f"{row['strict']:.1f}"), Tex(change + width), Tex(f"{share:.1f}")]


def _incomplete(shown: pd.DataFrame, board: Board) -> list[str]:
    """What is not in the averages, a sentence for each set of methods."""
    cells = shown[shown["missing"] != ""].drop_duplicates(["task", "mode"])
    notes = []
    for missing, own in cells.groupby("missing", sort=False):
        tasks = [
            TASKS[task].title + (f" ({MODE_TITLES[modes.iloc[0]].lower()})" if len(modes) < len(board.modes) else "")
            for task, modes in own.groupby("task", sort=False)["mode"]
        ]
        notes.append(f"Missing or incomplete: {', '.join(tasks)} of {missing}")
    if outside := left_out(board):
        notes.append(f"Not part of this study: {', '.join(outside)}")
    return notes
