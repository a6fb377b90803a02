"""Table 9: every setting that the methods of a study run with, with the sizes that follow from a budget (appendix)."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd

from scbench.artifacts.board import Board
from scbench.artifacts.latex import render
from scbench.artifacts.registered import Registry
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.twin import csv_text
from scbench.canonical import canonical_json, write_atomically

LEGEND = "Budgets are shares of the study's context; lengths are tokens"


def frame(registry: Registry, board: Board) -> pd.DataFrame:
    """A row for each row of the study; settings: all of it as JSON, configuration: as a reader sees it."""
    rows = [
        {
            "study": board.study,
            "method": row.label,
            "title": row.title,
            "configuration": _words(row.settings),
            "settings": canonical_json(row.settings),
        }
        for row in registry.rows
    ]
    return pd.DataFrame(rows, columns=["study", "method", "title", "configuration", "settings"])


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.tex`, to be read by \\input, and `<out>.csv`."""
    notes = [LEGEND if len(frame) else "The study has full attention alone, which has no setting"]
    text = render("table9.tex.j2", {"stamp": stamp, "rows": frame.to_dict("records"), "notes": notes})
    paths = [out.with_suffix(".tex"), out.with_suffix(".csv")]
    for path, content in zip(paths, (text, csv_text(frame)), strict=True):
        write_atomically(path, content)
    return paths


def _words(settings: dict[str, Any]) -> str:
    parts = []
    for key, value in settings.items():
        name = key.replace("_", " ")
        if isinstance(value, dict):
            parts.append(f"{name}: ({_words(value)})")
        elif key == "budget" and isinstance(value, float):
            parts.append(f"budget {Fraction(value).limit_denominator(1024)}")
        elif isinstance(value, bool):
            parts.append(f"{name} {'on' if value else 'off'}")
        elif value is not None:
            parts.append(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}")
    return ", ".join(parts)
