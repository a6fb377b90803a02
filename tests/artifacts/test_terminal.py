import io

import pandas as pd
import pytest
from rich.console import Console

from scbench.artifacts import table4, table11
from scbench.artifacts.terminal import as_table, read_twin
from scbench.artifacts.twin import csv_text
from scbench.errors import UserError


def text_of(path, width=120):
    console = Console(width=width, file=io.StringIO())
    console.print(as_table(read_twin(path)))
    return console.file.getvalue()


def printed(scores, board, directory, width=120):
    path = directory / "table4.csv"
    path.write_text(csv_text(table4.frame(scores, board)))
    return text_of(path, width)


def test_the_numbers_are_those_of_the_twin(scores, board, tmp_path):
    text = printed(scores, board, tmp_path)
    twin = pd.read_csv(tmp_path / "table4.csv")
    for row in twin[twin["profile"] == board.profile].to_dict("records"):
        line = next(line for line in text.splitlines() if line.strip().startswith(row["title"]))
        expected = [f"{row[f'{mode}_{name}']:.1f}" for mode in board.modes for name in table4.HEADS]
        assert line.split()[-10:] == expected


def test_a_narrow_terminal_shows_every_name_and_number(scores, board, tmp_path):
    path = tmp_path / "table4.csv"
    path.write_text(csv_text(table4.frame(scores, board)))
    console = Console(width=80, file=io.StringIO())
    console.print(as_table(read_twin(path), console.width))
    text = console.file.getvalue()
    assert "…" not in text
    for row in read_twin(path).query("profile == @board.profile").to_dict("records"):
        line = next(line for line in text.splitlines() if line.strip().startswith(row["title"]))
        assert line.split()[-1] == f"{row[f'{board.modes[-1]}_average']:.1f}"


def test_missing_is_a_dash_and_listed(scores, board, tmp_path):
    text = printed(scores[scores["method"] != "kivi"], board, tmp_path)
    line = next(line for line in text.splitlines() if line.strip().startswith("KIVI"))
    assert line.split()[-10:] == ["–"] * 10
    assert "Missing: KIVI, multi-turn: all tasks" in text


def test_the_caption_names_the_points_that_flag_a_task(scores, board, tmp_path, monkeypatch):
    weak = (scores["task"] == "zh_qa") & (scores["method"] == "full")
    scores = scores.assign(**{name: scores[name].mask(weak, 0.1) for name in ("score_strict", "score_compat")})
    monkeypatch.setattr("scbench.artifacts.terminal.FLOOR_POINTS", 31.5)
    assert "Less than 31.5 points above no context, multi-turn: Zh.QA" in printed(scores, board, tmp_path)


def test_the_floor_is_the_last_row_and_dim(scores, board, tmp_path):
    table = as_table(read_twin_of(scores, board, tmp_path))
    assert [row.style for row in table.rows] == [None] * (len(board.lines) - 1) + ["dim"]


def read_twin_of(scores, board, directory):
    (directory / "table4.csv").write_text(csv_text(table4.frame(scores, board)))
    return read_twin(directory / "table4.csv")


def test_models_are_named_where_there_are_several(make_board, make_scores, tmp_path):
    board = make_board(models=["llama_3_1_8b", "glm_4_9b_1m"], methods={"full": {}})
    text = printed(make_scores(board), board, tmp_path)
    assert "No context, glm_4_9b_1m" in text
    assert [line.strip() for line in text.splitlines() if line.strip() in ("llama_3_1_8b", "glm_4_9b_1m")]


def test_markup_in_names_is_text(scores, board, tmp_path):
    frame = table4.frame(scores, board)
    frame["title"] = "[red]x[/red]"
    (tmp_path / "t.csv").write_text(csv_text(frame))
    assert "[red]x[/red]" in text_of(tmp_path / "t.csv")


def test_any_other_twin_is_shown_column_by_column(tmp_path):
    (tmp_path / "t.csv").write_text("study,task,input_tokens\nmini,retr_kv,1024.5\nmini,zh_qa,\n")
    text = text_of(tmp_path / "t.csv", 80)
    assert "1,024.5" in text and "–" in text and "input tokens" in text


@pytest.mark.parametrize("content", [None, "", "a,b\n1,2\n", "study\n"], ids=["absent", "empty", "other", "no rows"])
def test_what_is_no_twin_is_refused(content, tmp_path):
    path = tmp_path / "x.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"x\.csv: not the \.csv file of a table"):
        read_twin(path)


def test_a_table_of_tasks_shows_its_numbers_alone(scores, board, tmp_path):
    frame = table11.frame(scores, board)
    path = tmp_path / "table11.csv"
    path.write_text(csv_text(frame))
    columns = [column.header for column in as_table(read_twin(path)).columns]
    assert "multi turn retr kv" in columns and not any(name.endswith((" low", " p")) for name in columns)
    assert as_table(read_twin(path)).row_count == len(board.lines)
