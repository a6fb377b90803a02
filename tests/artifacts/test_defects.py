import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats as reference

from scbench.artifacts import defects
from scbench.artifacts.asked import Asked, read_asked
from scbench.artifacts.board import read_board
from scbench.artifacts.stamp import make_stamp
from scbench.errors import UserError
from scbench.quirks import OF_METRICS, OF_PROMPTS, SPECIAL_TOKENS
from scbench.study import load_study, quirk_twins
from scbench.tasks import TASKS
from tests.artifacts.conftest import study_config
from tests.artifacts.tex_check import check_table, compile_table


def framed(source, board):
    return defects.frame(source if isinstance(source, Asked) else Asked(source), board)


def with_quirk(scores, name, task, value, where=None):
    """`scores` in which the quirk makes every answer of `task` (of those `where`) worth `value`."""
    own = scores["task"] == task if where is None else (scores["task"] == task) & where(scores)
    own &= scores["score_strict"] != value
    return scores.assign(score_quirks=scores["score_quirks"].mask(own, json.dumps({name: value})))


def written(source, board, directory):
    frame = framed(source, board)
    tex, twin = defects.write(frame, board, make_stamp("defects", board, "0" * 64), directory / "defects")
    assert len(pd.read_csv(twin)) == len(frame)
    return frame, tex.read_text()


@pytest.fixture(scope="module")
def plain(scores, board):
    """The frame of scores in which no quirk of a metric changes anything."""
    return framed(scores, board)


def row(frame, quirk, task, mode="multi_turn", method=""):
    own = frame[(frame["quirk"] == quirk) & (frame["task"] == task) & (frame["mode"] == mode)]
    (found,) = own[own["method"] == method].to_dict("records")
    return found


def test_a_change_is_the_mean_of_the_sessions_differences_with_students_interval(scores, board, tmp_path):
    frame, tex = written(with_quirk(scores, "characters", "zh_qa", 1.0), board, tmp_path)
    own = scores[(scores["task"] == "zh_qa") & (scores["mode"] == "multi_turn")]
    for method in ("snapkv", ""):
        kept = own[own["method"] == method] if method else own[own["method"] != "no_context"]
        moved = 100 * (1 - kept.groupby("session")["score_strict"].mean())
        expected = reference.ttest_1samp(moved, 0).confidence_interval()
        found = row(frame, "characters", "zh_qa", method=method)
        assert found["strict"] == pytest.approx(100 * kept["score_strict"].mean())
        assert found["change"] == pytest.approx(moved.mean()) and found["with_quirk"] == pytest.approx(100)
        assert found["low"] == pytest.approx(expected.low)
        assert found["high"] == pytest.approx(min(expected.high, 100))
        assert (found["turns"], found["changed_turns"]) == (len(kept), (kept["score_strict"] < 1).sum())
    change = row(frame, "characters", "zh_qa")["change"]
    assert f"${change:+.1f}$" in tex and "Nothing changes on ICL.ManyShot" in tex


def test_a_quirk_that_changes_nothing_is_said_to_and_has_no_interval(scores, board, tmp_path):
    frame, tex = written(scores, board, tmp_path)
    found = row(frame, "choice_parser", "en_multichoice")
    assert (found["change"], found["changed_turns"]) == (0, 0) and math.isnan(found["low"])
    check_table(tex)
    assert "intervals of the csv): B3, " in tex
    assert "this study does not ask anew (prompt\\_quirks): B4, Every follow-up" in tex
    assert "nothing switches them on alone (B15: prompts: compat has it; B16: no profile): B15, Contexts" in tex


def test_every_quirk_has_rows_for_the_tasks_that_it_can_touch(plain):
    touched = plain[plain["how"] != ""].groupby("quirk")["task"].agg(set)
    assert touched["characters"] == {"zh_qa", "icl_manyshot"}
    assert touched["first_digits"] == {"mix_sum_niah"} and touched["field_names"] == {"retr_kv", "mix_repoqa_kv"}
    assert set(touched.index) == {q.name for q in (*OF_METRICS, SPECIAL_TOKENS)} | {
        "absent_as_zero",
        "turn_cap",
        "compat",
    }


def test_the_profile_compat_is_all_of_them(scores, plain):
    own = scores[(scores["task"] == "retr_kv") & (scores["mode"] == "multi_turn") & (scores["method"] != "no_context")]
    found = row(plain, "compat", "retr_kv")["with_quirk"]
    assert found == pytest.approx(100 * own["score_compat"].mean())


