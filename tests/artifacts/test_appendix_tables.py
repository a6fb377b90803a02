"""Tables 7, 8, 10 and 13 to 17: what holds of each of them, whatever study it is given."""

import importlib
import json
import re
import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from scbench import intervals, stats
from scbench.artifacts import ARTIFACTS
from scbench.artifacts.cases import chosen_lines
from scbench.artifacts.histories import read_histories
from scbench.artifacts.identity import board_of
from scbench.artifacts.paging import pages
from scbench.artifacts.stamp import make_stamp
from scbench.errors import UserError
from scbench.plan import make_plans
from scbench.schema import read_yaml
from scbench.study import history_rows, load_study, read_study, twin
from tests.artifacts.conftest import fake_scores, study_config
from tests.artifacts.tex_check import NASTY, check_table, compile_table

TABLES = ("table7", "table8", "table10", "table13", "table14", "table15", "table16", "table17")
CASES = TABLES[4:]
SAID = {True: "the {task} of {session}, {turn}", False: "the {task} of nobody at all"}
MINI = {"scale": "mini", "tokens": 1024, "sessions": 2}
SMALL = {
    "methods": {name: {} for name in ("full", "a_shape", "tri_shape", "minference", "streaming_llm", "snapkv")},
    "data": MINI,
    "both_histories": True,
}


def study_of(**changes):
    return load_study(study_config(**(SMALL | changes)), "study.json")


def answers_of(study):
    """The scored turns of a study, each with an answer that is the gold where it scores well."""
    return _answers(json.dumps(study.resolved()))


@cache
def _answers(resolved):
    scores = fake_scores(board_of(ARTIFACTS["table4"], load_study(json.loads(resolved), "study.json")))
    turns = scores.to_dict("records")
    said = [SAID[turn["score_strict"] > 0.5].format(**turn) for turn in turns]
    return scores.assign(prediction=said, golds=[(SAID[True].format(**turn),) for turn in turns])


def source_of(name, study, answers):
    """What an artifact is made from; under the other history every second turn is worth a tenth less."""
    if ARTIFACTS[name].needs != "histories":
        return answers
    own = answers[answers["mode"] == "multi_turn"]
    found = {study.history: own}
    if twin(study):
        worse = np.where(own["turn"] % 2, own["score_strict"], own["score_strict"] * 0.9)
        found[twin(study).history] = own.assign(score_strict=worse)
    return found


