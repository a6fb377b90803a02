"""A table without a single number, which says why instead."""

from pathlib import Path

import pandas as pd

from scbench.artifacts.board import Board
from scbench.artifacts.latex import render
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.twin import csv_text
from scbench.canonical import write_atomically


def lacking(board: Board, why: str) -> pd.DataFrame:
    """The frame of a table that `board` has nothing for: one row, `study` and `lacks`, a sentence."""
    return pd.DataFrame([{"study": board.study, "lacks": why}])


def is_lacking(frame: pd.DataFrame) -> bool:
    """Whether `frame` is one of `lacking`."""
    return "lacks" in frame


def write_lacking(frame: pd.DataFrame, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.tex`, a tabular of that sentence, and `<out>.csv`."""
    values = {"stamp": stamp, "lacks": frame["lacks"].iloc[0], "notes": []}
    return write_both(render(f"{stamp.name}.tex.j2", values), frame, out)


def write_both(text: str, frame: pd.DataFrame, out: Path) -> list[Path]:
    """Write `text` to `<out>.tex` and its twin to `<out>.csv`."""
    paths = [out.with_suffix(".tex"), out.with_suffix(".csv")]
    for path, content in zip(paths, (text, csv_text(frame)), strict=True):
        write_atomically(path, content)
    return paths
