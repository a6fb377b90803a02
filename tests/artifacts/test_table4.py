import dataclasses
import re

import numpy as np
import pandas as pd
import pytest

from scbench import intervals, stats
from scbench.artifacts import compared, table4
from scbench.artifacts.stamp import make_stamp
from tests.artifacts.tex_check import NASTY, check_table, compile_table

LINEAGE = "0123456789abcdef" * 4
COLUMNS = [f"{mode}_{name}" for mode in ("multi_turn", "multi_request") for name in table4.HEADS]


def written(scores, board, directory):
    """The .tex text and the .csv frame of a board's scores."""
    frame = table4.frame(scores, board)
    tex, csv = table4.write(frame, board, make_stamp("table4", board, LINEAGE), directory / "table4")
    return tex.read_text(), pd.read_csv(csv)


def rows_of(tex):
    """Title -> printed numbers (nan for a dash) of every row of the tabular."""
    rows = {}
    for line in tex.splitlines():
        cells = [cell.strip() for cell in line.removesuffix(r"\\").split("&")]
        if line.endswith(r"\\") and len(cells) == 12 and cells[0] not in ("", "Method"):
            bare = [re.sub(r"\\textbf\{(.*)\}", r"\1", re.sub(r"\{\\tiny.*\}", "", cell)) for cell in cells[2:]]
            rows[cells[0]] = [float("nan") if cell == "--" else float(cell) for cell in bare]
    return rows


@pytest.fixture(scope="module")
def whole(scores, board, tmp_path_factory):
    """`written` of the study that lacks nothing."""
    return written(scores, board, tmp_path_factory.mktemp("table4"))


@pytest.fixture
def holed(scores):
    """Scores without one cell of SnapKV and without all of KIVI."""
    gone = (scores["method"] == "snapkv") & (scores["task"] == "zh_qa") & (scores["mode"] == "multi_turn")
    return scores[~gone & (scores["method"] != "kivi")]


def test_every_line_of_the_study_has_a_row_in_each_profile(scores, board, whole):
    tex, csv = whole
    assert list(rows_of(tex)) == [line.title for line in board.lines]
    for profile in ("strict", "compat"):
        assert list(csv.loc[csv["profile"] == profile, "method"]) == [line.label for line in board.lines]


def test_a_method_without_any_score_keeps_its_row(holed, board, tmp_path):
    tex, csv = written(holed, board, tmp_path)
    assert np.isnan(rows_of(tex)["KIVI"]).all()
    assert csv.loc[csv["method"] == "kivi", COLUMNS].isna().all(axis=None)


def test_csv_and_tex_carry_the_same_numbers(holed, board, tmp_path):
    tex, csv = written(holed, board, tmp_path)
    shown = csv[csv["profile"] == board.profile].set_index("title")
    for title, numbers in rows_of(tex).items():
        exact = shown.loc[title, COLUMNS].to_numpy(dtype=float)
        np.testing.assert_allclose(numbers, exact, atol=0.05 + 1e-4)


def test_numbers_are_those_of_the_statistics(scores, board, whole):
    _, csv = whole
    for profile in ("strict", "compat"):
        own = csv[csv["profile"] == profile].set_index("method")
        for row in stats.per_category(scores, profile).to_dict("records"):
            assert own.loc[row["method"], f"{row['mode']}_{row['category']}"] == pytest.approx(row["score"], abs=5e-5)
        for row in stats.average(scores, profile).to_dict("records"):
            assert own.loc[row["method"], f"{row['mode']}_average"] == pytest.approx(row["score"], abs=5e-5)


def test_csv_numbers_have_four_decimals(scores, board, tmp_path):
    written(scores, board, tmp_path)
    first = (tmp_path / "table4.csv").read_text().splitlines()[1]
    assert re.search(r",\d+\.\d{4},", first)


def test_missing_stays_missing_and_is_listed(holed, board, tmp_path):
    tex, csv = written(holed, board, tmp_path)
    snapkv = rows_of(tex)["SnapKV"]
    heads = list(table4.HEADS)
    assert [heads[index] for index in np.flatnonzero(np.isnan(snapkv))] == ["semantic", "average"]
    assert "Missing: SnapKV, multi-turn: Zh.QA." in tex
    assert "Missing: KIVI, multi-turn: all tasks." in tex
    own = csv[(csv["method"] == "snapkv") & (csv["profile"] == "strict")].iloc[0]
    assert np.isnan(own["multi_turn_semantic"]) and own["multi_turn_missing"] == "Zh.QA"
    assert own["multi_turn_semantic_n"] == 3 * 6 * 5


