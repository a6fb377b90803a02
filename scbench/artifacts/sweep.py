"""Figures 4, 7 and 8: scores over budgets, a line for each method (paper, Section 4 and appendix).

A method's line joins the budgets that the study's rows give it; with one budget it is a point. Full attention is a
level.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scbench import intervals, stats
from scbench.artifacts.board import Board, Line
from scbench.artifacts.compared import column_interval
from scbench.artifacts.drawing import (
    INK,
    MARKER_SIZE,
    NAME_SIZE,
    WIDTH,
    Pen,
    add_axes,
    handle,
    names_height,
    names_width,
    notes_height,
    pens,
    plain_grid,
    sidestep,
    text_width,
    wrap,
    write_at,
    write_figure,
    write_notes,
)
from scbench.artifacts.stamp import Stamp
from scbench.methods import find

COLUMNS = ["study", "profile", "method", "title", "share", "mode", "column", "score", "low", "high", "missing"]
BANDS = (
    "Bands and bars: 95 % intervals over sessions. The line across is full attention. Markers that would cover each "
    "other stand side by side, at the end of a thin line from their true place."
)
GAP, LEFT, NARROWEST, WIDEST = 0.3, 0.5, 0.9, 2.1  # inches
TICK_SIZE = 7.5  # points
CATEGORY_TITLES = {"string": "String", "semantic": "Semantic", "global": "Global", "multi": "Multi-tasking"}


@dataclass(frozen=True)
class Panel:
    """One panel: a category or the average, in one mode."""

    mode: str
    column: str
    title: str


def sweep_frame(scores: pd.DataFrame, board: Board, panels: tuple[Panel, ...]) -> pd.DataFrame:
    """A row for each profile, panel, method and budget (share of the context): score, low, high in percent.

    Averaged over the models of `board.averaged` that have the budget. missing: the tasks that the number lacks; it has
    then no score.
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
    own = frame[frame["profile"] == board.profile]
    return write_figure(lambda: _draw(own, board, stamp, panels), frame, stamp, out)


def _budgets(board: Board) -> dict[tuple[str, float], list[Line]]:
    """(method, share) -> its lines, one a model; models that are their own method and the floor have no budget."""
    found: dict[tuple[str, float], list[Line]] = {}
    for line in board.lines:
        if line.share is not None and line.model in board.averaged:
            own = found.setdefault((line.method, line.share), [])
            # Of variants with the same budget the first stands for the method.
            if line.model not in [other.model for other in own]:
                own.append(line)
    return found


def _draw(shown: pd.DataFrame, board: Board, stamp: Stamp, panels: tuple[Panel, ...]) -> Figure:
    kinds = {line.method: line.kind for line in reversed(board.lines) if line.share is not None}
    drawn = pens((method, kinds[method]) for method in dict.fromkeys(shown["method"]))
    titles = shown.drop_duplicates("method").set_index("method")["title"].to_dict()
    names = names_width(titles.values())
    room = (WIDTH - LEFT - names - GAP * (len(panels) - 1)) / len(panels)
    each = min(WIDEST, max(NARROWEST, room))
    width = LEFT + len(panels) * (each + GAP) - GAP + names
    notes = [BANDS, *_lacking(shown, board, panels), *board.footer, stamp.line]
    notes = wrap(notes, width - LEFT)
    base, high = notes_height(notes) + 0.5, names_height(len(drawn), least=1.9)
    figure = Figure(figsize=(width, base + high + 0.35))
    for number, panel in enumerate(panels):
        left = LEFT + number * (each + GAP)
        axes = add_axes(figure, left, base, each, high)
        own = shown[(shown["mode"] == panel.mode) & (shown["column"] == panel.column)]
        _lines(axes, own, kinds, drawn)
        axes.set(xlabel="Budget", ylabel="Mean score (%)" if number == 0 else "")
        write_at(figure, left, base + high + 0.15, panel.title, fontsize=9, fontweight="bold")
    known = shown.dropna(subset="score")
    swept = set(known[known.duplicated(["mode", "column", "method"])]["method"])
    lines = {
        method: replace(pen, linestyle="" if method not in swept else pen.linestyle) for method, pen in drawn.items()
    }
    lines |= {method: replace(pen, marker="") for method, pen in drawn.items() if kinds[method] == "baseline"}
    figure.legend(
        handles=[handle(titles[method], pen) for method, pen in lines.items()],
        loc="upper left",
        bbox_to_anchor=((width - names + 0.05) / width, (base + high) / (base + high + 0.35)),
        borderpad=0,
        borderaxespad=0,
        labelspacing=0.19,
        handlelength=1.4,
        handletextpad=0.5,
        frameon=False,
        fontsize=NAME_SIZE,
    )
    write_notes(figure, LEFT, notes)
    return figure


