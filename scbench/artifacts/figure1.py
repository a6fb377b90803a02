"""Figure 1: the life of a KV cache in one request and across several, and where each method acts (paper, Section 2).

Drawn from what the methods state about themselves, as Table 1 is: a method that is added stands here too.
"""

from itertools import accumulate
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from scbench.artifacts import table1
from scbench.artifacts.board import Board
from scbench.artifacts.drawing import (
    FAINT,
    INK,
    LINEAR,
    SOFT,
    SUBLINEAR,
    WIDTH,
    add_axes,
    notes_height,
    text_width,
    wrap,
    write_figure,
    write_notes,
)
from scbench.artifacts.registered import STAGES, Registry
from scbench.artifacts.stamp import Stamp

# What happens at each stage, and whether one request alone goes through it.
WORDS = {
    "generation": ("Generation", "the prompt is encoded", True),
    "compression": ("Compression", "what is kept of it", True),
    "retrieval": ("Retrieval", "found again later", False),
    "loading": ("Loading", "what a step reads", True),
}
NOTE = (
    "Filled: in this study. Cool: KV memory while decoding grows with the prompt, O(n); warm: it does not. Full "
    "attention acts at no stage: it encodes, keeps and reads every token."
)
LEFT, RIGHT, LEAST_GAP, LINE, MARK = 0.85, 0.1, 0.25, 0.165, 0.15  # inches
BOX, ROW = 0.42, 0.8
NAME, WORD, METHOD = 8, 7, 7.5  # points

Column = tuple[float, float]  # left edge and width, inches


def frame(registry: Registry, board: Board) -> pd.DataFrame:
    """A row for each method that acts at a stage: stage, method, title, kv_size, in_study."""
    methods = table1.frame(registry, board)
    acting = methods[methods["stage"].isin(WORDS)]
    return acting[["study", "stage", "method", "title", "kv_size", "in_study"]].reset_index(drop=True)


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.pdf`, `<out>.png` and `<out>.csv`."""
    return write_figure(lambda: _draw(frame, stamp), frame, stamp, out)


def _draw(frame: pd.DataFrame, stamp: Stamp) -> Figure:
    columns = _columns(frame)
    width = max(WIDTH, sum(list(columns.values())[-1]) + RIGHT)
    notes = wrap([NOTE, stamp.line])
    base = notes_height(notes) + 0.12
    top = base + LINE * (frame.groupby("stage").size().max() - 1)  # of the first method of a list
    rows = {"One\nrequest": top + 0.42 + ROW, "Several\nrequests": top + 0.42}
    height = top + 0.42 + ROW + BOX + 0.08
    figure = Figure(figsize=(width, height))
    axes = add_axes(figure, 0, 0, width, height, xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    for number, (title, bottom) in enumerate(rows.items()):
        _row(axes, columns, title, bottom, shared=number == 1)
    for stage, (left, wide) in columns.items():
        axes.plot([left, left + wide], [top + 0.14] * 2, color=FAINT, linewidth=0.8)
        for line, row in enumerate(frame[frame["stage"] == stage].to_dict("records")):
            color = LINEAR.color if "n" in row["kv_size"] else SUBLINEAR.color
            y = top - LINE * line
            fill = color if row["in_study"] else "white"
            axes.plot(left + 0.06, y + 0.035, marker="s", markersize=4.5, color=color, markerfacecolor=fill)
            axes.text(left + MARK, y, row["title"], fontsize=METHOD, color=INK if row["in_study"] else SOFT)
    axes.text(0.1, top, "Methods", fontsize=NAME, fontweight="bold")
    write_notes(figure, 0.1, notes)
    return figure


def _columns(frame: pd.DataFrame) -> dict[str, Column]:
    """Stage -> its column, as wide as its words, in the order of a cache's life; what is left goes between them."""
    widths = {}
    for stage in [stage for stage in STAGES if stage in WORDS]:
        listed = [MARK + text_width(title, METHOD) for title in frame.loc[frame["stage"] == stage, "title"]]
        words = [text_width(WORDS[stage][0], NAME), text_width(WORDS[stage][1], WORD)]
        widths[stage] = 0.15 + max(listed + words)
    gap = max(LEAST_GAP, (WIDTH - RIGHT - LEFT - sum(widths.values())) / (len(widths) - 1))
    lefts = accumulate(widths.values(), lambda left, width: left + width + gap, initial=LEFT)
    return dict(zip(widths, zip(lefts, widths.values(), strict=False), strict=True))


def _row(axes: Axes, columns: dict[str, Column], title: str, bottom: float, shared: bool) -> None:
    """One kind of use: its stages in boxes with arrows between them; a stage that it does not know is left out."""
    axes.text(0.1, bottom + BOX / 2, title, fontsize=NAME, fontweight="bold", va="center")
    middle, previous = bottom + BOX / 2, None
    for stage, (left, wide) in columns.items():
        name, words, alone = WORDS[stage]
        if not (alone or shared):
            continue
        box = FancyBboxPatch((left, bottom), wide, BOX, boxstyle="round,pad=0,rounding_size=0.06")
        box.set(facecolor="#eef3f8", edgecolor=SOFT, linewidth=0.8)
        axes.add_patch(box)
        axes.text(left + wide / 2, middle + 0.09, name, fontsize=NAME, fontweight="bold", ha="center", va="center")
        axes.text(left + wide / 2, middle - 0.09, words, fontsize=WORD, color=SOFT, ha="center", va="center")
        if previous is not None:
            _arrow(axes, (previous, middle), (left, middle))
        previous = left + wide
    last, wide = columns["loading"]
    if shared:
        found, own = columns["retrieval"]
        start, stop = last + wide / 2, found + own / 2
        _arrow(axes, (start, bottom), (stop, bottom), bend=-0.32)
        axes.text(
            (start + stop) / 2, bottom - 0.12, "the next request", fontsize=WORD, color=SOFT, ha="center", va="center"
        )
    else:
        axes.text(last + wide, bottom - 0.11, "then freed", fontsize=WORD, color=SOFT, ha="right", va="center")


def _arrow(axes: Axes, start: tuple[float, float], stop: tuple[float, float], bend: float = 0.0) -> None:
    curve = {
        "connectionstyle": f"arc3,rad={bend}",
        "arrowstyle": "-|>",
        "mutation_scale": 8,
        "shrinkA": 1,
        "shrinkB": 1,
    }
    axes.add_patch(FancyArrowPatch(start, stop, color=SOFT, linewidth=1.0, **curve))
