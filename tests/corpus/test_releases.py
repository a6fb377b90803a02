"""Raw inputs as documents: BIG-Bench-Hard (the files themselves where a mirror is named), InfiniteBench, RepoQA."""

import gzip
import json
import os
from pathlib import Path

import pytest

from scbench.corpus import releases
from scbench.errors import UserError
from scbench.raw.needs import BUILD
from scbench.sessions import check_session
from scbench.tasks import TASKS, Scale

KINDS = [file for _, file in BUILD["icl_manyshot"]]
PAPER = Scale(name="paper", tokens=None)


@pytest.fixture(scope="module")
def bbh(tmp_path_factory) -> Path:
    """The three files, from the mirror that SCBENCH_TEST_MIRROR names, or others of their form and size."""
    if mirror := os.environ.get("SCBENCH_TEST_MIRROR"):
        return Path(mirror) / "bbh"
    folder = tmp_path_factory.mktemp("bbh")
    for kind in KINDS:
        rows = [
            {"input": f"{kind}: what is {n}?\nOptions:\n(A) odd\n(B) even", "target": "(A)" if n % 2 else "(B)"}
            for n in range(250)
        ]
        (folder / kind).write_text(json.dumps({"canary": "none", "examples": rows}))
    return folder


def test_54_sessions_of_big_bench_hard_with_answers_as_in_the_source(bbh):
    documents = [releases.examples(bbh / kind) for kind in KINDS]
    sessions = [check_session(TASKS["icl_manyshot"].build(PAPER, 0, index, documents)) for index in range(54)]
    assert {session.meta["subtask"] for session in sessions} == {Path(kind).stem for kind in KINDS}
    for session in sessions:
        rows = json.loads((bbh / f"{session.meta['subtask']}.json").read_text())["examples"]
        target = {row["input"]: row["target"] for row in rows}
        assert len(session.turns) == 5
        for turn in session.turns:
            assert turn.query not in session.context
            assert f"({turn.golds[0]})" == target[turn.query]
        shown = [question for question in target if f"{question}\nAnswer: {target[question]}" in session.context]
        assert len(shown) == session.context.count("\nAnswer: (") == 150


def rows_of(path, rows):
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))
    return path


def row(book, number, **changes):
    given = {"id": number, "context": f"Book {book}.", "input": f"Question {number}?", "answer": [f"answer {number}"]}
    return given | {"options": [f"answer {n}" for n in range(number - 1, number + 3)]} | changes


def test_rows_of_infinitebench_are_grouped_by_their_book(tmp_path):
    path = rows_of(tmp_path / "longbook.jsonl", [row("一", 1), row("二", 2), row("一", 3), row("一", 4)])
    books = releases.books(path, multiple_choice=False)
    assert [(book.text, [q.text for q in book.questions]) for book in books] == [
        ("Book 一.", ["Question 1?", "Question 3?", "Question 4?"]),
        ("Book 二.", ["Question 2?"]),
    ]
    assert len({book.name for book in books}) == 2
    (choice, _) = [
        TASKS["en_multichoice"].build(PAPER, 0, index, releases.books(path, multiple_choice=True)) for index in range(2)
    ]
    assert [turn.golds for turn in choice.turns] == [(f"answer {n}", "B") for n in (1, 3, 4)]


def test_a_question_that_stands_twice_is_asked_once(tmp_path):
    path = rows_of(tmp_path / "longbook.jsonl", [row("a", 1), row("a", 1, answer=["other"]), row("a", 2)])
    (book,) = releases.books(path, multiple_choice=False)
    assert [question.answers for question in book.questions] == [("answer 1",), ("answer 2",)]


CODE = "def work(x):\n    return x + y\n"
SOURCE = f"x = '\u4f60\u597d'\n\n{CODE}\n"
FIRST = SOURCE.encode().index(b"def")
NEEDLE = {
    "name": "work",
    "path": "a.py",
    "start_byte": FIRST,
    "end_byte": FIRST + len(CODE),
    "description": " Gives back\nwhat it got. ",
}


