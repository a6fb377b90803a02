"""The sidecar `<output>.prov.json`: what an output was made from, provable by hashing files again.

Everything in a sidecar but its `observation` (and the seal over it) follows from the inputs, the identity and the
installed versions, so that a rerun leaves the same sidecar but for what is observed: times, hosts, durations.
"""

import json
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scbench.canonical import canonical_json, digest_file, digest_value, write_atomically
from scbench.errors import UserError
from scbench.places import ROOT
from scbench.provenance import manifest
from scbench.provenance.observation import keep_environment, observe
from scbench.versions import version

FORMAT = "scbench-provenance"
VERSION = 2
SUFFIX = ".prov.json"
SHORT = 12  # hexadecimal digits shown to a reader: 48 bits tell every artifact of a project apart
MOST_BYTES = 64 * 2**20  # of a sidecar that is worth reading
_DIGEST = re.compile(r"[0-9a-f]{64}")
REPOSITORY = "repository:"  # begins the path of an input that lies in the repository, not below the working directory


class BadSidecar(Exception):
    """A file that is not what `record` writes; `newer`, `older`: a later or an earlier version of it did."""

    def __init__(self, reason: str, version: int | None = None) -> None:
        super().__init__(reason)
        self.newer = version is not None and version > VERSION
        self.older = version is not None and version < VERSION


def sidecar_path(output: str | Path) -> Path:
    """The path of the sidecar of `output`."""
    output = Path(output)
    return output.with_name(f"{output.name}{SUFFIX}")


def lineage(identity: Mapping[str, Any], inputs: Iterable[str | Path]) -> str:
    """sha256 (64 hexadecimal digits) over `identity` and the inputs: a Merkle tree down to the first of them.

    An input counts by the sha256 of its bytes, and one that has a sidecar by its lineage too. It is known before the
    output is written, so that the output can carry it.
    """
    return merkle(identity, _describe_inputs(inputs))


def merkle(identity: Mapping[str, Any], inputs: Iterable[Mapping[str, Any]]) -> str:
    """The lineage of what has this identity and these `inputs`, as a sidecar lists them."""
    parents = (" ".join(filter(None, (entry["sha256"], entry.get("lineage")))) for entry in inputs)
    return digest_value({"identity": dict(identity), "parents": sorted(parents)})


def seal(sidecar: Mapping[str, Any]) -> str:
    """sha256 over everything else in a sidecar: an edit of any of it shows."""
    return digest_value({key: value for key, value in sidecar.items() if key != "seal"})


