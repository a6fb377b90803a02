"""Scores over turns: one line per method with its interval, named where it ends."""

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from scbench.artifacts.drawing import MARKER_SIZE, Pen, name_beside, plain_grid, sidestep

SIZE = 0.85 * MARKER_SIZE  # points
ASIDE = 0.35  # of the distance between two turns: how far a marker may move aside
SHADE = 0.8  # of all bands together, so that many do not become one


def draw_curves(
    axes: Axes, points: pd.DataFrame, drawn: Mapping[str, Pen], titles: Mapping[str, str], *, named: bool = True
) -> None:
    """Draw the columns method, turn, score, low, high (percent) of `points`; a missing score breaks its line.

    named: write the methods' names beside the ends of their lines.
    Markers that would cover each other stand side by side.
    """
    turns = sorted(points["turn"].unique()) or [1]
    axes.set(ylim=(0, 100), xlim=(turns[0] - 0.45, turns[-1] + 0.45), xticks=turns)
    plain_grid(axes)
    moved = _side_by_side(axes, points, drawn)
    ends: dict[str, tuple[float, float]] = {}
    for method, pen in drawn.items():
        own = moved[moved["method"] == method].sort_values("turn")
        x, place, y, low, high = (own[name].astype(float) for name in ("turn", "place", "score", "low", "high"))
        axes.fill_between(x, low, high, color=pen.color, alpha=min(0.1, SHADE / len(drawn)), linewidth=0)
        if len(turns) == 1:
            axes.vlines(place, low, high, color=pen.color, linewidth=0.8, alpha=0.6)
        how = {"color": pen.color, "linestyle": pen.linestyle, "linewidth": 0.75 * pen.width}
        axes.plot(place, y, marker=pen.marker, markersize=SIZE, markeredgewidth=0, alpha=0.85, **how)
        known = own.dropna(subset="score")
        ends[method] = (
            (float(known["place"].iloc[-1]), float(known["score"].iloc[-1])) if len(known) else (math.nan,) * 2
        )
    if named:
        name_beside(axes, ends, drawn, titles)


def _side_by_side(axes: Axes, points: pd.DataFrame, drawn: Mapping[str, Pen]) -> pd.DataFrame:
    """`points` with `place`, the x coordinate of each marker."""
    left, right = axes.transData.transform([(0, 0), (ASIDE, 0)])[:, 0] * 72 / axes.figure.dpi
    order = points.assign(rank=points["method"].map({method: number for number, method in enumerate(drawn)}))
    order = order.sort_values(["turn", "rank"])
    x, y = (order[name].astype(float).tolist() for name in ("turn", "score"))
    return order.assign(place=sidestep(axes, x, y, SIZE, room=right - left))
