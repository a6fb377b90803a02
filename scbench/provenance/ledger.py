"""The ledger `results/provenance/ledger.jsonl`: what was recorded in which order, each line chained to the one before.

Jobs write sidecars alone, on whichever node they run. The head process folds them into the ledger when a run begins
and ends: a line for every sidecar that the ledger does not know in these bytes yet. `ledger.head` beside it says how
many lines there were and how the last one ends, so that a cut tail shows, too. Whoever rewrites ledger, head and
sidecars together leaves a chain that holds: compare its end with one that was kept elsewhere (a bundle, a signed tag).
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scbench.canonical import canonical_json, digest_value, write_atomically
from scbench.errors import UserError
from scbench.leases import exclusive
from scbench.provenance.sidecar import SUFFIX, BadSidecar, read_sidecar

DIRECTORY = Path("results/provenance")
LEDGER, HEAD, LOCK = "ledger.jsonl", "ledger.head", "ledger.lock"
FIRST = "0" * 64  # what the first line is chained to
# Where sidecars are; the store keeps its own digests.
PLACES = ("figures", "results")
LEFT_OUT = {Path("results/store"), DIRECTORY}


@dataclass
class Ledger:
    """A ledger that was read: `lines` whole lines, the last of digest `end`, and the last line of each path.

    broken: why it cannot be trusted, or None. torn: bytes of a last line that a kill left unfinished.
    """

    lines: int = 0
    end: str = FIRST
    latest: dict[str, dict[str, Any]] = field(default_factory=dict)
    broken: str | None = None
    torn: int = 0
    exists: bool = True


def read_ledger(root: Path) -> Ledger:
    """The ledger of the project at `root`, its chain checked line by line."""
    path = root / DIRECTORY / LEDGER
    ledger = Ledger()
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        ledger.exists, data = False, b""
    except OSError as error:
        ledger.broken = f"cannot be read ({error.strerror})"
        return ledger
    *whole, rest = data.split(b"\n")
    ledger.torn = len(rest)
    head = _read_head(root)
    for line in whole:
        entry = _parse(line)
        if entry is None or entry["previous"] != ledger.end:
            what = "is edited or damaged" if entry is None else "does not follow the line before it: one is missing"
            ledger.broken = f"line {ledger.lines + 1} {what}"
            return ledger
        ledger.lines += 1
        ledger.end = entry["line"]
        ledger.latest[entry["path"]] = entry
        if head and head["lines"] == ledger.lines and head["end"] != ledger.end:
            ledger.broken = f"line {ledger.lines} is not the one that {HEAD} knows: it was written anew"
            return ledger
    if head and head["lines"] > ledger.lines:
        ledger.broken = f"{head['lines'] - ledger.lines} lines are missing from its end, by {HEAD}"
    if head is None and ledger.lines:
        ledger.broken = f"{HEAD} is missing or damaged: nothing says how many lines there were"
    return ledger


def fold(root: Path = Path()) -> int:
    """Append a line for every sidecar that the ledger does not know in its present bytes; returns how many.

    For the head process: several of them wait for each other. A line torn by a kill is cut off first. Raises UserError
    when the chain is broken, which is left as it is for a reader, and OSError when the disk refuses.
    """
    directory = root / DIRECTORY
    directory.mkdir(parents=True, exist_ok=True)
    with exclusive(directory / LOCK):
        ledger = read_ledger(root)
        if ledger.broken:
            raise UserError(
                f"{directory / LEDGER}: {ledger.broken}; keep it for whoever asks what happened: move {LEDGER} and "
                f"{HEAD} to another place, and the next run begins a new one"
            )
        lines = _new_lines(root, ledger)
        _write_head(root, ledger.lines, ledger.end)  # before the first line, so that a head is never missing
        if lines or ledger.torn:
            _append(directory / LEDGER, lines, ledger.torn)
            _write_head(root, ledger.lines + len(lines), json.loads(lines[-1])["line"] if lines else ledger.end)
    return len(lines)


def sidecar_files(root: Path) -> Iterator[str]:
    """Every sidecar of the project, as a path relative to `root`, sorted."""
    found = []
    for place in PLACES:
        for directory, names, files in os.walk(root / place):
            here = Path(directory).relative_to(root)
            names[:] = [name for name in names if here / name not in LEFT_OUT]
            found += [(here / name).as_posix() for name in files if name.endswith(SUFFIX) and not name.startswith(".")]
    return iter(sorted(found))


def _new_lines(root: Path, ledger: Ledger) -> list[str]:
    lines, end = [], ledger.end
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    for name in sidecar_files(root):
        path = root / name
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            known = ledger.latest.get(name.removesuffix(SUFFIX))
            if known and known["sidecar"] == digest:
                continue
            sidecar = read_sidecar(path)
        except (OSError, BadSidecar):
            continue  # gone meanwhile, or nothing that a job wrote; an audit says so
        entry = {
            "number": ledger.lines + len(lines) + 1,
            "previous": end,
            "path": name.removesuffix(SUFFIX),
            "sha256": sidecar["output"]["sha256"],
            "lineage": sidecar["lineage"],
            "sidecar": digest,
            "folded": now,
        }
        end = digest_value(entry)
        lines.append(canonical_json(entry | {"line": end}) + "\n")
    return lines


def _append(path: Path, lines: list[str], torn: int) -> None:
    with open(path, "ab") as file:
        if torn:
            file.truncate(path.stat().st_size - torn)
        size = path.stat().st_size
        try:
            file.write("".join(lines).encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, size)
            raise


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
        if entry["line"] != digest_value({key: value for key, value in entry.items() if key != "line"}):
            return None
        return (
            entry if all(isinstance(entry[name], str) for name in ("previous", "path", "sidecar", "lineage")) else None
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _read_head(root: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((root / DIRECTORY / HEAD).read_bytes())
        return {"lines": int(found["lines"]), "end": str(found["end"])}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _write_head(root: Path, lines: int, end: str) -> None:
    head = {"lines": lines, "end": end}
    if head != _read_head(root):
        write_atomically(root / DIRECTORY / HEAD, canonical_json(head) + "\n")
