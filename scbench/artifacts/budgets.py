"""What budgets came to: of every row the nominal share, and what was measured in the study against full attention.

Shares are of the sums over the turns of full attention on the same model, in the same number format: of KV bytes held
when answers began; of keys attended to and of bytes read for each generated token that was fed back, metadata and
index included; of prompt tokens computed.
"""

from pathlib import Path

import pandas as pd

from scbench.artifacts.board import MODE_TITLES, Board
from scbench.artifacts.latex import MISSING, Tex, render
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.twin import csv_text
from scbench.canonical import write_atomically

LEGEND = (
    "Shares of what full attention holds, attends to, reads and computes in the same turns, in percent. Held: KV bytes "
    "when an answer begins. Keys and bytes: for a generated token, metadata and index included. Computed: tokens of "
    "prompts"
)
WITHOUT_FULL = "Nothing to compare with: the study has no turns of full attention"
PER_TOKEN = {"keys_attended": "keys_share", "bytes_read": "read_share"}
PER_TURN = {"kv_bytes": "held_share", "tokens_prefilled": "computed_share"}
SHARES = ("held_share", "keys_share", "read_share", "computed_share")


def frame(scores: pd.DataFrame, board: Board) -> pd.DataFrame:
    """A row for each line but the floors and each mode: `nominal`, missing where the line has no single budget, SHARES.

    A share is missing where the line or full attention was not run. `held_of_16bit` compares with dense KV in 16 bits,
    whatever the study computes in.
    """
    fed = scores["new_tokens"] - (scores["finish"] == "length")
    turns = scores.assign(fed=fed).groupby(["model", "method", "mode"])
    sums = turns[[*PER_TURN, *PER_TOKEN, "kv_bytes_dense", "fed"]].sum()
    each = sums[list(PER_TURN)].div(turns.size(), axis=0).join(sums[list(PER_TOKEN)].div(sums["fed"], axis=0))
    sixteen = sums["kv_bytes"] / sums["kv_bytes_dense"]
    full = {line.model: line.label for line in board.lines if line.baseline}
    rows = []
    for line in board.lines:
        for mode in () if line.floor else board.modes:
            own, base = (line.model, line.label, mode), (line.model, full.get(line.model), mode)
            row = {"study": board.study, "model": line.model, "method": line.label, "mode": mode}
            row |= {"budget": line.budget, "nominal": line.share}
            for cost, share in {**PER_TURN, **PER_TOKEN}.items():
                row[share] = each.loc[own, cost] / each.loc[base, cost] if {own, base} <= set(each.index) else None
            rows.append(row | {"held_of_16bit": sixteen.get(own)})
    return pd.DataFrame(rows).astype(dict.fromkeys(("nominal", *SHARES, "held_of_16bit"), float))


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.tex`, to be read by \\input, and `<out>.csv`."""
    titles = {(line.model, line.label): line for line in board.lines}
    groups = [
        {
            "title": f"{titles[model, own['method'].iloc[0]].model_title}, {MODE_TITLES[mode].lower()}",
            "rows": [_typeset(row, titles[model, row["method"]].title) for row in own.to_dict("records")],
        }
        for (model, mode), own in frame.groupby(["model", "mode"], sort=False)
    ]
    notes = [LEGEND if frame[list(SHARES)].notna().any(axis=None) else WITHOUT_FULL]
    text = render("budgets.tex.j2", {"stamp": stamp, "groups": groups, "notes": notes})
    paths = [out.with_suffix(".tex"), out.with_suffix(".csv")]
    for path, content in zip(paths, (text, csv_text(frame)), strict=True):
        write_atomically(path, content)
    return paths


def _typeset(row: dict, title: str) -> dict:
    return {"title": title, "budget": row["budget"] or Tex(MISSING)} | {
        share: Tex(MISSING if pd.isna(row[share]) else f"{100 * row[share]:.1f}") for share in SHARES
    }
