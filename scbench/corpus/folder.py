"""A user's folder of documents with a questions file, as documents for the tasks; docs/corpus.md is its manual.

The questions file alone says how many sessions there are, so that a study is planned without reading the documents.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from scbench.canonical import digest_file, digest_value
from scbench.corpus.git import export
from scbench.corpus.releases import check_options
from scbench.corpus.rows import field, read_lines, read_text, texts
from scbench.errors import UserError
from scbench.schema import read_yaml, validate
from scbench.sessions import Span
from scbench.tasks.documents import Book, Paper, Question, groups
from scbench.tasks.repositories import Repository
from scbench.tasks.shelves import shelves

QUESTIONS = ("questions.yaml", "questions.jsonl")
# Whose entries a task is made from: the mixed tasks ask what the plain ones ask, and more.
ENTRIES = {"mix_repoqa_kv": "code_repoqa", "mix_sum_niah": "en_sum"}


@dataclass(frozen=True)
class Entry:
    """One entry of a questions file; `where` names it in messages, `path` is its document."""

    where: str
    path: Path
    row: Mapping[str, Any]


def count(folder: str, task: str, turns: int) -> int:
    """How many sessions of `task` the folder makes, with at most `turns` questions each."""
    documents = list(_documents(folder, task).values())
    if task in ("en_sum", "mix_sum_niah"):
        return shelves(len(documents), sum(_has_summary(entries[0]) for entries in documents))
    if task in ("code_repoqa", "mix_repoqa_kv"):
        return sum(len(_asked_in_turn(entries, turns)) for entries in documents)
    return sum(len(groups(len(entries), turns)) for entries in documents)


def books(folder: str, task: str, turns: int) -> list[Book]:
    """The books that the folder asks about in `task`, once for every `turns` questions or less."""
    found = []
    for path, entries in _documents(folder, task).items():
        text = read_text(path)
        questions = [_question(entry, text, task == "en_multichoice") for entry in entries]
        name = _name(folder, path)
        found += [Book(name, text, tuple(questions[i] for i in run)) for run in groups(len(questions), turns)]
    return found


def papers(folder: str) -> list[Paper]:
    """The papers of the folder, with the reference summaries that its questions file gives."""
    found = []
    for path, (entry, *more) in _documents(folder, "en_sum").items():
        if more:
            raise UserError(f"{more[0].where}: document: {path} stands in {entry.where} too; give it one reference")
        summary = field(entry.where, entry.row, "answer", str) if _has_summary(entry) else None
        found.append(Paper(_name(folder, path), read_text(path), summary))
    return found


def repositories(folder: str, turns: int) -> list[Repository]:
    """The repositories of the folder, described by their documentation, or by the questions file.

    One of which the questions file describes functions comes once for every `turns` of them or less.
    """
    # The grammars are only needed where there is code.
    from scbench.corpus.source_code import described, repository

    found = []
    for path, entries in _documents(folder, "code_repoqa").items():
        whole = repository(path, entries[0].row.get("language"))
        for run in _asked_in_turn(entries, turns):
            supplied = {
                (field(entry.where, entry.row, "file", str), entry.row["function"]): _asked(entry) for entry in run
            }
            found.append(described(path, whole, supplied) if supplied else whole)
    return found


def fetch_repositories(folder: str) -> Iterator[tuple[Path, bool]]:
    """Write every repository that the questions file names by `git` and `commit`: its directory, and if it was new.

    Raises UserError naming the entry where two entries want other files in one directory, or git fails.
    """
    path = _questions_file(folder)
    named: dict[Path, tuple[str, str, str]] = {}
    for where, row in _rows(path):
        row = validate(row, "question.schema.yaml", where)
        if "git" not in row:
            continue
        target = path.parent / row["document"]
        if path.parent.resolve() not in target.resolve().parents:
            raise UserError(f"{where}: document: {row['document']!r} leads out of {folder}; name a directory below it")
        first, *origin = named.setdefault(target, (where, row["git"], row["commit"]))
        if origin != [row["git"], row["commit"]]:
            raise UserError(f"{where}: git: {first} names another origin of {row['document']}; give both the same")
    if not named:
        raise UserError(f"{path}: names no repository by git and commit (docs/corpus.md)")
    for target, (where, address, commit) in named.items():
        there = target.is_dir()
        if not there:
            # A path is meant from the questions file, as the document is.
            local = path.parent / address
            export(where, str(local.resolve()) if local.is_dir() else address, commit, target)
        yield target, not there


def digest(folder: str, task: str) -> str:
    """sha256 of all that decides the documents of `task`: its entries and the files that they name."""
    found = []
    for path, entries in _documents(folder, task).items():
        if path.is_dir():
            from scbench.corpus.source_code import source_files

            _, files = source_files(path, entries[0].row.get("language"))
        else:
            files = [path]
        sums = [(file.relative_to(path.parent).as_posix(), digest_file(file)) for file in files]
        found.append({"rows": [dict(entry.row) for entry in entries], "files": sums})
    return digest_value(found)


def _documents(folder: str, task: str) -> dict[Path, list[Entry]]:
    """The entries of `task` by their documents, in the order of the questions file."""
    kind = ENTRIES.get(task, task)
    found: dict[Path, list[Entry]] = {}
    for entry in _entries(_questions_file(folder)):
        if entry.row["task"] == kind:
            found.setdefault(entry.path, []).append(entry)
    if not found:
        raise UserError(
            f"{_questions_file(folder)}: has no entry of the task {kind}, which the study asks for ({task}); "
            f"add one, or take {task} out of the study's tasks"
        )
    return found


def _questions_file(folder: str) -> Path:
    if not Path(folder).is_dir():
        raise UserError(f"data.corpus: {folder}: is not a directory; name the folder of your documents")
    there = [path for name in QUESTIONS if (path := Path(folder, name)).is_file()]
    if len(there) != 1:
        raise UserError(
            f"data.corpus: {folder}: holds {len(there)} of {' and '.join(QUESTIONS)}; give one of them (docs/corpus.md)"
        )
    return there[0]


def _entries(path: Path) -> list[Entry]:
    status = path.stat()
    # A plan asks many times.
    return _read_entries(path, (status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=16)
def _read_entries(path: Path, _stamp: tuple[int, int]) -> list[Entry]:
    return [_entry(path.parent, where, row) for where, row in _rows(path)]


def _rows(path: Path) -> list[tuple[str, Any]]:
    """(name in messages, entry) of a questions file, not yet checked."""
    if path.suffix == ".jsonl":
        return list(read_lines(path))
    listed = read_yaml(path)
    if not isinstance(listed, list):
        raise UserError(f"{path}: holds no list of entries; begin each with '- task: ...' (docs/corpus.md)")
    return [(f"{path}: entry {number}", row) for number, row in enumerate(listed, start=1)]


def _entry(folder: Path, where: str, row: Any) -> Entry:
    row = validate(row, "question.schema.yaml", where)
    path = folder / row["document"]
    code = row["task"] == "code_repoqa"
    if "git" in row and not path.is_dir():
        remedy = f"run python -m scripts.fetch_repositories {folder}"
        raise UserError(f"{where}: document: {row['document']!r} is not there yet; {remedy}")
    if not (path.is_dir() if code else path.is_file()):
        raise UserError(
            f"{where}: document: {row['document']!r} is no {'directory' if code else 'file'} in {folder}; "
            "correct the name, or put the document there"
        )
    return Entry(where, path, row)


def _question(entry: Entry, text: str, multiple_choice: bool) -> Question:
    where, row = entry.where, entry.row
    answers = texts(where, row, "answer")
    options = texts(where, row, "options") if multiple_choice else ()
    check_options(where, answers, options, multiple_choice)
    quotes = texts(where, row, "evidence") if "evidence" in row else ()
    spans = tuple(_place(where, quote, text, entry.path) for quote in quotes)
    return Question(_asked(entry), answers, options, spans)


def _asked(entry: Entry) -> str:
    return field(entry.where, entry.row, "question", str)


def _place(where: str, quote: str, text: str, path: Path) -> Span:
    if text.count(quote) != 1:
        raise UserError(
            f"{where}: evidence: {quote[:60]!r} stands {text.count(quote)} times in {path}; quote what stands "
            "there once"
        )
    start = text.index(quote)
    return start, start + len(quote)


def _asked_in_turn(entries: Sequence[Entry], turns: int) -> list[list[Entry]]:
    """The entries of a repository that describe functions, in groups; or one empty group, if none does."""
    described = [entry for entry in entries if "function" in entry.row]
    if not described:
        return [[]]
    return [[described[i] for i in run] for run in groups(len(described), turns)]


def _has_summary(entry: Entry) -> bool:
    return "answer" in entry.row


def _name(folder: str, path: Path) -> str:
    return path.relative_to(folder).as_posix()
