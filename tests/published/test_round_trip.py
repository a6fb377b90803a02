"""Every published schema: a row becomes a session that holds all that prompts and metrics need of it."""

import copy
import json
from pathlib import Path

import pytest

from scbench import published
from scbench.errors import UserError
from scbench.models import read_models
from scbench.prompts import MODES, encode, math_target
from scbench.published.rows import read_rows
from scbench.scoring import score_turn
from scbench.sessions import Session, iter_sessions, write_sessions
from scbench.tasks import NAMES
from tests.published.made import CODE, FUNCTIONS, JSON, NUMBERS, ROWS, write_parquet


def session_of(tmp_path: Path, task: str, turns: int = 50) -> Session:
    """The fixture of `task`, from a parquet file through a session file."""
    source = write_parquet(tmp_path / f"{task}.parquet", task, [ROWS[task]])
    write_sessions(tmp_path / "out.parquet", published.sessions(task, source, turns, 1))
    [session] = iter_sessions(tmp_path / "out.parquet")
    return session


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(read_models()["minilm"].directory)


@pytest.mark.parametrize("task", NAMES)
def test_what_was_asked_and_what_is_right_are_kept(tmp_path: Path, task: str):
    session, row = session_of(tmp_path, task), ROWS[task]
    assert (session.task, session.sid) == (task, f"{task}-00000")
    assert [turn.query for turn in session.turns] == [turn["input"] for turn in row["multi_turns"]]
    answers = [turn["answer"] for turn in row["multi_turns"]]
    assert [turn.golds[0] for turn in session.turns] == [str(a[0] if isinstance(a, list) else a) for a in answers]
    assert session.meta["turns"] == str(len(answers))


@pytest.mark.parametrize("task", NAMES)
def test_the_context_is_the_published_one(tmp_path: Path, task: str):
    row = ROWS[task]
    expected = {"math_find": str(NUMBERS), "retr_multihop": row.get("input")}.get(task, row.get("context"))
    assert session_of(tmp_path, task).context == expected


@pytest.mark.parametrize("task", NAMES)
def test_a_right_answer_scores_in_full(tmp_path: Path, task: str):
    """Whatever a metric needs besides the answer (options, name, language, candidates) has come along."""
    session = session_of(tmp_path, task)
    for turn in session.turns:
        meta = dict(turn.meta) | {"options": turn.options, "mode": "multi_turn", "session_task": task}
        answer = " ".join(turn.golds) if task == "retr_multihop" else turn.golds[0]
        assert score_turn(turn.subtask, answer, turn.golds, profile="strict", **meta) == 1.0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("profile", ["clean", "compat"])
@pytest.mark.parametrize("task", NAMES)
def test_every_prompt_can_be_made(tmp_path: Path, task: str, mode: str, profile: str, tokenizer):
    session = session_of(tmp_path, task)
    encoded = encode(session, mode, tokenizer, profile=profile, max_prompt_tokens=None, scale_name="paper")
    assert len(encoded.queries) == len(session.turns)
    assert all(map(len, encoded.answers))


def test_chains_have_every_variable_and_where_it_is_set(tmp_path: Path):
    session = session_of(tmp_path, "retr_multihop")
    first, second = session.turns
    assert (first.golds, second.golds) == (("AAAAA", "BBBBB"), ("CCCCC",))
    shown = [session.context[start:stop] for start, stop in first.evidence + second.evidence]
    assert shown == ["VAR AAAAA = ", "VAR BBBBB = ", "VAR CCCCC = "]
    assert (session.meta["index"], session.meta["length"]) == ("3", "40")


def test_choices_have_their_options_and_the_letter(tmp_path: Path):
    first, second = session_of(tmp_path, "en_multichoice").turns
    assert (first.options, first.golds, second.golds) == (("Dan", "Bob", "Eve", "Cid"), ("Bob", "B"), ("Ann", "D"))


