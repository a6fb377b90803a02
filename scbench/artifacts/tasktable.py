"""Tables 11 and 12: every method on every task, in one mode (paper, appendix)."""

from pathlib import Path

import pandas as pd

from scbench.artifacts.board import MODE_TITLES, Board
from scbench.artifacts.compared import compare, groups, marks
from scbench.artifacts.lacking import write_both
from scbench.artifacts.latex import render
from scbench.artifacts.paging import pages
from scbench.artifacts.scored import left_out
from scbench.artifacts.stamp import Stamp
from scbench.tasks import TASKS

HEADS = {
    "retr_kv": "KV",
    "retr_prefix_suffix": "PS",
    "retr_multihop": "MH",
    "code_repoqa": "Repo",
    "en_qa": "EnQA",
    "zh_qa": "ZhQA",
    "en_multichoice": "EnMC",
    "icl_manyshot": "ICL",
    "math_find": "Math",
    "en_sum": "Sum",
    "mix_sum_niah": "Sum+N",
    "mix_repoqa_kv": "Repo+KV",
}


def task_frame(scores: pd.DataFrame, board: Board, mode: str) -> pd.DataFrame:
    """A row for each profile and line, with the fields of `compare` for every task of the study in `mode`."""
    modes = [mode] if mode in board.modes else []
    return pd.DataFrame(compare(scores, board, modes, {task: {task: 1.0} for task in board.sessions}))


def write_tasks(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path, mode: str) -> list[Path]:
    """Write `<out>.tex`, to be read by \\input, and `<out>.csv`; a study without the mode has a row that says so."""
    shown = frame[frame["profile"] == board.profile].reset_index(drop=True)
    rows = list(zip(board.lines, shown.to_dict("records"), strict=True))
    there = mode in board.modes
    tasks = [task for task in TASKS if task in board.sessions] if there else []
    names = [f"{mode}_{task}" for task in tasks]
    legend = f"{MODE_TITLES[mode]}, mean scores in percent. " if there else f"The study has no {MODE_TITLES[mode]} part"
    notes = [legend + "; ".join(f"{HEADS[task]}: {TASKS[task].title}" for task in tasks)]
    notes += [*marks(rows, names), *board.caveats] if there else []
    if outside := left_out(board):
        notes.append(f"Not part of this study: {', '.join(outside)}")
    for line, row in rows if there else ():
        if row[f"{mode}_missing"]:
            notes.append(f"Missing: {line.model_title}, {line.title}: {row[f'{mode}_missing']}")
    values = {"stamp": stamp, "heads": [HEADS[task] for task in tasks], "notes": notes}
    text = render(f"{stamp.name}.tex.j2", values | {"pages": pages(groups(rows, board, names), each=2)})
    return write_both(text, frame, out)
