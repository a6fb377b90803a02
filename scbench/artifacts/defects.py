"""Defects: what each quirk of the published evaluation, switched on alone, does to the scores of this study.

Answers are scored anew with one quirk on and all others corrected; the difference to the corrected score is taken on
the same sessions and averaged over methods. Quirks of the scorers stand in the score files (`score_quirks`); two of the
aggregation are computed here. Of those that change what a model is asked, full attention was asked anew where the study
says so (`prompt_quirks`). docs/defects.md describes each.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from scbench import intervals
from scbench.artifacts.asked import Anew, Asked
from scbench.artifacts.board import MODE_TITLES, Board, Line
from scbench.artifacts.lacking import write_both
from scbench.artifacts.latex import MISSING, Tex, render
from scbench.artifacts.paging import pages
from scbench.artifacts.scored import TURN, holes, left_out
from scbench.artifacts.stamp import Stamp
from scbench.intervals import NOTHING, Interval, Sample
from scbench.quirks import OF_METRICS, OF_PROMPTS, SPECIAL_TOKENS, PromptQuirk, Quirk
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
# They decide what a model is asked, and nothing switches them on alone.
NOT_SWITCHED = (
    Quirk("unbudgeted", "B15", "Contexts are cut without room for later questions and answers", tuple(TASKS)),
    Quirk("turn_ends", "B16", "A generated history lacks the end of a turn, or its last token", tuple(TASKS)),
)
LEGEND = (
    "Strict: the corrected score in percent, averaged over the methods. Change: points that the quirk alone adds, with "
    "half of the width of the 95 % interval of the difference on the same sessions (Student's: too narrow where few "
    "turns change, and nothing where all sessions change alike). Turns: share of the turns whose score it changes, in "
    "percent"
)
END = (
    "B17 as if every answer that ended of itself closed with the end token of Llama-3.1. All at once: without B13, B17 "
    "and B23"
)
ASKED_ANEW = (
    "{defects}: answers of full attention alone, asked anew with the quirk on {sessions} sessions a task; where few of "
    "them change, the interval is made of those of gains and of losses and is wide"
)
NOT_ASKED = "Not measured, as what is asked changes and this study does not ask anew (prompt_quirks)"
NOT_TOUCHED = "Not measured, as this study has none of the tasks and modes that they touch"
ALONE = "Not measured, as nothing switches them on alone (B15: prompts: compat has it; B16: no profile)"
NOT_SEEN = (
    "Measured, and no score of this study changes (what it could still be on other sessions: the intervals of the csv)"
)
SCORED, AGGREGATED, ANEW = "scored anew", "aggregated anew", "asked anew"
NUMBERS = ["strict", "with_quirk", "change", "low", "high", "sessions", "turns", "changed_turns"]
COLUMNS = ["study", "defect", "quirk", "sentence", "how", "task", "mode", "model", "method", *NUMBERS, "missing"]


@dataclass(frozen=True)
class Effect:
    """A quirk and what it alone makes of each turn: scores [rows of the frame], NaN of a turn that it drops.

    how: what was done with the turns to know.
    """

    quirk: Quirk
    how: str
    scores: pd.Series


@dataclass(frozen=True)
class Ground:
    """Scored turns, of all or some cells of a study, that quirks change, and their lines.

    averaged: names of the models that averages are of, as `Board.averaged` says.
    """

    scores: pd.DataFrame
    lines: tuple[Line, ...]
    averaged: tuple[str, ...]

    @cached_property
    def samples(self) -> dict[tuple, Sample]:
        """Cell (`intervals.CELL`) -> the sample of its corrected scores."""
        return intervals.samples(self.scores)

    @cached_property
    def turns(self) -> dict[tuple, int]:
        """Cell -> its turns that have a score."""
        return self.scores[self.scores["score_strict"].notna()].groupby(intervals.CELL).size().to_dict()


def frame(source: Asked, board: Board) -> pd.DataFrame:
    """A row for each quirk, task that it can touch, mode and line that is no floor (`method` empty: averaged over those
    of `Board.averaged`).

    strict, with_quirk: percent; change, low, high: points, the limits missing where no turn changes that was not asked
    anew; `how`: what was done to know, empty of the quirks that are not measured, which have one row each.
    """
    scores = source.scores.reset_index(drop=True)
    ground = Ground(scores, tuple(line for line in board.lines if not line.floor), board.averaged)
    lacking = _lacking(scores, board)
    rows = []
    for effect in _effects(scores):
        tasks = [task for task in board.sessions if {task, *TASKS[task].subtasks} & set(effect.quirk.tasks)]
        cells = [(task, mode) for task in tasks for mode in board.modes]
        rows += _rows(effect, ground, {cell: lacking.get(cell, "") for cell in cells})
    for anew in source.anew:
        rows += _rows(*_asked_anew(anew, scores), _lacking_anew(anew))
    unknown = {quirk.name for quirk in OF_PROMPTS} - {anew.quirk.name for anew in source.anew}
    rows += [
        _about(quirk, "") for quirk in (*OF_PROMPTS, *NOT_SWITCHED) if quirk in NOT_SWITCHED or quirk.name in unknown
    ]
    return pd.DataFrame(rows, columns=COLUMNS).assign(study=board.study).astype(dict.fromkeys(NUMBERS, float))


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.tex`, to be read by \\input, and `<out>.csv`."""
    shown = frame[(frame["how"] != "") & (frame["method"] == "")]
    moved, unmoved = [], []
    for _, own in shown.groupby("quirk", sort=False):
        if own["turns"].notna().any():
            (moved if (own["changed_turns"] > 0).any() else unmoved).append(own)
    lists = {NOT_SEEN: unmoved, NOT_ASKED: [], NOT_TOUCHED: [], ALONE: []}
    of_prompts = {quirk.name: quirk for quirk in OF_PROMPTS}
    for name, own in frame[frame["how"] == ""].groupby("quirk", sort=False):
        lists[_why_not(of_prompts.get(name), board)].append(own)
    notes = [LEGEND, *_about_anew(shown), END]
    notes += [f"{said}: {'; '.join(map(_title, found))}" for said, found in lists.items() if found]
    values = {
        "stamp": stamp,
        "modes": [MODE_TITLES[mode] for mode in board.modes],
        "pages": pages([_group(own, board) for own in moved], limit=LINES) or [[]],
        "notes": [*notes, *board.caveats, *board.of_averages, *_incomplete(shown, board)],
    }
    return write_both(render("defects.tex.j2", values), frame, out)


