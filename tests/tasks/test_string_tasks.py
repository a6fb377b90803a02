"""The generated tasks: published sizes to the character, one right answer, evidence where it is said to be."""

import ast
import re

import pyarrow as pa
import pytest

from scbench.errors import UserError
from scbench.sessions import check_session
from scbench.tasks import TASKS, Scale
from scbench.tasks.base import spread, stream

FROM_NOTHING = ("retr_kv", "retr_prefix_suffix", "retr_multihop", "math_find")
GENERATED = (*FROM_NOTHING, "icl_manyshot")
PAPER = Scale(name="paper", tokens=None)


def tokens(text: str) -> int:
    return len(re.findall(r"\w+|\W", text))


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        *((name, PAPER) for name in FROM_NOTHING),
        *((name, scale) for name in GENERATED for scale in (Scale(tokens=200), Scale(tokens=700, count=tokens))),
    ],
)
def test_same_arguments_same_session(name, scale):
    task = TASKS[name]
    assert task.build(scale, 3, 5) == task.build(scale, 3, 5)
    assert task.build(scale, 3, 5).digest != task.build(scale, 3, 6).digest
    assert task.build(scale, 3, 5).digest != task.build(scale, 4, 5).digest
    check_session(task.build(scale, 3, 5))


@pytest.mark.parametrize("name", GENERATED)
@pytest.mark.parametrize("size", [256, 1024, 4096])
def test_context_fills_its_budget(name, size):
    scale = Scale(tokens=size, count=tokens)
    for index in range(3):
        length = tokens(TASKS[name].build(scale, 1, index).context)
        assert 0.9 * size <= length <= 1.1 * size


def test_kv_has_the_published_size():
    session = TASKS["retr_kv"].build(PAPER, 0, 0)
    assert len(session.context) == 200_011
    assert {len(turn.query) for turn in session.turns} == {93}
    pairs = ast.literal_eval(session.context.removeprefix("JSON data:\n"))
    assert len(pairs) == len(set(pairs.values())) == 2500
    assert not set(pairs) & set(pairs.values())
    for turn in session.turns:
        key = turn.query.split('"')[1]
        assert turn.golds == (pairs[key],)
        ((start, stop),) = turn.evidence
        assert session.context[start:stop] == f'"{key}": "{pairs[key]}"'


def test_a_kv_row_takes_the_published_bytes():
    """The published set's 100 rows take 20,071,200 bytes of columns: an id, the context, and two texts a turn."""
    session = TASKS["retr_kv"].build(PAPER, 0, 0)
    turns = pa.list_(pa.struct([("input", pa.string()), ("answer", pa.string())]))
    row = {
        "id": 0,
        "context": session.context,
        "multi_turns": [{"input": turn.query, "answer": turn.golds[0]} for turn in session.turns],
    }
    schema = pa.schema([("id", pa.int64()), ("context", pa.string()), ("multi_turns", turns)])
    assert pa.Table.from_pylist([row], schema).nbytes == 20_071_200 // 100


def test_prefix_suffix_has_the_published_size():
    session = TASKS["retr_prefix_suffix"].build(PAPER, 0, 0)
    size = len(session.context) + sum(len(turn.query) + len(turn.golds[0]) for turn in session.turns)
    assert size == pytest.approx(174_986, rel=0.01)
    assert session.context.count('", "') == 5999


