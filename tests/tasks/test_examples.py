"""ICL.ManyShot from labelled examples: three kinds, eighteen sessions each, nothing asked that was shown."""

import pytest

from scbench.errors import UserError
from scbench.sessions import check_session
from scbench.tasks import TASKS, Scale
from scbench.tasks.documents import Examples

PAPER = Scale(name="paper", tokens=None)
KINDS = [
    Examples(name, tuple((f"{name} {number}?\nOptions:\n(A) no\n(B) yes", "AB"[number % 2]) for number in range(250)))
    for name in ("dates", "errors", "objects")
]


def build(index, kinds=KINDS, **scale):
    return TASKS["icl_manyshot"].build(Scale(**({"name": "paper", "tokens": None} | scale)), 0, index, kinds)


def test_54_sessions_of_three_kinds_share_three_contexts_and_ask_270_different_questions():
    sessions = [check_session(build(index)) for index in range(54)]
    assert [session.meta["subtask"] for session in sessions] == ["dates"] * 18 + ["errors"] * 18 + ["objects"] * 18
    assert len({session.context for session in sessions}) == 3
    queries = [turn.query for session in sessions for turn in session.turns]
    assert len(set(queries)) == len(queries) == 270
    for session in sessions:
        assert session.context.count("\nAnswer: ") == 150
        assert not [turn for turn in session.turns if turn.query in session.context]


def test_answers_are_those_of_the_source():
    labels = dict(item for kind in KINDS for item in kind.items)
    for index in (0, 20, 53):
        session = build(index)
        assert all(turn.golds == (labels[turn.query],) for turn in session.turns)
        shown = [shot.rsplit("\nAnswer: ", 1) for shot in session.context.split("\n\n")]
        assert all(f"({labels[question]})" == answer for question, answer in shown)


def test_a_repeated_example_is_never_shown_and_asked():
    doubled = [Examples("dates", KINDS[0].items + KINDS[0].items)]
    for index in range(18):
        session = build(index, doubled)
        assert not [turn for turn in session.turns if turn.query in session.context]


def test_a_length_takes_as_many_examples_as_fit():
    session = build(0, tokens=400)
    assert 0.9 * 400 <= Scale().count(session.context) <= 400


def test_more_turns_leave_fewer_examples_and_too_many_are_refused():
    assert build(0, turns=8).context.count("\nAnswer: ") == 250 - 18 * 8
    with pytest.raises(UserError, match=r"data\.turns 14: 18 sessions ask about 252 .* of dates .* there are 250"):
        build(0, turns=14)


def test_without_examples_paper_scale_is_refused():
    with pytest.raises(UserError, match="BIG-Bench-Hard"):
        TASKS["icl_manyshot"].build(PAPER, 0, 0)
