"""Figure 6: where heads look while Retr.KV is answered turn by turn, and what two rows share (paper, Section 5).

One session, the study's first model with attention in every layer, exact attention, golden history. The heads are those
that give the pair with the answer most attention, on average over the turns: a rule, no choice of ours.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from scbench.artifacts.board import Board
from scbench.artifacts.drawing import (
    FAINT,
    LINEAR,
    SUBLINEAR,
    WIDTH,
    add_axes,
    notes_height,
    only_words,
    wrap,
    write_at,
    write_figure,
    write_notes,
)
from scbench.artifacts.stamp import Stamp
from scbench.attention import MOST_ROWS

COLUMNS = ["study", "model", "session", "layer", "head", "drawn", "turn", "pair", "holds_answer", "mass", "top"]
COLUMNS += ["within", "between", "lacks"]
MOST_COLUMNS = 256  # of a map; more pairs than that are summed in equal groups
LEFT, MAP_WIDTH, TURN, GAP = 0.55, 4.0, 0.1, 0.26  # inches


def frame(found: dict[str, Any], board: Board) -> pd.DataFrame:
    """Rows of two kinds, or one that says what is lacking.

    Of every head (turn empty): within and between, the shares of the `top` most attended tokens that two rows have in
    common, of one turn and of two. Of each head that is drawn, for each turn and pair of the context: its mass.
    """
    if "lacks" in found:
        return pd.DataFrame([{"study": board.study, "lacks": found["lacks"]}], columns=COLUMNS)
    about = {"study": board.study, "model": found["title"], "session": found["session"]["sid"], "top": found["top"]}
    drawn = [(head["layer"], head["head"]) for head in found["drawn"]]
    rows = [
        about | {name: head[name] for name in ("layer", "head", "within", "between")}
        for head in sorted(found["heads"], key=lambda head: _rank(head, drawn))
    ]
    for row in rows:
        row["drawn"] = (row["layer"], row["head"]) in drawn
    for head in found["drawn"]:
        where = about | {"layer": head["layer"], "head": head["head"], "drawn": True}
        rows += [
            where | {"turn": turn, "pair": pair, "holds_answer": pair - 1 == found["evidence"][turn - 1], "mass": mass}
            for turn, masses in enumerate(head["mass"], start=1)
            for pair, mass in enumerate(masses, start=1)
        ]
    return pd.DataFrame(rows, columns=COLUMNS)


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.pdf`, `<out>.png` and `<out>.csv`."""
    lacks = frame["lacks"].dropna().tolist()
    return write_figure(lambda: only_words(lacks[0], stamp) if lacks else _draw(frame, stamp), frame, stamp, out)


def _rank(head: dict[str, Any], drawn: list[tuple[int, int]]) -> tuple[int, int, int]:
    where = (head["layer"], head["head"])
    return (drawn.index(where) if where in drawn else len(drawn), *where)


def _draw(frame: pd.DataFrame, stamp: Stamp) -> Figure:
    heads, maps = frame[frame["turn"].isna()], frame[frame["turn"].notna()]
    shown = heads[heads["drawn"]]
    turns = int(maps["turn"].max())
    notes = wrap([*_words(heads, maps), stamp.line])
    base = notes_height(notes) + 0.5
    tall = TURN * turns
    figure = Figure(figsize=(WIDTH, base + (tall + GAP) * len(shown)))
    for number, head in enumerate(shown.itertuples()):
        bottom = base + (tall + GAP) * (len(shown) - 1 - number)
        axes = add_axes(figure, LEFT, bottom, MAP_WIDTH, tall)
        own = maps[(maps["layer"] == head.layer) & (maps["head"] == head.head)]
        _map(axes, own, last=number == len(shown) - 1)
        write_at(figure, LEFT, bottom + tall + 0.04, _name(head), fontsize=8, fontweight="bold")
    high = (tall + GAP) * len(shown) - GAP
    _overlaps(add_axes(figure, LEFT + MAP_WIDTH + 0.8, base, 1.4, high), shown, heads)
    write_notes(figure, 0.1, notes)
    return figure


def _name(head: Any) -> str:
    return f"Layer {int(head.layer) + 1}, head {int(head.head) + 1}"


def _map(axes: Axes, own: pd.DataFrame, last: bool) -> None:
    """Turns by pairs of the context; the pair with the turn's answer is marked below its cell."""
    pairs = int(own["pair"].max())
    each = -(-pairs // MOST_COLUMNS)
    own = own.assign(column=(own["pair"].astype(int) - 1) // each)
    table = own.pivot_table(index="turn", columns="column", values="mass", aggfunc="sum")
    colours = LinearSegmentedColormap.from_list("mass", ["#ffffff", LINEAR.color, "#10263d"])
    axes.imshow(table, aspect="auto", cmap=colours, norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    marked = own[own["holds_answer"].astype(bool)]
    axes.plot(marked["column"], marked["turn"] - 1, linestyle="", marker="s", markersize=5.5, markerfacecolor="none",
              markeredgecolor=SUBLINEAR.color, markeredgewidth=0.9)  # fmt: skip
    axes.set_yticks(range(len(table)), [f"Turn {turn:g}" for turn in table.index], fontsize=6.5)
    axes.set_xticks([0, table.shape[1] - 1], ["1", str(pairs)] if last else ["", ""], fontsize=7)
    if last:
        axes.set_xlabel("Pair of the context")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(True)


def _overlaps(axes: Axes, shown: pd.DataFrame, heads: pd.DataFrame) -> None:
    """Of each head that is drawn and of all heads on average: the shared tokens of rows of one turn and of two."""
    names = [f"L{head.layer + 1} H{head.head + 1}" for head in shown.itertuples()] + ["All heads"]
    for column, color, fill, label in (
        ("within", LINEAR.color, LINEAR.color, "one turn"),
        ("between", SUBLINEAR.color, "white", "two turns"),
    ):
        values = [*shown[column], heads[column].mean()]
        axes.plot(values, range(len(names)), linestyle="", marker="o", markersize=5, color=color, markerfacecolor=fill,
                  label=label)  # fmt: skip
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set(ylim=(len(names) - 0.5, -1.5), xlabel=f"Shared of the top {int(heads['top'].iloc[0])}")
    most = max(heads[["within", "between"]].mean().max(), shown[["within", "between"]].max().max())
    axes.set_xlim(0, min(1.0, 1.3 * most) if most > 0 else 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.xaxis.grid(True)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.legend(loc="upper right", fontsize=7, frameon=True, edgecolor=FAINT, title="Two rows of", title_fontsize=7)


def _words(heads: pd.DataFrame, maps: pd.DataFrame) -> list[str]:
    first = heads.iloc[0]
    mean = {name: heads[name].mean() for name in ("within", "between")}
    said = ", ".join(
        f"{value:.0%} {words}"
        for value, words in ((mean["within"], "of one turn"), (mean["between"], "of two turns"))
        if pd.notna(value)
    )
    return [
        f"{first['model']}, session {first['session']}: the attention that the rows which predict a turn's answer, at "
        f"most {MOST_ROWS} of a turn, give each of {int(maps['pair'].max())} pairs of the context, their mean; the "
        "darker the more, on a root scale. Marked: the pair that holds the answer. Heads: of "
        f"{len(heads)} the {int(heads['drawn'].sum())} that give it most.",
        f"Of the {int(first['top'])} tokens of the first prompt that a row attends to most, two rows share on average "
        f"over all {len(heads)} heads: {said or 'there are no two rows'}.",
    ]
