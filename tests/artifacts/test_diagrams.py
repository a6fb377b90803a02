"""Figures 1, 2 and 6: drawn from the registries, the sessions and a recording of attention, and from nothing else."""

import dataclasses
import json

import pandas as pd
import pytest

from scbench.artifacts import figure1, figure2, figure6
from scbench.artifacts.board import read_board
from scbench.artifacts.registered import STAGES, read_registry
from scbench.artifacts.stamp import make_stamp
from scbench.artifacts.watched import read_attention
from scbench.errors import UserError
from scbench.methods import METHODS
from scbench.study import load_study
from scbench.tasks import TASKS
from tests.artifacts.conftest import study_config


def written(module, source, board, directory):
    """The frame, and the bytes of the three files."""
    frame = module.frame(source, board)
    name = module.__name__.rpartition(".")[2]
    paths = module.write(frame, board, make_stamp(name, board, "0" * 64), directory / name)
    assert [path.suffix for path in paths] == [".pdf", ".png", ".csv"]
    return frame, [path.read_bytes() for path in paths]


@pytest.fixture
def registry():
    return read_registry(load_study(study_config(), "study.json"))


def test_figure_1_has_every_method_that_acts_at_a_stage_at_its_own(registry, board, tmp_path):
    frame, _ = written(figure1, registry, board, tmp_path)
    acting = {name: method.stage for name, method in METHODS.items() if method.stage != "baseline"}
    assert dict(zip(frame["method"], frame["stage"], strict=True)) == acting
    assert set(figure1.WORDS) == set(STAGES) - {"baseline"}
    assert set(frame.loc[frame["in_study"], "method"]) == {"a_shape", "tri_shape", "streaming_llm", "snapkv", "kivi"}


def test_figure_1_follows_a_method_that_is_added(registry, board, tmp_path):
    more = dataclasses.replace(registry.methods[-1], name="new", title="A new one", stage="retrieval")
    grown = dataclasses.replace(registry, methods=(*registry.methods, more))
    frame, first = written(figure1, grown, board, tmp_path)
    assert "A new one" in set(frame.loc[frame["stage"] == "retrieval", "title"])
    assert first != written(figure1, registry, board, tmp_path)[1]


def sizes(tasks):
    return pd.DataFrame(
        [
            {"task": task, "session": f"{task}-{n}", "turns": 4 + n, "input_tokens": 1000 + n, "output_tokens": 10}
            for task in tasks
            for n in range(3)
        ]
    )


def test_figure_2_has_the_sizes_of_the_sessions_and_the_modes_of_the_study(make_board, tmp_path):
    board = make_board(tasks=["en_qa", "retr_kv"], modes=["multi_request"])
    frame, first = written(figure2, sizes(board.sessions), board, tmp_path)
    assert list(frame["title"]) == ["En.QA", "Retr.KV"]
    assert set(frame["sessions"]) == {3} and set(frame["turns"]) == {5} and set(frame["input_tokens"]) == {1001}
    assert not frame["multi_turn"].any() and frame["multi_request"].all()
    assert first == written(figure2, sizes(board.sessions), board, tmp_path)[1]


def test_figure_2_knows_every_category():
    assert set(figure2.CATEGORIES) == {task.category for task in TASKS.values()}


def recording(turns=3, pairs=10, within=0.5, between=0.2):
    heads = [
        {"layer": layer, "head": head, "evidence": [0.1] * turns, "within": within, "between": between}
        for layer in range(2)
        for head in range(2)
    ]
    mass = [[1 / pairs] * pairs for _ in range(turns)]
    drawn = [heads[number] | {"mass": mass} for number in (3, 1)]
    about = {"title": "MiniLM", "session": {"sid": "retr_kv-00000"}, "top": 32, "pairs": pairs}
    return about | {"evidence": list(range(turns)), "heads": heads, "drawn": drawn}


def test_figure_6_has_every_head_and_marks_the_pair_with_the_answer(board, tmp_path):
    frame, first = written(figure6, recording(), board, tmp_path)
    heads, cells = frame[frame["turn"].isna()], frame[frame["turn"].notna()]
    assert len(heads) == 4 and list(zip(heads["layer"], heads["head"], strict=True))[:2] == [(1, 1), (0, 1)]
    assert len(cells) == 2 * 3 * 10
    marked = cells[cells["holds_answer"].astype(bool)]
    assert (marked["pair"] == marked["turn"]).all() and len(marked) == 2 * 3
    assert first == written(figure6, recording(), board, tmp_path)[1]


@pytest.mark.parametrize(
    "changes", [{"turns": 1, "within": None, "between": None}, {"pairs": 2500}, {"within": None}], ids=str
)
def test_figure_6_is_drawn_of_a_recording_of_any_shape(changes, board, tmp_path):
    written(figure6, recording(**changes), board, tmp_path)


def test_figure_6_says_what_is_lacking(board, tmp_path):
    frame, (pdf, _, csv) = written(figure6, {"lacks": "The study has no such task."}, board, tmp_path)
    assert len(frame) == 1 and b"The study has no such task." in csv and pdf


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"heads": []}'])
def test_a_file_that_is_no_recording_is_refused(text, tmp_path):
    path = tmp_path / "attention.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"attention\.json"):
        read_attention(path)
    path.write_text(json.dumps(recording()))
    assert read_attention(path) == recording()


def test_figures_1_and_2_bear_a_study_of_one_method_and_one_task(make_board, tmp_path):
    config = study_config(methods={"full": {}}, tasks=["zh_qa"], floor=False)
    study = load_study(config, "study.json")
    frame, _ = written(figure1, read_registry(study), read_board(study), tmp_path)
    assert not frame["in_study"].any()
    board = make_board(methods={"full": {}}, tasks=["zh_qa"], floor=False)
    written(figure2, sizes(["zh_qa"]), board, tmp_path)
