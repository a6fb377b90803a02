"""Table 13: sparse methods whose turns see the golden answers, or the answers that they gave themselves (appendix).

Errors propagate where the history is the model's own. The rows are those of `study.history_rows`; the other history is
run by the study's twin where it sets `both_histories`. The gap is the score with generated answers less the score with
golden ones, on the same sessions.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from scbench import intervals, stats
from scbench.artifacts.board import Board, Line
from scbench.artifacts.compared import SIGNIFICANT, WIDTHS, column_interval, line_samples
from scbench.artifacts.lacking import is_lacking, lacking, write_both, write_lacking
from scbench.artifacts.latex import MISSING, Tex, render
from scbench.artifacts.paging import pages
from scbench.artifacts.scored import holes, left_out, missing_text
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.table4 import HEADS, LEGEND
from scbench.intervals import NOTHING, Interval, Sample

HISTORIES = ("golden", "generated")
ONE_MODE = "History shows in multi-turn sessions alone, and this study has none"
NO_SCORES = "There is not one score of the rows of this table"
NO_CATEGORY = "No category has scores of all of its tasks under one history; not part of this study"
HALF = "A mixed task has a score where both kinds of its questions were asked, for which one turn is too few"
GAP = "Multi-turn. Gap: with generated answers less with golden ones, in points, on the same sessions"
MARKED = "A dagger marks a gap that differs from 0 (sign flips, Holm's correction, p < 0.05)"
ONE_HISTORY = "This study has one history; with both_histories: true it runs these rows under the other one too"


def frame(source: Mapping[str, pd.DataFrame], board: Board) -> pd.DataFrame:
    """A row for each profile and line; source: history -> scored turns (`histories.read_histories`).

    `<column>_<history>` in percent and `<column>_gap` in points, each with `_low` and `_high`; `<column>_gap_p`,
    corrected for all lines and columns. `missing_<history>`: the cells that are missing, in words.
    """
    if "multi_turn" not in board.modes:
        return lacking(board, ONE_MODE)
    found = {history: source[history] for history in HISTORIES if len(source.get(history, ()))}
    if not found:
        return lacking(board, NO_SCORES)
    missing = {history: holes(scores, board) for history, scores in found.items()}
    rows = []
    for profile in board.profiles:
        samples = {history: intervals.samples(scores, profile) for history, scores in found.items()}
        own, paired = [], []
        for line in board.lines:
            tasks = {history: line_samples(of, board, line, "multi_turn") for history, of in samples.items()}
            own.append(_row(board, profile, line, tasks))
            own[-1] |= {
                f"missing_{name}": missing_text(holed, line, "multi_turn", board) for name, holed in missing.items()
            }
            paired += [_differences(tasks, stats.WEIGHTS[column]) for column in HEADS]
        corrected = iter(intervals.holm(intervals.sign_flip(paired)))
        for row in own:
            row |= {f"{column}_gap_p": next(corrected) for column in HEADS}
        rows += own
    frame = pd.DataFrame(rows)
    if frame[[f"{column}_{history}" for column in HEADS for history in HISTORIES]].isna().all(axis=None):
        return lacking(board, f"{NO_CATEGORY}: {', '.join(left_out(board)) or 'nothing'}")
    return frame


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.tex`, to be read by \\input, and `<out>.csv`."""
    if is_lacking(frame):
        return write_lacking(frame, stamp, out)
    shown = frame[frame["profile"] == board.profile].to_dict("records")
    there = [history for history in HISTORIES if f"missing_{history}" in frame]
    groups = [{"title": board.lines[0].model_title, "rows": [_typeset(row, there) for row in shown]}]
    notes = [LEGEND, GAP if len(there) > 1 else ONE_HISTORY]
    if any(not pd.isna(row[f"{column}_{history}_low"]) for row in shown for history in there for column in HEADS):
        notes.append(WIDTHS)
    if any(_marked(row, column) for row in shown for column in HEADS):
        notes.append(MARKED)
    if outside := left_out(board):
        notes.append(f"Not part of this study, so that their categories have no score: {', '.join(outside)}")
    elif any(pd.isna(row[f"multi_{history}"]) and not row[f"missing_{history}"] for row in shown for history in there):
        notes.append(HALF)
    for row in shown:
        gaps = [(history, row[f"missing_{history}"]) for history in there if row[f"missing_{history}"]]
        notes += [f"Missing: {row['title']}, {history} answers: {cells}" for history, cells in gaps]
    values = {
        "stamp": stamp,
        "heads": list(HEADS.values()),
        "pages": pages(groups, each=len(there) + 1),
        "notes": notes,
    }
    return write_both(render("table13.tex.j2", values), frame, out)


def _row(board: Board, profile: str, line: Line, tasks: Mapping[str, Mapping[str, Sample]]) -> dict:
    row = {"study": board.study, "profile": profile, "model": line.model, "method": line.label}
    row |= {"title": line.title, "budget": line.budget}
    for column in HEADS:
        weights = stats.WEIGHTS[column]
        for history in HISTORIES:
            row |= _limits(f"{column}_{history}", column_interval(tasks.get(history, {}), weights))
        row |= _limits(f"{column}_gap", _gap(tasks, weights))
    return row


def _limits(name: str, found: Interval) -> dict[str, float]:
    return {name: found.score, f"{name}_low": found.low, f"{name}_high": found.high}


def _gap(tasks: Mapping[str, Mapping[str, Sample]], weights: Mapping[str, float]) -> Interval:
    golden, generated = (tasks.get(history, {}) for history in HISTORIES)
    if not weights.keys() <= golden.keys() & generated.keys():
        return NOTHING
    parts = [intervals.contrast([generated[task], golden[task]], [1, -1]) for task in weights]
    return intervals.combine(parts, list(weights.values()))


def _differences(tasks: Mapping[str, Mapping[str, Sample]], weights: Mapping[str, float]) -> dict:
    golden, generated = (tasks.get(history, {}) for history in HISTORIES)
    return intervals.differences(generated, golden, weights)


def _marked(row: dict, column: str) -> bool:
    # A mark without an interval beside it would say more of a single session than can be known.
    return row[f"{column}_gap_p"] < SIGNIFICANT and not pd.isna(row[f"{column}_gap_low"])


def _typeset(row: dict, there: list[str]) -> dict:
    """The lines of a method: one a history, and the gap where there are two."""
    lines = [
        {"name": history, "cells": [_cell(row, f"{column}_{history}", ".1f") for column in HEADS]} for history in there
    ]
    if len(there) > 1:
        cells = [_cell(row, f"{column}_gap", "+.1f", _marked(row, column)) for column in HEADS]
        lines.append({"name": "gap", "cells": cells})
    return {"title": row["title"], "budget": row["budget"], "lines": lines}


def _cell(row: dict, name: str, form: str, marked: bool = False) -> Tex:
    value, half = row[name], (row[f"{name}_high"] - row[f"{name}_low"]) / 2
    if pd.isna(value):
        return Tex(MISSING)
    number = f"${value:{form}}$" if "+" in form else f"{value:{form}}"
    width = "" if pd.isna(half) else rf"{{\tiny$\pm${half:.1f}}}"
    return Tex(number + width + (r"\rlap{\tiny$^\dagger$}" if marked else ""))