def test_absent_parts_as_zeros_are_by_hand_and_multi_turn_alone(scores, plain):
    """Summaries at turns 1, 3, 5 and needles at 2, 4 of five: their means count 3/5 and 2/5."""
    own = scores[(scores["task"] == "mix_sum_niah") & (scores["method"] == "kivi") & (scores["mode"] == "multi_turn")]
    means = own.groupby("subtask")["score_strict"].mean()
    expected = 50 * (means["en_sum"] * 3 / 5 + means["needle"] * 2 / 5)
    assert row(plain, "absent_as_zero", "mix_sum_niah", method="kivi")["with_quirk"] == pytest.approx(expected)
    assert row(plain, "absent_as_zero", "mix_sum_niah", "multi_request")["changed_turns"] == 0


def test_turns_behind_the_fifth_are_lost_where_the_first_session_has_them(scores, make_board):
    board = make_board(tasks=["math_find"])
    scores = scores[scores["task"] == "math_find"]
    sixth = scores[(scores["task"] == "math_find") & (scores["turn"] == 5)].assign(turn=6, score_strict=0.0)
    frame = framed(pd.concat([scores, sixth]), board)
    found = row(frame, "turn_cap", "math_find", method="full")
    own = scores[(scores["task"] == "math_find") & (scores["method"] == "full") & (scores["mode"] == "multi_turn")]
    assert found["with_quirk"] == pytest.approx(100 * own["score_strict"].mean())
    assert found["strict"] == pytest.approx(100 * own["score_strict"].mean() * 5 / 6)
    assert found["changed_turns"] == 6
    later = sixth[sixth["session"] != sixth["session"].min()]
    assert row(framed(pd.concat([scores, later]), board), "turn_cap", "math_find")["changed_turns"] == 0


def test_what_is_missing_is_named_and_never_counted_as_zero(scores, make_board, tmp_path):
    board = make_board(tasks=["zh_qa"])
    scores = scores[scores["task"] == "zh_qa"]
    kept = scores[(scores["method"] != "kivi") | (scores["task"] != "zh_qa")]
    frame, tex = written(with_quirk(kept, "characters", "zh_qa", 1.0), board, tmp_path)
    others = kept[(kept["task"] == "zh_qa") & (kept["mode"] == "multi_turn") & (kept["method"] != "no_context")]
    assert row(frame, "characters", "zh_qa")["strict"] == pytest.approx(100 * others["score_strict"].mean())
    assert "Missing or incomplete: Zh.QA of KIVI." in tex
    kept = kept[(kept["task"] != "zh_qa") | (kept["mode"] != "multi_turn")]
    frame, tex = written(with_quirk(kept, "characters", "zh_qa", 1.0), board, tmp_path)
    assert np.isnan(row(frame, "characters", "zh_qa")["strict"])
    assert "Zh.QA & -- & -- & -- & " in tex and "Missing or incomplete: Zh.QA (multi-turn) of Full attention, " in tex


def test_methods_without_a_session_in_common_have_no_average(scores, make_board, tmp_path):
    board = make_board(tasks=["zh_qa"], methods={"full": {}, "snapkv": {}}, floor=False)
    own = scores[scores["task"] == "zh_qa"]
    first = own["session"] == own["session"].min()
    kept = own[((own["method"] == "full") & first) | ((own["method"] == "snapkv") & ~first)]
    frame, tex = written(with_quirk(kept, "characters", "zh_qa", 1.0), board, tmp_path)
    assert np.isnan(row(frame, "characters", "zh_qa")["strict"]) and "nan" not in tex
    assert "no score of this study changes" not in tex, "nothing was measured"
    assert "Missing or incomplete: Zh.QA of Full attention, SnapKV." in tex


def test_what_is_missing_names_the_model_where_there_are_several(make_board, make_scores, tmp_path):
    board = make_board(models=["minilm", "minilm_l"], tasks=["zh_qa"], methods={"full": {}}, floor=False)
    scores = make_scores(board)
    frame, tex = written(scores[scores["model"] != "minilm_l"], board, tmp_path)
    (title,) = {line.model_title for line in board.lines if line.model == "minilm_l"}
    assert set(frame["missing"].dropna()) == {f"Full attention on {title}"}
    assert f"Zh.QA of Full attention on {title}" in tex


@pytest.mark.parametrize(
    "changes",
    [
        {"methods": {"full": {}}, "floor": False},
        {"methods": {"full": {}, "snapkv": {}}, "data": {"scale": "mini", "tokens": 1024, "sessions": 1}},
        {"tasks": ["en_sum"], "modes": ["multi_request"]},
        {"methods": {"full": {}}, "tasks": ["zh_qa"], "scoring": "compat"},
    ],
    ids=["one method", "one session", "one task and mode", "compat study"],
)
def test_small_studies_have_a_sound_table(changes, make_board, make_scores, tmp_path):
    board = make_board(**changes)
    _, tex = written(with_quirk(make_scores(board), "characters", "zh_qa", 1.0), board, tmp_path)
    check_table(tex)
    assert set(TASKS) == set(board.sessions) or "Not part of this study: " in tex


