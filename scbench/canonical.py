"""Canonical JSON and digests: the same value gives the same bytes, everywhere."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> str:
    """`value` as JSON with sorted keys, no spaces and no NaN; non-ASCII text is kept as it is."""
    return _CANONICAL.encode(value)


def digest_text(text: str) -> str:
    """sha256 of `text` in UTF-8, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def digest_value(value: Any) -> str:
    """sha256 of the canonical JSON of `value`."""
    return digest_text(canonical_json(value))


def digest_file(path: str | Path) -> str:
    """sha256 of the bytes of the file at `path`."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A name beside `path` to write to: renamed to `path` once the block ended well and it is on disk, else removed.

    A reader sees the old file or the new one; a full disk or a kill leaves the old one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: str | Path, data: bytes | str) -> None:
    """Write `data` to `path` in one step (see `replacing`)."""
    with replacing(path) as temporary:
        temporary.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
