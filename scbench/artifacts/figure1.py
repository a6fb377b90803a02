"""Figure 1: the life of a KV cache in one request and across several, and where each method acts (paper, Section 2).

Drawn from what the methods state about themselves, as Table 1 is: a method that is added stands here too.
"""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from scbench.artifacts import table1
from scbench.artifacts.board import Board
from scbench.artifacts.drawing import FAINT, INK, LINEAR, SOFT, SUBLINEAR, add_axes, save, style, wrap, write_at
from scbench.artifacts.registered import STAGES, Registry
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.twin import csv_text
from scbench.canonical import write_atomically

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
WIDTH, LEFT, COLUMN, GAP, LINE, NOTE_HEIGHT = 7.0, 0.9, 1.32, 0.2, 0.165, 0.125  # inches
BOX, ROW = 0.42, 0.95


def frame(registry: Registry, board: Board) -> pd.DataFrame:
    """A row for each method that acts at a stage: stage, method, title, kv_size, in_study."""
    methods = table1.frame(registry, board)
    acting = methods[methods["stage"].isin(WORDS)]
    return acting[["study", "stage", "method", "title", "kv_size", "in_study"]].reset_index(drop=True)


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.pdf`, `<out>.png` and `<out>.csv`."""
    with style():
        paths = save(_draw(frame, stamp), stamp, out)
    paths.append(out.with_suffix(".csv"))
    write_atomically(paths[-1], csv_text(frame))
    return paths


def _draw(frame: pd.DataFrame, stamp: Stamp) -> Figure:
    notes = wrap([NOTE, stamp.line])
    base = 0.2 + NOTE_HEIGHT * len(notes)
    listed = LINE * frame.groupby("stage").size().max()
    height = base + listed + 0.3 + 2 * ROW
    figure = Figure(figsize=(WIDTH, height))
    axes = add_axes(figure, 0, 0, WIDTH, height, xlim=(0, WIDTH), ylim=(0, height))
    axes.axis("off")
    rows = {"One\nrequest": height - 0.25 - BOX, "Several\nrequests": height - 0.35 - ROW - BOX}
    for number, (title, bottom) in enumerate(rows.items()):
        _row(axes, title, bottom, shared=number == 1)
    top = min(rows.values()) - 0.42
    for stage, left in _columns().items():
        axes.plot([left, left + COLUMN], [top + 0.14] * 2, color=FAINT, linewidth=0.8)
        for line, row in enumerate(frame[frame["stage"] == stage].to_dict("records")):
            color = LINEAR.color if "n" in row["kv_size"] else SUBLINEAR.color
            y = top - LINE * line
            fill = color if row["in_study"] else "white"
            axes.plot(left + 0.06, y + 0.035, marker="s", markersize=4.5, color=color, markerfacecolor=fill)
            axes.text(left + 0.15, y, row["title"], fontsize=7.5, color=INK if row["in_study"] else SOFT)
    axes.text(0.1, top, "Methods", fontsize=8, fontweight="bold")
    for number, text in enumerate(reversed(notes)):
        write_at(figure, 0.1, 0.08 + NOTE_HEIGHT * number, text, fontsize=6.5, color=SOFT)
    return figure


def _columns() -> dict[str, float]:
    """Stage -> left edge, in the order of a cache's life."""
    stages = [stage for stage in STAGES if stage in WORDS]
    return {stage: LEFT + number * (COLUMN + GAP) for number, stage in enumerate(stages)}


def _row(axes, title: str, bottom: float, shared: bool) -> None:
    """One kind of use: its stages in boxes with arrows between them; a stage that it does not know is left out."""
    axes.text(0.1, bottom + BOX / 2, title, fontsize=8, fontweight="bold", va="center")
    middle, previous = bottom + BOX / 2, None
    columns = _columns()
    for stage, left in columns.items():
        name, words, alone = WORDS[stage]
        if not (alone or shared):
            continue
        box = FancyBboxPatch((left, bottom), COLUMN, BOX, boxstyle="round,pad=0,rounding_size=0.06")
        box.set(facecolor="#eef3f8", edgecolor=SOFT, linewidth=0.8)
        axes.add_patch(box)
        axes.text(left + COLUMN / 2, middle + 0.09, name, fontsize=8, fontweight="bold", ha="center", va="center")
        axes.text(left + COLUMN / 2, middle - 0.09, words, fontsize=7, color=SOFT, ha="center", va="center")
        if previous is not None:
            _arrow(axes, (previous, middle), (left, middle))
        previous = left + COLUMN
    if shared:
        start, stop = columns["loading"] + COLUMN / 2, columns["retrieval"] + COLUMN / 2
        _arrow(axes, (start, bottom), (stop, bottom), bend=-0.32)
        axes.text(
            (start + stop) / 2, bottom - 0.12, "the next request", fontsize=7, color=SOFT, ha="center", va="center"
        )
    else:
        axes.text(
            columns["loading"] + COLUMN, bottom - 0.11, "then freed", fontsize=7, color=SOFT, ha="right", va="center"
        )


def _arrow(axes, start: tuple[float, float], stop: tuple[float, float], bend: float = 0.0) -> None:
    curve = {
        "connectionstyle": f"arc3,rad={bend}",
        "arrowstyle": "-|>",
        "mutation_scale": 8,
        "shrinkA": 1,
        "shrinkB": 1,
    }
    axes.add_patch(FancyArrowPatch(start, stop, color=SOFT, linewidth=1.0, **curve))