def test_scores_that_are_all_equal_have_a_sound_table(scores, make_board, tmp_path):
    board = make_board(tasks=["zh_qa"])
    scores = scores[scores["task"] == "zh_qa"]
    frame, tex = written(with_quirk(scores.assign(score_strict=0.5), "characters", "zh_qa", 1.0), board, tmp_path)
    check_table(tex)
    assert row(frame, "characters", "zh_qa")["change"] == pytest.approx(50)


def test_it_compiles(scores, board, tmp_path):
    _, tex = written(with_quirk(scores, "special_tokens", "en_sum", 0.5), board, tmp_path)
    check_table(tex)
    assert "Overfull" not in compile_table(tex, tmp_path)


ANEW = {"tasks": ["retr_kv", "math_find"], "prompt_quirks": 4}


@pytest.fixture
def asked(make_scores, tmp_path):
    """A study that asks anew, and its score files; without the first session's turns, every other answer is wrong."""
    study = load_study(study_config(**ANEW), "study.json")
    files = {}
    for own in (study, *quirk_twins(study)):
        scores = make_scores(read_board(own))
        if own is not study:
            wrong = (scores["turn"] % 2 == 1) & ~scores["session"].str.endswith("-0000")
            scores = scores.assign(score_strict=scores["score_strict"].mask(wrong, 0.0))
        for method, part in scores.groupby("method"):
            files[own.name, method] = tmp_path / f"{own.name}-{method}.parquet"
            part.to_parquet(files[own.name, method])
    return study, files


def test_asking_anew_is_compared_on_the_same_sessions_and_cells(asked, tmp_path):
    study, files = asked
    source = read_asked(files.values(), study)
    frame, tex = written(source, read_board(study), tmp_path)
    own = frame[(frame["how"] == "asked anew") & (frame["method"] == "")]
    assert set(zip(own["quirk"], own["task"], own["mode"], strict=True)) == {
        ("last_target", "math_find", "multi_turn"),
        ("first_question", "math_find", "multi_request"),
        *(("two_begins", task, mode) for task in ANEW["tasks"] for mode in ("multi_turn", "multi_request")),
    }
    assert (own["sessions"] == 4).all() and (own["turns"] == 20).all()
    (anew,) = [found for found in source.anew if found.quirk.name == "last_target"]
    before = source.scores[(source.scores["method"] == "full") & (source.scores["task"] == "math_find")]
    both = before.merge(anew.scores, on=["mode", "session", "turn"], suffixes=("", "_anew"))
    found = row(frame, "last_target", "math_find")
    assert found["strict"] == pytest.approx(100 * both["score_strict"].mean())
    assert found["with_quirk"] == pytest.approx(100 * both["score_strict_anew"].mean())
    assert found["changed_turns"] == (both["score_strict"] != both["score_strict_anew"]).sum() > 0
    check_table(tex)
    assert "B4, B5, B14: answers of full attention alone, asked anew with the quirk on 4 sessions a task" in tex
    assert "tasks and modes that they touch: B11, Golden" in tex and "does not ask anew" not in tex
    assert set(own["quirk"]) <= {quirk.name for quirk in OF_PROMPTS}


def test_what_was_not_asked_anew_yet_is_named(asked, tmp_path):
    study, files = asked
    own = {name: path for name, path in files.items() if name[0] != "fake-prompts-2"}
    half = pd.read_parquet(own["fake-prompts-1", "full"])
    half[half["session"].str.endswith("-0001")].to_parquet(own["fake-prompts-1", "full"])
    frame, tex = written(read_asked(own.values(), study), read_board(study), tmp_path)
    assert row(frame, "last_target", "math_find")["sessions"] == 1
    assert np.isnan(row(frame, "two_begins", "retr_kv")["strict"])
    assert "Missing or incomplete: Math.Find (multi-turn) of Full attention asked anew (B4)." in tex
    assert "Full attention asked anew (B14)." in tex and "B14, A prompt begins" not in tex


def test_scores_of_another_study_are_refused(asked):
    _, files = asked
    with pytest.raises(UserError, match=r"study fake-prompts-1, .*it is not in the study fake;"):
        read_asked(files.values(), load_study(study_config(**(ANEW | {"prompt_quirks": False})), "study.json"))
