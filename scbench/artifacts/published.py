"""What others published, and this study beside it: categories and their average (resources/published/categories.csv).

Where the study has the model, the method and the budget of a published row, the third line says by how many widths of
our interval ours is above theirs. Where it has the method on another model alone, ours stands there to be seen and is
not compared. A published cell that no source gives stays missing.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import groupby
from pathlib import Path

import pandas as pd

from scbench import intervals, stats
from scbench.artifacts.board import MODE_TITLES, Board, Line
from scbench.artifacts.compared import column_interval, line_samples
from scbench.artifacts.latex import MISSING, Tex, render
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.table4 import HEADS
from scbench.artifacts.twin import csv_text
from scbench.canonical import write_atomically
from scbench.intervals import Interval
from scbench.methods import find
from scbench.places import ROOT

VALUES = ROOT / "resources" / "published" / "categories.csv"
KEYS = ["source", "citation", "model", "method", "title", "budget", "mode"]
LEGEND = "Mean scores in percent"
OURS = "Ours: with half of the width of its 95 % interval. Apart: ours less theirs, in widths of our interval"
ELSEWHERE = "In italics: another model, with half of the width of its 95 % interval; it is not compared"
OTHERS = "Published rows of methods that are not in this version stand in the .csv twin alone"


def frame(scores: pd.DataFrame, board: Board) -> pd.DataFrame:
    """A row for each profile and published row: KEYS, our `line` (its label) and `same` (same model and budget).

    `<column>`, `<column>_ours`, `_low`, `_high` and `_apart`, for the four categories and the average.
    """
    published = pd.read_csv(VALUES, dtype={"budget": str})
    wide = published.set_index([*KEYS, "column"])["score"].unstack().reindex(columns=list(HEADS)).reset_index()
    first = published.drop_duplicates(KEYS)[KEYS]
    wide = first.merge(wide, on=KEYS)  # the order of the file
    rows = []
    for profile in board.profiles:
        samples = intervals.samples(scores, profile)
        for row in wide.to_dict("records"):
            line = _ours(row, board)
            same = line is not None and _same(row, line)
            own = {"study": board.study, "profile": profile} | {name: row[name] for name in KEYS}
            own |= {"line": line.label if line else "", "our_model": line.model if line else "", "same": same}
            own["our_budget"] = line.budget if line else ""
            for column in HEADS:
                found = intervals.NOTHING
                if line and row["mode"] in board.modes:
                    found = column_interval(line_samples(samples, board, line, row["mode"]), stats.WEIGHTS[column])
                own |= _cells(column, row[column], found, same)
            rows.append(own)
    return pd.DataFrame(rows)


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.tex`, to be read by \\input, and `<out>.csv`."""
    shown = frame[frame["profile"] == board.profile].to_dict("records")
    titles = {line.model: line.model_title for line in board.lines}
    kept = [row for row in shown if find(row["method"])]
    groups = []
    for citation, rows in groupby(kept, key=lambda row: row["citation"]):
        groups.append({"title": citation, "rows": _lines(list(rows), titles)})
    occurs = {
        OURS: any(row["same"] and _known(row) for row in kept),
        ELSEWHERE: any(not row["same"] and _known(row) for row in kept),
        OTHERS: len(kept) < len(shown),
    }
    notes = [LEGEND, *(text for text, found in occurs.items() if found), *board.caveats]
    text = render("published.tex.j2", {"stamp": stamp, "heads": list(HEADS.values()), "groups": groups, "notes": notes})
    paths = [out.with_suffix(".tex"), out.with_suffix(".csv")]
    for path, content in zip(paths, (text, csv_text(frame)), strict=True):
        write_atomically(path, content)
    return paths


def _ours(row: dict, board: Board) -> Line | None:
    """Our line of a published row: the same model and budget, else the first of its method on a model of the study."""
    own = [line for line in board.lines if line.method == row["method"] and not line.floor and line.share is not None]
    same = [line for line in own if _same(row, line)]
    if not same and any(line.model == row["model"] for line in board.lines):
        return None
    return next(iter(same or own), None)


def _same(row: dict, line: Line) -> bool:
    return line.model == row["model"] and abs(line.share - float(Fraction(row["budget"]))) < 1e-9


def _cells(column: str, theirs: float, ours: Interval, same: bool) -> dict[str, float]:
    apart = (ours.score - theirs) / (ours.high - ours.low) if same and ours.high > ours.low else float("nan")
    return {
        column: theirs,
        f"{column}_ours": ours.score,
        f"{column}_low": ours.low,
        f"{column}_high": ours.high,
        f"{column}_apart": apart,
    }


def _known(row: dict) -> bool:
    return any(not pd.isna(row[f"{column}_ours"]) for column in HEADS)


def _lines(rows: Sequence[dict], titles: Mapping[str, str]) -> list[dict]:
    """The printed lines: theirs, ours where there are any, and how far apart they are; another model's line once."""
    lines, shown = [], set()
    for row in rows:
        budget = "" if row["budget"] == "1" else row["budget"]
        cells = [_number(row[column]) for column in HEADS]
        about = {"title": row["title"], "mode": MODE_TITLES[row["mode"]], "budget": budget}
        lines.append(about | {"whose": "published", "cells": cells})
        if not _known(row) or (line := (row["line"], row["mode"])) in shown:
            continue
        about = {"title": "", "mode": "", "budget": row["our_budget"]}
        ours = [_with_width(row, column) for column in HEADS]
        if row["same"]:
            apart = [_number(row[f"{column}_apart"], "+.1f") for column in HEADS]
            lines.append(about | {"whose": "ours", "cells": ours})
            lines.append(about | {"whose": "apart", "budget": "", "cells": apart})
        else:
            shown.add(line)
            italic = [Tex(rf"\textit{{{cell}}}") for cell in ours]
            lines.append(about | {"whose": titles[row["our_model"]], "cells": italic})
    return lines


def _with_width(row: dict, column: str) -> Tex:
    score, half = row[f"{column}_ours"], (row[f"{column}_high"] - row[f"{column}_low"]) / 2
    return _number(score) if pd.isna(half) else Tex(rf"{score:.1f}{{\tiny$\pm${half:.1f}}}")


def _number(value: float, form: str = ".1f") -> Tex:
    if pd.isna(value):
        return Tex(MISSING)
    return Tex(f"${value:{form}}$" if "+" in form else f"{value:{form}}")
