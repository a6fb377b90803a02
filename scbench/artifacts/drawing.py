"""How figures look, and how they are saved so that the same numbers give the same bytes."""

import io
import textwrap
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scbench.artifacts.stamp import Stamp
from scbench.canonical import write_atomically

INK, SOFT, FAINT = "#222222", "#6b6b6b", "#d9d9d9"

# Cool hues against warm hues: the two classes stay apart for readers with any of the common colour deficiencies, and,
# by their line styles, in grey. Within a class neighbours differ in lightness, and every method has its own marker.
_COOL = ("#1f6fb4", "#0f9d9a", "#5b4bb0", "#6fb1e4", "#0b4a52", "#a58be0", "#1b2f7a", "#5cc2b0")
_WARM = ("#d9480f", "#d08400", "#9c1c2b", "#f4a582")
_GREY = ("#4d4d4d", "#9a9a9a")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "p", "h", "*")

NOTE_COLUMNS = 140  # characters of 6.5 points across 7 inches

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
    "lines.markersize": 4.5,
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


def legend_size(count: int, room: float) -> float:
    """Points of a legend's text so that its `count` entries take at most `room` inches: 8, or less down to 5."""
    return min(8.0, max(5.0, 72 * room / (1.4 * max(count, 1))))


def wrap(sentences: Iterable[str], columns: int = NOTE_COLUMNS) -> list[str]:
    """The lines of a footer of `columns` characters, by default as wide as a page."""
    return [line for sentence in sentences for line in textwrap.wrap(sentence, columns)]


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
