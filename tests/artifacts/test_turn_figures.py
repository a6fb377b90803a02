"""Figures 9 and 10: panels turn by turn."""

import numpy as np
import pandas as pd
import pytest

from scbench.artifacts import figure9, figure10
from scbench.artifacts.stamp import make_stamp


def written(module, scores, board, directory):
    name = module.__name__.rpartition(".")[2]
    paths = module.write(module.frame(scores, board), board, make_stamp(name, board, "0" * 64), directory / name)
    assert [path.suffix for path in paths] == [".pdf", ".png", ".csv"]
    assert paths[0].read_bytes().startswith(b"%PDF") and b"/Type3" not in paths[0].read_bytes()
    return pd.read_csv(paths[2], keep_default_na=False, na_values=[""])


def test_a_point_is_the_mean_of_its_category_at_its_turn(scores, board):
    frame = figure9.frame(scores, board).query("profile == 'strict'").set_index(["panel", "method", "turn"])
    own = scores[(scores["method"] == "snapkv") & (scores["mode"] == "multi_turn") & (scores["turn"] == 2)]
    expected = own[own["task"].isin(["en_sum", "icl_manyshot", "math_find"])].groupby("task")["score_strict"].mean()
    point = frame.loc[("global", "snapkv", 2)]
    assert point["score"] == pytest.approx(100 * expected.mean())
    assert point["low"] < point["score"] < point["high"] and point["n"] == 3 * 6


def test_a_turn_of_a_mixed_task_is_of_what_it_asks(scores, board):
    frame = figure10.frame(scores, board).query("profile == 'strict'").set_index(["method", "turn"])
    own = scores[scores["task"].isin(["mix_sum_niah", "mix_repoqa_kv"]) & (scores["mode"] == "multi_turn")]
    own = own[(own["method"] == "full") & (own["turn"] == 2)]
    assert frame.loc[("full", 2), "score"] == pytest.approx(100 * own.groupby("task")["score_strict"].mean().mean())


def test_the_same_scores_give_the_same_bytes(scores, board, tmp_path):
    (tmp_path / "again").mkdir()
    written(figure10, scores, board, tmp_path)
    written(figure10, scores.sample(frac=1, random_state=1), board, tmp_path / "again")
    for path in tmp_path.glob("figure*"):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_a_missing_cell_breaks_its_line(scores, board, tmp_path):
    gone = (scores["method"] == "snapkv") & (scores["task"] == "zh_qa") & (scores["turn"] > 3)
    twin = written(figure9, scores[~gone], board, tmp_path)
    own = twin[(twin["method"] == "snapkv") & (twin["panel"] == "semantic") & (twin["profile"] == "strict")]
    assert own.sort_values("turn")["score"].isna().tolist() == [False, False, False, True, True]


@pytest.mark.parametrize(
    "changes",
    [
        {"tasks": ["retr_kv"]},
        {"modes": ["multi_request"]},
        {"methods": {"full": {}}, "floor": False},
        {"data": {"scale": "mini", "tokens": 1024, "sessions": 1}},
        {"models": ["minilm", "minilm_l"]},
    ],
    ids=["one task", "no turns", "one method", "one session", "two models"],
)
def test_small_studies_have_their_figures(changes, make_board, make_scores, tmp_path):
    board = make_board(**changes)
    written(figure9, make_scores(board), board, tmp_path)


def test_one_turn_and_equal_scores_are_drawn(scores, board, tmp_path):
    flat = scores[scores["turn"] == 1].assign(score_strict=1.0)
    twin = written(figure9, flat, board, tmp_path)
    shown = twin[twin["profile"] == "strict"]
    assert set(shown["score"]) == {100} and (shown["low"] < 100).all() and not np.isnan(shown["low"]).any()