def test_functions_have_name_language_repository_and_candidates(tmp_path: Path):
    session = session_of(tmp_path, "code_repoqa")
    for turn, (name, code) in zip(session.turns, FUNCTIONS.items(), strict=True):
        assert (turn.meta["name"], turn.meta["language"], turn.meta["repo"]) == (name, "python", "me/sums")
        assert turn.meta["path"] == f"src/{name}.py"
        assert json.loads(turn.meta["candidates"]) == [{"name": n, "code": c} for n, c in FUNCTIONS.items()]
        [(start, stop)] = turn.evidence
        assert CODE[start:stop] == code


def test_mixed_tasks_are_scored_by_turn(tmp_path: Path):
    code, summary = session_of(tmp_path, "mix_repoqa_kv"), session_of(tmp_path, "mix_sum_niah")
    assert [turn.subtask for turn in code.turns] == ["code_repoqa", "retr_kv", "code_repoqa"]
    assert [turn.subtask for turn in summary.turns] == ["en_sum", "needle"]
    assert code.turns[1].meta == {}, "a turn about a value has null function fields in the file"
    assert len(json.loads(code.turns[0].meta["candidates"])) == 2


def test_examples_say_what_they_are_from(tmp_path: Path):
    assert session_of(tmp_path, "icl_manyshot").meta["subtask"] == "date_understanding"


def test_targets_of_lists_can_be_named(tmp_path: Path):
    session = session_of(tmp_path, "math_find")
    assert [math_target(turn.query) for turn in session.turns] == [
        "the largest number of the list",
        "the smallest number of the list",
    ]
    assert [turn.golds for turn in session.turns] == [("999",), ("3",)]


def test_pairs_show_where_their_value_stands(tmp_path: Path):
    [(start, stop)] = session_of(tmp_path, "retr_kv").turns[1].evidence
    assert JSON[start:stop] == "77c0-value"


def test_evidence_that_stands_twice_is_not_claimed(tmp_path: Path):
    row = copy.deepcopy(ROWS["retr_kv"])
    row["context"] += row["context"]
    path = write_parquet(tmp_path / "kv.parquet", "retr_kv", [row])
    [session] = published.sessions("retr_kv", path, 5, 1)
    assert all(turn.evidence == () for turn in session.turns)


def test_turns_are_cut_and_their_number_is_kept(tmp_path: Path):
    session = session_of(tmp_path, "mix_repoqa_kv", turns=2)
    assert (len(session.turns), session.meta["turns"]) == (2, "3")
    assert len(json.loads(session.turns[0].meta["candidates"])) == 2, "a cap on turns changes no score of those before"


def test_a_question_asked_twice_is_taken_as_it_was_published(tmp_path: Path):
    row = copy.deepcopy(ROWS["mix_sum_niah"])
    row["multi_turns"].append(row["multi_turns"][1] | {"answer": "90210"})
    path = write_parquet(tmp_path / "mix.parquet", "mix_sum_niah", [row])
    write_sessions(tmp_path / "out.parquet", published.sessions("mix_sum_niah", path, 5, 1))
    [session] = iter_sessions(tmp_path / "out.parquet")
    assert [turn.golds for turn in session.turns[1:]] == [("71432",), ("90210",)]


@pytest.mark.parametrize("task", NAMES)
def test_json_lines_give_the_same_sessions(tmp_path: Path, task: str):
    """The published set has a twin of each file in JSON lines, where absent fields are absent instead of null."""
    (tmp_path / f"{task}.jsonl").write_text(json.dumps(ROWS[task]) + "\n", encoding="utf-8")
    write_parquet(tmp_path / f"{task}.parquet", task, [ROWS[task]])
    both = [list(published.sessions(task, tmp_path / f"{task}.{kind}", 5, 1)) for kind in ("jsonl", "parquet")]
    assert both[0] == both[1]


def test_rows_keep_their_order_over_row_groups(tmp_path: Path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"context": f"text {number}"} for number in range(10)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet", row_group_size=3)
    assert [row.text("context") for row in read_rows(tmp_path / "rows.parquet")] == [row["context"] for row in rows]
    with pytest.raises(UserError, match=r"rows\.parquet: row 1: id: is missing"):
        next(read_rows(tmp_path / "rows.parquet")).number("id")
