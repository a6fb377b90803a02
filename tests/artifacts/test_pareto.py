import numpy as np
import pandas as pd
import pytest

from scbench import stats
from scbench.artifacts import pareto
from scbench.artifacts.stamp import make_stamp


def written(scores, board, directory):
    frame = pareto.frame(scores, board)
    paths = pareto.write(frame, board, make_stamp("pareto", board, "0" * 64), directory / "pareto")
    assert [path.suffix for path in paths] == [".pdf", ".png", ".csv"] and all(path.stat().st_size for path in paths)
    return frame[frame["profile"] == board.profile].set_index(["method", "mode"])


def test_scores_are_the_averages_of_table_4(scores, board, tmp_path):
    found = written(scores, board, tmp_path)
    for row in stats.average(scores).to_dict("records"):
        if row["method"] != "no_context":
            assert found.loc[(row["method"], row["mode"]), "score"] == pytest.approx(row["score"])
    assert "no_context" not in found.index.get_level_values("method")


def test_costs_are_shares_of_full_attention_on_the_same_turns(scores, board, tmp_path):
    found = written(scores, board, tmp_path)
    assert found.loc[("full", "multi_turn"), ["resident", "read"]].tolist() == [1, 1]
    assert found.loc[("snapkv", "multi_turn"), ["resident", "read"]].tolist() == pytest.approx([0.125, 0.15])


def test_bytes_read_do_not_depend_on_how_long_a_method_talks(scores, board, tmp_path):
    talks = scores["method"] == "snapkv"
    longer = scores.assign(
        bytes_read=scores["bytes_read"].where(~talks, scores["bytes_read"] * 3),
        new_tokens=scores["new_tokens"].where(~talks, scores["new_tokens"] * 3),
    )
    assert written(longer, board, tmp_path).loc[("snapkv", "multi_turn"), "read"] == pytest.approx(0.15)


def test_a_method_that_lacks_a_task_has_no_score_and_is_named(scores, board, tmp_path):
    gone = (scores["method"] == "kivi") & (scores["task"] == "en_qa")
    found = written(scores[~gone], board, tmp_path)
    assert np.isnan(found.loc[("kivi", "multi_turn"), "score"])
    assert found.loc[("kivi", "multi_turn"), "missing"] == "En.QA"


def test_the_frontier_is_what_nothing_beats():
    points = pd.DataFrame({"cost": [0.1, 0.2, 0.2, 0.5, 1.0], "score": [30, 50, 60, 55, 90]}, index=list("abcde"))
    assert list(pareto.frontier(points, "cost").index) == ["a", "c", "e"]
    assert pareto.frontier(points.assign(score=np.nan), "cost").empty


@pytest.mark.parametrize(
    "changes",
    [
        {"methods": {"snapkv": {}}},
        {"modes": ["multi_request"], "tasks": ["retr_kv", "mix_sum_niah"]},
        {"data": {"scale": "mini", "tokens": 1024, "sessions": 1}},
        {"models": ["minilm", "minilm_l"]},
    ],
    ids=["no full attention", "one mode", "one session", "two models"],
)
def test_small_studies_have_their_figure(changes, make_board, make_scores, tmp_path):
    board = make_board(**changes)
    found = written(make_scores(board), board, tmp_path)
    assert found["score"].notna().all()
    assert found["resident"].isna().all() == ("full" not in [line.label for line in board.lines])
