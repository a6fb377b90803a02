"""Code around functions: cut between functions and lines, evenly, every answer verbatim and once."""

import re

import pytest

from scbench.errors import UserError
from scbench.sessions import check_session
from scbench.tasks import TASKS, Scale
from scbench.tasks.repositories import Described, Repository, SourceFile


def file_of(path, numbers, gap=12):
    """A file with a function for each number, `gap` lines of other code before each."""
    text, functions = "", []
    for number in numbers:
        text += "".join(f"value_{number}_{line} = {line}\n" for line in range(gap))
        start = len(text)
        text += f"def work_{number}(x):\n    y = x + {number}\n    return y"
        functions.append(Described(f"work_{number}", start, len(text), f"Adds the number {number} to it."))
        text += "\n"
    return SourceFile(path, text, tuple(functions))


def repository(files=6, each=10, gap=12):
    return Repository(
        "r", "python", tuple(file_of(f"f{n}.py", range(n * each, (n + 1) * each), gap) for n in range(files))
    )


def build(found, task="code_repoqa", index=0, **scale):
    return check_session(TASKS[task].build(Scale(**({"name": "paper", "tokens": 2000} | scale)), 0, index, [found]))


@pytest.mark.parametrize("task", ["code_repoqa", "mix_repoqa_kv"])
@pytest.mark.parametrize("tokens", [700, 2000, 4000])
def test_the_context_fills_its_tokens_and_every_answer_stands_in_it_once(task, tokens):
    whole = repository()
    for index in range(5):
        session = build(whole, task, index, tokens=tokens, turns=4)
        assert 0.85 * tokens <= Scale().count(session.context) <= tokens
        for turn in session.turns:
            assert session.context.count(turn.golds[0]) == 1
            ((start, stop),) = turn.evidence
            assert turn.subtask == "retr_kv" or session.context[start:stop] == turn.golds[0]


def test_functions_stand_evenly_in_the_context_whatever_the_repository():
    for index in range(10):
        session = build(repository(files=30), index=index, tokens=4000)
        places = [turn.evidence[0][0] / len(session.context) for turn in session.turns]
        assert all(abs(place - (slot + 0.5) / 5) < 0.06 for slot, place in enumerate(places))


def test_no_function_is_cut_and_every_fragment_says_its_file():
    session = build(repository(files=30, gap=3), tokens=1500)
    functions = re.findall(r"^def .*?\n(?=\S|\Z)", session.context, re.S | re.M)
    assert len(functions) > 10
    assert all(re.fullmatch(r"def work_(\d+)\(x\):\n    y = x \+ \1\n    return y\n", text) for text in functions)
    assert session.context.startswith("# ...\n# Path: ")
    for fragment in session.context.split("# ...\n")[1:]:
        assert not fragment or fragment.startswith("# Path: f")


def test_a_repository_that_fits_is_shown_whole():
    found = repository(files=2, each=3)
    session = build(found, tokens=5000)
    assert session.context == "".join(f"# Path: {file.path}\n{file.text}" for file in found.files)


def test_functions_that_cannot_be_told_apart_are_not_asked_about():
    one, other = file_of("a.py", [1, 2]), file_of("b.py", [2, 3])
    session = build(Repository("r", "python", (one, other)))
    assert [turn.meta["name"] for turn in session.turns] == ["work_1", "work_3"]


def test_answers_that_cannot_be_decoded_are_not_asked_about():
    body = "".join(f"    y = x + {n}\n" for n in range(400))
    long = SourceFile(
        "long.py", f"def long(x):\n{body}", (Described("long", 0, 13 + len(body) - 1, "Does much to it."),)
    )
    with pytest.raises(UserError, match=r"none of its 1 python functions .* answer of at most 768 tokens"):
        build(Repository("r", "python", (long,)))


def test_pairs_take_turns_with_functions():
    session = build(repository(), "mix_repoqa_kv", tokens=8000, turns=8)
    assert [turn.subtask for turn in session.turns] == ["code_repoqa", "retr_kv"] * 4
    assert len(re.findall(r'^"[0-9a-f-]{36}": "[0-9a-f-]{36}"$', session.context, re.M)) == 100
    few = build(Repository("r", "python", (file_of("a.py", [1, 2]),)), "mix_repoqa_kv", turns=8)
    assert [turn.subtask for turn in few.turns] == ["code_repoqa", "retr_kv"] * 2


def test_sessions_take_the_repositories_in_turn_and_ask_about_other_functions():
    found = [Repository(f"r{n}", "python", repository().files) for n in range(3)]
    sessions = [TASKS["code_repoqa"].build(Scale(name="paper", tokens=2000), 0, n, found) for n in range(6)]
    assert [session.meta["repo"] for session in sessions] == ["r0", "r1", "r2"] * 2
    assert len({session.turns[0].query for session in sessions}) > 3
