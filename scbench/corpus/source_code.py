"""A directory of source files as a repository: its functions, and what their documentation says they do.

Documentation of functions is taken out of the code that is shown, of all functions alike: a function that lacks it
would be known as one that is asked about.
"""

import ast
import inspect
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

from tree_sitter import Node, QueryCursor

from scbench.errors import UserError
from scbench.scoring.languages import LANGUAGES, parser_of
from scbench.tasks.base import Writer
from scbench.tasks.repositories import Described, Repository, SourceFile

SUFFIXES = {
    ".py": "python",
    ".java": "java",
    ".ts": "typescript",
    ".rs": "rust",
    ".cpp": "cpp",
    ".cc": "cpp",
    ".cxx": "cpp",
    ".hpp": "cpp",
    ".go": "go",
    ".php": "php",
}
# Directories without code of the repository's own, and tests, which say too much about the functions they call.
LEFT_OUT = {"__pycache__", "node_modules", "site-packages", "dist-packages", "test", "tests"}
LARGEST = 1_000_000  # bytes of a file; a longer one is generated
FEWEST_WORDS = 5
MOST_CHARACTERS = 500  # of a description; whole paragraphs, the first one in any case
FEWEST_LINES = 3

_WRAPPERS = {"decorated_definition", "export_statement", "template_declaration"}
_BESIDE = {"attribute_item", "decorator"}
_MARKS = re.compile(r"^\s*(/\*\*+|\*+/|\*|//[/!]*)?[^\S\n]?|\s*\*+/\s*$", re.MULTILINE)

Cut = tuple[int, int]


def source_files(root: Path, language: str | None = None) -> tuple[str, list[Path]]:
    """The language of the repository at `root`, by default the one with most bytes, and its files, sorted.

    Left out: hidden directories, LEFT_OUT, files above LARGEST. Raises UserError when there is no source file.
    """
    sizes: Counter[str] = Counter()
    found: list[tuple[str, Path]] = []
    for directory, names, files in os.walk(root):
        names[:] = sorted(name for name in names if name not in LEFT_OUT and not name.startswith("."))
        for path in (Path(directory, name) for name in sorted(files)):
            kind = SUFFIXES.get(path.suffix)
            if kind and path.is_file() and 0 < (size := path.stat().st_size) <= LARGEST:
                sizes[kind] += size
                found.append((kind, path))
    if not sizes or (language and language not in sizes):
        raise UserError(
            f"{root}: there is no source file of {language or ', '.join(LANGUAGES)}; name a directory with "
            f"files of {', '.join(SUFFIXES)}"
        )
    chosen = language or sizes.most_common(1)[0][0]
    return chosen, [path for kind, path in found if kind == chosen]


def repository(root: Path, language: str | None = None) -> Repository:
    """The repository at `root`; its functions are described by their documentation.

    Files that are not UTF-8 are left out. Raises UserError when there is no source file or no function.
    """
    language, paths = source_files(root, language)
    files = []
    for path in paths:
        name = path.relative_to(root).as_posix()
        try:
            data = path.read_bytes().decode("utf-8").replace("\r\n", "\n").encode("utf-8")
        except UnicodeDecodeError:
            continue
        files.append(shown_file(name, data, language))
    if not any(file.functions for file in files):
        raise UserError(f"{root}: no function in its {len(files)} files of {language}; name another repository")
    return Repository(root.name, language, tuple(files))


def described(root: Path, found: Repository, supplied: Mapping[tuple[str, str], str]) -> Repository:
    """`found`, the repository at `root`, with descriptions from elsewhere in the place of its own.

    supplied: (path relative to `root`, name of the function) -> description.
    Raises UserError for a function that its file does not have once.
    """
    there = Counter((file.path, function.name) for file in found.files for function in file.functions)
    for path, name in supplied:
        if there[path, name] != 1:
            raise UserError(
                f"{root / path}: the questions file describes a function {name!r}, of which the file has "
                f"{there[path, name]}; name one that it has once"
            )
    files = (
        replace(
            file, functions=tuple(replace(f, description=supplied.get((file.path, f.name))) for f in file.functions)
        )
        for file in found.files
    )
    return replace(found, files=tuple(files))


def shown_file(path: str, data: bytes, language: str) -> SourceFile:
    """The file with `data` as it is shown, without the documentation of its outermost functions."""
    found = []
    cuts: list[Cut] = []
    for node in _functions(data, language):
        said, cut = _documentation(node, data, language)
        if cut:
            cuts.append(cut)
        found.append((node, _description(said, _name(node)) if _can_be_asked(node, cut) else None))
    return _without(path, data, sorted(cuts), found)


