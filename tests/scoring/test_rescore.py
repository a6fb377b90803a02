"""`python -m scripts.rescore`: the authors' files of answers in, a table out, or one clear sentence."""

import json

import pandas as pd
import pytest

from scbench.errors import UserError
from scbench.rescoring import answers, rescore, summary
from scripts.rescore import main
from tests.artifacts.tex_check import check_table, compile_table

SUMMARY = "This paper studies caches.\nIt proposes a benchmark."
CHAIN = ["ABCDE", "FGHIJ", "KLMNO"]
FUNCTION = '''def add(a, b):
    """Add."""
    total = a + b
    print(total)
    return total'''
CHATTER = "As asked, this is the one function that fits the description, word by word:"

# The authors' task, what they store of an answer, and the score that their functions gave it.
VECTORS = [
    ("scbench_kv", "The value is abc-1.", "abc-1", 1),
    ("scbench_kv", "ABC-1", "abc-1", 0),
    ("scbench_kv", "xabc-12", "abc-1", 1),
    ("scbench_prefix_suffix", "xabc-12", "abc-1", 1),
    ("scbench_vt", "ABCDE and fghij", CHAIN, 0.67),
    ("scbench_vt", "ABCDE", CHAIN, 0.33),
    ("scbench_vt", "ABCDEFGHIJKLMNO", CHAIN, 1),
    ("scbench_qa_eng", "it was JOHN Smith.", ["John Smith"], 1),
    ("scbench_qa_eng", "John  Smith", ["John Smith"], 0),
    ("scbench_qa_chn", "张三丰", "张三丰", 0.5),
    ("scbench_qa_chn", "张", "张三丰", 1),
    ("scbench_qa_chn", "李四", "张三丰", 0),
    ("scbench_qa_chn", "张三丰。", ["张三丰"], 1),
    ("scbench_choice_eng", "B. foo", ["foo", "B"], 1),
    ("scbench_choice_eng", "Based on the text, C", ["foo", "C"], 0),
    ("scbench_choice_eng", "foo", ["foo", "B"], 1),
    ("scbench_choice_eng", "The answer is: B", ["foo", "B"], 1),
    ("scbench_choice_eng", "the answer is B", ["foo", "B"], 1),
    ("scbench_choice_eng", "I think B", ["foo", "B"], 1),
    ("scbench_choice_eng", "is B", ["foo", "B"], 1),
    ("scbench_choice_eng", "I think (B)", ["foo", "B"], 0),
    ("scbench_choice_eng", "b", ["foo", "B"], 0),
    ("scbench_choice_eng", "", ["foo", "B"], 0),
    ("scbench_many_shot", "Answer: (C)", "C", 1),
    ("scbench_many_shot", "Answer: (C)", "A", 1),
    ("scbench_many_shot", "(C)", "B", 0),
    ("scbench_mf", "The largest number is 998.", 998, 1),
    ("scbench_mf", "12.7", 12, 1),
    ("scbench_mf", "-5", 5, 1),
    ("scbench_mf", "1,000", 1, 1),
    ("scbench_mf", "none", 3, 0),
    ("scbench_mf", "12.70", 12.7, 1),
    ("scbench_mf", "0", 1e-7, 0),
    ("scbench_summary", "it proposes a benchmark.\nThis paper studies caches.", SUMMARY, 1),
    ("scbench_summary", "This paper studies long context.", SUMMARY, 0.4615),
    ("scbench_summary", "", "a b", 0),
    ("scbench_repoqa", f"```python\n{FUNCTION}\n```", FUNCTION, 1),
    ("scbench_repoqa", "```\n" + FUNCTION.replace("    ", "\t\t") + "\n```", FUNCTION, 1),
    ("scbench_repoqa", "```\n" + FUNCTION.replace('    """Add."""\n', "") + "\n```", FUNCTION, 0),
    ("scbench_repoqa", "```\n" + FUNCTION.replace("total", "result") + "\n```", FUNCTION, 0),
    ("scbench_repoqa", f"{CHATTER} ```python\n{FUNCTION}\n```", FUNCTION, 0),
    ("scbench_repoqa", f"{CHATTER}\n```python\n{FUNCTION}", FUNCTION, 0),
    ("scbench_repoqa", f"{CHATTER}\n```c++\n{FUNCTION}\n```", FUNCTION, 0),
]
NEEDLES = [("It is 00123, not 4", "00123", 1), ("It is 00123", "123", 0), ("It is 123", 123, 0)]


