import csv
from collections import defaultdict

import pandas as pd
import pytest

from scbench.artifacts import published
from scbench.artifacts.stamp import make_stamp
from scbench.artifacts.table4 import HEADS
from tests.artifacts.tex_check import check_table, compile_table

PAPERS = {"models": ["llama_3_1_8b"], "methods": {"full": {}, "snapkv": {"budget": "1/32"}, "quest": {"budget": "1/8"}}}


def written(scores, board, directory):
    frame = published.frame(scores, board)
    tex, twin = published.write(frame, board, make_stamp("published", board, "0" * 64), directory / "published")
    return tex.read_text(), pd.read_csv(twin, dtype={"budget": str})


def values():
    with open(published.VALUES, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_published_value_has_its_citation_and_stands_once():
    seen = set()
    for row in values():
        assert "arXiv" in row["citation"] and 0 <= float(row["score"]) <= 100 and row["column"] in HEADS
        cell = tuple(row[name] for name in ("source", "model", "method", "budget", "mode", "column"))
        assert cell not in seen
        seen.add(cell)


def test_rocketkvs_averages_follow_from_its_categories_by_its_own_rule():
    """(3 RS + 4 Sem + 3 Global + 2 Multi) / 11, which a wrong digit would not obey."""
    rows = defaultdict(dict)
    for row in values():
        if row["source"] == "rocketkv":
            rows[row["method"], row["budget"]][row["column"]] = float(row["score"])
    assert len(rows) == 26
    for key, row in rows.items():
        expected = (3 * row["string"] + 4 * row["semantic"] + 3 * row["global"] + 2 * row["multi"]) / 11
        assert row["average"] == pytest.approx(expected, abs=0.11), key


def test_ours_stands_beside_theirs_with_the_difference_in_widths(make_board, make_scores, tmp_path):
    board = make_board(**PAPERS)
    tex, twin = written(make_scores(board), board, tmp_path)
    check_table(tex)
    own = twin[(twin["profile"] == "strict") & (twin["source"] == "paper") & (twin["mode"] == "multi_turn")]
    row = own.set_index("method").loc["snapkv"]
    assert row["same"] and row["string"] == 6.1
    width = row["string_high"] - row["string_low"]
    assert row["string_apart"] == pytest.approx((row["string_ours"] - 6.1) / width, abs=1e-3)
    assert f"${row['string_apart']:+.1f}$" in tex
    assert pd.isna(row["semantic"]) and pd.isna(row["semantic_apart"]) and not pd.isna(row["semantic_ours"])


def test_another_budget_of_the_same_model_is_not_set_beside(make_board, make_scores, tmp_path):
    board = make_board(**PAPERS)
    _, twin = written(make_scores(board), board, tmp_path)
    assert twin.loc[twin["method"] == "quest", "string_ours"].isna().all()


def test_another_model_is_shown_and_never_compared(scores, board, tmp_path):
    tex, twin = written(scores, board, tmp_path)
    check_table(tex)
    assert twin[[f"{name}_apart" for name in HEADS]].isna().all(axis=None)
    assert not twin["same"].any() and "it is not compared" in tex and "apart" not in tex
    assert twin["string_ours"].notna().any() and r"\textit{" in tex


def test_a_study_without_their_methods_has_their_numbers_alone(make_board, make_scores, tmp_path):
    board = make_board(methods={"a_shape": {}}, floor=False, tasks=["retr_kv"], modes=["multi_turn"])
    tex, twin = written(make_scores(board), board, tmp_path)
    check_table(tex)
    assert "57.1" in tex and "DuoAttention" not in tex and "DuoAttention" in set(twin["title"])
    assert twin["string_ours"].isna().all()


def test_it_compiles(scores, board, tmp_path):
    assert "Overfull" not in compile_table(written(scores, board, tmp_path)[0], tmp_path)
