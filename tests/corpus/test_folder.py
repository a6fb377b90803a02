"""A user's folder of documents: which sessions it makes, and what is said about a folder that is not right."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scbench import corpus as room
from scbench.corpus import folder
from scbench.costs import session_count
from scbench.errors import UserError
from scbench.sessionkey import digest
from scbench.study import load_study
from scripts.build_sessions import build, sessions_of
from tests.corpus.conftest import ENTRIES, STORY, entry

TASKS = ["en_qa", "zh_qa", "en_multichoice", "code_repoqa", "en_sum", "mix_sum_niah", "mix_repoqa_kv", "retr_kv"]


def study_of(place, **data):
    data = {"source": "corpus", "corpus": str(place), "scale": "paper", "tokens": 1024, "turns": 3} | data
    config = {"study": "own", "models": ["minilm"], "methods": {"full": {}}, "tasks": TASKS, "data": data}
    return load_study(config, "own.yaml")


def sessions(study, task):
    made = list(sessions_of(study, task, ()))
    assert len(made) == session_count(study, task)
    return made


def test_books_ask_every_question_in_as_few_sessions_as_turns_allow(corpus):
    made = sessions(study_of(corpus()), "en_qa")
    assert [len(session.turns) for session in made] == [2, 2, 3, 1]
    assert [session.context for session in made] == [STORY] * 4
    assert [session.meta["document"] for session in made] == ["story.txt"] * 3 + ["other.txt"]
    assert [turn.golds for session in made for turn in session.turns][:2] == [("answer 0",), ("answer 1",)]
    assert made[-1].turns[0].golds == ("Ann", "ann")
    assert made[-1].turns[0].evidence == ((0, 18),)


def test_every_task_of_documents_has_sessions_and_others_are_generated(corpus):
    study = study_of(corpus(), sessions=None)
    assert {task: session_count(study, task) for task in TASKS if task != "retr_kv"} == {
        "en_qa": 4, "zh_qa": 1, "en_multichoice": 1, "code_repoqa": 1, "en_sum": 2, "mix_sum_niah": 2,
        "mix_repoqa_kv": 1,
    }  # fmt: skip
    (choice,) = sessions(study, "en_multichoice")
    assert choice.turns[0].golds == ("Bob", "B")
    (code,) = sessions(study, "code_repoqa")
    assert (code.turns[0].query, code.meta["repo"]) == ("Doubles what it is given, then adds three.", "code")
    asked = [turn.golds[0] for session in sessions(study_of(corpus(), turns=8), "en_sum") for turn in session.turns]
    assert sorted(asked) == [f"This paper says {n}." for n in range(9)]
    assert [turn.subtask for turn in sessions(study, "mix_sum_niah")[0].turns] == ["en_sum", "needle", "en_sum"]
    assert sessions(study_of(corpus(), sessions=1), "retr_kv")[0].task == "retr_kv"


def test_the_number_of_sessions_limits_books_and_draws_more_of_papers_and_code(corpus):
    study = study_of(corpus(), sessions=3)
    assert [session_count(study, task) for task in ("en_qa", "zh_qa", "en_sum", "code_repoqa")] == [3, 1, 3, 3]
    assert len(sessions(study, "code_repoqa")) == 3


def test_supplied_descriptions_are_all_asked(corpus):
    functions = "".join(f"def work{n}(x):\n    y = x + {n}\n    return y\n\n\n" for n in range(5))
    described = [
        entry("code_repoqa", "code", file="b.py", function=f"work{n}", question=f"Adds {n}.") for n in range(5)
    ]
    place = corpus(described)
    (place / "code" / "b.py").write_text(functions)
    made = sessions(study_of(place), "code_repoqa")
    asked = [(turn.meta["name"], turn.query) for session in made for turn in session.turns]
    assert sorted(asked) == [(f"work{n}", f"Adds {n}.") for n in range(5)]


def test_json_lines_say_the_same_as_yaml(corpus):
    study = study_of(corpus())
    before = sessions(study, "en_qa")
    place = corpus()
    (place / "questions.yaml").unlink()
    (place / "questions.jsonl").write_text("".join(f"{json.dumps(row)}\n\n" for row in ENTRIES))
    assert sessions(study, "en_qa") == before


def test_an_edit_of_a_document_or_of_its_questions_changes_its_tasks_alone(corpus):
    study = study_of(corpus())
    before = {task: digest(study, task) for task in TASKS}
    (Path(study.data.corpus) / "story.txt").write_text(f"{STORY}More.\n")
    after = {task: digest(study, task) for task in TASKS}
    assert {task for task in TASKS if after[task] != before[task]} == {"en_qa", "zh_qa", "en_multichoice"}
    (Path(study.data.corpus) / "code" / "new.py").write_text("x = 1\n")
    changed = {task for task in TASKS if digest(study, task) != after[task]}
    assert changed == {"code_repoqa", "mix_repoqa_kv"}


def test_where_the_folder_lies_decides_nothing(corpus, tmp_path):
    place = corpus()
    before = digest(study_of(place), "en_qa")
    moved = place.rename(tmp_path / "moved")
    assert digest(study_of(moved), "en_qa") == before


# What is not right.

BAD_ENTRIES = {
    "unknown key": (entry("en_qa", "story.txt", qestion="?"), ["entry 1", "qestion", "did you mean 'question'?"]),
    "unknown task": (entry("en_q", "story.txt"), ["entry 1", "task", "'en_q'", "did you mean 'en_qa'?"]),
    "no task": ({"document": "story.txt"}, ["entry 1", "'task' is missing"]),
    "no document": (entry("en_qa", "gone.txt"), ["entry 1", "document: 'gone.txt' is no file in", "correct the name"]),
    "directory": (entry("en_qa", "papers"), ["entry 1", "'papers' is no file"]),
    "file as repository": (entry("code_repoqa", "story.txt"), ["entry 1", "'story.txt' is no directory"]),
    "wrong type": (entry("en_qa", "story.txt", question=5, answer="x"), ["entry 1", "question: 5", "type string"]),
    "no question": (entry("en_qa", "story.txt", answer="x"), ["entry 1", "'question' is missing"]),
    "no answer": (entry("en_qa", "story.txt", question="?"), ["entry 1", "'answer' is missing"]),
    "empty answer": (entry("en_qa", "story.txt", question="?", answer=" "), ["entry 1", "answer", "is empty"]),
    "empty answers": (entry("en_qa", "story.txt", question="?", answer=[]), ["entry 1", "answer: [] is empty"]),
    "evidence": (
        entry("en_qa", "story.txt", question="?", answer="x", evidence="cup"),
        ["entry 1", "evidence: 'cup' stands 2 times", "quote what stands there once"],
    ),
}


@pytest.mark.parametrize("name", BAD_ENTRIES)
def test_a_wrong_entry_ends_with_one_sentence(corpus, tmp_path, name):
    row, words = BAD_ENTRIES[name]
    refused(study_of(corpus([row])), "en_qa" if row.get("task") != "code_repoqa" else "code_repoqa", tmp_path, words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (None, ["'options' is missing"]),
        (["Ann", "Bob", "Cid"], ["options: 3 given"]),
        (["Ann", "Ann", "Cid", "Dan"], ["4 given, 3 different"]),
        (["Ann", "Eve", "Cid", "Dan"], ["answer: 'Bob' is none of the options"]),
    ],
)
def test_options_must_be_four_with_the_answer_among_them(corpus, tmp_path, options, words):
    row = entry("en_multichoice", "story.txt", question="?", answer="Bob")
    row |= {} if options is None else {"options": options}
    refused(study_of(corpus([row])), "en_multichoice", tmp_path, ["entry 1", *words])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["story.txt: is empty", "take the document out"]),
        (b" \n\n", ["story.txt: is empty"]),
        (b"caf\xe9", ["story.txt: byte 3 (0xe9) is not UTF-8", "save the file as UTF-8"]),
    ],
    ids=["empty", "blank", "latin-1"],
)
def test_a_book_that_cannot_be_read_is_named(corpus, tmp_path, content, words):
    place = corpus()
    (place / "story.txt").write_bytes(content)
    refused(study_of(place), "en_qa", tmp_path, words)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("questions.yaml", "task: en_qa", ["holds no list of entries"]),
        ("questions.yaml", "- {task: en_qa", ["not valid YAML"]),
        ("questions.yaml", "- 5", ["entry 1", "not keys and values"]),
        ("questions.yaml", "- {task: en_sum, document: story.txt}", ["no entry of the task en_qa", "add one"]),
        ("questions.jsonl", '{"task": "en_qa"}\n{', ["line 2", "not valid JSON"]),
        ("questions.jsonl", '\n{"task": 5, "document": "story.txt"}', ["line 2", "task", "5 is not allowed"]),
        ("questions.jsonl", "[]", ["line 1", "[] is not keys and values"]),
    ],
)
def test_a_questions_file_that_cannot_be_read_is_named(corpus, tmp_path, name, content, words):
    place = corpus()
    (place / "questions.yaml").unlink()
    (place / name).write_text(content)
    refused(study_of(place), "en_qa", tmp_path, [name, *words])


def refused(study, task, tmp_path, words):
    """One sentence with `words` and no file, whether it is found when sessions are counted or when they are built."""
    with pytest.raises(UserError) as found:
        build(study, task, tmp_path / "out" / "x.parquet")
    assert all(word in str(found.value) for word in words), str(found.value)
    assert "\n" not in str(found.value)
    assert not list(tmp_path.glob("out/*"))


def test_a_folder_that_is_not_there_or_has_no_questions_or_two_is_refused(corpus, tmp_path):
    with pytest.raises(UserError, match=r"data\.corpus: .*gone: is not a directory"):
        folder.count(str(tmp_path / "gone"), "en_qa", 5)
    with pytest.raises(UserError, match=r"holds 0 of questions\.yaml and questions\.jsonl"):
        folder.count(str(tmp_path), "en_qa", 5)
    place = corpus()
    (place / "questions.jsonl").write_text("")
    with pytest.raises(UserError, match="holds 2 of"):
        folder.count(str(place), "en_qa", 5)


def test_a_reference_given_twice_is_refused(corpus):
    rows = [entry("en_sum", "papers/0.txt", answer="One."), entry("en_sum", "papers/0.txt", answer="Two.")]
    with pytest.raises(UserError, match=r"entry 2: document: .*0\.txt stands in .*entry 1 too"):
        folder.papers(str(corpus(rows)))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"corpus": None}, ["data.corpus: is missing", "name the folder"]),
        ({"source": "build", "scale": "mini", "tokens": 1024}, ["data.corpus", "is not read with data.source build"]),
    ],
)
def test_a_study_and_its_folder_must_agree(corpus, data, words):
    with pytest.raises(UserError) as found:
        study_of(corpus(), **data)
    assert all(word in str(found.value) for word in words)


def test_what_needs_papers_and_names_no_folder_is_pending():
    study = study_of(None, source="build", corpus=None, tokens=None)
    assert any("papers for en_sum, mix_sum_niah" in text for text in study.pending)
    with pytest.raises(UserError, match=r"data\.corpus: is missing, and en_sum is made from papers"):
        room.documents(study.data, "en_sum")


def test_at_paper_scale_the_folder_gives_the_papers_alone(corpus):
    study = study_of(corpus(), source="build", tokens=None)
    assert study.pending == ()
    assert [session_count(study, task) for task in ("en_sum", "en_qa", "code_repoqa")] == [2, 69, 88]
    assert sessions(study, "en_sum")[0].turns[0].golds[0].startswith("This paper says")


def test_planning_a_study_of_documents_loads_no_grammar():
    code = "import sys, scbench.sessionkey; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "tree_sitter" not in loaded
