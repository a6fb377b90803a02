import pandas as pd
import pytest

from scbench.artifacts import budgets
from scbench.artifacts.stamp import make_stamp
from tests.artifacts.tex_check import check_table, compile_table


def written(scores, board, directory):
    frame = budgets.frame(scores, board)
    tex, csv = budgets.write(frame, board, make_stamp("budgets", board, "a" * 64), directory / "budgets")
    assert list(pd.read_csv(csv)["method"]) == list(frame["method"])
    return frame.set_index(["method", "mode"]), tex.read_text()


def test_shares_are_of_full_attention_beside_the_nominal_budget(scores, board, tmp_path):
    found, tex = written(scores, board, tmp_path)
    assert found.loc[("full", "multi_turn"), list(budgets.SHARES)].tolist() == [1, 1, 1, 1]
    snapkv = found.loc[("snapkv", "multi_request")]
    assert (snapkv["nominal"], snapkv["held_share"]) == (0.125, 0.125)
    assert snapkv[["keys_share", "read_share", "computed_share"]].tolist() == pytest.approx([0.15, 0.15, 1])
    assert snapkv["held_of_16bit"] == 0.25, "the study computes in 32 bits"
    assert "no_context" not in found.index.get_level_values("method")
    assert "SnapKV & 1/8 & 12.5 & 15.0 & 15.0 & 100.0" in tex


def test_keys_and_bytes_are_for_each_token_that_was_fed_back(scores, board, tmp_path):
    """The last token of an answer that reached its limit never was."""
    cut = scores["method"] == "snapkv"
    told = scores.assign(
        finish=scores["finish"].where(~cut, "length"),
        keys_attended=scores["keys_attended"].where(~cut, 3 * 15),
        new_tokens=4,
    )
    found, _ = written(told, board, tmp_path)
    assert found.loc[("snapkv", "multi_turn"), "keys_share"] == pytest.approx(0.15)


def test_what_was_not_run_has_no_share(scores, board, make_board, tmp_path):
    found, tex = written(scores[scores["method"] != "kivi"], board, tmp_path)
    assert found.loc[("kivi", "multi_turn"), list(budgets.SHARES)].isna().all()
    assert "KIVI & 1/8, bits 2 & -- & -- & -- & --" in tex
    without = make_board(methods={"snapkv": {"budget": "1/8"}}, floor=False)
    _, tex = written(scores[scores["method"] == "snapkv"], without, tmp_path)
    assert "no turns of full attention" in tex


def test_the_table_is_sound(scores, board, tmp_path):
    _, tex = written(scores, board, tmp_path)
    check_table(tex)


def test_it_compiles(scores, board, tmp_path):
    _, tex = written(scores, board, tmp_path)
    assert "Overfull" not in compile_table(tex, tmp_path)
