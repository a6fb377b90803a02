"""Math.Find: rows of {id, context: [30,000 whole numbers], multi_turns: [{input, answer: whole number}]}."""

from scbench.published.rows import Content, Row
from scbench.sessions import Turn


def read(row: Row, task: str) -> Content:
    """The list enters the prompt as Python writes it."""
    turns = [Turn(turn.text("input"), (str(turn.number("answer")),), task) for turn in row.turns()]
    return Content(str(row.numbers("context")), turns, row.note("id"))
