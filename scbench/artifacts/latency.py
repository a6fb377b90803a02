"""What each method costs end to end, as measured alone: time to the first token, seconds a token and a turn, memory.

Shown of the study's own measurements in resources/measurements/latency-*.yaml, which scripts/measure_latency.py writes;
without one the table says so, and names the command.
"""

import math
from pathlib import Path

import pandas as pd

from scbench.artifacts.board import Board, Line
from scbench.artifacts.lacking import write_both
from scbench.artifacts.latex import MISSING, Tex, render
from scbench.artifacts.registered import Registry
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.timed import COLUMNS, COMMAND, SPREADS, read_timed

LEGEND = (
    "Each method alone, on sessions of random tokens, turn after turn: median and half the distance of the quartiles. "
    "First: to the first token, all of the prompt encoded; next: to that of a later turn; turn: the mean over the "
    "turns, answers included; its ratio is to full attention. KV: held in the last turn"
)
NOTHING = f"Nothing of this study was measured: {COMMAND} <study> does that, on the machine in question."


def frame(registry: Registry, board: Board) -> pd.DataFrame:
    """A row for each line of the study but the floors, and each device that it was measured on; COLUMNS and `ratio`.

    ratio: seconds a turn over full attention's, on the same device. A line that was not measured has no device.
    """
    timed = read_timed(board)
    baselines = {(line.model, line.label) for line in board.lines if line.baseline}
    full = {
        (row["model"], row["device"]): row["seconds_per_turn"]
        for row in timed.to_dict("records")
        if (row["model"], row["method"]) in baselines
    }
    rows = []
    for line in board.lines:
        own = timed[(timed["model"] == line.model) & (timed["method"] == line.label) & (timed["budget"] == line.budget)]
        if not line.floor:
            rows += own.to_dict("records") or [_unmeasured(board, line)]
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    base = [full.get((row["model"], row.get("device")), math.nan) for row in rows]
    return found.assign(ratio=pd.to_numeric(found["seconds_per_turn"]) / pd.Series(base, dtype=float))


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.tex`, to be read by \\input, and `<out>.csv`."""
    if frame["device"].isna().all():
        text = render("latency.tex.j2", {"stamp": stamp, "lacks": NOTHING, "notes": []})
        return write_both(text, frame, out)
    lines = {(line.model, line.label): line for line in board.lines}
    groups = [
        {
            "title": _about(own, lines[model, own["method"].iloc[0]].model_title),
            "rows": [_typeset(row, lines[model, row["method"]]) for row in own.to_dict("records")],
        }
        for (model, _), own in frame.groupby(["model", "device"], sort=False, dropna=False)
    ]
    notes = [LEGEND, *_notes(frame, lines)]
    text = render("latency.tex.j2", {"stamp": stamp, "groups": groups, "notes": notes})
    return write_both(text, frame, out)


def _unmeasured(board: Board, line: Line) -> dict[str, str]:
    return {"study": board.study, "model": line.model, "method": line.label, "budget": line.budget}


def _about(own: pd.DataFrame, model: str) -> str:
    first = own.iloc[0]
    if pd.isna(first["device"]):
        return f"{model}: not measured"
    weights = "" if first["weights"] == "pinned" else f", {first['weights']} weights"
    return (
        f"{model}{weights}, {first['dtype']}, {first['device']}, {int(first['tokens']):,} tokens, "
        f"{int(first['turns'])} turns, {int(first['repetitions'])} repetitions, {first['date']}"
    )


def _notes(frame: pd.DataFrame, lines: dict[tuple[str, str], Line]) -> list[str]:
    known = frame[frame["device"].notna()]
    notes = [f"Peak: memory {' or '.join(known['memory'].unique())}"]
    for row in known.to_dict("records"):
        title = f"{lines[row['model'], row['method']].title} on {row['device']}"
        if not pd.isna(row["wanted_bytes"]):
            wanted = f", {_size(row['wanted_bytes'])} more were wanted" if row["wanted_bytes"] else ""
            notes.append(f"{title}: out of memory{wanted}")
        elif row["left_out"]:
            notes.append(f"{title} was left out: {row['left_out']}")
    if missing := [
        lines[row["model"], row["method"]].title for row in frame[frame["device"].isna()].to_dict("records")
    ]:
        notes.append(f"Not measured: {', '.join(dict.fromkeys(missing))}")
    return notes


def _typeset(row: dict, line: Line) -> dict:
    times = {name: _time(row, name) for name in SPREADS}
    sizes = {name: Tex(MISSING) if pd.isna(row[name]) else _size(row[name]) for name in ("peak_bytes", "kv_bytes")}
    ratio = Tex(MISSING if pd.isna(row["ratio"]) else f"{row['ratio']:.2f}")
    return {"title": line.title, "budget": line.budget or Tex(MISSING), "ratio": ratio} | times | sizes


def _time(row: dict, name: str) -> Tex:
    """Three significant digits, and as many decimals of the spread; seconds a token in milliseconds."""
    if pd.isna(row[name]):
        return Tex(MISSING)
    factor = 1000 if name == "seconds_per_token" else 1
    median, spread = factor * row[name], factor * (row[f"{name}_high"] - row[f"{name}_low"]) / 2
    decimals = max(0, 2 - math.floor(math.log10(median)))
    return Tex(rf"{median:.{decimals}f} $\pm$ {spread:.{decimals}f}")


def _size(count: float) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.2f} MiB"
