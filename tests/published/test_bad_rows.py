"""A published file that is not as it should be is refused in one sentence, and no session file is left."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scbench import published
from scbench.errors import UserError
from scbench.sessions import write_sessions
from tests.published.made import ROWS, write_parquet

COUNT = 5
MIDDLE = 3


def edited(task: str, edit: Callable[[dict[str, Any]], Any]) -> list[dict[str, Any]]:
    """COUNT rows of `task`, the one in the middle edited."""
    rows = [copy.deepcopy(ROWS[task]) for _ in range(COUNT)]
    edit(rows[MIDDLE - 1])
    return rows


def normalise(path: Path, task: str, count: int | None = COUNT) -> None:
    write_sessions(path.parent / "out" / "sessions.parquet", published.sessions(task, path, 5, count))


def refused(path: Path, task: str, count: int | None = COUNT) -> str:
    """The sentence that normalising ends with; nothing but the input may be left."""
    with pytest.raises(UserError) as error:
        normalise(path, task, count)
    assert [file for file in (path.parent / "out").rglob("*") if file.is_file()] == []
    assert "\n" not in str(error.value)
    return str(error.value)


def turn(number: int, **changes: Any) -> Callable[[dict[str, Any]], Any]:
    """An edit of one turn; a value of ... takes the field out."""

    def edit(row: dict[str, Any]) -> None:
        changed = row["multi_turns"][number - 1] | changes
        row["multi_turns"][number - 1] = {key: value for key, value in changed.items() if value is not ...}

    return edit


@pytest.mark.parametrize(
    ("task", "edit", "problem"),
    [
        ("retr_kv", lambda row: row.pop("context"), "context: is missing (there are id, multi_turns); "),
        ("retr_kv", lambda row: row.update(context=" "), "context: is empty; "),
        ("retr_kv", lambda row: row.update(context=17), "context: is 17 (int), not text; "),
        ("retr_kv", lambda row: row.update(multi_turns=[]), "multi_turns: is an empty list; "),
        ("retr_kv", lambda row: row.update(multi_turns="none"), "multi_turns: is 'none' (str), not a list of turns; "),
        ("retr_kv", turn(2, answer=...), "turn 2: answer: is missing (there are input); "),
        ("retr_kv", turn(2, answer=["a"]), "turn 2: answer: is ['a'] (list), not text; "),
        ("retr_multihop", turn(1, answer="AAAAA"), "turn 1: answer: is 'AAAAA' (str), not a list of texts; "),
        (
            "retr_multihop",
            turn(1, answer=["AAAAA", 3]),
            "turn 1: answer: is ['AAAAA', 3] (list), not a list of texts; ",
        ),
        ("code_repoqa", turn(1, name=...), "turn 1: name: is missing"),
        ("code_repoqa", lambda row: row.pop("lang"), "lang: is missing"),
        ("en_multichoice", turn(1, options=["Bob"]), "turn 1: options: there are 1, not 4; "),
        ("en_multichoice", turn(2, answer="Zoe"), "turn 2: answer: 'Zoe' is none of the options; "),
        ("icl_manyshot", turn(1, answer="(C)"), "turn 1: answer: is '(C)', not a letter from A to G; "),
        ("icl_manyshot", lambda row: row.pop("task"), "task: is missing"),
        ("math_find", turn(1, answer="999"), "turn 1: answer: is '999' (str), not a whole number; "),
        ("math_find", turn(1, answer=True), "turn 1: answer: is True (bool), not a whole number; "),
        (
            "math_find",
            lambda row: row.update(context=[1, 2.5]),
            "context: is [1, 2.5] (list), not a list of whole numb",
        ),
        (
            "mix_sum_niah",
            turn(1, task="scbench_sum"),
            "turn 1: task: is 'scbench_sum' (str), not one of scbench_repoqa, ",
        ),
        ("mix_repoqa_kv", turn(1, name=None), "turn 1: name: is missing"),
    ],
)
def test_a_field_in_the_middle(tmp_path: Path, task: str, edit: Callable, problem: str):
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in edited(task, edit)), encoding="utf-8")
    sentence = refused(path, task)
    where = f"{path}: line {MIDDLE}"
    assert sentence.startswith((f"{where}: {problem}", f"{where}, {problem}"))
    assert sentence.endswith("delete it and its entry in fetched.json, and fetch it from another place")


def test_a_null_in_the_middle_of_a_parquet_file(tmp_path: Path):
    rows = edited("retr_kv", lambda row: row["multi_turns"][1].update(answer=None))
    path = write_parquet(tmp_path / "kv.parquet", "retr_kv", rows)
    assert f"{path}: row 3, turn 2: answer: is missing (there are input); " in refused(path, "retr_kv")


def test_a_column_of_another_type(tmp_path: Path):
    rows = [{"context": number, "multi_turns": [{"input": "q", "answer": "a"}]} for number in range(COUNT)]
    pq.write_table(pa.Table.from_pylist(rows), path := tmp_path / "kv.parquet")
    assert refused(path, "retr_kv").startswith(f"{path}: row 1: context: is 0 (int), not text; ")


@pytest.mark.parametrize("keep", [0, 1, 300, -1])
def test_a_parquet_file_cut_short(tmp_path: Path, keep: int):
    path = write_parquet(tmp_path / "kv.parquet", "retr_kv", [ROWS["retr_kv"]] * COUNT)
    path.write_bytes(path.read_bytes()[:keep])
    assert refused(path, "retr_kv").startswith(f"{path}: not a readable parquet file (")


def test_damage_inside_a_parquet_file(tmp_path: Path):
    path = write_parquet(tmp_path / "kv.parquet", "retr_kv", [ROWS["retr_kv"]] * COUNT)
    data = bytearray(path.read_bytes())
    data[4:60] = bytes(56)
    path.write_bytes(data)
    assert refused(path, "retr_kv").startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"context": "cut sho', "line 3: not valid JSON"),
        (b'["a", "list"]', "line 3: ['a', 'list'] is not keys and values"),
        (b'{"context": "\xff"}', "line 3: byte 13 is not UTF-8"),
        (b"<html>", "line 3: not valid JSON"),
    ],
)
def test_a_line_that_is_no_row(tmp_path: Path, line: bytes, problem: str):
    lines = [json.dumps(ROWS["retr_kv"]).encode()] * COUNT
    lines[MIDDLE - 1] = line
    (path := tmp_path / "kv.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    assert f"{path}: {problem}" in refused(path, "retr_kv")


def test_fewer_rows_than_asked_for(tmp_path: Path):
    path = write_parquet(tmp_path / "kv.parquet", "retr_kv", [ROWS["retr_kv"]] * 3)
    assert refused(path, "retr_kv", 4) == (
        f"{path}: holds 3 rows, but data.sessions asks for 4; set data.sessions to 3 or less"
    )


@pytest.mark.parametrize("rows", [99, 101])
def test_another_number_of_rows_than_the_card_says(tmp_path: Path, rows: int):
    path = write_parquet(tmp_path / "kv.parquet", "retr_kv", [ROWS["retr_kv"]] * rows)
    sentence = refused(path, "retr_kv", None)
    assert f"{path}: holds {rows} rows, but the published set's card says 100; set data.sessions to {rows}" in sentence


def test_more_rows_than_asked_for_are_left(tmp_path: Path):
    path = write_parquet(tmp_path / "kv.parquet", "retr_kv", [ROWS["retr_kv"]] * 3)
    assert len(list(published.sessions("retr_kv", path, 5, 2))) == 2
