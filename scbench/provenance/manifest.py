"""Which modules stand behind a digest of code: `results/provenance/code/<sha256>.json`, written once by any job.

A sidecar names a digest of code and the sha256 of its manifest; with the manifest an audit can say which module is
another one today.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scbench import codedigest
from scbench.canonical import canonical_json, digest_value, write_atomically

DIRECTORY = Path("results/provenance/code")


def manifests(identity: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Digest -> manifest (`codedigest.made`) of every digest of code in `identity` that this process has made."""
    found = {text: codedigest.made(text) for text in strings(identity)}
    return {digest: made for digest, made in found.items() if made is not None}


def keep(made: Mapping[str, Any]) -> None:
    """Write a manifest under the digest of all that is in it, unless it is there."""
    path = DIRECTORY / f"{digest_value(made)}.json"
    if not path.is_file():
        write_atomically(path, canonical_json(made) + "\n")


def read(root: Path, digest: str, manifest: str) -> dict[str, Any] | None:
    """The manifest `manifest` of the code `digest`; None where there is none that is what it says."""
    try:
        found = json.loads((root / DIRECTORY / f"{manifest}.json").read_bytes())
        names = [*found["given"], *found["modules"], *found["sources"]]
        whole = digest_value(found) == manifest and digest_value(found["modules"]) == digest
        return found if whole and all(isinstance(name, str) for name in names) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def strings(value: Any) -> Iterator[str]:
    """Every string in a value of JSON."""
    yield from (text for _, text in leaves(value) if isinstance(text, str))


def leaves(value: Any, at: str = "") -> list[tuple[str, Any]]:
    """(dotted place, value) of everything in a value of JSON that holds nothing else."""
    found: list[tuple[str, Any]] = []
    _collect(value, at, found)
    return found


def _collect(value: Any, at: str, found: list[tuple[str, Any]]) -> None:
    """Append the leaves: an audit asks for those of thousands of records, and generators within generators are slow."""
    if isinstance(value, dict):
        for key, item in value.items():
            _collect(item, f"{at}.{key}" if at else str(key), found)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _collect(item, f"{at}.{number}", found)
    else:
        found.append((at, value))
