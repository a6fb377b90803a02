"""Numbers of methods beside each other: intervals, tests against full attention, the best, rows as they are printed.

Columns are weighted means over tasks (`stats.WEIGHTS`, or single tasks); a row's fields are `<mode>_<column>` and what
stands beside it: `_low` and `_high`, `_n` (turns), `_p` (against full attention on the same sessions, with Holm's
correction for all methods and columns of a model) and `_best` (whether it is better than every other method of its
model, tested so).
"""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from scbench import intervals
from scbench.artifacts.board import Board, Line
from scbench.artifacts.latex import MISSING, Tex
from scbench.artifacts.scored import holes, missing_text
from scbench.intervals import Interval, Sample

WIDTHS = "Small numbers: half of the width of the 95 % interval over sessions"
LESS = "A dagger marks what differs from full attention on the same sessions (sign flips, Holm's correction, p < 0.05)"
BOLD = "Bold: the best of a model, full attention left aside, where it differs so from every other"
SIGNIFICANT = 0.05

Columns = Mapping[str, Mapping[str, float]]  # column -> task -> weight


def compare(scores: pd.DataFrame, board: Board, modes: Sequence[str], columns: Columns) -> list[dict]:
    """A row for each profile and line of `board`, with `<mode>_missing`, the titles of the cells that it lacks."""
    missing = holes(scores, board)
    rows = []
    for profile in board.profiles:
        samples = intervals.samples(scores, profile)
        turns = scores[scores[f"score_{profile}"].notna()].groupby(["model", "method", "mode", "task"]).size().to_dict()
        p = _against_full(samples, board, modes, columns)
        best = _best(samples, board, modes, columns)
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
            for mode in modes:
                tasks = line_samples(samples, board, line, mode)
                for column, weights in columns.items():
                    key = (line.model, line.label, mode, column)
                    own = column_interval(tasks, weights)
                    row |= {
                        f"{mode}_{column}": own.score,
                        f"{mode}_{column}_low": own.low,
                        f"{mode}_{column}_high": own.high,
                        f"{mode}_{column}_n": sum(turns.get((*key[:3], task), 0) for task in weights),
                        f"{mode}_{column}_p": p.get(key, math.nan),
                        f"{mode}_{column}_best": key in best,
                    }
                row[f"{mode}_missing"] = missing_text(missing, line, mode, board)
            rows.append(row)
    return rows


def column_interval(tasks: Mapping[str, Sample], weights: Mapping[str, float]) -> Interval:
    """The weighted mean of the samples of tasks; `NOTHING` where one is missing."""
    if not weights.keys() <= tasks.keys():
        return intervals.NOTHING
    return intervals.combine([intervals.interval(tasks[task]) for task in weights], list(weights.values()))


def line_samples(samples: Mapping[tuple, Sample], board: Board, line: Line, mode: str) -> dict[str, Sample]:
    """Task -> the sample of `line` in `mode`."""
    cells = {task: (board.study, line.model, line.label, mode, task) for task in board.sessions}
    return {task: samples[cell] for task, cell in cells.items() if cell in samples}


def groups(rows: Sequence[tuple[Line, dict]], board: Board, names: Sequence[str]) -> list[dict]:
    """The rows of each model under its title, then those without context, with the cells `names` (`_typeset`)."""
    found = []
    several = len({line.model for line in board.lines}) > 1
    for model in dict.fromkeys(line.model for line in board.lines):
        own = [(line, row) for line, row in rows if line.model == model and not line.floor]
        title = own[0][0].model_title
        # A model whose architecture is the method is one row that bears its name.
        title = "" if len(own) == 1 and own[0][0].title == title else title
        found.append({"title": title, "rows": [_typeset(line, row, names) for line, row in own]})
    floor = [(line, row) for line, row in rows if line.floor]
    if floor:
        typeset = [_typeset(line, row, names) for line, row in floor]
        for (line, _), entry in zip(floor, typeset, strict=True):
            entry["title"] += f", {line.model_title}" if several else ""
        found.append({"title": "", "rows": typeset})
    return found