def line(prediction, gold, number=0, turn=0, **more):
    return {"id": number, "turn_idx": turn, "prediction": prediction, "ground_truth": gold} | more


def function(prediction, gold, name="add", **more):
    return line(prediction, gold, lang="python", repo="a/b", func_name=name, **more)


def write(directory, task, *lines, mode="multi_turn"):
    path = directory / f"prediction_{task}_{mode}.jsonl"
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines), encoding="utf-8")
    return str(path)


def table(*arguments, out):
    main([*arguments, "--out", str(out)])
    return pd.read_csv(out)


@pytest.mark.parametrize(("task", "prediction", "gold", "score"), VECTORS)
def test_a_published_score_through_the_whole_path(task, prediction, gold, score, tmp_path, capsys):
    one = function(prediction, gold) if task == "scbench_repoqa" else line(prediction, gold)
    (row,) = table(write(tmp_path, task, one), "--profile", "compat", out=tmp_path / "a.csv").to_dict("records")
    assert row["score"] == row["turn_1"] == pytest.approx(100 * score, abs=5e-3)
    said = capsys.readouterr().out
    assert f"{100 * score:.1f}" in said and str(tmp_path / "a.csv") in said


def test_published_scores_of_needles_through_the_whole_path(tmp_path):
    lines = [
        line(prediction, gold, 0, turn, task="scbench_passkey") for turn, (prediction, gold, _) in enumerate(NEEDLES)
    ]
    path = write(tmp_path, "scbench_summary_with_needles", *lines)
    rows = table(path, "--profile", "compat", out=tmp_path / "a.csv").set_index("part")
    assert rows.loc["needle", ["turn_1", "turn_2", "turn_3"]].tolist() == [100 * score for *_, score in NEEDLES]
    assert rows.loc["en_sum", "turn_1"] == 0, "the published summary prints a part that is not asked as 0"


def test_both_profiles_stand_beside_each_other_by_turn_and_by_request(tmp_path):
    lines = [line("(b)", ["foo", "B"], number, turn) for number in range(3) for turn in range(2)]
    files = [write(tmp_path, "scbench_choice_eng", *lines, mode=mode) for mode in ("multi_turn", "scdq")]
    rows = table(*files, out=tmp_path / "a.csv").set_index(["mode", "profile"])
    assert rows["score"].tolist() == [0, 100, 0, 100] and rows["sessions"].tolist() == [3] * 4
    assert rows.loc[("multi_turn", "strict"), ["turn_1", "turn_2"]].tolist() == [100, 100]
    assert rows.loc["multi_request", ["turn_1", "turn_2"]].isna().all(axis=None)
    assert (rows["low"] <= rows["score"]).all() and (rows["high"] > rows["low"]).all()


def test_a_mixed_file_is_scored_part_by_part_and_its_values_are_lost_by_request(tmp_path):
    lines = [
        function(f"```\n{FUNCTION}\n```", FUNCTION, task="scbench_repoqa", turn=0),
        line("v", "v", turn=1, task="scbench_kv", lang="python", repo="a/b"),
    ]
    files = [write(tmp_path, "scbench_repoqa_and_kv", *lines, mode=mode) for mode in ("multi_turn", "scdq")]
    turns = summary(rescore(map(answers, files))).set_index(["mode", "profile", "part"])["score"].to_dict()
    assert turns["multi_turn", "compat", ""] == 100
    assert turns["multi_request", "compat", ""] == 50 and turns["multi_request", "compat", "retr_kv"] == 0
    assert turns["multi_request", "strict", ""] == 100


def test_a_function_competes_with_all_of_its_repository_in_compat_and_with_its_sessions_in_strict(tmp_path):
    target = "def one(a):\n    return a + 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10 + 11"
    twin = target.replace("one", "two").replace("11", "12")
    lines = [function(twin, target, "one"), function(twin, twin, "two", number=1)]
    scores = rescore([answers(write(tmp_path, "scbench_repoqa", *lines))])
    assert scores["score_compat"].tolist() == [0, 1] and scores["score_strict"].tolist() == [1, 1]


def test_a_gold_that_strict_cannot_read_is_scored_in_compat_alone(tmp_path):
    path = write(tmp_path, "scbench_many_shot", line("Answer: (C)", "(C)"))
    (row,) = table(path, "--profile", "compat", out=tmp_path / "a.csv").to_dict("records")
    assert row["score"] == 100
    with pytest.raises(UserError, match="line 1: icl_manyshot: gold answers"):
        main([path])


