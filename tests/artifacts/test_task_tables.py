"""Tables 11 and 12: the tasks one by one."""

import numpy as np
import pandas as pd
import pytest

from scbench import stats
from scbench.artifacts import table11, table12
from scbench.artifacts.stamp import make_stamp
from tests.artifacts.tex_check import check_table, compile_table

MODES = {table11: "multi_turn", table12: "multi_request"}


def written(module, scores, board, directory):
    name = module.__name__.rpartition(".")[2]
    frame = module.frame(scores, board)
    tex, twin = module.write(frame, board, make_stamp(name, board, "0" * 64), directory / name)
    check_table(tex.read_text())
    return tex.read_text(), pd.read_csv(twin)


@pytest.mark.parametrize("module", MODES)
def test_every_task_of_every_method_is_that_of_the_statistics(module, scores, board, tmp_path):
    tex, twin = written(module, scores, board, tmp_path)
    tasks = stats.per_task(scores).query(f"mode == '{MODES[module]}'").set_index(["method", "task"])["score"]
    own = twin[twin["profile"] == "strict"].set_index("method")
    for (method, task), score in tasks.items():
        assert own.loc[method, f"{MODES[module]}_{task}"] == pytest.approx(score, abs=5e-5)
        assert own.loc[method, f"{MODES[module]}_{task}_low"] < score < own.loc[method, f"{MODES[module]}_{task}_high"]
    assert f"{own.loc['snapkv', f'{MODES[module]}_zh_qa']:.1f}" in next(
        line for line in tex.splitlines() if line.startswith("SnapKV")
    )


def test_a_missing_cell_is_a_dash_and_is_named(scores, board, tmp_path):
    gone = (scores["method"] == "snapkv") & (scores["task"] == "zh_qa")
    tex, twin = written(table11, scores[~gone], board, tmp_path)
    row = next(line for line in tex.splitlines() if line.startswith("SnapKV"))
    assert row.split("&")[2 + 5].strip() == "--" and row.count("--") == 1
    assert "Missing: MiniLM, SnapKV: Zh.QA" in tex
    assert np.isnan(twin.set_index(["profile", "method"]).loc[("strict", "snapkv"), "multi_turn_zh_qa"])


def test_a_study_without_the_mode_says_so(make_board, make_scores, tmp_path):
    board = make_board(modes=["multi_turn"], tasks=["retr_kv"])
    tex, _ = written(table12, make_scores(board), board, tmp_path)
    assert "The study has no Multi-request part" in tex


def test_tasks_that_the_study_leaves_out_have_no_column(make_board, make_scores, tmp_path):
    board = make_board(tasks=["retr_kv", "en_qa"])
    tex, twin = written(table11, make_scores(board), board, tmp_path)
    assert "Method & Budget & KV & EnQA \\\\" in tex and "Not part of this study: " in tex
    assert not any("zh_qa" in name for name in twin)


def test_it_compiles(scores, board, tmp_path):
    assert "Overfull" not in compile_table(written(table11, scores, board, tmp_path)[0], tmp_path)