def _lines(axes: Axes, own: pd.DataFrame, kinds: Mapping[str, str], drawn: Mapping[str, Pen]) -> None:
    full = own["method"].map(kinds) == "baseline"
    points = own[~full]
    shares = sorted(points["share"].unique()) or [1.0]
    axes.set(ylim=(0, 100), xscale="log", xlim=(min(shares) / 2, max(max(shares), 2 * min(shares)) * 1.6))
    for level in own[full].itertuples():
        axes.axhline(level.score, color=INK, linewidth=1.0, zorder=1)
        axes.axhspan(level.low, level.high, color=INK, alpha=0.06, linewidth=0)
    points = points.assign(place=sidestep(axes, points["share"].tolist(), points["score"].tolist(), MARKER_SIZE))
    colors = [drawn[method].color for method in points["method"]]
    axes.vlines(points["place"], points["low"], points["high"], colors=colors, linewidth=0.7, alpha=0.5)
    axes.hlines(points["score"], points["share"], points["place"], colors=colors, linewidth=0.7, alpha=0.5)
    for method, group in points.groupby("method", sort=False):
        pen, line = drawn[method], group.sort_values("share")
        if len(line) > 1:
            axes.fill_between(line["place"], line["low"], line["high"], color=pen.color, alpha=0.10, linewidth=0)
        how = {"color": pen.color, "linestyle": pen.linestyle, "linewidth": pen.width}
        axes.plot(line["place"], line["score"], marker=pen.marker, markeredgewidth=0, alpha=0.85, **how)
    # Powers of two lie at most this far from any budget.
    near = math.sqrt(2) * 1.01
    powers = range(1 + math.ceil(-math.log2(min(shares))), -1, -1)
    ticks = [2.0**-power for power in powers if min(shares) / near <= 2.0**-power <= max(shares) * near]
    labels = [f"1/{round(1 / share)}" if share < 1 else "1" for share in ticks]
    low, high = axes.get_xlim()
    octave = axes.bbox.width / axes.figure.dpi / math.log2(high / low)  # inches
    step = math.ceil(1.15 * max(text_width(label, TICK_SIZE) for label in labels) / octave)
    axes.set_xticks(ticks[::step], labels[::step], fontsize=TICK_SIZE)
    axes.minorticks_off()
    plain_grid(axes)


def _lacking(shown: pd.DataFrame, board: Board, panels: tuple[Panel, ...]) -> list[str]:
    """Which methods have one budget, so that they show no trend; which panels and lines lack cells."""
    shares = shown[shown["share"] < 1].drop_duplicates(["method", "share"]).groupby("title", sort=False).size()
    single = list(shares[shares < 2].index)
    who = "every method" if len(single) == len(shares) else ", ".join(single)
    notes = [f"One budget in this study, and so no line: {who}."] if single else []
    for panel in panels:
        own = shown[(shown["mode"] == panel.mode) & (shown["column"] == panel.column)]
        if panel.mode not in board.modes:
            notes.append(f"{panel.title}: the study has no such part.")
        elif own["score"].isna().all():
            notes.append(f"{panel.title}: the study leaves out some of its tasks.")
        elif gone := list(dict.fromkeys(own.loc[own["score"].isna(), "title"])):
            notes.append(f"{panel.title}: cells are missing of {', '.join(gone)}; the .csv twin lists them.")
    return notes
