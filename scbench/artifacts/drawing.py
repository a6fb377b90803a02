"""How figures look, and how they are saved so that the same numbers give the same bytes."""

import io
import math
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path
from typing import Any

import matplotlib.style
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath

from scbench.artifacts.stamp import Stamp
from scbench.artifacts.twin import csv_text
from scbench.canonical import write_atomically

INK, SOFT, FAINT = "#222222", "#6b6b6b", "#d9d9d9"

# Cool hues against warm hues: the two classes stay apart for readers with any of the common colour deficiencies, and,
# by their line styles, in grey. Within a class neighbours differ in lightness, and every method has its own marker.
_COOL = ("#1f6fb4", "#0f9d9a", "#5b4bb0", "#6fb1e4", "#0b4a52", "#a58be0", "#1b2f7a", "#5cc2b0")
_WARM = ("#d9480f", "#d08400", "#9c1c2b", "#f4a582")
_GREY = ("#4d4d4d", "#9a9a9a")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "p", "h", "*")

WIDTH = 6.9  # inches: the line of the document, so that no figure is scaled down in it
NOTE_SIZE, NOTE_HEIGHT, NOTE_BOTTOM = 6.5, 0.125, 0.08  # points; inches of a line, and below the last
NOTE_COLUMNS = 20  # characters of a note on an inch
NAME_SIZE = 7.0  # points of a method's name
NAME_HEIGHT = 1.2 * NAME_SIZE / 72  # inches
LEADER = 0.3  # inches between the axes and a name beside them
MARKER_SIZE = 4.0  # points, where several methods share axes

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "lines.markersize": MARKER_SIZE,
    # Text stays text, in fonts a publisher accepts.
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class Pen:
    """How one method is drawn, in every panel."""

    color: str
    marker: str
    linestyle: str | tuple[float, tuple[float, ...]]
    width: float = 1.5


LINEAR = Pen(_COOL[0], "", "-")
SUBLINEAR = Pen(_WARM[0], "", (0, (4, 1.6)))
UNSTATED = Pen(_GREY[0], "", (0, (5, 1.4, 1, 1.4)))


def style() -> AbstractContextManager[None]:
    """Matplotlib's defaults, not the reader's matplotlibrc, and our style on top."""
    return matplotlib.style.context(["default", _STYLE])


def pens(classes: Iterable[tuple[str, str]]) -> dict[str, Pen]:
    """A pen for each (name, class): baseline in ink, floor grey and dotted, the others by their class of memory.

    linear: cool; sublinear: warm and dashed; unstated: grey, dashed and dotted.
    Names take the hues of their class and the markers in their order.
    """
    strokes = {"linear": LINEAR.linestyle, "sublinear": SUBLINEAR.linestyle, "unstated": UNSTATED.linestyle}
    hues = {"linear": cycle(_COOL), "sublinear": cycle(_WARM), "unstated": cycle(_GREY)}
    chosen: dict[str, Pen] = {}
    for number, (name, kind) in enumerate(classes):
        if kind == "floor":
            chosen[name] = Pen("#858585", "", ":", 1.2)
            continue
        color = INK if kind == "baseline" else next(hues[kind])
        # In a long study hues and markers come again, but never together.
        taken = {pen.marker for pen in chosen.values() if pen.color == color}
        turns = (_MARKERS[(number + turn) % len(_MARKERS)] for turn in range(len(_MARKERS)))
        marker = next((marker for marker in turns if marker not in taken), _MARKERS[number % len(_MARKERS)])
        chosen[name] = Pen(color, marker, "-", 1.8) if kind == "baseline" else Pen(color, marker, strokes[kind])
    return chosen


