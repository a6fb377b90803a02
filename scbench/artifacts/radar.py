"""A radar of scores in which the two modes face each other: symmetric polygons belong to methods that do not mind."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes

from scbench.artifacts.drawing import FAINT, SOFT, Pen

RINGS = (25, 50, 75, 100)
Spoke = tuple[str, str]  # mode, category


def spoke_angles(modes: Sequence[str], categories: Sequence[str]) -> dict[Spoke, float]:
    """Radians clockwise from the top. Of two modes the first is on the right, the second its mirror image."""
    if len(modes) == 1:
        return {(modes[0], name): 2 * math.pi * number / len(categories) for number, name in enumerate(categories)}
    right = {name: math.pi * (number + 0.5) / len(categories) for number, name in enumerate(categories)}
    angles = {(modes[0], name): angle for name, angle in right.items()}
    return angles | {(modes[1], name): 2 * math.pi - right[name] for name in reversed(categories)}


def closed_polygon(scores: Mapping[Spoke, float], angles: Mapping[Spoke, float]) -> tuple[list[float], list[float]]:
    """Angles and radii around the circle and back to the first spoke; a missing score is a gap, not the centre."""
    spokes = sorted(angles, key=lambda spoke: angles[spoke])
    spokes.append(spokes[0])
    return [angles[spoke] for spoke in spokes], [scores.get(spoke, math.nan) for spoke in spokes]


def draw_radar(
    axes: Axes,
    points: pd.DataFrame,
    drawn: Mapping[str, Pen],
    modes: Mapping[str, str],
    categories: Mapping[str, str],
) -> None:
    """Draw the columns method, mode, category, score (percent) of `points` on polar `axes`, a polygon per method.

    modes, categories: name -> what a reader sees, in the order around the circle.
    """
    angles = spoke_angles(list(modes), list(categories))
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_ylim(0, 100)
    axes.set_axis_off()
    for ring in RINGS:
        around, radii = closed_polygon(dict.fromkeys(angles, ring), angles)
        axes.plot(around, radii, color=SOFT if ring == 100 else FAINT, linewidth=0.6, zorder=1, clip_on=False)
    for (_, category), angle in angles.items():
        axes.plot([angle, angle], [0, 100], color=FAINT, linewidth=0.6, zorder=1)
        side = math.sin(angle)
        align = "center" if abs(side) < 0.2 else ("left" if side > 0 else "right")
        axes.text(angle, 107, categories[category], ha=align, va="center", fontsize=7.5, clip_on=False)
    _number_rings(axes, angles)
    if len(modes) == 2:
        axes.plot([0, math.pi], [124, 116], color=SOFT, linewidth=0.7, linestyle=(0, (1, 2)), zorder=1, clip_on=False)
        for title, align, gap in zip(modes.values(), ("left", "right"), (1, -1), strict=True):
            axes.annotate(
                title,
                (0, 124),
                (5 * gap, 0),
                textcoords="offset points",
                annotation_clip=False,
                ha=align,
                va="top",
                fontsize=8,
                color=SOFT,
            )
    for method, pen in drawn.items():
        own = points[points["method"] == method]
        scores = {
            (mode, name): score for mode, name, score in zip(own["mode"], own["category"], own["score"], strict=True)
        }
        axes.plot(
            *closed_polygon(scores, angles),
            color=pen.color,
            marker=pen.marker,
            markersize=3,
            linestyle=pen.linestyle,
            linewidth=0.75 * pen.width,
            markeredgewidth=0,
            alpha=0.85,
            zorder=3,
            clip_on=False,
        )


def _number_rings(axes: Axes, angles: Mapping[Spoke, float]) -> None:
    """Percentages where the rings cross the line between the first spoke and its neighbour."""
    around = sorted(angles.values())
    middle = (around[0] + around[-1] - 2 * math.pi) / 2
    # Rings are polygons: between two spokes they run nearer to the centre.
    inward = math.cos((around[0] - around[-1] + 2 * math.pi) / 2)
    for ring in RINGS[:-1]:
        axes.text(
            middle,
            ring * inward,
            str(ring),
            fontsize=6.5,
            color=SOFT,
            ha="center",
            va="center",
            zorder=2,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )
