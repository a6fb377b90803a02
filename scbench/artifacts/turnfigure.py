"""Figures 9 and 10: accuracy turn by turn, a panel for each category (paper, appendix)."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from scbench import stats
from scbench.artifacts.board import Board
from scbench.artifacts.curves import draw_curves
from scbench.artifacts.drawing import SOFT, add_axes, pens, save, style, wrap, write_at
from scbench.artifacts.scored import holes, missing_text
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.turns import gaps, turn_points
from scbench.artifacts.twin import csv_text
from scbench.canonical import write_atomically

COLUMNS = ["study", "profile", "method", "title", "memory", "panel", "turn", "score", "low", "high", "n", "missing"]
BANDS = "Multi-turn. Bands: 95 % intervals over sessions."
PANEL, GAP, LEFT, NAMES, NOTE_HEIGHT = 1.85, 0.35, 0.5, 1.6, 0.125  # inches


def turn_frame(scores: pd.DataFrame, board: Board, panels: Mapping[str, str]) -> pd.DataFrame:
    """A row for each profile, panel, method and turn: score, low, high in percent, n turns, missing cells.

    panels: category -> its title. A category with a task that the study leaves out is the mean of its others.
    """
    missing = holes(scores, board)
    rows = []
    for profile in board.profiles:
        for point in turn_points(scores, board, profile, {panel: stats.CATEGORIES[panel] for panel in panels}):
            lines = board.groups[point["method"]]
            texts = [missing_text(missing, line, "multi_turn", board) for line in lines]
            known = {"study": board.study, "profile": profile, "title": lines[0].title, "memory": lines[0].memory}
            rows.append(known | {"missing": "; ".join(filter(None, texts))} | point)
    return pd.DataFrame(rows, columns=COLUMNS).astype({"turn": "Int64", "n": "int64"})


def write_turns(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path, panels: Mapping[str, str]) -> list[Path]:
    """Write `<out>.pdf`, `<out>.png` and `<out>.csv`."""
    with style():
        paths = save(_draw(frame[frame["profile"] == board.profile], board, stamp, panels), stamp, out)
    paths.append(out.with_suffix(".csv"))
    write_atomically(paths[-1], csv_text(frame))
    return paths


def _draw(shown: pd.DataFrame, board: Board, stamp: Stamp, panels: Mapping[str, str]) -> Figure:
    sentences = [BANDS, *_left_out(board, panels), *(f"{text}." for text in board.caveats), *gaps(shown), stamp.line]
    known = set(shown.dropna(subset="score")["panel"])
    filled = {panel: title for panel, title in panels.items() if panel in known} or panels
    notes = wrap(sentences, columns=100 if len(filled) > 1 else 72)
    base = 0.6 + NOTE_HEIGHT * len(notes)
    width = LEFT + len(filled) * (PANEL + GAP) + NAMES
    figure = Figure(figsize=(width, base + 2.5))
    drawn = pens((group, lines[0].kind) for group, lines in board.groups.items())
    titles = {group: lines[0].title for group, lines in board.groups.items()}
    for number, (panel, title) in enumerate(filled.items()):
        left = LEFT + number * (PANEL + GAP)
        axes = add_axes(figure, left, base, PANEL, 2.1)
        draw_curves(axes, shown[shown["panel"] == panel], drawn, titles, named=number == len(filled) - 1)
        axes.set(xlabel="Request in the session", ylabel="Mean score (%)" if number == 0 else "")
        write_at(figure, left, base + 2.25, title, fontsize=9, fontweight="bold")
    for number, text in enumerate(reversed(notes)):
        write_at(figure, LEFT, 0.08 + NOTE_HEIGHT * number, text, fontsize=6.5, color=SOFT)
    return figure


def _left_out(board: Board, panels: Mapping[str, str]) -> list[str]:
    """A note on the panels that show a part of their tasks, or none."""
    partial = {
        title: [task for task in stats.CATEGORIES[panel] if task in board.sessions] for panel, title in panels.items()
    }
    return [
        f"{title}: the study has {len(tasks)} of {len(stats.CATEGORIES[panel])} tasks."
        for (panel, title), tasks in zip(panels.items(), partial.values(), strict=True)
        if len(tasks) < len(stats.CATEGORIES[panel])
    ]
