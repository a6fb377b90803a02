"""Table 4: every method of every model in the four categories and on average, in both modes (paper, Section 4).

A row per method, grouped by model, the rows without context at the bottom; in percent. The .csv twin holds each row
once per scoring profile, the study's own first, with the turns behind each number and the cells that are missing.
"""

from pathlib import Path

import pandas as pd

from scbench import stats
from scbench.artifacts.board import MODE_TITLES, Board, Line
from scbench.artifacts.latex import MISSING, Tex, render
from scbench.artifacts.scored import holes, left_out, missing_text
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.twin import csv_text
from scbench.canonical import write_atomically
from scbench.tasks import TASKS

HEADS = {"string": "RS", "semantic": "RSem", "global": "Global", "multi": "MT", "average": "AVG"}
LEGEND = (
    "Mean scores in percent. RS: string retrieval. RSem: semantic retrieval. Global: global information. "
    "MT: multi-tasking. AVG: their unweighted mean"
)
BOLD = "Bold: the best of a model, full attention left aside"


def frame(scores: pd.DataFrame, board: Board) -> pd.DataFrame:
    """A row for each profile and line.

    `<mode>_<column>`, `<mode>_<column>_n` (turns), `<mode>_missing` (cells), `<mode>_near_floor` (full attention's rows
    alone: the tasks on which it stands less than `stats.FLOOR_POINTS` above the question asked without its context).
    """
    missing = holes(scores, board)
    rows = []
    for profile in board.profiles:
        values, turns = _values(scores, profile)
        near_floor = _near_floor(scores, profile)
        for line in board.lines:
            row = {
                "study": board.study,
                "profile": profile,
                "model": line.model,
                "method": line.label,
                "title": line.title,
                "budget": line.budget,
                "floor": line.floor,
            }
            for mode in board.modes:
                for column in HEADS:
                    key = (line.model, line.label, mode, column)
                    row[f"{mode}_{column}"] = values.get(key, float("nan"))
                    row[f"{mode}_{column}_n"] = turns.get(key, 0)
                row[f"{mode}_missing"] = missing_text(missing, line, mode, board)
                row[f"{mode}_near_floor"] = near_floor.get((line.model, mode), "") if line.baseline else ""
            rows.append(row)
    return pd.DataFrame(rows)


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.tex`, to be read by \\input, and `<out>.csv`."""
    shown = frame[frame["profile"] == board.profile].reset_index(drop=True)
    rows = list(zip(board.lines, shown.to_dict("records"), strict=True))
    best = _best(rows, board)
    notes = [LEGEND] + ([BOLD] if best else []) + [*board.caveats] + _notes(rows, board)
    text = render(
        "table4.tex.j2",
        {
            "stamp": stamp,
            "heads": list(HEADS.values()),
            "modes": [_span(mode, number) for number, mode in enumerate(board.modes)],
            "groups": _groups(rows, board, best),
            "notes": notes,
        },
    )
    paths = [out.with_suffix(".tex"), out.with_suffix(".csv")]
    for path, content in zip(paths, (text, csv_text(frame)), strict=True):
        write_atomically(path, content)
    return paths


def _values(scores: pd.DataFrame, profile: str) -> tuple[dict[tuple, float], dict[tuple, int]]:
    """(model, method, mode, column) -> score in percent, and -> turns behind it."""
    keys = ["model", "method", "mode", "column"]
    categories = stats.per_category(scores, profile).rename(columns={"category": "column"})
    values = pd.concat([categories, stats.average(scores, profile).assign(column="average")])
    category_of = {task: category for category, tasks in stats.CATEGORIES.items() for task in tasks}
    scored = scores[scores[f"score_{profile}"].notna()]
    counted = scored.assign(column=scored["task"].map(category_of))
    turns = pd.concat([counted, scored.assign(column="average")]).groupby(keys).size()
    return values.set_index(keys)["score"].to_dict(), turns.to_dict()


def _near_floor(scores: pd.DataFrame, profile: str) -> dict[tuple[str, str], str]:
    """(model, mode) -> titles of the tasks on which full attention hardly beats the question without its context."""
    flagged = stats.floors(scores, profile).query("flagged == True")
    titles = flagged.assign(title=flagged["task"].map(lambda task: TASKS[task].title))
    return titles.groupby(["model", "mode"], sort=False)["title"].agg(", ".join).to_dict()


def _span(mode: str, number: int) -> dict:
    first = 3 + number * len(HEADS)
    return {"title": MODE_TITLES[mode], "first": first, "last": first + len(HEADS) - 1}


def _groups(rows: list[tuple[Line, dict]], board: Board, best: set[tuple[str, str, str]]) -> list[dict]:
    """The rows of each model under its title, then those without context."""
    groups = []
    several = len({line.model for line in board.lines}) > 1
    for model in dict.fromkeys(line.model for line in board.lines):
        own = [(line, row) for line, row in rows if line.model == model and not line.floor]
        title = own[0][0].model_title
        # A model whose architecture is the method is one row that bears its name.
        title = "" if len(own) == 1 and own[0][0].title == title else title
        groups.append({"title": title, "rows": [_typeset(line, row, board, best) for line, row in own]})
    floor = [(line, row) for line, row in rows if line.floor]
    if floor:
        typeset = [_typeset(line, row, board, best) for line, row in floor]
        for (line, _), entry in zip(floor, typeset, strict=True):
            entry["title"] += f", {line.model_title}" if several else ""
        groups.append({"title": "", "rows": typeset})
    return groups


def _typeset(line: Line, row: dict, board: Board, best: set[tuple[str, str, str]]) -> dict:
    cells = []
    for mode in board.modes:
        for column in HEADS:
            text = _number(row[f"{mode}_{column}"])
            bold = (line.model, line.label, f"{mode}_{column}") in best
            cells.append(Tex(rf"\textbf{{{text}}}") if bold else Tex(text))
    return {"title": line.title, "budget": line.budget, "cells": cells}


def _best(rows: list[tuple[Line, dict]], board: Board) -> set[tuple[str, str, str]]:
    """(model, label, column) of what is set in bold: the highest as printed, where at least two can be compared."""
    best = set()
    for model in dict.fromkeys(line.model for line in board.lines):
        compared = [(line, row) for line, row in rows if line.model == model and not (line.floor or line.baseline)]
        for column in (f"{mode}_{name}" for mode in board.modes for name in HEADS):
            values = {line.label: round(row[column], 1) for line, row in compared if not pd.isna(row[column])}
            if len(values) > 1 and max(values.values()) > min(values.values()):
                best |= {(model, label, column) for label, value in values.items() if value == max(values.values())}
    return best


def _notes(rows: list[tuple[Line, dict]], board: Board) -> list[str | Tex]:
    several = len({line.model for line in board.lines}) > 1
    notes: list[str | Tex] = []
    if outside := left_out(board):
        notes.append(f"Not part of this study, so that their categories have no score: {', '.join(outside)}")
    for line, row in rows:
        for mode in board.modes:
            if row[f"{mode}_missing"]:
                where = f"{line.model_title}, " if several and line.title != line.model_title else ""
                notes.append(f"Missing: {where}{line.title}, {MODE_TITLES[mode].lower()}: {row[f'{mode}_missing']}")
            if row[f"{mode}_near_floor"]:
                where = f" of {line.model_title}" if several else ""
                notes.append(
                    f"{line.title}{where} is less than {stats.FLOOR_POINTS:g} points above the row without context, "
                    f"{MODE_TITLES[mode].lower()}: {row[f'{mode}_near_floor']}"
                )
    return notes


def _number(value: float) -> str:
    return MISSING if pd.isna(value) else f"{value:.1f}"
