"""Table 2: the tasks of a study, what they ask for and how long they are, beside the paper's numbers (Section 3).

Lengths are tokens of the study's first model. The last row is the unweighted mean of the tasks' lengths, as in the
paper, and the sum of their sessions and turns; the paper's own total and the published set's stand as they are printed.
"""

from itertools import groupby
from pathlib import Path

import pandas as pd

from scbench.artifacts.board import Board
from scbench.artifacts.lacking import write_both
from scbench.artifacts.latex import MISSING, Tex, render
from scbench.artifacts.stamp import Stamp
from scbench.published.counts import TOTAL, disagreements, published_counts
from scbench.tasks import TASKS

LEGEND = (
    "Average tokens a session: here by the tokenizer of {tokenizer}, in the paper by one that it does not name. Input: "
    "the shared context and every question. Output: every golden answer. Total: the mean of the tasks' averages, and "
    "the sum of their sessions and turns; in the columns of the paper and of the published set, of all twelve tasks"
)
LENGTHS = ("paper_input", "input_tokens", "paper_output", "output_tokens")
COUNTS = ("paper_sessions", "paper_turns", "set_sessions", "set_turns", "sessions", "turns")


def frame(sizes: pd.DataFrame, board: Board) -> pd.DataFrame:
    """A row for each task of the study, then `total`; the lengths of a task without sessions are missing.

    `input_tokens`, `output_tokens`, `sessions` and `turns` are the study's; `paper_*` the paper's, `set_*` those of the
    published set by its card; `disagreement` says where these two differ.
    """
    grouped = sizes.groupby("task")
    known = grouped[["input_tokens", "output_tokens"]].mean()
    known["sessions"] = grouped.size()
    known["turns"] = grouped["turns"].sum()
    lengths = known.reindex(list(board.sessions))
    total = lengths[["input_tokens", "output_tokens"]].mean(skipna=False)
    lengths.loc[TOTAL] = [*total, *lengths[["sessions", "turns"]].sum()]
    lengths = lengths.fillna({"sessions": 0, "turns": 0}).astype({"sessions": int, "turns": int})
    tasks = [TASKS[name] for name in board.sessions]
    about = pd.DataFrame(
        {
            "study": board.study,
            "task": [*board.sessions, TOTAL],
            "title": [*(task.title for task in tasks), "Total"],
            "description": [*(task.description for task in tasks), ""],
            "capability": [*(task.capability for task in tasks), ""],
            **_published([*board.sessions, TOTAL]),
        }
    )
    return about.merge(lengths, left_on="task", right_index=True)


def _published(tasks: list[str]) -> dict[str, list]:
    """The columns of others, for `tasks`."""
    known = [published_counts()[task] for task in tasks]
    listed: dict[str, list[str]] = {}
    for found in disagreements():
        listed.setdefault(found.task, []).append(found.sentence())
    return {
        "paper_input": [row.input_tokens for row in known],
        "paper_output": [row.output_tokens for row in known],
        "paper_sessions": [row.paper.sessions for row in known],
        "paper_turns": [row.paper.turns for row in known],
        "set_sessions": [row.card.sessions for row in known],
        "set_turns": [row.card.turns for row in known],
        "disagreement": ["; ".join(listed.get(task, ())) for task in tasks],
    }


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.tex`, to be read by \\input, and `<out>.csv`."""
    *rows, total = [_typeset(row) for row in frame.to_dict("records")]
    groups = [
        {"title": capability, "rows": list(own)} for capability, own in groupby(rows, key=lambda row: row["capability"])
    ]
    gone = [row["title"] for row in rows if row["sessions"] == "0"]
    notes = [LEGEND.format(tokenizer=board.lines[0].model_title)]
    notes += [f"{row['title']}, {row['disagreement']}" for row in [*rows, total] if row["disagreement"]]
    notes += [f"Missing: {', '.join(gone)}"] if gone else []
    text = render("table2.tex.j2", {"stamp": stamp, "groups": groups, "total": total, "notes": notes})
    return write_both(text, frame, out)


def _typeset(row: dict) -> dict:
    return row | {name: _number(row[name]) for name in (*LENGTHS, *COUNTS)}


def _number(value: float) -> Tex:
    return Tex(MISSING if pd.isna(value) else f"{value:,.0f}")
