"""Reads text, JSON and JSON lines that others wrote; what is wrong is said in one sentence with file and place."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scbench.errors import UserError

_NAMES = {str: "a text", list: "a list", dict: "keys and values", int: "a whole number"}


def read_text(path: str | Path) -> str:
    """The UTF-8 text in `path`, line ends as \\n. Raises UserError when there is none."""
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: byte {error.start} ({error.object[error.start]:#04x}) is not UTF-8; save the file as UTF-8"
        ) from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise UserError(f"{path}: is empty; put the text in, or take the document out")
    return text


def read_json(path: str | Path) -> Any:
    """The JSON value in `path`."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); fetch or correct the file") from error


def read_lines(path: str | Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(where, row) of every row of a file of JSON lines, one line in memory at a time; blank lines are left out.

    where: the file and the line, for messages. Raises UserError for a line that is not UTF-8 or no JSON object.
    """
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield f"{path}: line {number}", _row(f"{path}: line {number}", line)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _row(where: str, line: bytes) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not valid JSON ({error}); correct the line") from error
    if not isinstance(row, dict):
        raise UserError(f"{where}: {_show(row)} is not keys and values; correct the line")
    return row


def field(where: str, row: Mapping[str, Any], key: str, kind: type) -> Any:
    """row[key], of type `kind` and not empty. Raises UserError naming the place, the key and the value."""
    if key not in row:
        raise UserError(f"{where}: the key {key!r} is missing; add it")
    value = row[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(f"{where}: {key}: {_show(value)} is not {_NAMES[kind]}; correct it")
    if kind in (str, list) and not (value.strip() if kind is str else value):
        raise UserError(f"{where}: {key}: {_show(value)} is empty; fill it in, or take the entry out")
    return value


def texts(where: str, row: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """row[key], a text or a list of texts, none of them empty."""
    value = row.get(key)
    if isinstance(value, str):
        return (field(where, row, key, str),)
    found = field(where, row, key, list)
    for number, item in enumerate(found):
        field(f"{where}: {key}", {str(number): item}, str(number), str)
    return tuple(found)


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
