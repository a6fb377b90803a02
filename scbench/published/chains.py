"""Retr.MultiHop: rows of {input: the long text, index, length, multi_turns: [{input, answer: [names]}]}."""

from scbench.published.evidence import located
from scbench.published.rows import Content, Row
from scbench.sessions import Turn


def read(row: Row, task: str) -> Content:
    """There is no `context`: the text stands in `input`. The golds of a turn are all variables of its chain."""
    context = row.text("input")
    turns = []
    for turn in row.turns():
        names = turn.texts("answer")
        evidence = located(context, *(f"VAR {name} = " for name in names))
        turns.append(Turn(turn.text("input"), names, task, evidence))
    return Content(context, turns, row.note("index") | row.note("length"))
