"""Rows of {context, multi_turns: [{input, answer: text}]}: Retr.KV, Retr.Prefix-Suffix, En.QA, Zh.QA, En.Sum."""

from scbench.published.evidence import located
from scbench.published.rows import Content, Row
from scbench.sessions import Turn

STRINGS = ("retr_kv", "retr_prefix_suffix")  # the answer is one long string, so that where it stands is the evidence


def read(row: Row, task: str) -> Content:
    """Context and turns as they are; Retr.Prefix-Suffix has no `id`."""
    context = row.text("context")
    turns = []
    for turn in row.turns():
        answer = turn.text("answer")
        evidence = located(context, answer) if task in STRINGS else ()
        turns.append(Turn(turn.text("input"), (answer,), task, evidence))
    return Content(context, turns, row.note("id"))