def written(name, study, directory, answers=None):
    """The .tex text and the .csv frame of a table."""
    answers = answers_of(study) if answers is None else answers
    board, module = board_of(ARTIFACTS[name], study), importlib.import_module(f"scbench.artifacts.{name}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = module.frame(source_of(name, study, answers), board)
        tex, csv = module.write(frame, board, make_stamp(name, board, "0" * 64), directory / name)
    return tex.read_text(encoding="ascii"), pd.read_csv(csv)


def check(tex):
    """`check_table` of each tabular."""
    parts = re.findall(r"\\begin\{tabular\}.*?\\end\{tabular\}", tex, re.S)
    for part in parts:
        check_table(part)
    check_table(re.sub(r"(\\end\{tabular\}).*\\end\{tabular\}", r"\1", tex, flags=re.S))
    return parts


def half_absent(answers):
    gone = (answers["method"] == "a_shape") & (
        answers["task"].isin(stats.CATEGORIES["string"]) | answers["task"].str.contains("sum")
    )
    return answers[~gone]


def nasty(answers):
    texts = [
        NASTY,
        "长é\x00\x1b[2J\u202e 🎉",
        "",
        "x" * 900,
        "\\end{tabular}\n\n& & \\\\",
        "=cmd|' /C calc'!A0\r\n,\"",
    ]
    said = [texts[number % len(texts)] for number in range(len(answers))]
    return answers.assign(prediction=said, golds=[(text or "gold",) for text in reversed(said)])


SITUATIONS = {
    "plain": ({}, None),
    "two models": ({"models": ["minilm", "minilm_l"]}, None),
    "one method": ({"methods": {"full": {}}, "floor": False}, None),
    "another method": ({"methods": {"knorm": {"budget": "1/8"}}, "floor": False}, None),
    "one session": ({"data": MINI | {"sessions": 1}}, None),
    "one turn": ({}, lambda answers: answers[answers["turn"] == 1]),
    "three turns": ({}, lambda answers: answers[answers["turn"] <= 3]),
    "half absent": ({}, half_absent),
    "one history": ({"both_histories": False}, None),
    "all equal": ({}, lambda answers: answers.assign(score_strict=1.0, score_compat=1.0)),
    "requests alone": ({"modes": ["multi_request"], "both_histories": False}, None),
    "turns alone": ({"modes": ["multi_turn"]}, None),
    "one task": ({"tasks": ["retr_kv"]}, None),
    "another task": ({"tasks": ["en_qa"]}, None),
    "nasty": ({}, nasty),
    "no scores": ({}, lambda answers: answers[:0]),
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_study_gives_a_table_that_says_what_it_is_and_lacks(situation, name, tmp_path):
    changes, change = SITUATIONS[situation]
    study = study_of(**changes)
    answers = answers_of(study)
    # Nothing scores 0, so that a 0 could only be something missing.
    columns = ["score_strict", "score_compat"]
    answers = answers.assign(**{column: answers[column].clip(lower=0.05) for column in columns})
    tex, csv = written(name, study, tmp_path, change(answers) if change else answers)
    check(tex)
    assert "Study fake, strict scoring" in tex and len(csv)
    numbers = [float(number) for number in re.findall(r"& \$?(?:\\textbf\{)?(\d+\.\d)", tex)]
    assert 0.0 not in numbers
    if not numbers:
        (why,) = csv["lacks"]
        assert len(why.split()) > 5 and why.split(":")[0] in tex
    elif (
        "Missing:" not in tex
        and "A mixed task" not in tex
        and "Not part of this study" not in tex
        and name not in CASES
    ):
        assert "--" not in tex
    assert "Traceback" not in tex and "nan" not in tex


@pytest.mark.parametrize("name", TABLES)
def test_the_same_answers_give_the_same_bytes_in_any_order(name, tmp_path):
    study = study_of(models=["minilm", "minilm_l"] if name in CASES else ["minilm"])
    answers = answers_of(study)
    (tmp_path / "again").mkdir()
    written(name, study, tmp_path, answers)
    written(name, study, tmp_path / "again", answers.sample(frac=1, random_state=1))
    for suffix in (".tex", ".csv"):
        assert (tmp_path / f"{name}{suffix}").read_bytes() == (tmp_path / "again" / f"{name}{suffix}").read_bytes()


def test_all_of_them_compile_and_fit_the_page(tmp_path):
    study = study_of(models=["minilm", "minilm_l"])
    texts = [written(name, study, tmp_path, nasty(answers_of(study)))[0] for name in TABLES]
    assert "Overfull" not in compile_table("\n\\clearpage\n".join(texts), tmp_path)


# Tables 7 and 8


@pytest.mark.parametrize(("name", "tasks"), [("table7", ("en_sum",)), ("table8", stats.CATEGORIES["string"])])
def test_a_single_question_is_the_first_request_and_a_turn_is_its_mean(name, tasks, tmp_path):
    study = study_of()
    answers = answers_of(study)
    tex, csv = written(name, study, tmp_path, answers)
    assert "a run of our own in place of InfiniteBench and LongBench" in tex
    own = csv[csv["profile"] == "strict"].set_index("method")
    asked = answers[answers["task"].isin(tasks)]
    requests, first = asked[asked["mode"] == "multi_request"], asked[asked["turn"] == 1]
    parts = {"requests": requests, "single": first[first["mode"] == "multi_request"]}
    parts |= {f"turn_{n}": asked[(asked["mode"] == "multi_turn") & (asked["turn"] == n)] for n in range(1, 6)}
    for part, chosen in parts.items():
        means = chosen.groupby(["method", "task"])["score_strict"].mean().groupby("method").mean() * 100
        for method, mean in means.items():
            assert own.loc[method, f"{part}_score"] == pytest.approx(mean, abs=5e-5)
            assert own.loc[method, f"{part}_score_low"] <= mean <= own.loc[method, f"{part}_score_high"]


def test_a_session_with_fewer_turns_lacks_nothing(tmp_path):
    study = study_of()
    answers = answers_of(study)
    tex, csv = written(
        "table8", study, tmp_path, answers[(answers["turn"] < 5) | (answers["session"].str.endswith("1"))]
    )
    assert "Missing" not in tex and csv["missing"].isna().all()
    tex, _ = written("table8", study, tmp_path, half_absent(answers))
    assert "Missing: MiniLM, A-shape: multi-turn: all tasks; multi-request: all tasks" in tex


# Table 10


def lines_of(name, study, directory):
    csv = written(name, study, directory)[1]
    return [] if "lacks" in csv else [tuple(row) for row in csv[["model", "method"]].drop_duplicates().to_numpy()]


@pytest.mark.parametrize(
    ("models", "main", "fourth", "tenth"),
    [
        (["minilm"], [], ["minilm"], []),
        (["minilm", "minilm_l"], [], ["minilm", "minilm_l"], ["minilm_l"]),
        (["minilm", "minilm_l"], ["minilm_l"], ["minilm_l"], ["minilm"]),
        (["minilm", "minilm_l"], ["minilm_l", "minilm"], ["minilm", "minilm_l"], []),
    ],
)
def test_tables_4_and_10_lose_no_model(models, main, fourth, tenth, tmp_path):
    study = study_of(models=models, main_models=main, methods={"full": {}, "snapkv": {}}, tasks=["retr_kv"])
    found = {name: lines_of(name, study, tmp_path) for name in ("table4", "table10")}
    assert list(dict.fromkeys(model for model, _ in found["table4"])) == fourth
    assert list(dict.fromkeys(model for model, _ in found["table10"])) == tenth
    assert {*found["table4"], *found["table10"]} == {
        (line.model, line.label) for line in board_of(ARTIFACTS["table4"], study).lines
    }


def test_the_papers_study_has_the_papers_split():
    board = board_of(ARTIFACTS["table4"], read_study("studies/paper.yaml"))
    assert board.main_models == ("llama_3_1_8b", "glm_4_9b_1m", "qwen2_5_72b", "jamba", "codestral_mamba")
    assert board.other_models == ("llama_3_1_70b", "qwen2_5_32b", "llama_3_8b_262k")


def test_a_main_model_that_the_study_lacks_is_refused():
    with pytest.raises(UserError, match=r"main_models.*minilm_x"):
        study_of(main_models=["minilm_x"])


@pytest.mark.parametrize("rows", [1, 26, 27, 54, 200])
@pytest.mark.parametrize("each", [1, 2])
def test_long_tables_are_cut_between_rows(rows, each):
    groups = [{"title": title, "rows": list(range(rows))} for title in ("one", "two", "")]
    found = pages(groups, each)
    for page in found:
        assert sum(bool(piece["title"]) + each * len(piece["rows"]) for piece in page) <= 54
    for title in ("one", "two", ""):
        assert [row for page in found for piece in page if piece["title"] == title for row in piece["rows"]] == list(
            range(rows)
        )


# Table 13


def test_the_gap_is_the_difference_on_the_same_sessions(tmp_path):
    study = study_of()
    answers = answers_of(study)
    _, csv = written("table13", study, tmp_path, answers)
    own = csv[csv["profile"] == "strict"].set_index("method")
    found = source_of("table13", study, answers)
    for history, scores in found.items():
        for row in stats.per_category(scores).to_dict("records"):
            if row["method"] in own.index:
                assert own.loc[row["method"], f"{row['category']}_{history}"] == pytest.approx(row["score"], abs=5e-5)
    gap = own["average_generated"] - own["average_golden"]
    np.testing.assert_allclose(own["average_gap"], gap, atol=2e-4)
    assert (own["average_gap_low"] < own["average_gap"]).all() and (gap < 0).all()
    task = {
        history: intervals.samples(scores)["fake", "minilm", "full", "multi_turn", "retr_kv"]
        for history, scores in found.items()
    }
    alone = intervals.contrast([task["generated"], task["golden"]], [1, -1])
    assert alone.low < alone.score < alone.high


def test_equal_histories_have_no_gap(tmp_path):
    study = study_of(both_histories=True, history="generated")
    assert twin(study).name == "fake-golden"
    answers = answers_of(study).assign(score_strict=1.0)
    found = {history: answers[answers["mode"] == "multi_turn"] for history in ("golden", "generated")}
    frame = importlib.import_module("scbench.artifacts.table13").frame(found, board_of(ARTIFACTS["table13"], study))
    own = frame[frame["profile"] == "strict"]
    assert (own["average_gap"] == 0).all() and (own["average_gap_p"] == 1).all()


def test_the_twin_runs_the_papers_rows_of_the_first_model_multi_turn_alone():
    study = study_of(models=["minilm", "minilm_l"])
    other = twin(study)
    assert [model.name for model in other.models] == ["minilm"] and other.modes == ("multi_turn",)
    assert [row.label for row in other.rows(other.models[0])] == [
        "full",
        "a_shape",
        "tri_shape",
        "minference",
        "streaming_llm",
    ]
    assert (other.name, other.history, other.data) == ("fake-generated", "generated", study.data)
    assert load_study(other.resolved(), "again").resolved() == other.resolved()
    assert twin(other) is None and twin(replace(study, both_histories=False)) is None
    assert [row.label for row in history_rows(study_of(methods={"knorm": {}})).methods] == ["knorm"]
    with pytest.raises(UserError, match=r"both_histories.*multi_turn"):
        study_of(modes=["multi_request"])
    with pytest.raises(UserError, match=r"study: 'x+' is too long with both_histories.*7 characters shorter"):
        study_of(study="x" * 60)


def test_a_twin_that_needs_more_sessions_than_a_task_has_is_refused():
    config = read_yaml("studies/paper.yaml")
    _, other = make_plans(load_study(config | {"both_histories": 35}, "my.yaml"))
    assert max(unit.stop for shard in other.shards for unit in shard.units) == 35
    with pytest.raises(UserError, match=r"my\.yaml: both_histories: 36, but zh_qa has 35 sessions.*at most 35"):
        make_plans(load_study(config | {"both_histories": 36}, "my.yaml"))


def test_both_histories_are_read_apart(tmp_path):
    study = study_of(tasks=["retr_kv"])
    files = []
    for own in (study, twin(study)):
        for method, scores in answers_of(replace(own, floor=False)).groupby("method"):
            files.append(tmp_path / f"{own.name}-{method}.parquet")
            golds = [json.dumps(gold) for gold in scores["golds"]]
            scores.assign(golds=golds, score_quirks="{}").to_parquet(files[-1])
    found = read_histories(files, study)
    assert set(found) == {"golden", "generated"}
    for scores in found.values():
        assert set(scores["study"]) == {"fake"} and set(scores["mode"]) == {"multi_turn"}
    assert set(found["golden"]["method"]) - set(found["generated"]["method"]) == {"snapkv"}
    with pytest.raises(UserError, match="it is not in the study fake"):
        read_histories(files, replace(study, both_histories=False))


def test_a_twin_of_fewer_sessions_is_compared_on_these_alone(tmp_path):
    study = study_of(tasks=["retr_kv", "zh_qa"], both_histories=1)
    assert twin(study).data.sessions == 1 and twin(replace(study, both_histories=5)).data.sessions == 2
    files = []
    for own in (study, twin(study)):
        files.append(tmp_path / f"{own.name}.parquet")
        answers_of(replace(own, floor=False)).drop(columns="golds").assign(score_quirks="{}").to_parquet(files[-1])
    found = read_histories(files, study)
    assert set(found) == {"golden", "generated"}
    for scores in found.values():
        assert set(scores["session"]) == {"retr_kv-0000", "zh_qa-0000"}
    assert set(board_of(ARTIFACTS["table13"], study).sessions.values()) == {1}


# Tables 14 to 17


@pytest.mark.parametrize("name", CASES)
def test_the_question_is_the_middle_one_of_those_that_tell_the_rows_apart(name, tmp_path):
    study = study_of(data=MINI | {"sessions": 4})
    answers = answers_of(study)
    _, csv = written(name, study, tmp_path, answers)
    lines, _ = chosen_lines(board_of(ARTIFACTS[name], study), importlib.import_module(f"scbench.artifacts.{name}").CASE)
    for subtask, shown in csv.groupby("subtask"):
        assert list(shown["method"]) == [line.label for line in lines]
        asked = answers[
            (answers["task"] == shown["task"].iloc[0])
            & (answers["subtask"] == subtask)
            & (answers["mode"] == "multi_turn")
        ]
        wide = asked.pivot(index=["session", "turn"], columns="method", values="score_strict")[
            [line.label for line in lines]
        ]
        told = wide[wide.max(axis=1) > wide.min(axis=1)]
        lead = (told.iloc[:, 0] - told.iloc[:, 1:].mean(axis=1)).round(9).rename("lead").reset_index()
        middle = lead.sort_values(["lead", "session", "turn"]).iloc[(len(lead) - 1) // 2]
        assert set(shown["session"]) == {middle["session"]} and set(shown["turn"]) == {middle["turn"]}
        assert set(shown["differ"]) == {len(told)} and set(shown["turns"]) == {len(wide)}
        assert set(shown["ahead"]) == {(lead["lead"] > 0).sum()}
        scores = wide.loc[(middle["session"], middle["turn"])]
        np.testing.assert_allclose(shown["score_strict"], scores, atol=1e-4)


def test_rows_that_never_differ_show_the_first_turn(tmp_path):
    tex, csv = written("table17", study_of(), tmp_path, answers_of(study_of()).assign(score_strict=1.0))
    assert set(csv["session"]) == {"retr_kv-0000"} and set(csv["turn"]) == {1}
    assert "these rows score alike on all 10 turns, the first is shown" in " ".join(tex.split())


def test_a_row_that_the_study_lacks_is_replaced_by_one_of_its_stage_and_that_is_said(tmp_path):
    methods = {name: {} for name in ("full", "snapkv", "xattention", "quest")}
    tex, csv = written("table17", study_of(methods=methods), tmp_path)
    assert list(csv["method"]) == ["xattention", "full"]
    said = " ".join(tex.split())
    assert "A-shape is no row of MiniLM here, in its place stands XAttention" in said
    assert "Tri-shape is no row of MiniLM here, in its place stands Full attention" in said
    assert "The methods run on MiniLM, as this study lacks the model of the paper's table" in said


def test_every_model_stands_above_the_methods_of_the_first(tmp_path):
    tex, csv = written("table14", study_of(models=["minilm", "minilm_l"]), tmp_path)
    assert list(zip(csv["model"], csv["method"], strict=True))[:3] == [
        ("minilm", "full"),
        ("minilm_l", "full"),
        ("minilm", "a_shape"),
    ]
    assert "Full attention, " in tex


def test_an_answer_that_is_missing_is_a_dash(tmp_path):
    study = study_of()
    tex, csv = written("table14", study, tmp_path, half_absent(answers_of(study)))
    row = csv[csv["method"] == "a_shape"].iloc[0]
    assert row[["prediction", "marked", "score_strict"]].isna().all()
    assert next(line for line in tex.splitlines() if line.startswith("A-shape")).count("--") == 2
