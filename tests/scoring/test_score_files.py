"""`python -m scripts.score`: result lines in, one deterministic table of scored turns out, or one clear sentence."""

import dataclasses
import json
import random

import pandas as pd
import pytest

from scbench.canonical import canonical_json
from scbench.errors import UserError
from scbench.records import Result
from scbench.scoring.table import AS_JSON, KEY, score_files
from scripts.score import main

RESULT = Result(
    study="mini",
    model="minilm",
    method="full",
    task="mix_repoqa_kv",
    mode="multi_request",
    session="mix_repoqa_kv-00000",
    turn=1,
    subtask="retr_kv",
    prediction='"a7k3"',
    golds=("a7k3",),
    options=(),
    meta={"subject": "钥匙"},
    finish="eos",
    new_tokens=3,
    prompt_tokens=40,
    dropped_tokens=0,
    evidence_kept=None,
    kv_bytes=10,
    kv_bytes_dense=20,
    keys_attended=30,
    bytes_read=40,
    tokens_prefilled=50,
)


def line(**changes):
    return canonical_json(dataclasses.asdict(dataclasses.replace(RESULT, **changes))) + "\n"


def many(count):
    return [
        line(turn=turn, session=f"mix_repoqa_kv-{session:05d}", mode=mode, prediction="a7k3" * (turn % 2))
        for session in range(count)
        for turn in (1, 2, 3)
        for mode in ("multi_turn", "multi_request")
    ]


def write(path, *lines):
    path.write_text("".join(lines), encoding="utf-8")
    return str(path)


def test_a_row_holds_everything_in_the_record_and_both_scores(tmp_path):
    source, out = write(tmp_path / "part.jsonl", line(evidence_kept=True)), tmp_path / "new" / "scores.parquet"
    main(["--in", source, "--out", str(out)])
    (row,) = pd.read_parquet(out).to_dict("records")
    expected = dataclasses.asdict(dataclasses.replace(RESULT, evidence_kept=True))
    expected |= {name: canonical_json(expected[name]) for name in AS_JSON}
    assert row == expected | {"score_strict": 1.0, "score_compat": 0.0, "score_quirks": '{"field_names":0.0}'}


def test_the_mode_and_the_task_reach_the_metric(tmp_path):
    table = score_files([write(tmp_path / "part.jsonl", line(mode="multi_turn"), line(task="retr_kv"), line())])
    found = zip(*(table[name].to_pylist() for name in ("task", "mode", "score_compat", "score_strict")), strict=True)
    assert list(found) == [
        ("mix_repoqa_kv", "multi_request", 0, 1),
        ("mix_repoqa_kv", "multi_turn", 1, 1),
        ("retr_kv", "multi_request", 1, 1),
    ]


def test_the_score_of_each_quirk_alone_is_kept_where_it_changes_something(tmp_path):
    ended, cut = (
        line(turn=2, subtask="en_sum", task="en_sum", golds=("a b",), prediction="a b", finish=how)
        for how in ("eos", "length")
    )
    (quirks,) = score_files([write(tmp_path / "a.jsonl", ended)])["score_quirks"].to_pylist()
    assert 0 < json.loads(quirks)["special_tokens"] < 1
    assert score_files([write(tmp_path / "b.jsonl", cut)])["score_quirks"].to_pylist() == ["{}"]


def test_a_function_competes_with_those_of_its_repository_where_the_file_is_the_pool(tmp_path):
    """Two sessions of one repository: what is asked of the other is more like this answer than its own target."""
    target = "def one(a):\n    return a + 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10 + 11"
    twin = target.replace("one", "two").replace("11", "12")
    asked = {"subtask": "code_repoqa", "task": "code_repoqa"}
    lines = [
        line(session=f"s{number}", golds=(code,), prediction=twin, **asked, meta=meta)
        for number, (name, code) in enumerate([("one", target), ("two", twin)])
        for meta in [{"name": name, "language": "python", "repo": "r"}]
    ]
    apart = [line.replace('"repo":"r"', f'"repo":"{number}"') for number, line in enumerate(lines)]
    for name, given, found in (("same", lines, {"file_pool": 0.0}), ("apart", apart, {})):
        table = score_files([write(tmp_path / f"{name}.jsonl", *given)])
        quirks = json.loads(table["score_quirks"].to_pylist()[0])
        assert {key: score for key, score in quirks.items() if key == "file_pool"} == found
        assert table["score_strict"].to_pylist()[0] == 1
        assert table["score_compat"].to_pylist()[0] == (0 if found else 1)