def _why_not(quirk: PromptQuirk | None, board: Board) -> str:
    """Why a quirk was not measured; None: one that no prompt can have alone."""
    if quirk is None:
        return ALONE
    asked = any(quirk.touches(task, mode) for task in board.sessions for mode in board.modes)
    return NOT_ASKED if asked else NOT_TOUCHED


def _rows(effect: Effect, ground: Ground, cells: Mapping[tuple[str, str], str]) -> Iterator[dict]:
    """The rows of an effect; cells: the (task, mode) it can touch -> what is missing there, in words."""
    samples, counts = ground.samples | _samples(ground.scores, effect), _counts(ground.scores, effect)
    nets = _nets(ground.scores, effect) if effect.how == ANEW else {}
    study = ground.scores["study"].iloc[0] if len(ground.scores) else ""
    for (task, mode), missing in cells.items():
        keys = [(study, line.model, line.label, mode, task) for line in ground.lines]
        known = [key for key in keys if key in ground.samples and key in samples]
        about = _about(effect.quirk, effect.how) | {"task": task, "mode": mode, "missing": missing}
        together = _change([key for key in known if key[1] in ground.averaged], ground, samples, counts)
        if nets and known:
            together |= dict(zip(("change", "low", "high"), nets[known[0]], strict=True))
        yield about | {"model": "", "method": ""} | together
        for key in known if any(key in counts for key in known) and not nets else ():
            yield about | {"model": key[1], "method": key[2]} | _change([key], ground, samples, counts)


def _lacking(scores: pd.DataFrame, board: Board) -> dict[tuple[str, str], str]:
    """(task, mode) -> the lines whose cell is missing or incomplete and lacks in the average."""
    board = board.of(board.averaged)
    several = len({line.model for line in board.lines if not line.floor}) > 1
    lacking = defaultdict(list)
    for hole in holes(scores, board):
        if not hole.line.floor:
            model = f" on {hole.line.model_title}" if several and hole.line.title != hole.line.model_title else ""
            lacking[hole.task, hole.mode].append(hole.line.title + model)
    return {cell: ", ".join(titles) for cell, titles in lacking.items()}


