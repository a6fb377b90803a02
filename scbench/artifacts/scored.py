"""Reads the score files of a study, refuses what would be shown wrongly, and finds what is missing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from scbench.artifacts.board import Board, Line
from scbench.errors import UserError
from scbench.tasks import TASKS

TURN = ["model", "method", "task", "mode", "session", "turn"]
COSTS = ["kv_bytes", "kv_bytes_dense", "keys_attended", "bytes_read", "tokens_prefilled", "new_tokens"]
COLUMNS = ["study", *TURN, "subtask", "score_strict", "score_compat", "score_quirks", "finish", *COSTS]


def read_scores(paths: Iterable[str | Path], board: Board, columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
    """The scored turns of `board`, these columns alone.

    Raises UserError when there are none, when a file cannot be read or lacks a column, or when a row belongs to no
    line, task or mode of the study: it would be dropped in silence.
    """
    # Made into a frame as one: to do it file by file takes longer than to read them.
    tables = [_read(path, columns) for path in paths]
    if not tables:
        raise UserError(
            "--scores: no score files; name those of the study, results/<study>/scores/<model>/<method>.parquet"
        )
    try:
        scores = pa.concat_tables(tables, promote_options="permissive").to_pandas(ignore_metadata=True)
    except pa.ArrowException as error:
        raise UserError(f"--scores: columns of other types in some files ({error}); score the study again") from error
    if scores.empty:
        raise UserError(f"--scores: the score files hold no turns; run the study {board.study} first")
    known = {(line.model, line.label) for line in board.lines}
    _refuse(scores, scores["study"] != board.study, board, "it is not")
    rows = scores.drop_duplicates(["model", "method"])
    strange = [pair not in known for pair in zip(rows["model"], rows["method"], strict=True)]
    _refuse(rows, pd.Series(strange, rows.index), board, "there is no such row")
    _refuse(scores, ~scores["task"].isin(list(board.sessions)), board, "there is no such task")
    _refuse(scores, ~scores["mode"].isin(board.modes), board, "there is no such mode")
    return scores


def study_in(path: str | Path) -> str:
    """The study whose scores a file holds, by its first row; empty where it has none. Raises UserError as above."""
    names = _read(path, ["study"])["study"]
    return names[0].as_py() if len(names) else ""


@dataclass(frozen=True)
class Hole:
    """A cell of the study that is absent (`found` 0) or covers fewer sessions than it should."""

    line: Line
    mode: str
    task: str
    found: int
    expected: int


def holes(scores: pd.DataFrame, board: Board) -> list[Hole]:
    """The cells of `board` that are absent or incomplete, in the order of lines, modes and tasks."""
    found = scores.groupby(["model", "method", "mode", "task"])["session"].nunique().to_dict()
    return [
        Hole(line, mode, task, count, expected)
        for line in board.lines
        for mode in board.modes
        for task, expected in board.sessions.items()
        if (count := found.get((line.model, line.label, mode, task), 0)) < expected
    ]


def missing_text(missing: Iterable[Hole], line: Line, mode: str, board: Board) -> str:
    """The titles of the tasks that `line` lacks in `mode`, with the sessions found where a cell is incomplete."""
    own = [hole for hole in missing if hole.line == line and hole.mode == mode]
    if len(own) == len(board.sessions) and not any(hole.found for hole in own):
        return "all tasks"
    return ", ".join(_describe(hole) for hole in own)


def left_out(board: Board) -> list[str]:
    """Titles of the tasks that the study leaves out, without which their categories have no score."""
    return [task.title for name, task in TASKS.items() if name not in board.sessions]


def _describe(hole: Hole) -> str:
    title = TASKS[hole.task].title
    return f"{title} ({hole.found} of {hole.expected} sessions)" if hole.found else title


def _read(path: str | Path, columns: Sequence[str]) -> pa.Table:
    try:
        return pq.read_table(path, columns=list(columns))
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: not a readable score file ({error}); score the study again") from error


def _refuse(scores: pd.DataFrame, strange: pd.Series, board: Board, reason: str) -> None:
    if strange.any():
        row = scores[strange].iloc[0]
        raise UserError(
            f"--scores: {_name(row)}: {reason} in the study {board.study}; name the score files of this study alone"
        )


def _name(row: pd.Series) -> str:
    return ", ".join(f"{name} {row[name]}" for name in ("study", *TURN))
