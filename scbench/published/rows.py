"""Reads the rows of a published file one by one, and says in one sentence what is wrong with a row.

Memory is bounded by what a reader of the file cannot avoid, a page of parquet or a line of JSON, not by its length.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scbench.corpus.rows import read_lines
from scbench.errors import UserError
from scbench.sessions import Turn

REMEDY = "the file is not the published one: delete it and its entry in fetched.json, and fetch it from another place"

SUBTASKS = {
    "scbench_repoqa": "code_repoqa",
    "scbench_kv": "retr_kv",
    "scbench_summary": "en_sum",
    "scbench_passkey": "needle",
}


class Row:
    """A row, or a turn within one: a mapping whose fields are asked for by their type.

    Every method raises UserError, naming file, row and field, where the field is missing or of another type.
    """

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: is {_show(value)}, not fields with values; {REMEDY}")
        self._value = value
        self.where = where

    def text(self, name: str) -> str:
        """A text that is not empty."""
        value = self._get(name)
        if not isinstance(value, str):
            raise self._wrong(name, value, "text")
        if not value.strip():
            raise UserError(f"{self.where}: {name}: is empty; {REMEDY}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, at least one."""
        return tuple(self._list(name, str, "a list of texts"))

    def number(self, name: str) -> int:
        """A whole number."""
        value = self._get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(name, value, "a whole number")
        return value

    def numbers(self, name: str) -> list[int]:
        """A list of whole numbers, at least one."""
        return self._list(name, int, "a list of whole numbers")

    def turns(self) -> list["Row"]:
        """The turns of the row, at least one."""
        turns = self._list("multi_turns", Mapping, "a list of turns")
        return [Row(turn, f"{self.where}, turn {number}") for number, turn in enumerate(turns, start=1)]

    def subtask(self) -> str:
        """Our name of the task that a mixed task's turn is scored as."""
        value = self.text("task")
        if value not in SUBTASKS:
            raise self._wrong("task", value, f"one of {', '.join(SUBTASKS)}")
        return SUBTASKS[value]

    def note(self, name: str) -> dict[str, str]:
        """{name: value} as text, to be kept beside a session; {} where the row has no such field."""
        value = self._value.get(name)
        return {} if value is None else {name: str(value)}

    def _get(self, name: str) -> Any:
        value = self._value.get(name)
        if value is None:
            found = ", ".join(sorted(key for key, value in self._value.items() if value is not None))
            raise UserError(f"{self.where}: {name}: is missing (there are {found or 'no fields'}); {REMEDY}")
        return value

    def _list(self, name: str, kind: type, words: str) -> list[Any]:
        value = self._get(name)
        if not isinstance(value, list) or any(isinstance(item, bool) or not isinstance(item, kind) for item in value):
            raise self._wrong(name, value, words)
        if not value:
            raise UserError(f"{self.where}: {name}: is an empty list; {REMEDY}")
        return value

    def _wrong(self, name: str, value: Any, words: str) -> UserError:
        return UserError(f"{self.where}: {name}: is {_show(value)}, not {words}; {REMEDY}")


@dataclass(frozen=True)
class Content:
    """What a row holds, whatever its schema: context, every turn, and what else it says (meta)."""

    context: str
    turns: Sequence[Turn]
    meta: Mapping[str, str] = field(default_factory=dict)


def read_rows(path: str | Path) -> Iterator[Row]:
    """The rows of a .parquet or .jsonl file, in order. Raises UserError where the file or a line cannot be read."""
    if Path(path).suffix == ".jsonl":
        return (Row(value, where) for where, value in read_lines(path))
    return (Row(value, f"{path}: row {number}") for number, value in enumerate(_parquet(path), start=1))


def _parquet(path: str | Path) -> Iterator[Any]:
    try:
        with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=1, use_threads=False):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        problem = " ".join(str(error).split())
        raise UserError(f"{path}: not a readable parquet file ({problem}); {REMEDY}") from error


def _show(value: Any) -> str:
    """The value, cut short, with its type."""
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
