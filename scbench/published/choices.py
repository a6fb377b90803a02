"""En.MultiChoice: rows of {context, id, multi_turns: [{input, options: [four texts], answer: one of them}]}."""

from scbench.errors import UserError
from scbench.published.rows import REMEDY, Content, Row
from scbench.sessions import Turn
from scbench.tasks.books import LETTERS


def read(row: Row, task: str) -> Content:
    """The golds are the right option's text and its letter, which follows from its place."""
    return Content(row.text("context"), [_turn(turn, task) for turn in row.turns()], row.note("id"))


def _turn(turn: Row, task: str) -> Turn:
    options, answer = turn.texts("options"), turn.text("answer")
    if len(options) != len(LETTERS):
        raise UserError(f"{turn.where}: options: there are {len(options)}, not {len(LETTERS)}; {REMEDY}")
    if answer not in options:
        raise UserError(f"{turn.where}: answer: {answer[:60]!r} is none of the options; {REMEDY}")
    return Turn(turn.text("input"), (answer, LETTERS[options.index(answer)]), task, options=options)
