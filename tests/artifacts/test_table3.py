import pandas as pd
import pytest

from scbench.artifacts import table3
from scbench.artifacts.sized import BEFORE, read_sizes
from scbench.artifacts.stamp import make_stamp
from scbench.places import ROOT
from scbench.sessions import Session, Turn, write_sessions
from scbench.tasks import TASKS
from tests.artifacts.tex_check import NASTY, check_table, compile_table

TOKENIZER = ROOT / "resources" / "minilm" / "tokenizer.json"


def sizes_of(board, **example):
    row = {"session": "s", "passage": "a key", "query": "which?", "answer": "this"} | example
    return pd.DataFrame([row | {"task": task} for task in board.sessions])


def test_every_task_has_an_origin():
    assert set(table3.ORIGINS) == set(TASKS)


def test_the_example_is_the_first_question_with_what_stands_at_its_evidence(tmp_path, make_board):
    context = "w " * 500 + "needle" + " w" * 500
    start = context.index("needle")
    turns = (
        Turn("where?", ("here",), "retr_kv", ((start, start + 6),)),
        Turn("when?", ("now",), "retr_kv", ((0, 1),)),
    )
    path = tmp_path / "retr_kv.parquet"
    write_sessions(path, [Session("retr_kv", sid, context, turns) for sid in ("a", "b")])
    board = make_board(tasks=["retr_kv", "en_qa"])
    frame = table3.frame(read_sizes([path], TOKENIZER, board), board).set_index("task")
    row = frame.loc["retr_kv"]
    assert (row["session"], row["query"], row["answer"]) == ("a", "where?", "here")
    assert row["passage"].index("needle") == BEFORE
    assert pd.isna(frame.loc["en_qa", "query"])


def test_nasty_examples_compile_and_missing_ones_show_as_missing(make_board, tmp_path):
    board = make_board()
    chinese = "\u6625\u5929\u6765\u4e86\u3002" * 40
    sizes = sizes_of(board, passage=NASTY * 4, query=chinese, answer=f"{NASTY}\n{NASTY}")
    frame = table3.frame(sizes[sizes["task"] != "zh_qa"], board)
    tex, csv = table3.write(frame, board, make_stamp("table3", board, "a" * 64), tmp_path / "t")
    check_table(tex.read_text())
    assert next(line for line in tex.read_text().splitlines() if line.startswith("Zh.QA")).endswith(r"& -- \\")
    assert pd.read_csv(csv).set_index("task").loc["en_qa", "query"] == chinese
    assert "Overfull" not in compile_table(tex.read_text(), tmp_path)


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("short", 10, "short"),
        ("two  \n words", 10, "two words"),
        ("several words stand here", 15, "several words \u2026"),
        ("unbroken" * 5, 10, "unbrokenun \u2026"),
        ("\u6625\u5929\u6765\u4e86", 15, "\u6625\u5929 \u2026"),
    ],
)
def test_texts_are_cut_between_words_by_the_width_that_they_take(text, width, shown):
    assert table3.cut(text, width) == shown
