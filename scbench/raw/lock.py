"""What comes from outside: resources/raw.lock.yaml as objects, and where each file lies once it is fetched."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scbench import places
from scbench.schema import read_yaml, unknown, validate

LOCK = places.ROOT / "resources" / "raw.lock.yaml"


@dataclass(frozen=True)
class File:
    """A file of a source; sha256 and bytes are None where they are not known beforehand."""

    sha256: str | None
    bytes: int | None


@dataclass(frozen=True)
class Source:
    """One entry of the lock.

    url: of the folder of the files, with {revision} in it, or hf://[datasets/]<owner>/<name>; files: by their path in
    the source; licence: of the files, in words.
    """

    name: str
    title: str
    url: str
    revision: str
    licence: str
    files: Mapping[str, File]

    def file(self, name: str) -> File:
        """Raises UserError for a file that the lock does not list."""
        if name not in self.files:
            raise unknown(LOCK.name, f"{self.name}.files", name, self.files)
        return self.files[name]

    def path(self, name: str) -> Path:
        """Where the file lies once it is fetched, below the working directory."""
        return Path(places.raw_file(self.name, name))

    def partial(self, name: str) -> Path:
        """Where what belongs to the fetching of `name` lies, beside all fetched files."""
        return Path(places.raw_file(".partial", f"{self.name}/{name}"))


@cache
def read_sources(path: Path = LOCK) -> dict[str, Source]:
    """All sources by name. Raises UserError when the lock does not match its schema."""
    entries = validate(read_yaml(path), "raw.schema.yaml", path.name)
    return {
        name: Source(name=name, **(entry | {"files": {file: File(**known) for file, known in entry["files"].items()}}))
        for name, entry in entries.items()
    }


def source(name: str) -> Source:
    """The source `name`. Raises UserError when the lock does not list it."""
    known = read_sources()
    if name not in known:
        raise unknown(LOCK.name, "source", name, known)
    return known[name]
