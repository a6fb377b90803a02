"""A model that runs some of the methods alone: its rows stand in the tables, and no average over models is skewed."""

import importlib
from functools import cache

import pandas as pd
import pytest

from scbench.artifacts import claims, defects
from scbench.artifacts.asked import Asked
from scbench.artifacts.board import NONE_WHOLE, SOME_METHODS, read_board
from scbench.artifacts.stamp import make_stamp
from scbench.study import load_study
from tests.artifacts.conftest import fake_scores, study_config

METHODS = {"full": {}, "a_shape": {}, "tri_shape": {}, "streaming_llm": {}, "snapkv": {}, "kivi": {"bits": 2}}
DATA = {"scale": "mini", "tokens": 1024, "sessions": 5}
SOME = ["full", "tri_shape", "snapkv"]
OF_MODELS = ("table4", "table5", "table7", "table8", "table11", "table12", "budgets")
OVER_MODELS = ("figure3", "figure4", "figure10", "pareto")


@cache
def board_of(*limits):
    """The board of a study whose models run these rows; None for all of them."""
    names = ("minilm", "minilm_l")[: len(limits)]
    models = [
        name if limit is None else {"name": name, "methods": list(limit)}
        for name, limit in zip(names, limits, strict=True)
    ]
    return read_board(load_study(study_config(models=models, methods=METHODS, data=DATA), "study.json"))


@cache
def scores_of(*limits):
    return fake_scores(board_of(*limits))


SECOND = (None, tuple(SOME))


def written(name, directory):
    """The words and the .csv frame of an artifact of the study whose second model is limited."""
    board, module = board_of(*SECOND), importlib.import_module(f"scbench.artifacts.{name}")
    frame = module.frame(scores_of(*SECOND), board)
    paths = module.write(frame, board, make_stamp(name, board, "0" * 64), directory / name)
    return paths[0].read_text(), pd.read_csv(next(path for path in paths if path.suffix == ".csv"))


@pytest.mark.parametrize("name", OF_MODELS)
def test_a_table_has_the_rows_that_were_asked_for_and_lacks_none(name, tmp_path):
    tex, csv = written(name, tmp_path)
    rows = csv[["model", "method"]].drop_duplicates().itertuples(index=False, name=None)
    floors = name not in ("table5", "budgets")
    assert list(rows) == [(line.model, line.label) for line in board_of(*SECOND).lines if floors or not line.floor]
    lacking = csv.filter(regex="missing$")
    numbers = csv.select_dtypes("number").filter(regex="^(?!nominal$|.*(_p|missing|near_floor|budget)$)")
    assert lacking.isna().all(axis=None) and "Missing" not in tex
    assert len(numbers.columns) >= 4 and numbers.notna().all(axis=None)


def test_table_10_shows_the_rows_of_the_further_model(tmp_path):
    tex, csv = written("table10", tmp_path)
    assert csv["method"].drop_duplicates().tolist() == [*SOME, "no_context"]
    assert set(csv["model"]) == {"minilm_l"} and "lacks" not in csv
    assert "some of the study's methods alone" not in tex  # nothing is averaged over models


@pytest.mark.parametrize("name", [*OVER_MODELS, "defects"])
def test_what_is_averaged_over_models_says_which_is_left_out(name, monkeypatch, tmp_path):
    board, module = board_of(*SECOND), importlib.import_module(f"scbench.artifacts.{name}")
    figures = []
    for drawing in ("figure3", "sweep", "turnfigure", "pareto"):
        place = f"scbench.artifacts.{drawing}.write_figure"
        monkeypatch.setattr(place, lambda draw, *_: figures.append(draw()) or [])
    source = Asked(scores_of(*SECOND).assign(score_quirks="{}")) if name == "defects" else scores_of(*SECOND)
    paths = module.write(module.frame(source, board), board, make_stamp(name, board, "0" * 64), tmp_path / name)
    words = paths[0].read_text() if paths else " ".join(text.get_text() for text in reversed(figures[0].texts))
    assert "some of the study's methods alone, and left out where models are averaged" in words.replace("\n", " ")


@pytest.mark.parametrize("name", OVER_MODELS)
def test_an_average_over_models_is_of_those_that_ran_every_method(name):
    module = importlib.import_module(f"scbench.artifacts.{name}")
    first = scores_of(*SECOND).query("model == 'minilm'")
    pd.testing.assert_frame_equal(
        module.frame(scores_of(*SECOND), board_of(*SECOND)), module.frame(first, board_of(None))
    )


def test_effects_of_quirks_are_averaged_over_the_same_models_and_shown_of_every_row():
    found = defects.frame(Asked(scores_of(*SECOND)), board_of(*SECOND))
    alone = defects.frame(Asked(scores_of(*SECOND).query("model == 'minilm'")), board_of(None))
    own = found[found["model"] != "minilm_l"].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, alone)
    rows = found.query("quirk == 'compat' and model == 'minilm_l'")
    assert set(rows["method"]) == set(SOME) and (rows["changed_turns"] > 0).any()


def test_a_reader_is_told_who_is_not_averaged():
    assert board_of(*SECOND).of_averages == (SOME_METHODS.format(models="MiniLM-L"),)
    assert board_of(None, None).of_averages == ()
    disjoint = board_of(("full", "a_shape", "kivi"), ("full", "tri_shape", "streaming_llm", "snapkv"))
    assert disjoint.of_averages == (NONE_WHOLE,)
    assert [line.model for line in disjoint.groups["full"]] == ["minilm", "minilm_l"]


def test_a_model_counts_for_the_findings_whose_rows_it_ran():
    found = claims.frame(scores_of(*SECOND), board_of(*SECOND)).query("profile == 'strict'")
    models = found.set_index(["finding", "subject"])["models"]
    assert models["query_awareness_tri_shape", ""] == "MiniLM, MiniLM-L"
    assert models["compressible", ""] == "MiniLM"  # two methods with sub-O(n) memory, of which it ran one
    assert models["compressible", "snapkv"] == "MiniLM, MiniLM-L"
    assert models["quantisation", ""] == "MiniLM"


def test_models_that_share_no_finding_give_no_verdict():
    limits = (("full", "snapkv", "a_shape", "kivi"), ("full", "streaming_llm", "tri_shape"))
    found = claims.frame(scores_of(*limits), board_of(*limits)).query("profile == 'strict'")
    reasons = found.set_index(["finding", "subject"])["reason"]
    assert reasons["compressible", ""] == "the study has no row of all of them on one model"
    assert reasons["compressible", "snapkv"] == "the interval includes 0"
