"""Aggregation on numbers made by hand, and the laws that hold for any scores."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scbench import stats
from scbench.errors import UserError
from scbench.stats import Bootstrap
from scbench.tasks import TASKS

COLUMNS = [*stats.RUN, "task", "subtask", "session", "turn", "score_strict", "score_compat"]


def rows(task, scores, mode="multi_turn", method="full", subtask=None):
    """One row for each score; scores: {session: [score of turn 1, of turn 2, ...]}, None for a turn that is absent."""
    return [
        ("mini", "minilm", method, mode, task, subtask or task, session, turn, score, score / 2)
        for session, turns in scores.items()
        for turn, score in enumerate(turns, start=1)
        if score is not None
    ]


def frame(*groups):
    return pd.DataFrame([row for group in groups for row in group], columns=COLUMNS)


def everything(value=lambda task: 0.5, **options):
    """Two sessions of every task, every sub-metric asked once in each."""
    return [
        row
        for name, task in TASKS.items()
        for turn, subtask in enumerate(task.subtasks, start=1)
        for row in rows(name, {"s0": [None] * (turn - 1) + [value(name)]}, subtask=subtask, **options)
    ]


def score(tidy, **where):
    for column, value in where.items():
        tidy = tidy[tidy[column] == value]
    (found,) = tidy["score"]
    return found


UNEVEN = {"s0": [1.0, 0.0], "s1": [0.0], "s2": [0.0]}


def test_a_turn_is_the_mean_of_the_sessions_that_have_it():
    means = stats.turn_means(frame(rows("retr_kv", UNEVEN)))
    assert means.score[0].tolist() == pytest.approx([100 / 3, 0])
    assert means.sessions[0].tolist() == [3, 1]


def test_a_multi_turn_task_is_the_mean_of_its_turns_and_a_multi_request_task_pools_them():
    scores = frame(rows("retr_kv", UNEVEN), rows("retr_kv", UNEVEN, mode="multi_request"))
    tasks = stats.per_task(scores)
    assert score(tasks, task="retr_kv", mode="multi_turn") == pytest.approx((100 / 3 + 0) / 2)
    assert score(tasks, task="retr_kv", mode="multi_request") == pytest.approx(25)


@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
def test_a_mixed_task_is_the_mean_of_its_sub_metrics_however_often_each_is_asked(mode):
    summaries = rows("mix_sum_niah", {"s0": [0.4, None, 0.4, None, 0.4]}, subtask="en_sum", mode=mode)
    needles = rows("mix_sum_niah", {"s0": [None, 1.0, None, 1.0]}, subtask="needle", mode=mode)
    assert score(stats.per_task(frame(summaries, needles)), task="mix_sum_niah") == pytest.approx(70)


def test_categories_weigh_tasks_alike_and_the_average_weighs_categories_alike():
    value = {"string": 1.0, "semantic": 0.5, "global": 0.25, "multi": 0.05}
    scores = frame(everything(lambda task: value[TASKS[task].category]))
    categories = stats.per_category(scores).set_index("category")["score"]
    assert categories.to_dict() == pytest.approx({name: 100 * share for name, share in value.items()})
    assert score(stats.average(scores)) == pytest.approx(45)


def test_the_published_average_follows_from_the_published_categories():
    for parts, whole in (((57.1, 36.9, 35.1, 65.7), 48.7), ((29.5, 36.4, 43.6, 39.2), 37.2)):
        value = dict(zip(stats.CATEGORIES, (part / 100 for part in parts), strict=True))
        scores = frame(everything(lambda task, value=value: value[TASKS[task].category]))
        assert score(stats.average(scores)) == pytest.approx(whole, abs=0.051)


def test_the_profile_chooses_the_column():
    scores = frame(everything())
    assert score(stats.average(scores, "strict")) == 2 * score(stats.average(scores, "compat")) == 50


def test_every_category_has_the_papers_tasks():
    assert {name: len(tasks) for name, tasks in stats.CATEGORIES.items()} == {
        "string": 3,
        "semantic": 4,
        "global": 3,
        "multi": 2,
    }


def test_what_is_missing_is_nan_and_named_at_every_level():
    scores = frame(everything())
    scores = scores[(scores["task"] != "en_qa") & (scores["subtask"] != "needle")]
    tasks = stats.per_task(scores).set_index("task")
    assert len(tasks) == 12
    assert math.isnan(tasks["score"]["en_qa"]) and tasks["missing"]["en_qa"] == ("en_qa",)
    assert math.isnan(tasks["score"]["mix_sum_niah"]) and tasks["missing"]["mix_sum_niah"] == ("needle",)
    categories = stats.per_category(scores).set_index("category")
    assert categories["missing"].to_dict() == {
        "string": (),
        "semantic": ("en_qa",),
        "global": (),
        "multi": ("mix_sum_niah",),
    }
    assert categories["score"].isna().tolist() == [False, True, False, True]
    average = stats.average(scores)
    assert math.isnan(score(average)) and average["missing"][0] == ("en_qa", "mix_sum_niah")


def test_a_score_of_nan_is_absent_and_not_zero():
    scores = frame(rows("retr_kv", {"s0": [1.0], "s1": [float("nan")]}))
    assert score(stats.per_task(scores), task="retr_kv") == 100
    assert stats.turn_means(scores).sessions[0].tolist() == [1]


def test_a_turn_without_a_name_is_refused_and_not_lost():
    scores = frame(rows("retr_kv", UNEVEN), rows("retr_kv", {None: [1.0]}))
    with pytest.raises(UserError, match="without a session"):
        stats.per_task(scores)


def test_runs_are_kept_apart():
    scores = frame(everything(lambda task: 1.0), everything(lambda task: 0.0, method="snapkv"))
    averages = stats.average(scores)
    assert score(averages, method="full") == 100 and score(averages, method="snapkv") == 0


def test_floors_flag_tasks_that_do_not_need_their_context():
    scores = frame(
        rows("retr_kv", {"s0": [0.9]}),
        rows("retr_kv", {"s0": [0.1]}, method="no_context"),
        rows("icl_manyshot", {"s0": [0.5]}),
        rows("icl_manyshot", {"s0": [0.3]}, method="no_context"),
        rows("en_qa", {"s0": [0.9]}),
        rows("retr_kv", {"s0": [0.0]}, method="snapkv"),
    )
    floors = stats.floors(scores).set_index("task")
    assert floors.loc["retr_kv", ["full", "no_context", "difference"]].tolist() == pytest.approx([90, 10, 80])
    assert floors["difference"]["icl_manyshot"] == pytest.approx(20)
    assert math.isnan(floors["difference"]["en_qa"])
    assert floors["flagged"].dropna().to_dict() == {"retr_kv": False, "icl_manyshot": True}
    assert len(floors) == len(TASKS)


def per_turn(scores, profile="strict", bootstrap=None):
    return stats.summarise(stats.turn_means(scores, profile, bootstrap).score, bootstrap)


LEVELS = [per_turn, stats.per_task, stats.per_category, stats.average]


@st.composite
def studies(draw):
    """Some tasks of one or two methods in both modes, with sessions of different lengths."""
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    tasks = draw(st.lists(st.sampled_from(list(TASKS)), min_size=1, max_size=12, unique=True))
    groups = []
    for task in tasks:
        for method in ("full", "snapkv")[: draw(st.integers(1, 2))]:
            for mode in ("multi_turn", "multi_request"):
                for number in range(3):
                    for turn in range(rng.integers(1, 4)):
                        subtask = TASKS[task].subtasks[turn % len(TASKS[task].subtasks)]
                        values = [None] * turn + [float(rng.choice([0, 1 / 3, 1]))]
                        groups.append(rows(task, {f"s{number}": values}, mode, method, subtask))
    return frame(*groups)


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=10, deadline=None)
@given(scores=studies(), seed=st.integers(0, 99))
def test_the_order_of_rows_does_not_matter(level, scores, seed):
    bootstrap = Bootstrap(draws=20)
    shuffled = scores.sample(frac=1, random_state=seed, ignore_index=True)
    pd.testing.assert_frame_equal(level(scores, "strict", bootstrap), level(shuffled, "strict", bootstrap))


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=10, deadline=None)
@given(scores=studies())
def test_scores_and_intervals_stay_between_zero_and_a_hundred(level, scores):
    found = level(scores, "strict", Bootstrap(draws=20))[["score", "low", "high"]].dropna().to_numpy()
    assert ((found >= 0) & (found <= 100 + 1e-9)).all()


@settings(max_examples=15, deadline=None)
@given(scores=studies(), data=st.data())
def test_a_task_taken_away_leaves_the_others_as_they_are_and_never_becomes_zero(scores, data):
    gone = data.draw(st.sampled_from(sorted(scores["task"].unique())))
    left = scores[scores["task"] != gone]
    if left.empty:
        return
    keys = [*stats.RUN, "task"]
    bootstrap = Bootstrap(draws=10)
    before = stats.per_task(scores, "strict", bootstrap).set_index(keys).sort_index()
    after = stats.per_task(left, "strict", bootstrap).set_index(keys).sort_index()
    absent = after.index.get_level_values("task") == gone
    assert after["score"][absent].isna().all()
    pd.testing.assert_frame_equal(after[~absent], before.loc[after.index[~absent]])
    categories = stats.per_category(left)
    assert categories.loc[categories["category"] == TASKS[gone].category, "score"].isna().all()


@settings(max_examples=10, deadline=None)
@given(scores=studies(), factor=st.floats(0, 1))
def test_every_level_is_linear_in_the_scores(scores, factor):
    scaled = scores.assign(score_strict=scores["score_strict"] * factor)
    for level in LEVELS:
        np.testing.assert_allclose(level(scaled)["score"], level(scores)["score"] * factor, atol=1e-9)


@settings(max_examples=10, deadline=None)
@given(scores=studies())
def test_means_of_turns_agree_with_a_plain_loop(scores):
    for row in per_turn(scores).to_dict("records"):
        own = scores[np.logical_and.reduce([scores[k] == row[k] for k in [*stats.RUN, "task", "subtask", "turn"]])]
        assert row["score"] == pytest.approx(100 * math.fsum(own["score_strict"]) / len(own))


def coin(sessions, share, **options):
    return rows("retr_kv", {f"s{n:03d}": [float(n < share * sessions)] for n in range(sessions)}, **options)


def test_an_interval_has_the_width_that_theory_gives():
    (row,) = per_turn(frame(coin(100, 0.3)), "strict", Bootstrap(draws=4000)).to_dict("records")
    half = 1.96 * math.sqrt(0.3 * 0.7 / 100) * 100
    assert row["low"] == pytest.approx(30 - half, abs=1.5) and row["high"] == pytest.approx(30 + half, abs=1.5)


def test_sessions_are_drawn_whole():
    """Turns that always agree within a session carry no more information than one of them."""
    one = frame(rows("retr_kv", {f"s{n:02d}": [float(n % 2)] for n in range(20)}))
    five = frame(rows("retr_kv", {f"s{n:02d}": [float(n % 2)] * 5 for n in range(20)}))
    columns = ["score", "low", "high"]
    narrow = stats.per_task(five, "strict", Bootstrap())[columns].dropna().to_numpy()
    wide = stats.per_task(one, "strict", Bootstrap())[columns].dropna().to_numpy()
    np.testing.assert_allclose(narrow, wide)


def test_draws_of_two_methods_are_paired():
    scores = frame(coin(40, 0.5), coin(40, 0.5, method="snapkv"))
    means = stats.turn_means(scores, "strict", Bootstrap(draws=50)).score
    assert means.iloc[0].tolist() == means.iloc[1].tolist() and means.iloc[0].nunique() > 5


def test_draws_of_two_tasks_are_independent():
    scores = frame(coin(40, 0.5), [(*row[:4], "en_qa", "en_qa", *row[6:]) for row in coin(40, 0.5)])
    means = stats.turn_means(scores, "strict", Bootstrap(draws=50)).score
    assert means.iloc[0].tolist() != means.iloc[1].tolist()


def test_a_wider_level_gives_a_wider_interval_and_a_seed_the_same_one():
    scores = frame(coin(30, 0.4))
    narrow, wide = (per_turn(scores, "strict", Bootstrap(level=level)).to_dict("records")[0] for level in (0.5, 0.99))
    assert wide["low"] < narrow["low"] < narrow["score"] < narrow["high"] < wide["high"]
    again = per_turn(scores, "strict", Bootstrap(level=0.5)).to_dict("records")[0]
    assert again == narrow
    assert stats.turn_means(scores, "strict", Bootstrap(seed=1)).score.iloc[0, 1:].tolist() != (
        stats.turn_means(scores, "strict", Bootstrap(seed=0)).score.iloc[0, 1:].tolist()
    )


def test_one_session_has_an_interval_of_no_width():
    (row,) = per_turn(frame(rows("retr_kv", {"s0": [0.25]})), "strict", Bootstrap()).to_dict("records")
    assert row["low"] == row["score"] == row["high"] == 25


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda scores: scores.drop(columns="score_strict"), "no column score_strict; .*profiles they have: compat"),
        (lambda scores: scores.drop(columns=["session", "turn"]), "no column turn, session"),
        (lambda scores: scores.assign(task="retr_hash"), "task 'retr_hash' .*use one of retr_kv, "),
        (lambda scores: scores.assign(subtask="needle"), "task 'retr_kv' with sub-task 'needle' .*use one of retr_kv$"),
        (lambda scores: pd.concat([scores, scores]), "turn 1 of session 's0' is scored twice for full on minilm"),
        (lambda scores: scores.iloc[:0], "not one scored turn"),
    ],
    ids=["profile", "columns", "task", "sub-task", "twice", "empty"],
)
def test_bad_scores_are_named(change, message):
    scores = frame(rows("retr_kv", {"s0": [1.0]}))
    with pytest.raises(UserError, match=message):
        stats.average(change(scores))
