"""What tasks are made from beside their generators: raw inputs that were published, and a user's own documents.

Which of the two a study reads, and how many sessions it makes, is decided here; `releases` reads what others published,
`folder` reads a user's folder, `source_code` reads repositories.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from scbench.corpus import folder, releases
from scbench.errors import UserError


class Data(Protocol):
    """What is asked of a study's `data` (`scbench.study.Data`)."""

    scale: str
    sessions: int | None
    turns: int
    corpus: str | None

    def source_of(self, task: str) -> str: ...


# What each task is made from; the others are generated at every scale.
KINDS = {
    "code_repoqa": "repositories",
    "en_qa": "books",
    "zh_qa": "books",
    "en_multichoice": "books",
    "icl_manyshot": "examples",
    "en_sum": "papers",
    "mix_sum_niah": "papers",
    "mix_repoqa_kv": "repositories",
}
# What decides documents besides their bytes.
CODE = ("scbench.corpus", "scbench.scoring.languages")
_LANGUAGES = ("cpp", "go", "java", "php", "python", "rust", "typescript")
GRAMMARS = ("tree-sitter", *(f"tree-sitter-{name}" for name in _LANGUAGES))


def reads_folder(data: Data, task: str) -> bool:
    """Whether the sessions of `task` are made from the folder that `data.corpus` names."""
    kind = KINDS.get(task)
    came = data.source_of(task)
    if came == "corpus":
        return kind not in (None, "examples")
    # No public source has the papers and references of the paper.
    return came == "build" and data.scale == "paper" and kind == "papers"


def lacks_folder(data: Data, task: str) -> bool:
    """Whether the study does not name the folder that the sessions of `task` are to be made from."""
    return reads_folder(data, task) and data.corpus is None


def reads_documents(data: Data, task: str) -> bool:
    """Whether the sessions of `task` are made from documents at all, the user's or fetched ones."""
    return reads_folder(data, task) or (data.source_of(task) == "build" and data.scale == "paper" and task in KINDS)


def count(data: Data, task: str) -> int:
    """Sessions of a task that is made from the folder. Raises UserError when it holds nothing for the task."""
    there = folder.count(data.corpus, task, data.turns)
    # Books have the questions that they have; of repositories and papers, more sessions can be drawn.
    return min(there, data.sessions or there) if KINDS[task] == "books" else data.sessions or there


def documents(data: Data, task: str, raw: Sequence[Path] = ()) -> list[Any]:
    """What the sessions of `task` are made from; empty where they are generated.

    raw: the fetched files that the task needs (`scbench.raw.needs`), in the order of their table.
    Raises UserError naming the file and the place where something is wrong.
    """
    if reads_folder(data, task):
        if data.corpus is None:
            raise UserError(
                f"data.corpus: is missing, and {task} is made from {KINDS[task]} in that folder (docs/corpus.md); name "
                f"it, or take {task} out of the study's tasks"
            )
        if KINDS[task] == "books":
            return folder.books(data.corpus, task, data.turns)
        if KINDS[task] == "papers":
            return folder.papers(data.corpus)
        return folder.repositories(data.corpus, data.turns)
    return _released(task, raw) if raw else []


def digest(data: Data, task: str) -> str | None:
    """sha256 of what the folder holds for `task`; None where the task reads none."""
    return folder.digest(data.corpus, task) if reads_folder(data, task) and data.corpus else None


def _released(task: str, raw: Sequence[Path]) -> list[Any]:
    if KINDS[task] == "examples":
        return [releases.examples(path) for path in raw]
    if KINDS[task] == "books":
        return releases.books(raw[0], task == "en_multichoice")
    return releases.repositories(raw[0])
