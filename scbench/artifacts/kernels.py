"""What the GPU kernels cost beside the best dense attention, and how much of the chip they use, as measured.

Drawn from resources/measurements/kernels-<device>.yaml, which scripts/bench_kernels.py writes on a machine with a GPU.
Without such a file the figure says so, and names the command.
"""

from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scbench.artifacts import MEASUREMENTS, measured
from scbench.artifacts.board import Board
from scbench.artifacts.drawing import (
    SOFT,
    add_axes,
    notes_height,
    only_words,
    pens,
    wrap,
    write_at,
    write_figure,
    write_notes,
)
from scbench.artifacts.registered import Registry
from scbench.artifacts.stamp import Stamp
from scbench.errors import UserError

COLUMNS = "study device date kernel tokens milliseconds low high best_dense dense_milliseconds speedup roofline".split()
NOTHING = (
    "No kernel was measured: there is no resources/measurements/kernels-*.yaml. On a machine with a GPU, "
    "python -m scripts.bench_kernels writes one, and this figure draws it."
)
WORDS = (
    "Medians of kernels in bfloat16 at the shapes of Llama-3.1-8B, with a cold L2 cache. Left: how many times as long "
    "the fastest dense attention takes that was run beside the kernel. Right: the share of the time that the chip's "
    "arithmetic or memory needs at least."
)
PANEL, HEIGHT, GAP, LEFT, KEY_HEIGHT = 2.6, 2.2, 0.6, 0.5, 0.17  # inches


def frame(registry: Registry, board: Board) -> pd.DataFrame:
    """A row for each device, kernel and length. Raises UserError for a file that the benchmark did not write."""
    rows = []
    for name in measured():
        path = MEASUREMENTS / name
        try:
            found = yaml.safe_load(path.read_text())
            about = {"study": board.study, "device": found["device"], "date": found["date"]}
            rows += [about | _row(line) for line in found["kernels"]]
        except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
            raise UserError(
                f"resources/measurements/{name}: not as the benchmark writes it ({' '.join(str(error).split())}); "
                "run python -m scripts.bench_kernels again"
            ) from error
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(line: dict[str, Any]) -> dict[str, Any]:
    time = line["milliseconds"]
    dense = {
        name: other["milliseconds"]["median"]
        for name, other in line["comparators"].items()
        if name.startswith("dense") and "milliseconds" in other
    }
    best = min(dense, key=dense.__getitem__, default=None)
    return {
        "kernel": line["name"],
        "tokens": line["tokens"],
        "milliseconds": time["median"],
        "low": time["low"],
        "high": time["high"],
        "best_dense": best,
        "dense_milliseconds": dense.get(best),
        "speedup": dense[best] / time["median"] if best else None,
        "roofline": line.get("roofline"),
    }


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.pdf`, `<out>.png` and `<out>.csv`."""
    return write_figure(lambda: _draw(frame, stamp) if len(frame) else only_words(NOTHING, stamp), frame, stamp, out)


def _draw(frame: pd.DataFrame, stamp: Stamp) -> Figure:
    width = 2 * (PANEL + GAP) + LEFT
    notes = wrap([WORDS, stamp.line], width - LEFT)
    base = 0.17 + notes_height(notes)
    devices = list(frame.groupby("device", sort=True))
    tall = HEIGHT + 0.9 + KEY_HEIGHT * -(-frame["kernel"].nunique() // 2)
    figure = Figure(figsize=(width, base + tall * len(devices)))
    for number, (device, own) in enumerate(devices):
        _show(figure, base + tall * (len(devices) - 1 - number), str(device), own)
    write_notes(figure, LEFT, notes)
    return figure


def _show(figure: Figure, bottom: float, device: str, own: pd.DataFrame) -> None:
    """One device: two panels from `bottom` on, their key below."""
    kernels = list(own["kernel"].unique())
    drawn = pens([(name, "linear" if "decode" in name else "sublinear") for name in kernels])
    rows = -(-len(kernels) // 2)
    panels = [
        add_axes(figure, LEFT + number * (PANEL + GAP), bottom + 0.5 + KEY_HEIGHT * rows, PANEL, HEIGHT)
        for number in range(2)
    ]
    for name, lines in own.sort_values("tokens").groupby("kernel", sort=False):
        pen = drawn[name]
        how = {"color": pen.color, "marker": pen.marker, "linestyle": pen.linestyle, "linewidth": pen.width}
        for axes, column, factor in zip(panels, ("speedup", "roofline"), (1, 100), strict=True):
            axes.plot(lines["tokens"], pd.to_numeric(lines[column]) * factor, label=name, **how)
    panels[0].axhline(1, color=SOFT, linewidth=0.8)
    panels[0].set(yscale="log", ylabel="Times as fast as the best dense attention")
    panels[1].set(ylim=(0, 100), ylabel="Percent of the roofline")
    for axes in panels:
        _along_tokens(axes, sorted(own["tokens"].unique()))
    across, up = figure.get_size_inches()
    anchor = (LEFT / across, bottom / up)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="lower left", bbox_to_anchor=anchor, ncols=2, frameon=False
    )
    top = bottom + 0.5 + KEY_HEIGHT * rows + HEIGHT + 0.1
    write_at(figure, LEFT, top, f"{device}, measured {own['date'].max()}", fontsize=9, fontweight="bold")


def _along_tokens(axes: Axes, lengths: list[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(lengths, [f"{length // 1024}K" if length % 1024 == 0 else str(length) for length in lengths])
    axes.minorticks_off()
    axes.set_xlabel("Tokens")
    axes.grid(axis="y")
