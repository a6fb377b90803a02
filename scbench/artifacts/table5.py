"""Table 5: what methods lose where a context is encoded without the question (paper, Section 4).

With: the first question of multi-turn sessions, which is encoded together with the context. Without: the same question
of multi-request sessions, where the context was encoded before. A study whose requests are `query_aware` has no second
half.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from scbench import intervals, stats
from scbench.artifacts.board import Board
from scbench.artifacts.compared import column_interval, line_samples
from scbench.artifacts.latex import MISSING, Tex, render
from scbench.artifacts.paging import pages
from scbench.artifacts.scored import left_out
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.table4 import ABBREVIATIONS, HEADS
from scbench.artifacts.twin import csv_text
from scbench.canonical import write_atomically
from scbench.intervals import Interval, Sample

LEGEND = (
    "First questions, mean scores in percent: encoded with the context, then after it. Below: the second less the "
    f"first on the same sessions, with half of the width of its 95 % interval. {ABBREVIATIONS}. Mixed tasks: by their "
    "first question"
)
AWARE = "Every request of this study was encoded with its question (query_aware): there is nothing without"
ONE_MODE = "The study has one mode: the other half is missing"


def frame(scores: pd.DataFrame, board: Board) -> pd.DataFrame:
    """A row for each profile and line but the floor.

    `<column>_with`, `<column>_without`, in percent; `<column>_change`, `_low`, `_high`: points, on the same sessions.
    """
    first = scores[scores["turn"] == 1]
    rows = []
    for profile in board.profiles:
        known = first[first[f"score_{profile}"].notna()]
        samples = {} if known.empty else intervals.samples(known, profile, whole=False)
        for line in board.lines:
            if line.floor:
                continue
            about = {"study": board.study, "profile": profile, "model": line.model, "method": line.label}
            about |= {"title": line.title, "budget": line.budget}
            with_query = line_samples(samples, board, line, "multi_turn")
            without = {} if board.query_aware else line_samples(samples, board, line, "multi_request")
            for column in HEADS:
                weights = stats.WEIGHTS[column]
                change = _change(with_query, without, weights)
                about |= {
                    f"{column}_with": column_interval(with_query, weights).score,
                    f"{column}_without": column_interval(without, weights).score,
                    f"{column}_change": change.score,
                    f"{column}_low": change.low,
                    f"{column}_high": change.high,
                }
            rows.append(about)
    return pd.DataFrame(rows)


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.tex`, to be read by \\input, and `<out>.csv`."""
    shown = frame[frame["profile"] == board.profile].to_dict("records") if len(frame) else []
    models = {line.model: line.model_title for line in board.lines}
    groups = [
        {"title": title, "rows": [_typeset(row) for row in shown if row["model"] == model]}
        for model, title in models.items()
    ]
    notes = [LEGEND] + ([AWARE] if board.query_aware else []) + ([ONE_MODE] if len(board.modes) < 2 else [])
    if outside := left_out(board):
        notes.append(f"Not part of this study, so that their categories have no score: {', '.join(outside)}")
    values = {"stamp": stamp, "heads": list(HEADS.values()), "pages": pages(groups, each=2), "notes": notes}
    paths = [out.with_suffix(".tex"), out.with_suffix(".csv")]
    for path, content in zip(paths, (render("table5.tex.j2", values), csv_text(frame)), strict=True):
        write_atomically(path, content)
    return paths


def _change(first: Mapping[str, Sample], second: Mapping[str, Sample], weights: Mapping[str, float]) -> Interval:
    if not weights.keys() <= first.keys() & second.keys():
        return intervals.NOTHING
    parts = [intervals.contrast([second[task], first[task]], [1, -1]) for task in weights]
    return intervals.combine(parts, list(weights.values()))


def _typeset(row: dict) -> dict:
    both = [_pair(row[f"{column}_with"], row[f"{column}_without"]) for column in HEADS]
    changes = [_signed(row[f"{column}_change"], row[f"{column}_low"], row[f"{column}_high"]) for column in HEADS]
    return {"title": row["title"], "budget": row["budget"], "both": both, "changes": changes}


def _pair(first: float, second: float) -> Tex:
    texts = [MISSING if pd.isna(value) else f"{value:.1f}" for value in (first, second)]
    return Tex(rf"{texts[0]} $\rightarrow$ {texts[1]}")


def _signed(value: float, low: float, high: float) -> Tex:
    if pd.isna(value):
        return Tex(MISSING)
    width = "" if pd.isna(low) else rf"{{\tiny$\pm${(high - low) / 2:.1f}}}"
    return Tex(rf"$\mathit{{{value:+.1f}}}${width}")
