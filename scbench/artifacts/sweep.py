"""Figures 4, 7 and 8: scores over budgets, a line for each method (paper, Section 4 and appendix).

A method's line joins the budgets that the study's rows give it; with one budget it is a point. Full attention is a
level.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scbench import intervals, stats
from scbench.artifacts.board import Board, Line
from scbench.artifacts.compared import column_interval
from scbench.artifacts.drawing import INK, SOFT, Pen, add_axes, legend_size, pens, save, style, wrap, write_at
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.twin import csv_text
from scbench.canonical import write_atomically
from scbench.methods import find

COLUMNS = ["study", "profile", "method", "title", "share", "mode", "column", "score", "low", "high", "missing"]
BANDS = "Bands and bars: 95 % intervals over sessions. The line across is full attention."
GAP, LEFT, NOTE_HEIGHT = 0.3, 0.5, 0.125  # inches
LEGEND_WIDTH = 1.35
CATEGORY_TITLES = {"string": "String", "semantic": "Semantic", "global": "Global", "multi": "Multi-tasking"}


@dataclass(frozen=True)
class Panel:
    """One panel: a category or the average, in one mode."""

    mode: str
    column: str
    title: str


def sweep_frame(scores: pd.DataFrame, board: Board, panels: tuple[Panel, ...]) -> pd.DataFrame:
    """A row for each profile, panel, method and budget (share of the context): score, low, high in percent.

    Averaged over the models that have the budget. missing: the tasks that the number lacks; it has then no score.
    """
    rows = []
    for profile in board.profiles:
        samples = intervals.samples(scores, profile)
        for panel in panels:
            weights = stats.WEIGHTS[panel.column]
            for (method, share), lines in _budgets(board).items():
                tasks = {}
                for task in weights:
                    cells = [(board.study, line.model, line.label, panel.mode, task) for line in lines]
                    if all(cell in samples for cell in cells):
                        tasks[task] = intervals.averaged([samples[cell] for cell in cells])
                known = {"study": board.study, "profile": profile, "method": method, "title": find(method).title}
                known |= {"share": share, "mode": panel.mode, "column": panel.column}
                known |= {"missing": ", ".join(task for task in weights if task not in tasks)}
                rows.append(known | column_interval(tasks, weights)._asdict())
    return pd.DataFrame(rows, columns=COLUMNS)


def write_sweep(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path, panels: tuple[Panel, ...]) -> list[Path]:
    """Write `<out>.pdf`, `<out>.png` and `<out>.csv`."""
    with style():
        paths = save(_draw(frame[frame["profile"] == board.profile], board, stamp, panels), stamp, out)
    paths.append(out.with_suffix(".csv"))
    write_atomically(paths[-1], csv_text(frame))
    return paths


def _budgets(board: Board) -> dict[tuple[str, float], list[Line]]:
    """(method, share) -> its lines, one a model; models that are their own method and the floor have no budget."""
    found: dict[tuple[str, float], list[Line]] = {}
    for line in board.lines:
        if line.share is not None:
            own = found.setdefault((line.method, line.share), [])
            # Of variants with the same budget the first stands for the method.
            if line.model not in [other.model for other in own]:
                own.append(line)
    return found


def _draw(shown: pd.DataFrame, board: Board, stamp: Stamp, panels: tuple[Panel, ...]) -> Figure:
    notes = [BANDS, *_lacking(shown, board, panels), *(f"{text}." for text in board.caveats), stamp.line]
    each = 1.65 if len(panels) < 3 else 1.3
    width = LEFT + len(panels) * (each + GAP) + LEGEND_WIDTH
    notes = wrap(notes, columns=round(width * 19))
    base = 0.62 + NOTE_HEIGHT * len(notes)
    figure = Figure(figsize=(width, base + 2.3))
    kinds = {line.method: line.kind for line in reversed(board.lines) if line.share is not None}
    drawn = pens((method, kinds[method]) for method in dict.fromkeys(shown["method"]))
    for number, panel in enumerate(panels):
        left = LEFT + number * (each + GAP)
        axes = add_axes(figure, left, base, each, 1.9)
        own = shown[(shown["mode"] == panel.mode) & (shown["column"] == panel.column)]
        _lines(axes, own, kinds, drawn)
        axes.set(xlabel="Budget", ylabel="Mean score (%)" if number == 0 else "")
        write_at(figure, left, base + 2.03, panel.title, fontsize=9, fontweight="bold")
    titles = shown.drop_duplicates("method").set_index("method")["title"]
    figure.legend(
        handles=[_handle(titles[method], pen) for method, pen in drawn.items()],
        loc="upper left",
        bbox_to_anchor=((width - LEGEND_WIDTH) / width, (base + 1.95) / (base + 2.3)),
        borderpad=0,
        borderaxespad=0,
        frameon=False,
        fontsize=legend_size(len(drawn), room=2.2),
    )
    for number, text in enumerate(reversed(notes)):
        write_at(figure, LEFT, 0.08 + NOTE_HEIGHT * number, text, fontsize=6.5, color=SOFT)
    return figure


def _lines(axes: Axes, own: pd.DataFrame, kinds: Mapping[str, str], drawn: Mapping[str, Pen]) -> None:
    shares = sorted({share for method, share in zip(own["method"], own["share"], strict=True) if share < 1}) or [1.0]
    for method, pen in drawn.items():
        points = own[own["method"] == method].sort_values("share")
        if kinds[method] == "baseline":
            level = points["score"].iloc[0]
            axes.axhline(level, color=INK, linewidth=1.0, zorder=1)
            axes.axhspan(points["low"].iloc[0], points["high"].iloc[0], color=INK, alpha=0.06, linewidth=0)
            continue
        x = points["share"]
        axes.fill_between(x, points["low"], points["high"], color=pen.color, alpha=0.10, linewidth=0)
        axes.vlines(x, points["low"], points["high"], color=pen.color, linewidth=0.7, alpha=0.5)
        axes.plot(
            x,
            points["score"],
            color=pen.color,
            marker=pen.marker,
            linestyle=pen.linestyle,
            linewidth=pen.width,
            markeredgewidth=0,
        )
    axes.set(ylim=(0, 100), xscale="log", xlim=(min(shares) / 1.4, max(max(shares), 2 * min(shares)) * 1.4))
    ticks = [share for share in (1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1) if _inside(share, axes)]
    axes.set_xticks(ticks, [f"1/{round(1 / share)}" if share < 1 else "1" for share in ticks])
    axes.minorticks_off()
    axes.yaxis.grid(True)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def _inside(share: float, axes: Axes) -> bool:
    low, high = axes.get_xlim()
    return low <= share <= high


def _handle(title: str, pen: Pen) -> Line2D:
    return Line2D([], [], color=pen.color, marker=pen.marker, linestyle=pen.linestyle, markersize=5, label=title)


def _lacking(shown: pd.DataFrame, board: Board, panels: tuple[Panel, ...]) -> list[str]:
    """Which methods have one budget, so that they show no trend; which panels and lines lack cells."""
    shares = shown[shown["share"] < 1].drop_duplicates(["method", "share"]).groupby("title", sort=False).size()
    single = list(shares[shares < 2].index)
    notes = [f"One budget in this study, and so no line: {', '.join(single)}."] if single else []
    for panel in panels:
        own = shown[(shown["mode"] == panel.mode) & (shown["column"] == panel.column)]
        if panel.mode not in board.modes:
            notes.append(f"{panel.title}: the study has no such part.")
        elif own["score"].isna().all():
            notes.append(f"{panel.title}: the study leaves out some of its tasks.")
        elif gone := list(dict.fromkeys(own.loc[own["score"].isna(), "title"])):
            notes.append(f"{panel.title}: cells are missing of {', '.join(gone)}; the .csv twin lists them.")
    return notes