def marks(rows: Sequence[tuple[Line, dict]], names: Sequence[str]) -> list[str]:
    """What the marks beside the numbers mean, of those that occur."""
    shown = [(row, name) for _, row in rows for name in names]
    occurs = {
        WIDTHS: any(not pd.isna(row[f"{name}_low"]) for row, name in shown),
        LESS: any(row[f"{name}_p"] < SIGNIFICANT for row, name in shown),
        BOLD: any(row[f"{name}_best"] for row, name in shown),
    }
    return [text for text, found in occurs.items() if found]


def _typeset(line: Line, row: dict, names: Sequence[str]) -> dict:
    """numbers, widths: the cells of two lines; cells: both in one. A dagger takes no room: decimals stay aligned."""
    widths = [_width(row, name) for name in names]
    numbers = [Tex(_number(row, name) + _dagger(row, name)) for name in names]
    cells = [Tex(_number(row, name) + width + _dagger(row, name)) for name, width in zip(names, widths, strict=True)]
    return {"title": line.title, "budget": line.budget, "cells": cells, "numbers": numbers, "widths": widths}


def _number(row: dict, name: str) -> Tex:
    """The number, bold where it is the best."""
    if pd.isna(row[name]):
        return Tex(MISSING)
    text = f"{row[name]:.1f}"
    if row[f"{name}_best"]:
        text = rf"\textbf{{{text}}}"
    return Tex(text)


def _dagger(row: dict, name: str) -> Tex:
    """A dagger where the number differs from full attention's."""
    # A mark without an interval beside it would say more of a single session than can be known.
    differs = row[f"{name}_p"] < SIGNIFICANT and not pd.isna(row[f"{name}_low"])
    return Tex(r"\rlap{\tiny$^\dagger$}" if differs else "")


def _width(row: dict, name: str) -> Tex:
    """Half of the width of the number's interval."""
    half = (row[f"{name}_high"] - row[f"{name}_low"]) / 2
    if pd.isna(half):
        return Tex("")
    return Tex(rf"{{\tiny$\pm${half:.1f}}}" if half < 9.95 else rf"{{\tiny$\pm${half:.0f}}}")


def _against_full(
    samples: Mapping[tuple, Sample], board: Board, modes: Sequence[str], columns: Columns
) -> dict[tuple[str, str, str, str], float]:
    """(model, label, mode, column) -> p against full attention, corrected for all tests of a model."""
    found = {}
    for model in dict.fromkeys(line.model for line in board.lines):
        own = [line for line in board.lines if line.model == model]
        full = next((line for line in own if line.baseline), None)
        others = [line for line in own if line != full]
        if full is None:
            continue
        p = {}
        for mode in modes:
            base = line_samples(samples, board, full, mode)
            each = [line_samples(samples, board, line, mode) for line in others]
            for column, weights in columns.items():
                tested = intervals.sign_flip([intervals.differences(one, base, weights) for one in each])
                p |= {(model, line.label, mode, column): value for line, value in zip(others, tested, strict=True)}
        found |= dict(zip(p, intervals.holm(list(p.values())), strict=True))
    return found


def _best(
    samples: Mapping[tuple, Sample], board: Board, modes: Sequence[str], columns: Columns
) -> set[tuple[str, str, str, str]]:
    """(model, label, mode, column) of each method that is better than every other of its model, by paired tests."""
    best = set()
    for model in dict.fromkeys(line.model for line in board.lines):
        lines = [line for line in board.lines if line.model == model and not (line.floor or line.baseline)]
        for mode in modes:
            tasks = {line.label: line_samples(samples, board, line, mode) for line in lines}
            for column, weights in columns.items():
                scores = {label: column_interval(own, weights).score for label, own in tasks.items()}
                known = {label: score for label, score in scores.items() if not math.isnan(score)}
                if len(known) < 2:
                    continue
                first = max(known, key=known.__getitem__)
                others = [tasks[label] for label in known if label != first]
                p = intervals.sign_flip([intervals.differences(tasks[first], one, weights) for one in others])
                if (intervals.holm(p) < SIGNIFICANT).all():
                    best.add((model, first, mode, column))
    return best