def test_an_incomplete_cell_is_listed_though_it_has_a_score(scores, board, tmp_path):
    gone = (scores["method"] == "full") & (scores["session"] == "en_qa-0005") & (scores["mode"] == "multi_request")
    tex, _ = written(scores[~gone], board, tmp_path)
    assert "Missing: Full attention, multi-request: En.QA (5 of 6 sessions)." in tex
    assert not np.isnan(rows_of(tex)["Full attention"]).any()


def test_turns_are_counted(whole):
    _, csv = whole
    assert set(csv["multi_turn_string_n"]) == {3 * 6 * 5}
    assert set(csv["multi_request_average_n"]) == {12 * 6 * 5}


def test_a_smaller_study_says_which_tasks_it_leaves_out(make_board, make_scores, tmp_path):
    board = make_board(tasks=["retr_kv", "retr_prefix_suffix", "retr_multihop"])
    tex, _ = written(make_scores(board), board, tmp_path)
    numbers = rows_of(tex)["Full attention"]
    assert not np.isnan(numbers[0]) and np.isnan(numbers[1:5]).all()
    assert "Not part of this study" in tex and "Zh.QA" in tex


def test_the_floor_stands_apart_at_the_bottom(whole):
    tex, _ = whole
    lines = tex.splitlines()
    floor = next(index for index, line in enumerate(lines) if line.startswith("No context"))
    assert lines[floor - 1] == r"\midrule" and lines[floor + 1] == r"\bottomrule"


def test_intervals_are_those_of_the_statistics_and_stand_beside_the_numbers(scores, board, whole):
    tex, csv = whole
    row = csv[(csv["profile"] == "strict") & (csv["method"] == "snapkv")].iloc[0]
    found = intervals.samples(scores)
    tasks = stats.WEIGHTS["string"]
    parts = [intervals.interval(found["fake", "minilm", "snapkv", "multi_turn", task]) for task in tasks]
    expected = intervals.combine(parts, [1 / 3] * 3)
    limits = [row[f"multi_turn_string{end}"] for end in ("", "_low", "_high")]
    assert limits == pytest.approx(list(expected), abs=5e-5)
    line = next(line for line in tex.splitlines() if line.startswith("SnapKV"))
    assert rf"$\pm${(limits[2] - limits[1]) / 2:.0f}" in line.split("&")[2]
    assert compared.WIDTHS.split(":")[0] in tex


def test_a_dagger_marks_what_differs_from_full_attention_on_the_same_sessions(whole):
    tex, csv = whole
    own = csv[csv["profile"] == "strict"].set_index("title")
    assert own.loc["Full attention", [f"{name}_p" for name in COLUMNS]].isna().all()
    for line in tex.splitlines():
        cells = [cell.strip() for cell in line.split("&")]
        if len(cells) == 12 and cells[0] in own.index:
            for cell, name in zip(cells[2:], COLUMNS, strict=True):
                assert ("dagger" in cell) == (own.loc[cells[0], f"{name}_p"] < 0.05)
    assert own.loc["StreamingLLM", "multi_turn_average_p"] < 0.05


def test_p_is_corrected_for_all_methods_and_columns_of_a_model(scores, board, whole):
    _, csv = whole
    own = csv[csv["profile"] == "strict"]
    p = own[[f"{name}_p" for name in COLUMNS]].to_numpy(dtype=float)
    tests = (~np.isnan(p)).sum()
    assert tests == 10 * (len(board.lines) - 1)
    assert np.nanmin(p) == pytest.approx(tests / (intervals.FLIPS + 1))


def test_bold_is_what_is_better_than_every_other_method(scores, board, tmp_path):
    method = scores["method"]
    values = np.select([method == "kivi", method == "snapkv"], [0.9, 0.7], 0.4)
    clear = scores.assign(score_strict=values * np.random.default_rng(0).uniform(0.9, 1.0, len(scores)))
    tex, _ = written(clear, board, tmp_path)
    assert [line.split(" &")[0] for line in tex.splitlines() if r"\textbf" in line] == ["KIVI"]
    assert compared.BOLD.split(":")[0] in tex
    tied = clear[method != "kivi"]
    again = pd.concat([tied, tied[tied["method"] == "snapkv"].assign(method="kivi")])
    tex, _ = written(again, board, tmp_path)
    assert r"\textbf" not in tex and compared.BOLD not in tex


def test_one_session_has_numbers_and_neither_intervals_nor_marks(make_board, make_scores, tmp_path):
    board = make_board(data={"scale": "mini", "tokens": 1024, "sessions": 1})
    tex, csv = written(make_scores(board), board, tmp_path)
    assert "tiny" not in tex and "textbf" not in tex and compared.WIDTHS not in tex
    assert csv["multi_turn_string_low"].isna().all() and csv["multi_turn_string"].notna().all()
    check_table(tex)


