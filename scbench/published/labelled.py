"""ICL.ManyShot: rows of {context, id, task, multi_turns: [{input, answer: one letter}]}."""

import re

from scbench.errors import UserError
from scbench.published.rows import REMEDY, Content, Row
from scbench.sessions import Turn


def read(row: Row, task: str) -> Content:
    """`task` of the row names the task of BIG-Bench-Hard that its examples are from."""
    turns = [Turn(turn.text("input"), (_letter(turn),), task) for turn in row.turns()]
    return Content(row.text("context"), turns, row.note("id") | {"subtask": row.text("task")})


def _letter(turn: Row) -> str:
    answer = turn.text("answer")
    if re.fullmatch("[A-G]", answer) is None:
        raise UserError(f"{turn.where}: answer: is {answer[:60]!r}, not a letter from A to G; {REMEDY}")
    return answer
