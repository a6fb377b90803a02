"""Score the authors' own answers anew: `python -m scripts.rescore prediction_scbench_kv_scdq.jsonl --out table.tex`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from scbench import codedigest, provenance
from scbench.artifacts.board import MODE_TITLES
from scbench.artifacts.latex import MISSING, Tex, render
from scbench.artifacts.paging import pages
from scbench.artifacts.twin import csv_text
from scbench.canonical import write_atomically
from scbench.errors import UserError
from scbench.rescoring import COLUMNS, answers, rescore, summary
from scbench.scoring import PROFILES
from scbench.store import writing
from scbench.tasks import TASKS
from scripts import run
from scripts.score import CODE as SCORING
from scripts.score import LIBRARIES

CODE = (*SCORING, "scbench.rescoring", "scbench.intervals", "scbench.stats", "scripts.rescore")
PART_TITLES = {"needle": "needles"}
SUFFIXES = (".tex", ".csv")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.rescore", description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE", help="JSONL as the authors' run_scbench.py writes it")
    parser.add_argument("--task", help="their task or ours, where the names of the files do not say it")
    parser.add_argument("--mode", choices=MODE_TITLES, help="where the names of the files do not say it")
    parser.add_argument("--profile", choices=[*PROFILES, "both"], default="both", help="default: both")
    parser.add_argument("--out", type=Path, help="a .tex or .csv file to write")
    options = parser.parse_args(arguments)
    if options.out and options.out.suffix not in SUFFIXES:
        raise UserError(f"--out {options.out}: the table is written as {' or '.join(SUFFIXES)}; name one of these")
    if twice := [file for file in options.files if options.files.count(file) > 1]:
        raise UserError(f"{twice[0]}: is named twice; name each file once")
    profiles = PROFILES if options.profile == "both" else (options.profile,)
    files = [answers(file, options.task, options.mode) for file in options.files]
    table = summary(rescore(files, profiles), profiles)
    print(said(table))
    if options.out:
        with writing(options.out):
            write_atomically(options.out, csv_text(table) if options.out.suffix == ".csv" else typeset(table))
            identity = {"command": "rescore", "profile": options.profile, "code": codedigest.digest(CODE)}
            identity |= {"task": options.task, "mode": options.mode}
            provenance.record([options.out], options.files, identity, libraries=(*LIBRARIES, "pandas"))
        print(f"{options.out}  {provenance.short_digest(options.out)}")


def said(table: pd.DataFrame) -> str:
    """The table for a terminal."""
    heads = ["task", "mode", "scoring", "sessions", "turns", "score", "95 % interval", "by turn"]
    lines = [heads]
    for row in table.to_dict("records"):
        limits = "" if pd.isna(row["low"]) else f"[{row['low']:.1f}, {row['high']:.1f}]"
        turns = " ".join(_number(row[turn]) for turn in _turns(table)) if _asked(row, table) else ""
        about = [_title(row), row["mode"], row["profile"], str(row["sessions"]), str(row["turns"])]
        lines.append([*about, _number(row["score"]), limits, turns])
    widths = [max(len(line[place]) for line in lines) for place in range(len(heads))]
    files = [None, *table["file"]]
    text = []
    for number, line in enumerate(lines):
        if files[number] != files[number - 1] and number:
            text.append(files[number])
        text.append("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return "\n".join(text)


def typeset(table: pd.DataFrame) -> str:
    """The table for LaTeX."""
    groups = [
        {"title": file, "rows": [_typeset(row, table) for row in own.to_dict("records")]}
        for file, own in table.groupby("file", sort=False)
    ]
    heads = [turn.removeprefix("turn_") for turn in _turns(table)]
    return render("rescored.tex.j2", {"heads": heads, "pages": pages(groups)})


def _typeset(row: dict, table: pd.DataFrame) -> dict:
    half = (row["high"] - row["low"]) / 2
    width = "" if pd.isna(half) else rf"{{\tiny$\pm${half:.1f}}}"
    turns = [Tex(_number(row[turn])) if _asked(row, table) else "" for turn in _turns(table)]
    about = {"title": _title(row), "mode": MODE_TITLES[row["mode"]], "profile": row["profile"]}
    return about | {"sessions": row["sessions"], "score": Tex(_number(row["score"]) + width), "turns": turns}


def _turns(table: pd.DataFrame) -> list[str]:
    return [name for name in table.columns if name not in COLUMNS]


def _asked(row: dict, table: pd.DataFrame) -> bool:
    """Whether the row has scores by turn."""
    return any(not pd.isna(row[turn]) for turn in _turns(table))


def _number(value: float) -> str:
    return MISSING if pd.isna(value) else f"{value:.1f}"


def _title(row: dict) -> str:
    part = row["part"]
    named = PART_TITLES.get(part) or (TASKS[part].title if part else "")
    return f"{TASKS[row['task']].title}: {named}" if named else TASKS[row["task"]].title


if __name__ == "__main__":
    run(main)
