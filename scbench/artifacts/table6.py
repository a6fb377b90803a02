"""Table 6: long-context benchmarks, what they ask for and how they use a context (paper, appendix).

The paper's own statement about others (resources/published/benchmarks.csv); the last row is what this study asks.
"""

from pathlib import Path

import pandas as pd

from scbench.artifacts import table7, table8
from scbench.artifacts.board import Board
from scbench.artifacts.latex import MISSING, Tex, render
from scbench.artifacts.registered import Registry
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.twin import csv_text
from scbench.canonical import write_atomically
from scbench.places import ROOT
from scbench.tasks import TASKS

VALUES = ROOT / "resources" / "published" / "benchmarks.csv"
COLUMNS = {
    "precise_retrieval": "Precise",
    "semantic_retrieval": "Semantic",
    "global_information": "Global",
    "multi_tasking": "Multi-task",
    "single_question": "Single",
    "multi_turn": "Turns",
    "multi_request": "Requests",
    "kv_reuse": "Reuse",
}
ASKED = {
    "precise_retrieval": "string",
    "semantic_retrieval": "semantic",
    "global_information": "global",
    "multi_tasking": "multi",
}
LEGEND = (
    "By the paper (arXiv 2412.10319, Table 6); the last row is what this study asks. Single: one question a context, "
    "in this study the first request of a session (Tables 7 and 8); a dash: the paper does not say"
)


def frame(registry: Registry, board: Board) -> pd.DataFrame:
    """A row for each benchmark of the paper, then the study: 1 where it has the property, 0 where not, else unknown."""
    categories = {TASKS[task].category for task in board.sessions}
    own = {column: int(category in categories) for column, category in ASKED.items()}
    own |= {mode: int(mode in board.modes) for mode in ("multi_turn", "multi_request")}
    single = own["multi_request"] and any(task in board.sessions for task in (*table7.TASKS, *table8.TASKS))
    own |= {"benchmark": f"This study, {board.study}", "single_question": int(single), "kv_reuse": 1}
    return pd.concat([pd.read_csv(VALUES), pd.DataFrame([own])], ignore_index=True).assign(study=board.study)


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.tex`, to be read by \\input, and `<out>.csv`."""
    rows = [
        {"title": row["benchmark"], "cells": [_mark(row[column]) for column in COLUMNS]}
        for row in frame.to_dict("records")
    ]
    values = {"stamp": stamp, "heads": list(COLUMNS.values()), "rows": rows[:-1], "own": rows[-1], "notes": [LEGEND]}
    paths = [out.with_suffix(".tex"), out.with_suffix(".csv")]
    for path, content in zip(paths, (render("table6.tex.j2", values), csv_text(frame)), strict=True):
        write_atomically(path, content)
    return paths


def _mark(value: float) -> Tex:
    if pd.isna(value):
        return Tex(MISSING)
    return Tex(r"$\bullet$") if value else Tex("")
