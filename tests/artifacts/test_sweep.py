"""Figures 4, 7 and 8, Table 5 and Figure 5."""

import numpy as np
import pandas as pd
import pytest

from scbench import stats
from scbench.artifacts import ARTIFACTS, figure4, figure5, figure7, figure8, sweep, table5
from scbench.artifacts.board import read_board
from scbench.artifacts.registered import read_registry
from scbench.artifacts.stamp import make_stamp
from scbench.study import load_study
from tests.artifacts.conftest import study_config
from tests.artifacts.tex_check import check_table

SWEEP = {"full": {}} | {f"snapkv-{n}": {"method": "snapkv", "budget": f"1/{n}"} for n in (2, 8, 32)} | {"kivi": {}}


def written(module, frame, board, directory):
    name = module.__name__.rpartition(".")[2]
    paths = module.write(frame, board, make_stamp(name, board, "0" * 64), directory / name)
    assert tuple(path.suffix for path in paths) == ARTIFACTS[name].suffixes
    return paths


@pytest.fixture(scope="module")
def swept(make_board):
    return make_board(methods=SWEEP)


def test_a_point_is_a_category_at_a_budget(swept, make_scores, tmp_path):
    scores = make_scores(swept)
    categories = stats.per_category(scores).set_index(["method", "mode", "category"])["score"]
    for module, mode in ((figure7, "multi_turn"), (figure8, "multi_request")):
        frame = module.frame(scores, swept)
        own = frame[(frame["profile"] == "strict") & (frame["method"] == "snapkv")].set_index(["share", "column"])
        assert sorted(own.index.unique("share")) == [1 / 32, 1 / 8, 1 / 2]
        for share, label in ((1 / 32, "snapkv-32"), (1 / 2, "snapkv-2")):
            assert own.loc[(share, "string"), "score"] == pytest.approx(categories[label, mode, "string"])
        written(module, frame, swept, tmp_path)


def test_the_average_is_that_of_table_4_and_the_floor_has_no_budget(swept, make_scores, tmp_path):
    scores = make_scores(swept)
    frame = figure4.frame(scores, swept)
    averages = stats.average(scores).set_index(["method", "mode"])["score"]
    own = frame[frame["profile"] == "strict"].set_index(["method", "share", "mode"])
    assert own.loc[("full", 1.0, "multi_turn"), "score"] == pytest.approx(averages["full", "multi_turn"])
    assert set(frame["method"]) == {"full", "snapkv", "kivi"}
    written(figure4, frame, swept, tmp_path)


def test_models_are_averaged_at_each_budget(make_board, make_scores):
    board = make_board(models=["minilm", "minilm_l"], methods=SWEEP)
    scores = make_scores(board)
    frame = figure4.frame(scores, board)
    assert not frame.duplicated(["profile", "method", "share", "mode"]).any()
    own = stats.average(scores).query("method == 'snapkv-8' and mode == 'multi_turn'")["score"].mean()
    row = frame.query("profile == 'strict' and method == 'snapkv' and share == 0.125 and mode == 'multi_turn'")
    assert row["score"].item() == pytest.approx(own)