def _asked_anew(anew: Anew, scores: pd.DataFrame) -> tuple[Effect, Ground]:
    """What asking anew made of the turns that were asked both ways."""
    again = anew.scores[[*TURN, "score_strict"]].rename(columns={"score_strict": "again"})
    both = scores.merge(again, on=TURN)
    return Effect(anew.quirk, ANEW, both["again"]), Ground(both, (anew.line,), (anew.line.model,))


def _nets(scores: pd.DataFrame, effect: Effect) -> dict[tuple, Interval]:
    """Cell -> the change of its score, from what each turn gains and loses."""
    moved = effect.scores - scores["score_strict"]
    gains, losses = (intervals.samples(scores.assign(score_strict=part.clip(lower=0))) for part in (moved, -moved))
    changed = scores[_differs(scores, effect)].groupby(intervals.CELL)["session"].nunique().to_dict()
    return {cell: intervals.net(gains[cell], losses[cell], changed.get(cell, 0)) for cell in gains}


def _lacking_anew(anew: Anew) -> dict[tuple[str, str], str]:
    """(task, mode) that were asked anew -> that this is not complete, where it is not."""
    found = anew.scores.groupby(["task", "mode"])["session"].nunique().to_dict()
    title = f"{anew.line.title} asked anew ({anew.quirk.defect})"
    return {cell: title if found.get(cell, 0) < expected else "" for cell, expected in anew.sessions.items()}


def _about_anew(shown: pd.DataFrame) -> list[str]:
    """A sentence about what was asked anew, if anything was."""
    own = shown[(shown["how"] == ANEW) & shown["sessions"].notna()]
    counts = sorted({int(count) for count in own["sessions"]})
    sessions = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1])))) if counts else ""
    return [ASKED_ANEW.format(defects=", ".join(own["defect"].unique()), sessions=sessions)] if counts else []


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
        yield Effect(quirk, SCORED, changed)
    yield Effect(ABSENT_AS_ZERO, AGGREGATED, strict * _share_of_turns(scores))
    yield Effect(TURN_CAP, AGGREGATED, strict.mask(_behind_cap(scores)))
    yield Effect(TOGETHER, SCORED, scores["score_compat"])


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


def _about(quirk: Quirk, how: str) -> dict[str, str]:
    return {"defect": quirk.defect, "quirk": quirk.name, "sentence": quirk.sentence, "how": how}


def _change(
    keys: Sequence[tuple], ground: Ground, samples: Mapping[tuple, Sample], counts: Mapping[tuple, int]
) -> dict[str, float | int | None]:
    """NUMBERS of some cells, averaged session by session; missing where there are none or they share no session."""
    if not keys:
        return dict.fromkeys(NUMBERS)
    before, after = (intervals.averaged([found[key] for key in keys]) for found in (ground.samples, samples))
    if not len(before.sessions):
        return dict.fromkeys(NUMBERS)
    changed = sum(counts.get(key, 0) for key in keys)
    found = intervals.change(before, after) if changed else Interval(0.0, NOTHING.low, NOTHING.high)
    score = intervals.interval(before).score
    row = {"strict": score, "with_quirk": score + found.score, "change": found.score}
    row |= {"low": found.low, "high": found.high, "sessions": len(before.sessions)}
    return row | {"turns": sum(ground.turns[key] for key in keys), "changed_turns": changed}


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
        {"title": TASKS[task].title, "cells": [cell for mode in board.modes for cell in _cells(own, mode)]}
        for task, own in moved.items()
    ]
    return {"title": _title(rows), "rows": typeset, "rest": f"Nothing changes on {', '.join(still)}" if still else ""}


def _cells(rows: pd.DataFrame, mode: str) -> list[Tex]:
    """strict, change and turns of a mode; empty of one that the quirk cannot touch."""
    if mode not in rows.index:
        return [Tex("")] * 3
    row = rows.loc[mode]
    if pd.isna(row["turns"]):
        return [Tex(MISSING)] * 3
    half = (row["high"] - row["low"]) / 2
    # Where there is none its room is kept, so that decimals stay aligned.
    width = r"{\tiny\phantom{$\pm$0.0}}" if pd.isna(half) else rf"{{\tiny$\pm${half:.1f}}}"
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
