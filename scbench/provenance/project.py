"""The files of a project as an audit sees them: where a recorded path lies, and the sha256 of its bytes.

Nothing outside of the project and the repository is opened, whatever a sidecar names: it may come from a stranger.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from scbench.canonical import canonical_json, write_atomically
from scbench.errors import UserError
from scbench.places import ROOT
from scbench.provenance.ledger import PLACES
from scbench.provenance.sidecar import REPOSITORY, BadSidecar, read_sidecar, sidecar_path

CACHE = Path("results/provenance/hashes.json")
WORKERS = min(8, os.cpu_count() or 1)  # hashing leaves Python's lock
# What cannot be set by a program that puts an old modification time back: the time of the last change of the inode.
STATE = ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")

OUTSIDE = "lies outside of the project, so that it is not read"
NO_NAME = "is no name of a file"


class Unreadable(Exception):
    """Why the bytes of a file are not read; `absent` where there is no file."""

    def __init__(self, reason: str, absent: bool = False) -> None:
        super().__init__(reason)
        self.absent = absent


class Project:
    """The project at `root`. fast: a file whose inode says it is unchanged keeps the sha256 of the last audit."""

    def __init__(self, root: Path, fast: bool = False) -> None:
        self.root = root.resolve()
        self.fast = fast
        # Results are often kept on another disk than the clone.
        self._inside = [Path(os.path.realpath(place)) for place in (self.root, ROOT, *map(self.root.joinpath, PLACES))]
        self._places: dict[str, Path] = {}
        # Looked at once, however many files of it are asked for.
        self._directories: dict[tuple[Path, str], bool] = {}
        self._stats: dict[str, os.stat_result] = {}
        self._known = self._read_cache()
        self._found: dict[str, str | Unreadable] = {}

    def place(self, path: str) -> Path:
        """Where the file that a sidecar calls `path` lies. Raises Unreadable for one that lies elsewhere."""
        if path not in self._places:
            self._places[path] = self._place(path)
        return self._places[path]

    def _place(self, path: str) -> Path:
        base, rest = (ROOT, path.removeprefix(REPOSITORY)) if path.startswith(REPOSITORY) else (self.root, path)
        directory, _, name = rest.rpartition("/")
        if rest.startswith("/") or name == ".." or "\0" in rest:
            raise Unreadable(OUTSIDE)
        if name in ("", ".") or len(os.fsencode(name)) > 240:
            raise Unreadable(NO_NAME)
        if (base, directory) not in self._directories:
            self._directories[base, directory] = self._look(base, directory)
        inside, found = self._directories[base, directory], os.path.join(base, directory, name)
        if os.path.islink(found):
            inside = self._holds(found)
        if not inside:
            raise Unreadable("is a symbolic link that leads out of the project, so that it is not followed")
        return Path(found)

    def _look(self, base: Path, directory: str) -> bool:
        """Whether `directory`, below `base`, lies in the project once no name in it is a link."""
        parts = directory.split("/")
        if ".." in parts:
            raise Unreadable(OUTSIDE)
        if len(os.fsencode(directory)) > 3700 or any(len(os.fsencode(part)) > 240 for part in parts):
            raise Unreadable(NO_NAME)
        return self._holds(base / directory)

    def _holds(self, found: str | Path) -> bool:
        whole = Path(os.path.realpath(found))
        return any(whole.is_relative_to(inside) for inside in self._inside)

    def size(self, path: str) -> int:
        """Bytes of the regular file `path`. Raises Unreadable."""
        return self._stat(path).st_size

    def sha256(self, path: str) -> str:
        """sha256 of the bytes of `path`. Raises Unreadable."""
        if path not in self._found:
            try:
                self._found[path] = self._hash(path)
            except Unreadable as error:
                self._found[path] = error
        found = self._found[path]
        if isinstance(found, Unreadable):
            raise found
        return found

    def hash_all(self, paths: Iterable[str]) -> None:
        """Hash `paths` on all cores; `sha256` then answers at once."""
        if self.fast and self._known:
            return  # few are left, and to start threads takes longer than those
        from concurrent.futures import ThreadPoolExecutor

        def hash_one(path: str) -> None:
            with suppress(Unreadable):
                self.sha256(path)

        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(hash_one, paths))

    def keep_cache(self) -> None:
        """Remember what was hashed for an audit with `fast`; a project that cannot be written to does without."""
        with suppress(OSError):
            if (self.root / CACHE).parent.is_dir():
                write_atomically(self.root / CACHE, canonical_json(self._known) + "\n")

    def _stat(self, path: str) -> os.stat_result:
        if path not in self._stats:
            self._stats[path] = self._look_up(path)
        return self._stats[path]

    def _look_up(self, path: str) -> os.stat_result:
        place = self.place(path)
        try:
            found = place.stat()
        except OSError as error:
            absent = isinstance(error, FileNotFoundError | NotADirectoryError)
            raise Unreadable("is missing" if absent else f"cannot be read ({error.strerror})", absent) from None
        if not stat.S_ISREG(found.st_mode):
            raise Unreadable("is not a file")
        return found

    def _hash(self, path: str) -> str:
        found = self._stat(path)
        state = [getattr(found, name) for name in STATE]
        known = self._known.get(path)
        if self.fast and known and known[0] == state:
            return known[1]
        try:
            with open(self.place(path), "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise Unreadable(f"cannot be read ({error.strerror})") from None
        self._known[path] = [state, digest]
        return digest

    def _read_cache(self) -> dict[str, list]:
        try:
            found = json.loads((self.root / CACHE).read_bytes())
            return {path: entry for path, entry in found.items() if len(entry[0]) == len(STATE) and entry[1]}
        except (OSError, ValueError, TypeError, AttributeError, LookupError, RecursionError):
            return {}


def find_project(target: Path) -> tuple[Path, str]:
    """(root, path below it) of the project that `target` belongs to: the directory its sidecar's paths start from.

    Without a sidecar that can be read, the nearest directory above it with a `results` in it. Raises UserError for a
    file that is not there or in no project.
    """
    whole = Path(os.path.abspath(target))
    if not os.path.lexists(whole) and not os.path.lexists(sidecar_path(whole)):
        raise UserError(f"{target}: there is no such file; build it first, or name another (figures/table4.tex)")
    if whole.is_dir():
        raise UserError(f"{target}: a directory; name one of the files in it")
    try:
        recorded = PurePosixPath(read_sidecar(sidecar_path(whole))["output"]["path"])
        if whole.parts[-len(recorded.parts) :] == recorded.parts:
            return Path(*whole.parts[: -len(recorded.parts)]), recorded.as_posix()
    except (BadSidecar, FileNotFoundError):
        pass
    for above in whole.parents:
        if (above / "results").is_dir():
            return above, whole.relative_to(above).as_posix()
    raise UserError(
        f"{target}: outside of every project: no sidecar beside it says where it was made, and no directory above it "
        "holds `results`; name a file under figures/ or results/"
    )
