"""Figures 9 and 10: accuracy turn by turn, a panel for each category (paper, appendix)."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from scbench import stats
from scbench.artifacts.board import Board
from scbench.artifacts.curves import draw_curves
from scbench.artifacts.drawing import (
    WIDTH,
    add_axes,
    named,
    names_height,
    names_width,
    notes_height,
    pens,
    wrap,
    write_at,
    write_figure,
    write_notes,
)
from scbench.artifacts.scored import holes, missing_text
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.turns import gaps, turn_points

COLUMNS = ["study", "profile", "method", "title", "memory", "panel", "turn", "score", "low", "high", "n", "missing"]
BANDS = "Multi-turn. Bands: 95 % intervals over sessions; markers that would cover each other stand side by side."
GAP, LEFT, NARROWEST, WIDEST = 0.35, 0.5, 1.0, 2.9  # inches


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
    own = frame[frame["profile"] == board.profile]
    return write_figure(lambda: _draw(own, board, stamp, panels), frame, stamp, out)


def _draw(shown: pd.DataFrame, board: Board, stamp: Stamp, panels: Mapping[str, str]) -> Figure:
    sentences = [BANDS, *_left_out(board, panels), *board.footer, *gaps(shown), stamp.line]
    known = set(shown.dropna(subset="score")["panel"])
    filled = {panel: title for panel, title in panels.items() if panel in known} or panels
    drawn = pens((group, lines[0].kind) for group, lines in board.groups.items())
    last = shown[shown["panel"] == list(filled)[-1]].dropna(subset="score")
    titles = named({group: lines[0].title for group, lines in board.groups.items()}, set(last["method"]))
    names = names_width(titles.values())
    room = (WIDTH - LEFT - names - GAP * (len(filled) - 1)) / len(filled)
    panel_width = min(WIDEST, max(NARROWEST, room))
    width = LEFT + len(filled) * (panel_width + GAP) - GAP + names
    notes = wrap(sentences, width - LEFT)
    base, high = notes_height(notes) + 0.5, names_height(len(titles), least=2.0)
    figure = Figure(figsize=(width, base + high + 0.35))
    for number, (panel, title) in enumerate(filled.items()):
        left = LEFT + number * (panel_width + GAP)
        axes = add_axes(figure, left, base, panel_width, high)
        draw_curves(axes, shown[shown["panel"] == panel], drawn, titles, named=number == len(filled) - 1)
        axes.set(xlabel="Request in the session", ylabel="Mean score (%)" if number == 0 else "")
        write_at(figure, left, base + high + 0.15, title, fontsize=9, fontweight="bold")
    write_notes(figure, LEFT, notes)
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
