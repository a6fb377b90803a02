"""Which bytes are meant: by the lock, or, where it does not know them, by what arrived first.

results/raw/<source>/fetched.json holds every file that was fetched: sha256, bytes, where it came from and when.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from scbench.canonical import digest_file, write_atomically
from scbench.errors import UserError
from scbench.leases import exclusive
from scbench.raw.lock import LOCK, Source, source

RECORD = "fetched.json"


@dataclass(frozen=True)
class Arrival:
    """How a file arrived: its digest and size, the address or path it came from, the day."""

    sha256: str
    bytes: int
    origin: str
    day: str


@dataclass(frozen=True)
class Expected:
    """What a file must be, as far as that is known, and what says so (`basis`, None where nothing does)."""

    sha256: str | None
    bytes: int | None
    basis: str | None


def expected(of: Source, name: str) -> Expected:
    """What file `name` must be: the lock's word, or that of its first arrival. Raises UserError on a damaged record."""
    known = of.file(name)
    if known.sha256 is not None:
        return Expected(known.sha256, known.bytes, LOCK.name)
    arrival = arrivals(of).get(name)
    if arrival is None:
        return Expected(None, known.bytes, LOCK.name if known.bytes is not None else None)
    return Expected(arrival.sha256, arrival.bytes, str(record_file(of)))


def mismatch(path: Path, wanted: Expected) -> str | None:
    """What is wrong with the file at `path`, in words that follow its name; None where nothing is."""
    size = path.stat().st_size
    if wanted.bytes is not None and size != wanted.bytes:
        return f"has {size:,} bytes, but {wanted.basis} says {wanted.bytes:,}"
    if wanted.sha256 is not None and (found := digest_file(path)) != wanted.sha256:
        return f"has sha256 {found[:12]}, but {wanted.basis} says {wanted.sha256[:12]}"
    return None


def checked_file(source_name: str, name: str) -> Path:
    """The fetched file, after its bytes were compared with what is expected of them.

    Raises UserError for a file that is missing, changed, or was put there without being fetched.
    """
    of = source(source_name)
    path = of.path(name)
    again = f"run the workflow again, or python -m scripts.fetch_raw --source {of.name} --file {name}"
    if not path.is_file():
        raise UserError(f"{path}: missing; {again}")
    wanted = expected(of, name)
    if wanted.sha256 is None:
        raise UserError(f"{path}: nothing says that these are the bytes of {of.title}; delete it and {again}")
    if problem := mismatch(path, wanted):
        raise UserError(f"{path}: {problem}; delete it and {again}")
    return path


def record_file(of: Source) -> Path:
    """Where the arrivals of a source are recorded."""
    return of.path(RECORD)


def arrivals(of: Source) -> dict[str, Arrival]:
    """The recorded arrivals by file."""
    path = record_file(of)
    try:
        return {name: Arrival(**entry) for name, entry in json.loads(path.read_text(encoding="utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: not the record of fetched files that it should be; restore it, or delete it to trust the next "
            "download anew"
        ) from error


def note(of: Source, name: str, arrival: Arrival) -> None:
    """Record that a file arrived; bytes that were trusted before keep their first entry."""
    with locked(of, RECORD):
        known = arrivals(of)
        if name not in known or known[name].sha256 != arrival.sha256:
            entries = {file: asdict(entry) for file, entry in sorted((known | {name: arrival}).items())}
            write_atomically(record_file(of), json.dumps(entries, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def locked(of: Source, name: str) -> Iterator[None]:
    """Keep other processes from fetching or recording the same file."""
    path = of.partial(f"{name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(path):
        yield