def is_digest(value: Any) -> bool:
    """Whether `value` is a sha256 as records write it."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def short(digest: str) -> str:
    """The first digits of a digest, enough for a reader to compare by eye."""
    return digest[:SHORT]


def short_digest(path: str | Path) -> str:
    """The first digits of the sha256 of the file at `path`."""
    return short(digest_file(path))


def record(
    outputs: Iterable[str | Path],
    inputs: Iterable[str | Path],
    identity: Mapping[str, Any],
    observation: Mapping[str, Any] | None = None,
    *,
    libraries: Sequence[str] = (),
) -> list[Path]:
    """Write `<output>.prov.json` beside every output and return the paths of the sidecars.

    Call it last: every output and input is hashed before the first sidecar is written, each sidecar is renamed into
    place, and an output without a sidecar is thereby an output that was not finished.

    identity: the fields that decide the outputs besides the bytes of the inputs (settings, seeds, digests of code);
        it must be JSON and the same on a rerun.
    observation: what the caller has seen besides `observe`: kept apart, never part of the lineage.
    libraries: distributions whose versions are recorded besides Python's own; None stands for "not installed".
    Raises UserError when an output or an input is missing.
    """
    described = [_describe(path) for path in _relative(outputs)]
    parents = _describe_inputs(inputs)
    if not described:
        raise ValueError("nothing to record: no outputs")
    loop = {entry["path"] for entry in described} & {entry["path"] for entry in parents}
    if loop:
        raise ValueError(f"{min(loop)} is both an output and an input")
    made = manifest.manifests(identity)
    common: dict[str, Any] = {
        "schema": f"{FORMAT}/{VERSION}",
        "inputs": parents,
        "identity": dict(identity),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in libraries},
        "lineage": merkle(identity, parents),
        "observation": observe()
        | {"code": {code: digest_value(of) for code, of in made.items()}}
        | (observation or {}),
    }
    if not described[0]["path"].startswith(".."):
        # What an audit reads by its digest; files outside of the working directory are no project's.
        keep_environment()
        for of in made.values():
            manifest.keep(of)
    sidecars = []
    for output in described:
        sidecar = sidecar_path(output["path"])
        whole = common | {"output": output}
        write_atomically(sidecar, canonical_json(whole | {"seal": seal(whole)}) + "\n")
        sidecars.append(sidecar)
    return sidecars


def read_sidecar(path: Path) -> dict[str, Any]:
    """The sidecar at `path`, checked against its seal and its lineage.

    Raises FileNotFoundError, and BadSidecar for whatever `record` did not write like this.
    """
    if not path.is_file():
        raise BadSidecar("is not a file") if os.path.lexists(path) else FileNotFoundError(path)
    if path.stat().st_size > MOST_BYTES:
        raise BadSidecar(f"is larger than {MOST_BYTES:,} bytes")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise BadSidecar("is not JSON") from None
    except OSError as error:
        raise BadSidecar(f"cannot be read ({error.strerror})") from None
    name, _, number = str(found.get("schema") if isinstance(found, dict) else None).partition("/")
    if name != FORMAT or not number.isdecimal():
        raise BadSidecar(f"has another `schema` than {FORMAT}")
    if int(number) != VERSION:
        raise BadSidecar(f"is of version {number} of the format, this is version {VERSION}", int(number))
    if not _is_whole(found):
        raise BadSidecar("lacks what a sidecar holds")
    try:
        sealed, lineage_now = seal(found), merkle(found["identity"], found["inputs"])
    except (ValueError, RecursionError):
        raise BadSidecar("is not canonical JSON") from None
    if sealed != found["seal"]:
        raise BadSidecar("was edited: its content does not match its seal")
    if lineage_now != found["lineage"]:
        raise BadSidecar("was edited: its lineage does not follow from its identity and its inputs")
    return found


def _is_whole(found: dict[str, Any]) -> bool:
    try:
        entries = [found["output"], *found["inputs"]]
        return (
            all(isinstance(found[name], dict) for name in ("identity", "versions", "observation"))
            and all(isinstance(entry["path"], str) and isinstance(entry["bytes"], int) for entry in entries)
            and all(is_digest(entry["sha256"]) for entry in entries)
            and all(is_digest(entry["lineage"]) for entry in entries if "lineage" in entry)
            and is_digest(found["lineage"])
        )
    except (KeyError, TypeError):
        return False


def _relative(paths: Iterable[str | Path]) -> list[str]:
    """`paths` once, sorted, relative to the working directory."""
    return sorted({Path(os.path.relpath(path)).as_posix() for path in paths})


def _describe_inputs(paths: Iterable[str | Path]) -> list[dict[str, Any]]:
    """{path, bytes, sha256} of each file, and its lineage where it has a sidecar that speaks of these bytes."""
    return [_describe(path) | _lineage_of(path) for path in _relative(paths)]


def _describe(path: str) -> dict[str, Any]:
    try:
        return {"path": named(path), "bytes": os.stat(path).st_size, "sha256": digest_file(path)}
    except FileNotFoundError as error:
        raise UserError(f"{path}: its provenance cannot be recorded, the file is missing; build it first") from error


def named(path: str | Path) -> str:
    """`path` as a sidecar names it: the same on every machine where the file is below the directory or in the code."""
    relative = Path(os.path.relpath(path)).as_posix()
    whole = Path(path).resolve()
    if relative.startswith("..") and whole.is_relative_to(ROOT):
        return f"{REPOSITORY}{whole.relative_to(ROOT).as_posix()}"
    return relative


def _lineage_of(path: str) -> dict[str, str]:
    try:
        return {"lineage": read_sidecar(sidecar_path(path))["lineage"]}
    except (FileNotFoundError, BadSidecar):
        return {}