def test_bytes_depend_on_the_records_alone(tmp_path):
    lines = many(5)
    one = write(tmp_path / "one.jsonl", *lines)
    shuffled = random.Random(1).sample(lines, len(lines))
    parts = [write(tmp_path / f"{name}.jsonl", *shuffled[name::3]) for name in range(3)]
    main(["--in", one, "--out", str(tmp_path / "a.parquet")])
    main(["--in", *parts, "--out", str(tmp_path / "b.parquet")])
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_rows_are_sorted(tmp_path):
    lines = many(3)
    table = score_files([write(tmp_path / "part.jsonl", *reversed(lines))])
    keys = list(zip(*(table[name].to_pylist() for name in KEY), strict=True))
    assert keys == sorted(keys) and len(keys) == len(lines)


def test_a_sidecar_names_the_inputs(tmp_path, capsys):
    source = write(tmp_path / "part.jsonl", line())
    main(["--in", source, "--out", str(tmp_path / "scores.parquet")])
    sidecar = json.loads((tmp_path / "scores.parquet.prov.json").read_text())
    assert [entry["path"].rsplit("/", 1)[-1] for entry in sidecar["inputs"]] == ["part.jsonl"]
    assert sidecar["versions"]["nltk"] and sidecar["versions"]["tree-sitter-php"]
    assert capsys.readouterr().out.startswith("scored 1 turns of 1 files in ")


def test_an_empty_part_adds_no_rows(tmp_path):
    assert score_files([write(tmp_path / "empty.jsonl")]).num_rows == 0


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (line(turn=2)[:50], "part.jsonl, line 2: cut short or damaged.*delete .*part.jsonl and run its shard again"),
        ("\n", "line 2: cut short or damaged"),
        ("[1]\n", "line 2: not a result of this version"),
        (line(turn=2).replace('"turn"', '"turns"'), "line 2: .*differs in turn, turns"),
        (line(turn=2).replace('"turn":2', '"turn":"2"'), "line 2: turn is '2'"),
        (line(turn=2).replace('["a7k3"]', '"a7k3"'), "line 2: golds is 'a7k3'"),
        (line(), "line 2: turn 1 of mix_repoqa_kv-00000 .* already in .*part.jsonl, line 1"),
        (line(turn=2, subtask="mix_repoqa_kv"), "line 2: scoring: task 'mix_repoqa_kv' has no metric"),
        (line(turn=2, subtask="math_find"), "line 2: math_find: gold 'a7k3' is not a number"),
    ],
    ids=["cut", "blank", "no object", "field", "type", "string for list", "twice", "unknown sub-task", "bad gold"],
)
def test_a_bad_line_is_named_and_the_old_scores_stay(tmp_path, second, message):
    source, out = write(tmp_path / "part.jsonl", line(), second), tmp_path / "scores.parquet"
    out.write_bytes(b"old")
    with pytest.raises(UserError, match=message):
        main(["--in", source, "--out", str(out)])
    assert out.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part.jsonl", "scores.parquet"]


def test_a_missing_part_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.jsonl: cannot be read"):
        score_files([tmp_path / "absent.jsonl"])


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    source = write(tmp_path / "part.jsonl", line())
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"--out .*scores\.parquet: cannot be written"):
        main(["--in", source, "--out", str(tmp_path / "file" / "scores.parquet")])