def test_scores_that_are_all_equal_make_no_method_the_best(scores, board, tmp_path):
    tex, csv = written(scores.assign(score_strict=1.0, score_compat=0.0), board, tmp_path)
    assert "textbf" not in tex and "dagger" not in tex
    assert set(csv["multi_turn_average"]) == {0, 100}
    assert (csv["multi_turn_average_low"] < csv["multi_turn_average_high"]).all()


def test_models_are_groups_and_a_model_that_is_a_method_is_one_row(make_board, make_scores, tmp_path):
    board = make_board(models=["llama_3_1_8b", "codestral_mamba"], methods={"full": {}, "snapkv": {}})
    tex, csv = written(make_scores(board), board, tmp_path)
    assert r"\textit{Llama-3.1-8B}" in tex and r"\textit{Codestral-Mamba}" not in tex
    assert list(rows_of(tex)) == [
        "Full attention",
        "SnapKV",
        "Codestral-Mamba",
        "No context, Llama-3.1-8B",
        "No context, Codestral-Mamba",
    ]
    assert len(csv) == 2 * len(board.lines)
    check_table(tex)


def test_a_study_of_one_mode_has_one_half(make_board, make_scores, tmp_path):
    board = make_board(modes=["multi_request"])
    tex, csv = written(make_scores(board), board, tmp_path)
    check_table(tex)
    assert "Multi-turn" not in tex and "Multi-request" in tex
    assert not any(name.startswith("multi_turn") for name in csv)


def test_the_profile_of_the_study_is_the_one_shown(make_board, make_scores, tmp_path):
    board = make_board(scoring="compat")
    tex, csv = written(make_scores(board), board, tmp_path)
    assert csv["profile"].iloc[0] == "compat" and "compat scoring" in tex
    shown = csv[csv["profile"] == "compat"].set_index("title")
    assert rows_of(tex)["SnapKV"][0] == pytest.approx(shown.loc["SnapKV", "multi_turn_string"], abs=0.0501)


def test_the_stamp_stands_in_a_comment_and_in_the_note(whole):
    tex, _ = whole
    head = tex.splitlines()[:3]
    assert all(line.startswith("%") for line in head)
    assert "Study fake, strict scoring, 6 sessions a task; lineage 0123456789ab" in head[0]
    assert LINEAGE in head[1]
    assert tex.splitlines()[-1] == "Study fake, strict scoring, 6 sessions a task; lineage 0123456789ab.\\par}"


def test_the_same_scores_give_the_same_bytes_in_any_order(scores, board, tmp_path):
    (tmp_path / "again").mkdir()
    written(scores, board, tmp_path)
    written(scores.sample(frac=1, random_state=1), board, tmp_path / "again")
    for name in ("table4.tex", "table4.csv"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_braces_environments_and_columns_fit(holed, board, tmp_path):
    check_table(written(holed, board, tmp_path)[0])


def test_it_compiles(holed, board, tmp_path):
    log = compile_table(written(holed, board, tmp_path)[0], tmp_path)
    assert "Overfull" not in log


def test_nasty_names_compile(make_board, make_scores, tmp_path):
    board = make_board(methods={"full": {}, "snapkv": {}})
    scores = make_scores(board)
    nasty = dataclasses.replace(board.lines[1], title=NASTY[:40], model_title=NASTY[40:], budget="\\\\ 长é")
    board = dataclasses.replace(board, lines=(board.lines[0], nasty, board.lines[2]))
    tex, _ = written(scores[scores["task"] != "en_qa"], board, tmp_path)
    assert tex.isascii()
    check_table(tex)
    compile_table(tex, tmp_path)


def test_tasks_that_hardly_need_their_context_are_flagged(scores, board, tmp_path):
    weak = (scores["task"] == "zh_qa") & (scores["method"] == "full") & (scores["mode"] == "multi_turn")
    columns = ["score_strict", "score_compat"]
    scores = scores.assign(**{name: scores[name].mask(weak, 0.2) for name in columns})
    tex, csv = written(scores, board, tmp_path)
    line = "Full attention is less than 30 points above the row without context, multi-turn: Zh.QA"
    assert line in " ".join(tex.split())
    row = csv[(csv["profile"] == board.profile) & (csv["method"] == "full")].iloc[0]
    assert row["multi_turn_near_floor"] == "Zh.QA" and pd.isna(row["multi_request_near_floor"])
    assert csv.loc[csv["method"] != "full", "multi_turn_near_floor"].isna().all()