def separate(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places for labels as near to `values` as a distance of `gap` allows, within [low, high] and in the same order.

    Labels that would overlap form a block around the mean of their values. When not all of them fit, the gap shrinks.
    """
    if len(values) > 1:
        gap = min(gap, (high - low) / (len(values) - 1))
    order = sorted(range(len(values)), key=lambda index: values[index])
    blocks: list[list[int]] = []
    centres: list[float] = []

    def centre(block: list[int]) -> float:
        half = gap * (len(block) - 1) / 2
        return min(max(sum(values[index] for index in block) / len(block), low + half), high - half)

    for index in order:
        blocks.append([index])
        centres.append(centre([index]))
        while len(blocks) > 1 and centres[-1] - centres[-2] < gap * (len(blocks[-1]) + len(blocks[-2])) / 2:
            tail = blocks.pop()
            centres.pop()
            blocks[-1] += tail
            centres[-1] = centre(blocks[-1])
    places = [0.0] * len(values)
    for block, middle in zip(blocks, centres, strict=True):
        for number, index in enumerate(block):
            places[index] = middle + gap * (number - (len(block) - 1) / 2)
    return places


def add_axes(figure: Figure, left: float, bottom: float, width: float, height: float, **options: Any) -> Axes:
    """Axes at a place given in inches from the lower left corner of `figure`."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up), **options)


def write_at(figure: Figure, left: float, bottom: float, text: str, **options: Any) -> None:
    """Write `text` with its lower left corner at a place given in inches."""
    across, up = figure.get_size_inches()
    figure.text(left / across, bottom / up, text, **options)


def text_width(text: str, size: float) -> float:
    """Inches that `text` takes at `size` points in the font of the figures."""
    # A path without a single mark has no extent. Glyphs have points where they are widest: no curve has to be followed.
    return float(TextPath((0, 0), text, size=size).vertices[:, 0].max()) / 72 if text.strip() else 0.0


def named(titles: Mapping[str, str], known: Collection[str]) -> dict[str, str]:
    """`titles`, of which those whose name is not in `known` say that they are missing."""
    return {name: title if name in known else f"{title} (missing)" for name, title in titles.items()}


def names_width(titles: Iterable[str]) -> float:
    """Inches right of axes that names beside them take (`name_beside`)."""
    return LEADER + 0.05 + max((text_width(title, NAME_SIZE) for title in titles), default=0.0)


def names_height(number: int, least: float = 0.0) -> float:
    """Inches of axes beside which `number` names stand without touching each other; no less than `least`."""
    return max(least, NAME_HEIGHT * number)


def name_beside(
    axes: Axes, ends: Mapping[str, tuple[float, float]], drawn: Mapping[str, Pen], titles: Mapping[str, str]
) -> None:
    """Write names right of `axes`, each joined with its point in data coordinates, as near to its height as fits.

    The limits of `axes` are final. A name whose point is not a number has no line to it.
    """
    width, height = _inches(axes)
    into_axes = axes.transAxes.inverted()
    points = {name: into_axes.transform(axes.transData.transform(end)) for name, end in ends.items()}
    gone = {name for name, point in points.items() if any(map(math.isnan, point))}
    wanted = [0.0 if name in gone else float(point[1]) for name, point in points.items()]
    places = separate(wanted, NAME_HEIGHT / height, 0.0, 1.0)
    start, marked, written = (1 + inches / width for inches in (LEADER - 0.16, LEADER - 0.09, LEADER))
    for (name, point), place in zip(points.items(), places, strict=True):
        pen = drawn[name]
        how = {"transform": axes.transAxes, "clip_on": False}
        if name not in gone:
            axes.plot([point[0], start], [point[1], place], color=pen.color, linewidth=0.5, alpha=0.6, zorder=1, **how)
        axes.plot([marked], [place], color=pen.color, marker=pen.marker, markeredgewidth=0, linestyle="", **how)
        axes.text(written, place, titles[name], fontsize=NAME_SIZE, va="center", **how)


def sidestep(axes: Axes, x: Sequence[float], y: Sequence[float], size: float, room: float = math.inf) -> list[float]:
    """`x`, in data coordinates, with markers of `size` points moved sideways where they would cover each other.

    Each in its turn takes the nearest free place at its height; one that finds none within `room` points stays where it
    is. The limits of `axes` are final.
    """
    across = 72 / axes.figure.dpi
    placed: list[tuple[float, float]] = []
    moved = []
    for here, height in zip(x, y, strict=True):
        if math.isnan(here) or math.isnan(height):
            moved.append(here)
            continue
        left, up = (float(value) * across for value in axes.transData.transform((here, height)))
        free = _free(left, up, placed, size, room)
        placed.append((free, up))
        moved.append(here if free == left else float(axes.transData.inverted().transform((free / across, 0))[0]))
    return moved


def _free(left: float, up: float, placed: Sequence[tuple[float, float]], size: float, room: float) -> float:
    """The place nearest to `left` that is `size` away from all that is `placed`; points, as far as `room` away."""
    near = [(other, height) for other, height in placed if abs(height - up) < size]
    for step in count():
        for side in (1, -1):
            away = side * step * size / 2
            if abs(away) > room:
                return left
            if all(math.hypot(left + away - other, up - height) >= 0.98 * size for other, height in near):
                return left + away


def _inches(axes: Axes) -> tuple[float, float]:
    box, dpi = axes.bbox, axes.figure.dpi
    return box.width / dpi, box.height / dpi


def handle(title: str, pen: Pen) -> Line2D:
    """An entry of a legend."""
    return Line2D([], [], color=pen.color, marker=pen.marker, linestyle=pen.linestyle, label=title)


def plain_grid(axes: Axes) -> None:
    """Lines at the ticks of the y axis, behind everything, and no ticks."""
    axes.yaxis.grid(True)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def wrap(sentences: Iterable[str], width: float = WIDTH - 0.5) -> list[str]:
    """The lines of a footer that is `width` inches wide, by default as wide as a page without a margin on its left."""
    return [line for sentence in sentences for line in textwrap.wrap(sentence, max(20, round(NOTE_COLUMNS * width)))]


def write_notes(figure: Figure, left: float, lines: Sequence[str]) -> None:
    """Write a footer from `left` inches on at the bottom of `figure`; it takes `notes_height`."""
    for number, text in enumerate(reversed(lines)):
        write_at(figure, left, NOTE_BOTTOM + NOTE_HEIGHT * number, text, fontsize=NOTE_SIZE, color=SOFT)


def notes_height(lines: Sequence[str]) -> float:
    """Inches that a footer takes."""
    return NOTE_BOTTOM + NOTE_HEIGHT * len(lines)


def only_words(reason: str, stamp: Stamp) -> Figure:
    """What stands in the place of a figure that has nothing to show."""
    said, notes = wrap([reason], 0.8 * (WIDTH - 0.2)), wrap([stamp.line])
    base = notes_height(notes) + 0.1
    figure = Figure(figsize=(WIDTH, base + 0.17 * len(said)))
    for number, text in enumerate(reversed(said)):
        write_at(figure, 0.1, base + 0.17 * number, text)
    write_notes(figure, 0.1, notes)
    return figure


def write_figure(draw: Callable[[], Figure], frame: pd.DataFrame, stamp: Stamp, out: Path) -> list[Path]:
    """What `draw` returns, drawn in our style, as `<out>.pdf` and `<out>.png`, and the numbers as `<out>.csv`."""
    with style():
        paths = save(draw(), stamp, out)
    paths.append(out.with_suffix(".csv"))
    write_atomically(paths[-1], csv_text(frame))
    return paths


def save(figure: Figure, stamp: Stamp, out: Path) -> list[Path]:
    """Write `figure` as `<out>.pdf` and `<out>.png` (200 dots an inch), the stamp in their metadata and no date."""
    title = f"{stamp.name} of study {stamp.study}"
    lineage = f"lineage {stamp.lineage}"
    metadata = {
        "pdf": {"Title": title, "Subject": stamp.line, "Keywords": lineage, "Creator": "scbench", "CreationDate": None},
        "png": {"Title": title, "Description": stamp.line, "Source": lineage, "Software": None},
    }
    paths = []
    for kind, entries in metadata.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=200, metadata=entries)
        paths.append(out.with_suffix(f".{kind}"))
        write_atomically(paths[-1], buffer.getvalue())
    return paths
