"""Scores over turns: one line per method with its interval, named where it ends."""

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from scbench.artifacts.drawing import SOFT, Pen, separate

LABEL_GAP = 6.4  # points of the y axis (0 to 100) between the centres of two labels


def draw_curves(
    axes: Axes, points: pd.DataFrame, drawn: Mapping[str, Pen], titles: Mapping[str, str], *, named: bool = True
) -> None:
    """Draw the columns method, turn, score, low, high (percent) of `points`; a missing score breaks its line.

    named: write the methods' names beside the ends of their lines. A method without a single score has no line and its
    label says so.
    """
    turns = sorted(points["turn"].unique()) or [1]
    ends: dict[str, float] = {}
    for method, pen in drawn.items():
        own = points[points["method"] == method].sort_values("turn")
        x, y, low, high = (own[name].astype(float) for name in ("turn", "score", "low", "high"))
        axes.fill_between(x, low, high, color=pen.color, alpha=0.10, linewidth=0)
        if len(turns) == 1:
            axes.vlines(x, low, high, color=pen.color, linewidth=0.8, alpha=0.6)
        axes.plot(
            x, y, color=pen.color, marker=pen.marker, linestyle=pen.linestyle, linewidth=pen.width, markeredgewidth=0
        )
        known = y.dropna()
        ends[method] = float(known.iloc[-1]) if known.size else math.nan
    axes.set(ylim=(0, 100), xlim=(turns[0] - 0.25, turns[-1] + 0.25), xticks=turns)
    axes.yaxis.grid(True)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    if named:
        _label(axes, ends, drawn, titles)


def _label(axes: Axes, ends: Mapping[str, float], drawn: Mapping[str, Pen], titles: Mapping[str, str]) -> None:
    """The methods' names right of the axes, moved apart where lines end close together."""
    places = separate([0.0 if math.isnan(end) else end for end in ends.values()], LABEL_GAP, 2, 98)
    left, right = axes.get_xlim()
    step = (right - left) / 100  # however many turns there are, names stand as far from the axes
    start, stop = right + step, right + 8 * step
    for (method, end), place in zip(ends.items(), places, strict=True):
        pen = drawn[method]
        title = titles[method] if not math.isnan(end) else f"{titles[method]} (missing)"
        axes.plot([start, stop], [end, place], color=SOFT, linewidth=0.5, clip_on=False)
        axes.plot([stop + 3.5 * step], [place], color=pen.color, marker=pen.marker, markeredgewidth=0, clip_on=False)
        axes.text(stop + 7.5 * step, place, title, color=pen.color, va="center", fontsize=8)