def _without(path: str, data: bytes, cuts: list[Cut], found: list[tuple[Node, str | None]]) -> SourceFile:
    """`data` without `cuts`, and the functions in characters of what is left."""
    edges = sorted({edge for node, _ in found for edge in (node.start_byte, node.end_byte)} | {len(data)})
    text, place, cut = Writer(), 0, 0
    characters = {}
    for edge in edges:
        while cut < len(cuts) and cuts[cut][0] < edge:
            text.add(data[place : cuts[cut][0]].decode("utf-8"))
            place, cut = cuts[cut][1], cut + 1
        _, characters[edge] = text.add(data[place:edge].decode("utf-8"))
        place = max(place, edge)
    return SourceFile(
        path,
        text.text,
        tuple(
            Described(_name(node), characters[node.start_byte], characters[node.end_byte], said) for node, said in found
        ),
    )


def _functions(data: bytes, language: str) -> list[Node]:
    """The functions of a file that stand in no other function."""
    parser, query = parser_of(language, "strict")
    nodes = QueryCursor(query).captures(parser.parse(data).root_node).get("function", [])
    outermost: list[Node] = []
    for node in sorted(nodes, key=lambda node: (node.start_byte, -node.end_byte)):
        if not outermost or node.start_byte >= outermost[-1].end_byte:
            outermost.append(node)
    return outermost


def _name(node: Node) -> str:
    while (inner := node.child_by_field_name("name") or node.child_by_field_name("declarator")) is not None:
        node = inner
    return node.text.decode("utf-8")


def _can_be_asked(node: Node, cut: Cut | None) -> bool:
    lines = node.text.count(b"\n") + 1
    if cut and node.start_byte <= cut[0]:
        lines -= node.text[cut[0] - node.start_byte : cut[1] - node.start_byte].count(b"\n")
    return lines >= FEWEST_LINES and not node.has_error


def _documentation(node: Node, data: bytes, language: str) -> tuple[str, Cut | None]:
    """What the documentation of a function says, and the bytes [start, stop) that it takes."""
    return _docstring(node) if language == "python" else _comment_above(node, data, language)


def _docstring(node: Node) -> tuple[str, Cut | None]:
    body = node.child_by_field_name("body")
    statements = body.named_children if body is not None else []
    # A function of nothing but its docstring would not be one without it.
    if all(statement.type == "comment" for statement in statements[1:]):
        return "", None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that are no escapes, in somebody else's text
            said = ast.literal_eval(statements[0].text.decode("utf-8"))
    except (ValueError, SyntaxError):
        return "", None
    if not isinstance(said, str):
        return "", None
    return inspect.cleandoc(said), (statements[0].start_byte, statements[1].start_byte)


def _comment_above(node: Node, data: bytes, language: str) -> tuple[str, Cut | None]:
    while node.parent is not None and node.parent.type in _WRAPPERS:
        node = node.parent
    below = node
    while below.prev_sibling is not None and below.prev_sibling.type in _BESIDE:
        below = below.prev_sibling
    comments = list(takewhile(lambda comment: _documents(comment, language), _adjacent_above(below)))[::-1]
    if not comments:
        return "", None
    start, stop = comments[0].start_byte, below.start_byte
    said = b"".join(data[comment.start_byte : comment.end_byte].rstrip(b"\n") + b"\n" for comment in comments)
    return _MARKS.sub("", said.decode("utf-8")).strip(), (start, stop)


def _adjacent_above(node: Node) -> Iterator[Node]:
    """The siblings in front of `node`, nearest first, as long as no blank line is between and each has its own line."""
    while (above := node.prev_sibling) is not None:
        # A comment of one line may or may not hold its line break.
        end = above.end_point.row - (above.end_point.column == 0)
        if end != node.start_point.row - 1 or (
            above.prev_sibling is not None
            and above.prev_sibling.end_point.row == above.start_point.row
            and above.prev_sibling.end_point.column > 0
        ):
            return
        yield above
        node = above


def _documents(comment: Node, language: str) -> bool:
    marks = (b"//",) if language == "go" else (b"/**", b"///")
    return "comment" in comment.type and comment.text.startswith(marks)


def _description(said: str, name: str) -> str | None:
    """The first paragraphs of a documentation; None when they say too little, or the function's name."""
    kept: list[str] = []
    for paragraph in re.split(r"\n\s*\n", said):
        words = " ".join(takewhile(lambda line: not line.lstrip().startswith(("@", ">>>")), paragraph.split("\n")))
        words = " ".join(words.split())
        if not words or ">>>" in words or (kept and sum(map(len, kept)) + len(words) > MOST_CHARACTERS):
            break
        kept.append(words)
    # In Go, documentation begins with the name by convention.
    text = re.sub(rf"^{re.escape(name)}(?!\w)[\s:,]*", "", " ".join(kept))
    text = text[:1].upper() + text[1:]
    named = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE)
    return None if named or len(text.split()) < FEWEST_WORDS else text