def repository(name, **changes):
    content = {"z.py": "import a\n", "a.py": SOURCE, "empty.py": ""}
    return {"repo": name, "content": content, "dependency": {"a.py": ["z.py"]}, "needles": [NEEDLE]} | changes


def release(path, **languages):
    path.write_bytes(gzip.compress(json.dumps(languages).encode()))
    return path


def test_repositories_of_repoqa_come_language_by_language_with_their_needles(tmp_path):
    path = release(tmp_path / "r.json.gz", python=[repository("a/a"), repository("a/b")], go=[repository("a/c")])
    found = releases.repositories(path)
    assert [(repo.name, repo.language) for repo in found] == [("a/a", "python"), ("a/c", "go"), ("a/b", "python")]
    assert [file.path for file in found[0].files] == ["z.py", "a.py"]
    ((function,),) = [file.functions for file in found[0].files if file.functions]
    assert found[0].files[1].text[function.start : function.stop] == CODE
    session = TASKS["code_repoqa"].build(PAPER, 0, 1, found)
    assert session.turns[0].query == "Gives back\nwhat it got."
    assert session.turns[0].meta["language"] == "go"
    plain = tmp_path / "plain.json"
    plain.write_bytes(gzip.decompress(path.read_bytes()))
    assert releases.repositories(plain) == found


BAD_ROWS = {
    "context of a wrong type": (row("b", 1, context=5), ["line 2: context: 5 is not a text"]),
    "answer of a wrong type": (row("b", 1, answer=5), ["line 2: answer: 5 is not a list"]),
    "no question": (
        {key: value for key, value in row("b", 1).items() if key != "input"},
        ["line 2", "'input' is missing"],
    ),
    "empty book": (row("b", 1, context=" "), ["line 2: context: ' ' is empty"]),
    "wrong answer": (row("b", 1, answer=["z"]), ["line 2: answer: 'z' is none of the options"]),
    "no object": ([1], ["line 2: [1] is not keys and values"]),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_malformed_row_is_named(tmp_path, name):
    bad, words = BAD_ROWS[name]
    path = rows_of(tmp_path / "rows.jsonl", [row("a", 1), bad])
    with pytest.raises(UserError) as found:
        releases.books(path, multiple_choice=True)
    assert all(word in str(found.value) for word in [str(path), *words]), str(found.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "no keys and values"),
        ('{"examples": 5}', "examples: 5 is not a list"),
        ('{"examples": [{"input": "a"}]}', "examples.0: the key 'target' is missing"),
        ('{"examples": [{"input": "a", "target": "A"}]}', "examples.0: target: 'A' is not a letter in brackets"),
    ],
)
def test_a_malformed_file_of_examples_is_named(tmp_path, content, words):
    (tmp_path / "dates.json").write_text(content)
    with pytest.raises(UserError) as found:
        releases.examples(tmp_path / "dates.json")
    assert words in str(found.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"needles": []}, "python.0: needles: [] is empty"),
        ({"content": []}, "python.0: content: [] is not keys and values"),
        ({"needles": [NEEDLE | {"path": "b.py"}]}, "needles.0: path: 'b.py' is not in `content`"),
        ({"needles": [NEEDLE | {"end_byte": 999}]}, "needles.0: start_byte: [14, 999) lies outside its file"),
        ({"needles": [NEEDLE | {"start_byte": "15"}]}, "needles.0: start_byte: '15' is not a whole number"),
        ({"repo": None}, "python.0: repo: None is not a text"),
    ],
)
def test_a_malformed_release_is_named(tmp_path, changes, words):
    path = release(tmp_path / "r.json.gz", python=[repository("a/a", **changes)])
    with pytest.raises(UserError) as found:
        releases.repositories(path)
    assert words in str(found.value), str(found.value)


def test_a_release_cut_short_or_of_an_unknown_language_is_named(tmp_path):
    path = release(tmp_path / "r.json.gz", cobol=[repository("a/a")])
    with pytest.raises(UserError, match="cobol: unknown language"):
        releases.repositories(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="not a readable release of RepoQA"):
        releases.repositories(path)
