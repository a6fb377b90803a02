import pandas as pd
import pytest

from scbench.artifacts.scored import COLUMNS, holes, left_out, missing_text, read_scores
from scbench.errors import UserError


@pytest.fixture
def files(scores, tmp_path):
    paths = []
    for method, part in scores.groupby("method"):
        paths.append(tmp_path / f"{method}.parquet")
        part.assign(prediction="x").to_parquet(paths[-1])
    return paths


def line(board, label):
    return next(line for line in board.lines if line.label == label)


def without(scores, **cell):
    gone = pd.Series(True, index=scores.index)
    for name, value in cell.items():
        gone &= scores[name] == value
    assert gone.any()
    return scores[~gone]


def test_all_turns_of_all_files_are_read(files, scores, board):
    read = read_scores(files, board)
    assert list(read.columns) == COLUMNS
    assert len(read) == len(scores)


def test_files_whose_columns_differ_in_type_are_read_as_one_or_refused(files, scores, board):
    part = pd.read_parquet(files[0])
    part.astype({"turn": "int32", "score_strict": "float32"}).to_parquet(files[0])
    assert len(read_scores(files, board)) == len(scores)
    part.assign(turn="first").to_parquet(files[0])
    with pytest.raises(UserError, match="other types in some files"):
        read_scores(files, board)


def test_no_files_is_an_error(board):
    with pytest.raises(UserError, match="no score files"):
        read_scores([], board)


def test_files_without_turns_are_an_error(scores, board, tmp_path):
    scores.iloc[:0].to_parquet(tmp_path / "empty.parquet")
    with pytest.raises(UserError, match="no turns"):
        read_scores([tmp_path / "empty.parquet"], board)


@pytest.mark.parametrize("content", [b"", b"not parquet", None], ids=["empty", "text", "absent"])
def test_an_unreadable_file_is_named(content, board, tmp_path):
    path = tmp_path / "broken.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.parquet: not a readable score file"):
        read_scores([path], board)


def test_a_missing_column_is_an_error(scores, board, tmp_path):
    scores.drop(columns="score_compat").to_parquet(tmp_path / "old.parquet")
    with pytest.raises(UserError, match=r"old\.parquet.*score_compat"):
        read_scores([tmp_path / "old.parquet"], board)


@pytest.mark.parametrize(
    ("column", "value"),
    [("method", "stranger"), ("model", "other"), ("study", "another"), ("mode", "chat"), ("task", "x")],
)
def test_rows_that_no_line_would_show_are_refused(column, value, scores, board, tmp_path):
    scores.assign(**{column: value}).to_parquet(tmp_path / "strange.parquet")
    with pytest.raises(UserError, match=value):
        read_scores([tmp_path / "strange.parquet"], board)


def test_a_complete_study_has_no_holes(scores, board):
    assert holes(scores, board) == []


def test_an_absent_cell_is_a_hole(scores, board):
    found = holes(without(scores, method="snapkv", task="zh_qa", mode="multi_turn"), board)
    assert [(hole.line.label, hole.task, hole.mode, hole.found) for hole in found] == [
        ("snapkv", "zh_qa", "multi_turn", 0)
    ]
    assert missing_text(found, line(board, "snapkv"), "multi_turn", board) == "Zh.QA"
    assert missing_text(found, line(board, "snapkv"), "multi_request", board) == ""
    assert missing_text(found, line(board, "full"), "multi_turn", board) == ""


def test_an_incomplete_cell_is_a_hole_with_its_sessions(scores, board):
    part = without(scores, method="kivi", task="en_sum", mode="multi_request", session="en_sum-0003")
    assert missing_text(holes(part, board), line(board, "kivi"), "multi_request", board) == "En.Sum (5 of 6 sessions)"


def test_a_method_without_any_cell_lacks_all_tasks(scores, board):
    found = holes(without(scores, method="a_shape"), board)
    assert missing_text(found, line(board, "a_shape"), "multi_turn", board) == "all tasks"
    assert len(found) == 24


def test_tasks_outside_the_study_are_named(board, make_board):
    assert left_out(board) == []
    assert (
        "Retr.KV" not in left_out(make_board(tasks=["retr_kv"])) and len(left_out(make_board(tasks=["retr_kv"]))) == 11
    )
