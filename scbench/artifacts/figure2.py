"""Figure 2: (a) the two ways a context is shared, (b) the tasks, their sizes and their modes (paper, Section 3)."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from scbench.artifacts.board import MODE_TITLES, Board
from scbench.artifacts.drawing import FAINT, INK, SOFT, WIDTH, add_axes, notes_height, wrap, write_figure, write_notes
from scbench.artifacts.stamp import Stamp
from scbench.tasks import TASKS

CATEGORIES = {
    "string": ("String retrieval", "#1f6fb4"),
    "semantic": ("Semantic retrieval", "#0f9d9a"),
    "global": ("Global information", "#5b4bb0"),
    "multi": ("Multi-tasking", "#d9480f"),
}
CONTEXT, ASKED, ANSWERED = "#dbe7f3", "#f4d9b8", "#ffffff"
NOTES = (
    "Multi-turn: each question follows the answers before it, golden or the model's own. Multi-request: each question "
    "sees the context alone. Bars: mean tokens of a context with its questions, by the first model's tokenizer.",
    "Sessions × turns at the right; a filled dot for each mode of the study.",
)
LEFT, LINE, BAR_LEFT, BAR_WIDTH = 0.1, 0.165, 1.35, 2.9  # inches


def frame(sizes: pd.DataFrame, board: Board) -> pd.DataFrame:
    """A row for each task: title, category, sessions, turns and input_tokens (means of its sessions), its modes."""
    rows = []
    for task in board.sessions:
        own = sizes[sizes["task"] == task]
        about = {"study": board.study, "task": task, "title": TASKS[task].title, "category": TASKS[task].category}
        known = {"sessions": len(own), "turns": own["turns"].mean(), "input_tokens": own["input_tokens"].mean()}
        rows.append(about | known | {mode: mode in board.modes for mode in MODE_TITLES})
    return pd.DataFrame(rows)


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.pdf`, `<out>.png` and `<out>.csv`."""
    return write_figure(lambda: _draw(frame, stamp), frame, stamp, out)


def _draw(frame: pd.DataFrame, stamp: Stamp) -> Figure:
    notes = wrap([*NOTES, stamp.line])
    base = notes_height(notes) + 0.05
    known = [name for name in CATEGORIES if (frame["category"] == name).any()]
    tall = LINE * (len(frame) + len(known))
    height = base + tall + 2.0
    figure = Figure(figsize=(WIDTH, height))
    axes = add_axes(figure, 0, 0, WIDTH, height, xlim=(0, WIDTH), ylim=(0, height))
    axes.axis("off")
    _modes(axes, height - 0.18)
    _tasks(axes, frame, known, base + tall)
    write_notes(figure, LEFT, notes)
    return figure


def _modes(axes: Axes, top: float) -> None:
    """A conversation that grows in one row; requests that each follow the context alone in three."""
    axes.text(LEFT, top, "(a) Two ways to share a context", fontsize=9, fontweight="bold")
    axes.text(LEFT, top - 0.3, MODE_TITLES["multi_turn"], fontsize=8)
    left = _box(axes, BAR_LEFT, top - 0.38, 1.5, "Context", CONTEXT)
    for turn in (1, 2, 3):
        left = _box(axes, left, top - 0.38, 0.42, f"Q{turn}", ASKED)
        left = _box(axes, left, top - 0.38, 0.42, f"A{turn}", ANSWERED)
    axes.text(left + 0.08, top - 0.3, "...", fontsize=8)
    axes.text(LEFT, top - 0.89, MODE_TITLES["multi_request"], fontsize=8)
    start = _box(axes, BAR_LEFT, top - 0.97, 1.5, "Context", CONTEXT)
    for turn in (1, 2, 3):
        bottom = top - 0.45 - 0.26 * turn
        axes.plot([start, start + 0.3], [top - 0.86, bottom + 0.11], color=SOFT, linewidth=0.8)
        left = _box(axes, start + 0.3, bottom, 0.42, f"Q{turn}", ASKED)
        _box(axes, left, bottom, 0.42, f"A{turn}", ANSWERED)


def _box(axes: Axes, left: float, bottom: float, width: float, text: str, color: str) -> float:
    """A labelled box; returns its right edge."""
    axes.add_patch(Rectangle((left, bottom), width, 0.22, facecolor=color, edgecolor=SOFT, linewidth=0.7))
    axes.text(left + width / 2, bottom + 0.11, text, fontsize=7, ha="center", va="center_baseline")
    return left + width


def _tasks(axes: Axes, frame: pd.DataFrame, known: list[str], top: float) -> None:
    axes.text(LEFT, top + 0.28, "(b) Tasks", fontsize=9, fontweight="bold")
    right = BAR_LEFT + BAR_WIDTH
    dots = {mode: right + 1.35 + 0.75 * number for number, mode in enumerate(MODE_TITLES)}
    for text, x in (
        ("Sessions", right + 0.75),
        *((MODE_TITLES[mode], x) for mode, x in dots.items()),
    ):
        axes.text(x, top + 0.1, text, fontsize=7, color=SOFT, ha="center")
    axes.text(BAR_LEFT, top + 0.1, "Tokens", fontsize=7, color=SOFT)
    y = top - 0.05
    most = frame["input_tokens"].max()
    for name in known:
        title, color = CATEGORIES[name]
        axes.text(LEFT, y - 0.04, title, fontsize=7.5, fontweight="bold", color=color)
        axes.plot([LEFT, dots["multi_request"] + 0.3], [y + 0.075] * 2, color=FAINT, linewidth=0.6)
        y -= LINE
        for row in frame[frame["category"] == name].to_dict("records"):
            axes.text(LEFT + 0.08, y - 0.04, row["title"], fontsize=7.5)
            long = (BAR_WIDTH - 0.5) * row["input_tokens"] / most
            axes.add_patch(Rectangle((BAR_LEFT, y - 0.05), long, 0.11, facecolor=color, linewidth=0))
            axes.text(BAR_LEFT + long + 0.06, y - 0.04, f"{row['input_tokens']:,.0f}", fontsize=7, color=INK)
            axes.text(right + 0.75, y - 0.04, f"{row['sessions']} × {row['turns']:g}", fontsize=7, ha="center")
            for mode, x in dots.items():
                axes.plot(x, y, marker="o", markersize=4, color=color, markerfacecolor=color if row[mode] else "white")
            y -= LINE
