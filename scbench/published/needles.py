"""Mix.Sum+NIAH: rows of {context, id, multi_turns: [{input, answer, task: a summary or a pass key}]}."""

from scbench.published.rows import Content, Row
from scbench.sessions import Turn


def read(row: Row, task: str) -> Content:
    """Each turn is scored as what its `task` says."""
    turns = [Turn(turn.text("input"), (turn.text("answer"),), turn.subtask()) for turn in row.turns()]
    return Content(row.text("context"), turns, row.note("id"))
