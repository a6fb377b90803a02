"""Tables 7 and 8: a single question, the requests of a shared context, and the turns of a conversation side by side.

The paper sets other benchmarks' numbers in the first column. Here it is a run of our own: the first request of each
multi-request session, which is one context with one question, as those benchmarks ask. It is no number of another
benchmark, and none is shown that has no source.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from scbench.artifacts.board import Board, Line
from scbench.artifacts.compared import compare, groups, marks
from scbench.artifacts.lacking import is_lacking, lacking, write_both, write_lacking
from scbench.artifacts.latex import render
from scbench.artifacts.paging import pages
from scbench.artifacts.scored import holes, missing_text
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.turns import TURNS
from scbench.tasks import TASKS

SINGLE = (
    "Single: the first request of each multi-request session alone, one context and one question; a run of our own in "
    "place of InfiniteBench and LongBench, whose numbers are not shown. "
    "Requests: all questions of multi-request sessions. Turn: the questions of multi-turn sessions one by one"
)
HEADS = {"single": "Single", "requests": "Requests"} | {f"turn_{turn}": f"Turn {turn}" for turn in range(1, TURNS + 1)}
COLUMN = "score"


def question_frame(scores: pd.DataFrame, board: Board, tasks: Sequence[str]) -> pd.DataFrame:
    """A row for each profile and line; `<part>_score` and what `compare` sets beside it, for each part of HEADS.

    The score is the unweighted mean of those of `tasks` that the study has. A part that no session has (the fifth turn
    of a study with three) is left out. `missing`: the cells that a line lacks, in words.
    """
    own = [task for task in tasks if task in board.sessions]
    if not own:
        titles = ", ".join(TASKS[task].title for task in tasks)
        return lacking(board, f"This study has none of the tasks of this table: {titles}")
    board = replace(board, sessions={task: board.sessions[task] for task in own})
    scores = scores[scores["task"].isin(own)]
    parts = _parts(scores)
    if parts.empty:
        return lacking(board, "There is not one score of the tasks of this table")
    found = parts["mode"].unique()
    shown = replace(board, modes=tuple(part for part in HEADS if part in found))
    missing = holes(scores, board)
    rows = compare(parts, shown, shown.modes, {COLUMN: {task: 1 / len(own) for task in own}})
    # What a line lacks is told by its cells: a session with fewer turns than another lacks nothing.
    texts = {(line.model, line.label): _missing(missing, line, board) for line in board.lines}
    return (
        pd.DataFrame(rows)
        .drop(columns=[f"{part}_missing" for part in shown.modes])
        .assign(missing=[texts[row["model"], row["method"]] for row in rows])
    )


def write_questions(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path, tasks: Sequence[str]) -> list[Path]:
    """Write `<out>.tex`, to be read by \\input, and `<out>.csv`."""
    if is_lacking(frame):
        return write_lacking(frame, stamp, out)
    shown = frame[frame["profile"] == board.profile].to_dict("records")
    rows = list(zip(board.lines, shown, strict=True))
    parts = [part for part in HEADS if f"{part}_{COLUMN}" in frame]
    names = [f"{part}_{COLUMN}" for part in parts]
    titles = [TASKS[task].title for task in tasks if task in board.sessions]
    mean = f"Mean scores of {', '.join(titles)} in percent" if len(titles) > 1 else f"Scores of {titles[0]} in percent"
    notes = [mean, SINGLE, *marks(rows, names), *board.caveats, *_notes(rows, parts, board, tasks)]
    values = {"stamp": stamp, "heads": [HEADS[part] for part in parts], "notes": notes}
    text = render(f"{stamp.name}.tex.j2", values | {"pages": pages(groups(rows, board, names))})
    return write_both(text, frame, out)


def _parts(scores: pd.DataFrame) -> pd.DataFrame:
    """The scored turns again for every part that they belong to, which stands in their `mode`."""
    turn, requests = scores["turn"], scores["mode"] == "multi_request"
    chosen = {"single": requests & (turn == 1), "requests": requests}
    chosen |= {f"turn_{number}": ~requests & (turn == number) for number in range(1, TURNS + 1)}
    return pd.concat([scores[which].assign(mode=part) for part, which in chosen.items()])


def _missing(missing: list, line: Line, board: Board) -> str:
    texts = {mode: missing_text(missing, line, mode, board) for mode in board.modes}
    return "; ".join(f"{mode.replace('_', '-')}: {text}" for mode, text in texts.items() if text)


def _notes(rows: Sequence[tuple[Line, dict]], parts: Sequence[str], board: Board, tasks: Sequence[str]) -> list[str]:
    """What the table lacks: tasks, modes, cells."""
    notes = []
    if outside := [TASKS[task].title for task in tasks if task not in board.sessions]:
        notes.append(f"Not part of this study: {', '.join(outside)}")
    if "requests" not in parts:
        notes.append("Without multi-request sessions there is neither a single question nor requests")
    if "turn_1" not in parts:
        notes.append("Without multi-turn sessions there are no turns")
    return notes + [
        f"Missing: {line.model_title}, {line.title}: {row['missing']}" for line, row in rows if row["missing"]
    ]