def test_the_legend_shows_a_line_where_there_is_one(swept, make_scores, monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(sweep, "write_figure", lambda draw, *_: drawn.append(draw()) or [])
    figure4.write(figure4.frame(make_scores(swept), swept), swept, make_stamp("figure4", swept, "0" * 64), tmp_path)
    shown = {line.get_label(): line for line in drawn[0].legends[0].get_lines()}
    styles = {name: (line.get_linestyle() != "None", line.get_marker() != "") for name, line in shown.items()}
    # One without a trend: full attention is a level, of KIVI one budget is in the study.
    assert styles == {"Full attention": (True, False), "SnapKV": (True, True), "KIVI": (False, True)}


def test_a_budget_without_its_cells_makes_no_line_in_the_legend(make_board, make_scores, monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(sweep, "write_figure", lambda draw, *_: drawn.append(draw()) or [])
    board = make_board(methods={"full": {}, "snapkv-8": SWEEP["snapkv-8"], "snapkv-2": SWEEP["snapkv-2"]})
    scores = make_scores(board)
    frame = figure4.frame(scores[scores["method"] != "snapkv-2"], board)
    figure4.write(frame, board, make_stamp("figure4", board, "0" * 64), tmp_path)
    (shown,) = (line for line in drawn[0].legends[0].get_lines() if line.get_label() == "SnapKV")
    assert shown.get_linestyle() == "None"


@pytest.mark.parametrize(
    "changes",
    [{"tasks": ["retr_kv"]}, {"modes": ["multi_request"]}, {"methods": {"full": {}}}, {"methods": {"snapkv": {}}}],
    ids=["one task", "one mode", "full attention alone", "no full attention"],
)
def test_small_studies_have_their_figures_and_tables(changes, make_board, make_scores, tmp_path):
    board = make_board(**changes)
    scores = make_scores(board)
    for module in (figure4, table5):
        written(module, module.frame(scores, board), board, tmp_path)
    check_table((tmp_path / "table5.tex").read_text())


def test_table_5_is_the_first_question_with_the_context_and_after_it(scores, board, tmp_path):
    frame = table5.frame(scores, board)
    row = frame.query("profile == 'strict' and method == 'snapkv'").iloc[0]
    tasks = ["retr_kv", "retr_prefix_suffix", "retr_multihop"]
    own = scores[(scores["method"] == "snapkv") & (scores["turn"] == 1) & scores["task"].isin(tasks)]
    means = own.groupby(["mode", "task"])["score_strict"].mean().groupby("mode").mean() * 100
    assert row["string_with"] == pytest.approx(means["multi_turn"])
    assert row["string_without"] == pytest.approx(means["multi_request"])
    assert row["string_change"] == pytest.approx(means["multi_request"] - means["multi_turn"])
    assert row["string_low"] < row["string_change"] < row["string_high"]
    tex = written(table5, frame, board, tmp_path)[0].read_text()
    check_table(tex)
    assert rf"{row['string_with']:.1f} $\rightarrow$ {row['string_without']:.1f}" in tex


def test_table_5_of_a_query_aware_study_has_nothing_without(make_board, make_scores, tmp_path):
    board = make_board(query_aware=True)
    frame = table5.frame(make_scores(board), board)
    assert frame["string_without"].isna().all() and frame["string_with"].notna().all()
    assert table5.AWARE in written(table5, frame, board, tmp_path)[0].read_text().replace(r"\_", "_")


def test_the_masks_of_figure_5_are_by_hand_those_of_the_definitions():
    full, a_shape, tri_shape = (figure5.mask(method, settings).numpy() for method, settings in figure5.SHOWN.items())
    i, j = np.indices(full.shape)
    expected = (j <= i) & ((j < 4) | (i - j < 10))
    assert (full == (j <= i)).all() and (a_shape == expected).all()
    assert (tri_shape == np.where(i >= figure5.TOKENS - figure5.QUESTION, j <= i, expected)).all()


def test_figure_5_is_made_of_the_methods_and_changes_with_their_code(monkeypatch, tmp_path):
    from scbench import codedigest

    study = load_study(study_config(), "study.json")
    board = read_board(study)
    paths = written(figure5, figure5.frame(read_registry(study), board), board, tmp_path)
    assert set(pd.read_csv(paths[2])["method"]) == set(figure5.SHOWN)
    before = ARTIFACTS["figure5"].code_digest()
    plain = codedigest.module_digest
    edited = "scbench.methods.sink_window"
    monkeypatch.setattr(codedigest, "module_digest", lambda name: "edited" if name == edited else plain(name))
    assert ARTIFACTS["figure5"].code_digest() != before
