"""Figure 5: which keys each row of the first prompt attends to, under methods with a fixed pattern (paper, Section 3).

The masks are computed by the methods: each encodes one chunk in which all queries are zero, so that a row's output is
the mean of the values it sees, and the value of key j is the j-th unit vector.
"""

from pathlib import Path

import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from scbench.artifacts.board import Board
from scbench.artifacts.drawing import INK, LINEAR, add_axes, notes_height, wrap, write_at, write_figure, write_notes
from scbench.artifacts.registered import Registry
from scbench.artifacts.stamp import Stamp
from scbench.kv.hooks import Chunk, Counters
from scbench.methods import METHODS, make

TOKENS, QUESTION = 48, 8  # of the first prompt, and of the question and header at its end
SHOWN = {
    "full": {},
    "a_shape": {"sink": 4, "local": 10},
    "tri_shape": {"sink": 4, "local": 10, "last": QUESTION},
}
WORDS = (
    f"A first prompt of {TOKENS} tokens: rows attend to the keys that are filled; the last {QUESTION} rows, below the "
    "line, hold the question. A-shape and Tri-shape see 4 first keys and a window of 10; Tri-shape's last rows see "
    "every key. All later turns are dense under both."
)
SIDE, GAP, LEFT = 1.7, 0.35, 0.5  # inches


def mask(method: str, settings: dict[str, int]) -> torch.Tensor:
    """[TOKENS, TOKENS] bool: whether row i of the first prompt attends to key j."""
    nothing = torch.zeros(1, 1, TOKENS, TOKENS)
    values = torch.eye(TOKENS)[None, None]
    chunk = Chunk(nothing, nothing, values, layer=0, layers=1, total=TOKENS, scaling=1.0, counters=Counters())
    return make(method, settings, TOKENS).encode(chunk)[0, 0] > 0


def frame(registry: Registry, board: Board) -> pd.DataFrame:
    """A row for each method and row of the prompt: keys attended to, and which, as a text of 0 and 1."""
    rows = []
    for method, settings in SHOWN.items():
        for number, seen in enumerate(mask(method, settings).tolist()):
            keys = "".join("1" if key else "0" for key in seen)
            about = {"study": board.study, "method": method, "title": METHODS[method].title}
            rows.append(about | {"row": number, "attended": sum(seen), "keys": f"k{keys}"})
    return pd.DataFrame(rows)


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.pdf`, `<out>.png` and `<out>.csv`."""
    return write_figure(lambda: _draw(frame, stamp), frame, stamp, out)


def _draw(frame: pd.DataFrame, stamp: Stamp) -> Figure:
    width = LEFT + len(SHOWN) * (SIDE + GAP)
    notes = wrap([WORDS, stamp.line], width - LEFT)
    base = notes_height(notes) + 0.45
    figure = Figure(figsize=(width, base + SIDE + 0.32))
    for number, (method, own) in enumerate(frame.groupby("method", sort=False)):
        left = LEFT + number * (SIDE + GAP)
        axes = add_axes(figure, left, base, SIDE, SIDE)
        _show(axes, own["keys"].tolist())
        share = own["attended"].sum() / (TOKENS * (TOKENS + 1) / 2)
        axes.set(xlabel=f"Key ({share:.0%} of all pairs)", ylabel="Row" if number == 0 else "")
        write_at(figure, left, base + SIDE + 0.1, METHODS[method].title, fontsize=9, fontweight="bold")
    write_notes(figure, LEFT, notes)
    return figure


def _show(axes: Axes, keys: list[str]) -> None:
    image = [[int(key) for key in row[1:]] for row in keys]
    axes.imshow(image, cmap=ListedColormap(["white", LINEAR.color]), vmin=0, vmax=1, interpolation="nearest")
    axes.axhline(TOKENS - QUESTION - 0.5, color=INK, linewidth=0.8)
    ticks = [0, TOKENS - 1]
    axes.set_xticks(ticks, [str(tick + 1) for tick in ticks])
    axes.set_yticks(ticks, [str(tick + 1) for tick in ticks])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(True)
