import re
from pathlib import Path

import pandas as pd
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from scbench.artifacts import table2
from scbench.artifacts.sized import read_sizes
from scbench.artifacts.stamp import make_stamp
from scbench.errors import UserError
from scbench.sessions import Session, Turn, write_sessions
from tests.artifacts.tex_check import check_table, compile_table

TASKS = ["retr_kv", "retr_multihop"]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """One token a word."""
    words = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


@pytest.fixture
def sessions(tmp_path: Path) -> list[Path]:
    """retr_kv: inputs of 10 and 14 words, outputs of 2 and 3; retr_multihop: input of 5, output of 2 (a list)."""
    kv = [
        Session("retr_kv", "a", "w " * 7, (Turn("q", ("x",), "retr_kv"), Turn("q r", ("y",), "retr_kv"))),
        Session("retr_kv", "b", "w " * 12, (Turn("q", ("x z",), "retr_kv"), Turn("r", ("y",), "retr_kv"))),
    ]
    hops = [Session("retr_multihop", "c", "w " * 4, (Turn("q", ("A", "B"), "retr_multihop"),))]
    for name, group in (("retr_kv", kv), ("retr_multihop", hops)):
        write_sessions(tmp_path / f"{name}.parquet", group)
    return [tmp_path / "retr_kv.parquet", tmp_path / "retr_multihop.parquet"]


@pytest.fixture
def small(make_board):
    return make_board(tasks=TASKS, data={"scale": "mini", "tokens": 1024, "sessions": 2})


def test_sizes_count_context_questions_and_every_gold(sessions, tokenizer, small):
    sizes = read_sizes(sessions, tokenizer, small)
    assert list(sizes["input_tokens"]) == [10, 14, 5]
    assert list(sizes["output_tokens"]) == [2, 3, 2]
    assert list(sizes["turns"]) == [2, 2, 1]


def test_rows_are_means_over_sessions_and_the_total_a_mean_over_tasks(sessions, tokenizer, small):
    frame = table2.frame(read_sizes(sessions, tokenizer, small), small).set_index("task")
    assert list(frame.index) == [*TASKS, "total"]
    assert frame["input_tokens"].tolist() == [12, 5, 8.5]
    assert frame["output_tokens"].tolist() == [2.5, 2, 2.25]
    assert frame["sessions"].tolist() == [2, 1, 3]
    assert frame["turns"].tolist() == [4, 1, 5]


def test_a_task_without_sessions_is_missing_and_listed(sessions, tokenizer, small, tmp_path):
    frame = table2.frame(read_sizes(sessions[:1], tokenizer, small), small)
    tex, csv = table2.write(frame, small, make_stamp("table2", small, "a" * 64), tmp_path / "t")
    check_table(tex.read_text())
    row = next(line for line in tex.read_text().splitlines() if line.startswith("Retr.MultiHop"))
    assert re.search(r"& 124,000 & -- & 410 & -- & 90 / 450 & 90 / 450 & 0 / 0", row)
    assert "Missing: Retr.MultiHop." in tex.read_text()
    gone = pd.read_csv(csv).set_index("task")
    assert gone.loc["retr_multihop", ["input_tokens", "output_tokens"]].isna().all()
    assert gone.loc["total", ["input_tokens", "output_tokens"]].isna().all()


def test_csv_and_tex_carry_the_same_numbers(sessions, tokenizer, small, tmp_path):
    frame = table2.frame(read_sizes(sessions, tokenizer, small), small)
    tex, csv = table2.write(frame, small, make_stamp("table2", small, "a" * 64), tmp_path / "t")
    text = tex.read_text()
    for row in pd.read_csv(csv).to_dict("records"):
        line = next(line for line in text.splitlines() if line.startswith(f"{row['title']} &"))
        lengths = [f"{row[name]:,.0f}" for name in table2.LENGTHS]
        pairs = zip(table2.COUNTS[::2], table2.COUNTS[1::2], strict=True)
        counts = [f"{row[sessions]:,.0f} / {row[turns]:,.0f}" for sessions, turns in pairs]
        assert " & ".join([*lengths, *counts]) in line


def test_the_numbers_of_the_paper_and_the_published_set_stand_beside_and_their_disagreements_below(
    make_board, tmp_path
):
    board = make_board()
    sizes = pd.DataFrame(
        [{"task": task, "turns": 5, "input_tokens": 1000, "output_tokens": 60} for task in board.sessions]
    )
    frame = table2.frame(sizes, board).set_index("task")
    assert frame.loc["retr_kv", ["paper_input", "paper_sessions", "set_turns"]].tolist() == [125_000, 100, 500]
    differing = frame.index[frame["disagreement"] != ""].tolist()
    assert differing == ["en_multichoice", "math_find", "en_sum", "total"]
    tex, _ = table2.write(frame.reset_index(), board, make_stamp("table2", board, "a" * 64), tmp_path / "t")
    assert "En.Sum, sessions: the paper says 79, the published set's card 70." in tex.read_text()
    assert "by the tokenizer of MiniLM" in tex.read_text()


def test_it_compiles_with_every_task(make_board, tmp_path):
    board = make_board()
    sizes = pd.DataFrame(
        [{"task": task, "turns": 5, "input_tokens": 1_500_000, "output_tokens": 6058} for task in board.sessions]
    )
    tex, _ = table2.write(table2.frame(sizes, board), board, make_stamp("table2", board, "a" * 64), tmp_path / "t")
    check_table(tex.read_text())
    assert "1,500,000 & 943 & 6,058" in tex.read_text()
    assert "Overfull" not in compile_table(tex.read_text(), tmp_path)


def test_no_sessions_is_an_error(tokenizer, small):
    with pytest.raises(UserError, match="no sessions"):
        read_sizes([], tokenizer, small)


def test_a_task_outside_the_study_is_an_error(sessions, tokenizer, make_board):
    with pytest.raises(UserError, match=r"retr_multihop\.parquet.*no task retr_multihop"):
        read_sizes(sessions, tokenizer, make_board(tasks=["retr_kv"]))


@pytest.mark.parametrize("content", [None, "{", "[1]", "{}"], ids=["absent", "cut short", "list", "empty"])
def test_a_broken_tokenizer_is_named(content, sessions, small, tmp_path):
    path = tmp_path / "broken.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"--tokenizer .*broken\.json"):
        read_sizes(sessions, path, small)
