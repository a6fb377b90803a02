"""Documents from raw inputs that others published: BIG-Bench-Hard, InfiniteBench, RepoQA."""

import gzip
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from scbench.corpus.rows import field, read_json, read_lines, texts
from scbench.errors import UserError
from scbench.tasks.documents import Book, Examples, Question
from scbench.tasks.repositories import COMMENTS, Described, Repository, SourceFile

_TARGET = re.compile(r"\(([A-G])\)")


def examples(path: Path) -> Examples:
    """A task of BIG-Bench-Hard: {"examples": [{"input": ..., "target": "(A)"}, ...]}."""
    rows = field(str(path), _object(path, read_json(path)), "examples", list)
    return Examples(path.stem, tuple(_example(f"{path}: examples.{number}", row) for number, row in enumerate(rows)))


def _example(where: str, row: Any) -> tuple[str, str]:
    row = _object(where, row)
    target = field(where, row, "target", str)
    match = _TARGET.fullmatch(target)
    if match is None:
        raise UserError(f"{where}: target: {target!r} is not a letter in brackets, such as '(A)'; fetch the file again")
    return field(where, row, "input", str), match[1]


def books(path: Path, multiple_choice: bool) -> list[Book]:
    """The books of one file of InfiniteBench, each with all its questions, in the order of their first rows.

    A row repeats its whole book; one copy of each is kept in memory. A question that stands twice is kept once.
    """
    found: dict[bytes, tuple[str, str]] = {}
    questions: dict[bytes, dict[tuple, Question]] = {}
    for where, row in read_lines(path):
        text = field(where, row, "context", str)
        key = hashlib.sha256(text.encode("utf-8")).digest()
        found.setdefault(key, (f"{path.stem}-{len(found):03d}", text))
        question = _question(where, row, multiple_choice)
        questions.setdefault(key, {}).setdefault((question.text, question.options), question)
    if not found:
        raise UserError(f"{path}: holds no rows; fetch the file again")
    return [Book(*book, tuple(questions[key].values())) for key, book in found.items()]


def _question(where: str, row: Mapping[str, Any], multiple_choice: bool) -> Question:
    answers = texts(where, row, "answer")
    options = texts(where, row, "options") if multiple_choice else ()
    check_options(where, answers, options, multiple_choice)
    return Question(field(where, row, "input", str), answers, options)


def check_options(where: str, answers: Sequence[str], options: Sequence[str], multiple_choice: bool) -> None:
    """Raise UserError unless a multiple choice has four options, the answer among them."""
    if multiple_choice and (len(set(options)) != 4 or len(options) != 4):
        raise UserError(f"{where}: options: {len(options)} given, {len(set(options))} different; give four")
    if multiple_choice and answers[0] not in options:
        raise UserError(f"{where}: answer: {answers[0][:60]!r} is none of the options; repeat one of them")


def repositories(path: Path) -> list[Repository]:
    """The repositories of RepoQA's release, languages in turn, with the functions that it describes.

    The release is JSON, usually gzipped: language -> repositories, each with `content` (path -> source), `dependency`
    (path -> paths) and `needles` (name, path, start_byte, end_byte, description).
    """
    try:
        data = path.read_bytes()
        release = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path}: not a readable release of RepoQA ({error}); fetch the file again") from error
    by_language = []
    for language in _object(path, release):
        if language not in COMMENTS:
            raise UserError(f"{path}: {language}: unknown language; there are {', '.join(COMMENTS)}")
        where = f"{path}: {language}"
        rows = enumerate(field(str(path), release, language, list))
        by_language.append([_repository(f"{where}.{number}", language, entry) for number, entry in rows])
    return [found for turn in zip_longest(*by_language) for found in turn if found is not None]


def _repository(where: str, language: str, entry: Any) -> Repository:
    entry = _object(where, entry)
    content = field(where, entry, "content", dict)
    needles: dict[str, list[Described]] = {}
    for number, row in enumerate(field(where, entry, "needles", list)):
        at = f"{where}.needles.{number}"
        row = _object(at, row)
        path = field(at, row, "path", str)
        if path not in content:
            raise UserError(f"{at}: path: {path!r} is not in `content`; fetch the file again")
        needles.setdefault(path, []).append(_needle(at, row, field(f"{where}.content", content, path, str)))
    paths = _dependencies_first(content, entry.get("dependency") or {})
    files = (
        SourceFile(path, content[path], tuple(sorted(needles.get(path, ()), key=lambda needle: needle.start)))
        for path in paths
        if isinstance(content[path], str) and content[path].strip()
    )
    return Repository(field(where, entry, "repo", str), language, tuple(files))


def _needle(where: str, row: Mapping[str, Any], source: str) -> Described:
    start, stop = field(where, row, "start_byte", int), field(where, row, "end_byte", int)
    data = source.encode("utf-8")
    if not 0 <= start < stop <= len(data):
        raise UserError(f"{where}: start_byte: [{start}, {stop}) lies outside its file; fetch the file again")
    # The release counts bytes, a context characters.
    first = len(data[:start].decode("utf-8", errors="replace"))
    code = data[start:stop].decode("utf-8", errors="replace")
    return Described(
        field(where, row, "name", str), first, first + len(code), field(where, row, "description", str).strip()
    )


def _dependencies_first(content: Mapping[str, str], dependency: Mapping[str, Sequence[str]]) -> list[str]:
    """The paths of `content`, each behind those that it imports where these do not import it in turn."""
    order: dict[str, None] = {}
    started: set[str] = set()
    waiting = [(path, False) for path in sorted(content, reverse=True)]
    while waiting:
        path, imported = waiting.pop()
        if imported:
            order[path] = None
        elif path not in started:
            started.add(path)
            waiting.append((path, True))
            waiting += [(other, False) for other in sorted(dependency.get(path, ()), reverse=True) if other in content]
    return list(order)


def _object(where: str | Path, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{where}: holds no keys and values; fetch the file again")
    return value