def test_strict_leaves_the_end_token_out_and_compat_scores_it(tmp_path):
    path = write(tmp_path, "scbench_summary", line(f"{SUMMARY}<|eot_id|>", SUMMARY))
    (row,) = rescore([answers(path)]).to_dict("records")
    assert row["score_strict"] == 1 and row["score_compat"] < 1


def test_a_file_of_another_name_needs_a_task_and_takes_theirs_or_ours(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps(line("x", "x")))
    with pytest.raises(UserError, match=r"mine\.jsonl: its name is not .* give --task, one of scbench_kv, "):
        answers(path)
    assert answers(path, "scbench_kv") == answers(path, "retr_kv", "multi_turn")
    assert answers(tmp_path / "prediction_scbench_vt_scdq_lingua.jsonl").mode == "multi_request"


def test_the_latex_is_sound_and_compiles_whatever_a_path_is_called(tmp_path):
    directory = tmp_path / "a_b & 100% #1"
    directory.mkdir()
    main([write(directory, "scbench_vt", line("ABCDE", CHAIN)), "--out", str(tmp_path / "a.tex")])
    tex = (tmp_path / "a.tex").read_text()
    check_table(tex)
    assert "Retr.MultiHop & Multi-turn & compat & 1 & 33.0" in tex and "33.3" in tex
    assert (tmp_path / "a.tex.prov.json").is_file()
    compile_table(tex, tmp_path)


GOOD = line("x", "x")


@pytest.mark.parametrize(
    ("task", "second", "message"),
    [
        ("scbench_kv", b'{"id": 0, "turn', r"line 2: not one JSON object .*delete the line"),
        ("scbench_kv", b"[1]", "line 2: not one JSON object"),
        ("scbench_kv", b"[" * 100_000, "line 2: not one JSON object"),
        ("scbench_kv", b'{"id": "\xff"}', r"line 2: not UTF-8 \(byte 9\); save the file as UTF-8"),
        ("scbench_kv", line("x", "x", turn=1) | {"id": None}, "line 2: id is 'None', not a whole number"),
        ("scbench_kv", {"id": 0, "turn_idx": 1, "ground_truth": "x"}, "line 2: has no prediction; add it"),
        ("scbench_kv", line("x", 3, turn=1), "line 2: ground_truth is '3', not text or a list of texts"),
        ("scbench_kv", line("x", [], turn=1), "line 2: ground_truth"),
        ("scbench_kv", GOOD, r"line 2: id 0, turn_idx 0 is already in line 1; a resumed run wrote it twice: delete"),
        ("scbench_mf", line("x", "x", turn=1), "line 2: ground_truth is 'x', not a number"),
        ("scbench_choice_eng", line("x", ["x"], turn=1), "not .text of the right option, its letter"),
        ("scbench_repoqa", line("x", "x", turn=1), "line 2: has no lang"),
        ("scbench_repoqa", function("x", "x", turn=1) | {"lang": "cobol"}, "line 2: code_repoqa: language 'cobol'"),
        ("scbench_repoqa_and_kv", line("x", "x", turn=1), "line 2: has no task"),
        ("scbench_repoqa_and_kv", line("x", "x", turn=1, task="scbench_vt"), "task 'scbench_vt' is no part of"),
    ],
)
def test_a_bad_line_is_named_with_its_remedy(task, second, message, tmp_path):
    first = {
        "scbench_mf": line("3", 3),
        "scbench_choice_eng": line("A", ["x", "A"]),
        "scbench_repoqa": function("x", "x"),
    }
    path = write(tmp_path, task, first.get(task, GOOD | {"task": "scbench_kv"}))
    with open(path, "ab") as file:
        file.write(second if isinstance(second, bytes) else json.dumps(second).encode())
    with pytest.raises(UserError, match=message) as caught:
        main([path])
    assert str(caught.value).startswith(path)


def test_bad_files_and_options_are_named(tmp_path):
    empty = write(tmp_path, "scbench_kv")
    for arguments, message in (
        ([empty], "holds no answers; run the authors'"),
        ([str(tmp_path / "prediction_scbench_kv_scdq.jsonl")], "cannot be read"),
        ([write(tmp_path, "scbench_hashhop", GOOD)], "task 'scbench_hashhop' is none of the benchmark's; give --task"),
        ([empty, "--task", "kv"], "--task: task 'kv' is none"),
        ([empty, empty], "is named twice"),
        ([empty, "--out", "table.pdf"], r"--out table\.pdf: .*\.tex or \.csv"),
    ):
        with pytest.raises(UserError, match=message):
            main(arguments)
