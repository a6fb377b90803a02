"""Table 1: every method by the stage of a KV cache's life where it acts, and what it costs (paper, Section 2).

Written from what the methods state about themselves, whether a study runs them or not. Models that are their own method
state nothing and are not in it.
"""

import re
from pathlib import Path

import pandas as pd

from scbench.artifacts.board import Board
from scbench.artifacts.latex import Tex, render
from scbench.artifacts.registered import Registry
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.twin import csv_text
from scbench.canonical import write_atomically

LEGEND = Tex(
    r"$n$: tokens of the prompt, $m$: tokens generated, $k$: tokens kept or attended to, $\alpha$: share of the prompt "
    "that is kept. A dot under P or D: the method is made to save in prefill or in decoding, time or bytes, as the "
    "paper marks its own methods; the formulas of both count pairs of tokens alone. In bold: in this study"
)
YES, NO = Tex(r"$\bullet$"), Tex("")


def frame(registry: Registry, board: Board) -> pd.DataFrame:
    """A row for each method: stage, prefill_efficient, decode_efficient, kv_size, prefill, decode, paper, in_study."""
    shown = {part for line in board.lines if not line.floor for part in line.method.split("+")}
    rows = [
        {"study": board.study, "method": method.name, "title": method.title, "stage": method.stage}
        | dict(method.complexity)
        | {"paper": method.paper, "in_study": method.name in shown}
        for method in registry.methods
    ]
    return pd.DataFrame(rows)


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.tex`, to be read by \\input, and `<out>.csv`."""
    stages = [
        {"title": stage.capitalize(), "rows": [_typeset(row) for row in own.to_dict("records")]}
        for stage, own in frame.groupby("stage", sort=False)
    ]
    text = render("table1.tex.j2", {"stamp": stamp, "stages": stages, "notes": [LEGEND]})
    paths = [out.with_suffix(".tex"), out.with_suffix(".csv")]
    for path, content in zip(paths, (text, csv_text(frame)), strict=True):
        write_atomically(path, content)
    return paths


def _typeset(row: dict) -> dict:
    """The row with its complexities as mathematics and its marks."""
    costs = {name: Tex(f"${_mathematics(row[name])}$") for name in ("kv_size", "prefill", "decode")}
    marks = {name: YES if row[name] else NO for name in ("prefill_efficient", "decode_efficient")}
    return row | costs | marks


def _mathematics(cost: str) -> str:
    return re.sub(r"\ba|(?<=\()a", r"\\alpha ", cost)