@pytest.mark.parametrize("order", ["published", "balanced"])
@pytest.mark.parametrize("name", ["retr_kv", "retr_prefix_suffix"])
def test_evidence_is_spread_evenly(name, order):
    places = []
    for index in range(40):
        session = TASKS[name].build(Scale(tokens=1024, order=order), 0, index)
        entries = session.context.count(", ") + 1
        slots = [(session.context.count(", ", 0, turn.evidence[0][0]) * 5 + 4) // entries for turn in session.turns]
        assert sorted(slots) == [0, 1, 2, 3, 4]
        places.append(slots)
    published = [slots == [0, 1, 2, 3, 4] for slots in places]
    assert all(published) if order == "published" else sum(published) < 10


@pytest.mark.parametrize("scale", [PAPER, Scale(tokens=1024, count=tokens), Scale(tokens=300, turns=12)])
def test_prefix_and_suffix_name_one_word_among_distractors(scale):
    for index in range(3):
        session = TASKS["retr_prefix_suffix"].build(scale, 0, index)
        words = re.findall(r'"([^"]+)"', session.context)
        for turn in session.turns:
            prefix, suffix = re.fullmatch(r"Prefix: (.+); Suffix: (.+)\. The word .* is", turn.query).groups()
            assert [w for w in words if w.startswith(prefix) and w.endswith(suffix)] == list(turn.golds)
            assert sum(w.startswith(prefix) for w in words) > 1
            assert sum(w.endswith(suffix) for w in words) > 1


@pytest.mark.parametrize(
    "scale", [PAPER, Scale(tokens=400), Scale(tokens=1024, turns=20)], ids=["paper", "400", "many"]
)
def test_multihop_chains_follow_from_the_text(scale):
    session = TASKS["retr_multihop"].build(scale, 1, 0)
    statements = re.findall(r"VAR (\w+) = (?:VAR )?(\w+)", session.context)
    source = dict(statements)
    assert len(source) == len(statements) == 3 * scale.turns
    order = [name for name, _ in statements]
    for turn in session.turns:
        value = re.search(r"value (\d+) in", turn.query).group(1)
        chain, wanted = [], value
        while match := [name for name in order if source[name] == wanted]:
            assert len(match) == 1
            chain += match
            wanted = match[0]
        assert tuple(chain) == turn.golds
        assert [order.index(name) for name in chain] == sorted(order.index(name) for name in chain)
        for name, (start, stop) in zip(chain, turn.evidence, strict=True):
            assert session.context[start:stop].startswith(f"VAR {name} = ")


def test_math_find_answers_follow_from_the_list():
    rank = {
        "largest": 0,
        "second largest": 1,
        "third largest": 2,
        "smallest": 0,
        "second smallest": 1,
        "third smallest": 2,
    }
    answers = set()
    lengths = (300, 1024, 3000)
    for scale in [Scale(tokens=length, turns=6, order="balanced") for length in lengths]:
        for index in range(10):
            session = TASKS["math_find"].build(scale, 0, index)
            numbers = ast.literal_eval(session.context)
            assert session.context == str(numbers)
            for turn in session.turns:
                kind = re.search(r"The (.*) number of the list is", turn.query).group(1)
                ordered = sorted(set(numbers), reverse="largest" in kind)
                assert turn.golds == (str(ordered[rank[kind]]),)
                ((start, stop),) = turn.evidence
                assert session.context[start:stop] == turn.golds[0]
                answers.add(turn.golds[0])
    assert len(answers) > 20
    assert len(ast.literal_eval(TASKS["math_find"].build(PAPER, 0, 0).context)) == 30_000


def test_mini_icl_labels_are_learned_from_the_shots_alone():
    labels = set()
    for index in range(12):
        session = TASKS["icl_manyshot"].build(Scale(tokens=1024, count=tokens), 0, index)
        shots = re.findall(r"^(.*) \(([A-G])\)$", session.context, re.M)
        for turn in session.turns:
            key = re.search(
                r"(?:trades with |Today is |translation of )(.*?)(?: and is|, so| contains)", turn.query
            ).group(1)
            seen = {label for question, label in shots if f" {key} " in f"{question} ".replace(",", " ")}
            assert seen == set(turn.golds)
            assert len(turn.evidence) >= 1
            assert all(f"({turn.golds[0]})" in session.context[start:stop] for start, stop in turn.evidence)
        labels |= {turn.golds[0] for turn in session.turns}
    assert len(labels) > 4


def test_kv_never_runs_out_of_strings():
    session = TASKS["retr_kv"].build(Scale(tokens=60_000), 0, 0)
    pairs = ast.literal_eval(session.context.removeprefix("JSON data:\n"))
    assert len(pairs) == len(set(pairs.values())) > 8000


def test_spread_refuses_more_targets_than_places():
    with pytest.raises(ValueError, match="6 targets do not fit into 5 places"):
        spread(stream("t", PAPER, 0, 0), 5, 6, "published")


def test_many_turns_that_icl_cannot_ask_are_refused():
    with pytest.raises(UserError, match=r"data\.turns 40 is more than the"):
        TASKS["icl_manyshot"].build(Scale(tokens=1024, turns=40), 0, 0)
