"""Brings a file of the lock to results/raw/: from its public address, or from a mirror that holds the same names.

Nothing half-written ever stands under a file's name: bytes arrive beside it, are compared with what is expected of
them, and are renamed into place.
"""

import os
import shutil
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from scbench.canonical import digest_file, replacing
from scbench.errors import UserError
from scbench.progress import Progress
from scbench.raw.download import Address, Wait, download
from scbench.raw.lock import LOCK, Source
from scbench.raw.trust import Arrival, Expected, expected, locked, mismatch, note, record_file
from scbench.store import writing

DOWNLOADS = 2  # of a whole file, where the first had other bytes than expected
MEGABYTE = 1_000_000
LONG = 20 * MEGABYTE  # a download of this many bytes shows how far it is

HUB = "hf://"
ELSEWHERE = "put the right file there, or set data.mirror to another place (null: the public address)"
LATER = "try again later, or set data.mirror to a directory or a server that has the file"


def fetch(of: Source, name: str, mirror: str | None = None, *, wait: Wait = time.sleep) -> Path:
    """The file `name` of `of` in its place, fetched unless it is there already with the bytes that are expected.

    mirror: a directory or an http(s) address with <source>/<file> in it; None fetches from the public address.
    Raises UserError, the sentence naming file or address and remedy, and leaves nothing under the file's name.
    """
    target = of.path(name)
    of.file(name)  # refuses an unknown name before anything is made
    with writing(target), locked(of, name):
        wanted = expected(of, name)
        if target.is_file() and wanted.sha256 and mismatch(target, wanted) is None:
            return target
        if mirror is not None and "://" not in mirror:
            origin = _copy(of, name, Path(mirror).expanduser(), wanted)
        else:
            origin = _download(of, name, mirror, wanted, wait)
        _accept(of, name, origin, trusted=wanted.sha256 is None)
    return target


def _copy(of: Source, name: str, mirror: Path, wanted: Expected) -> str:
    """Put a mirror's file beside its place; where it came from."""
    origin, part = mirror / of.name / name, of.partial(name)
    if not mirror.is_dir():
        raise UserError(f"data.mirror: {mirror} is no directory; {ELSEWHERE}")
    try:
        source = open(origin, "rb")  # noqa: SIM115 (closed below; an error here is the mirror's, not the copy's)
    except OSError as error:
        raise UserError(f"{origin}: cannot be read from the mirror ({error.strerror}); {ELSEWHERE}") from error
    with source, open(part, "wb") as copy:
        shutil.copyfileobj(source, copy)
    if problem := mismatch(part, wanted):
        part.unlink()
        raise UserError(f"{origin}: {problem}; {ELSEWHERE}{_meant(wanted)}")
    return str(origin)


def _download(of: Source, name: str, mirror: str | None, wanted: Expected, wait: Wait) -> str:
    """Put a server's file beside its place; where it came from."""
    address, part = address_of(of, name, mirror), of.partial(name)
    for _ in range(DOWNLOADS):
        with _Transfer(of, name) as transfer:
            download(address, part, pinned=wanted.sha256 is not None, report=transfer.report, wait=wait)
        part.with_name(f"{part.name}.etag").unlink(missing_ok=True)
        problem = mismatch(part, wanted)
        if problem is None:
            return address.url
        part.unlink()  # whatever is wrong in it, resuming would keep it
    raise UserError(f"{address.url}: {problem}, in {DOWNLOADS} downloads; {address.remedy}{_meant(wanted)}")


def _meant(wanted: Expected) -> str:
    """The other remedy, where bytes differ from those that were trusted as they arrived first."""
    return "" if wanted.basis == LOCK.name else f"; if the new bytes are meant, take their entry out of {wanted.basis}"


def address_of(of: Source, name: str, mirror: str | None) -> Address:
    """Where `name` is asked for: at the http(s) address `mirror`, on the hub, or in the source's own folder."""
    if mirror is not None:
        if not mirror.startswith(("http://", "https://")):
            raise UserError(f"data.mirror: {mirror} is neither a directory nor an http(s) address; {ELSEWHERE}")
        return Address(f"{mirror.rstrip('/')}/{of.name}/{quote(name)}", {}, ELSEWHERE)
    if not of.url.startswith(HUB):
        return Address(f"{of.url.format(revision=of.revision)}/{quote(name)}", {}, LATER)
    from huggingface_hub import constants, get_token, hf_hub_url

    if constants.is_offline_mode():
        raise UserError(
            f"{of.path(name)}: HF_HUB_OFFLINE forbids to fetch it from the hub; unset it, or set data.mirror"
        )
    repository = of.url.removeprefix(HUB)
    kind = "dataset" if repository.startswith("datasets/") else "model"
    url = hf_hub_url(repository.removeprefix("datasets/"), name, repo_type=kind, revision=of.revision)
    token = get_token()
    return Address(url, {"Authorization": f"Bearer {token}"} if token else {}, LATER)


def _accept(of: Source, name: str, origin: str, *, trusted: bool) -> None:
    """Record the bytes that wait beside their place and rename them into it."""
    target, part = of.path(name), of.partial(name)
    arrival = Arrival(digest_file(part), part.stat().st_size, origin, f"{datetime.now(UTC):%Y-%m-%d}")
    note(of, name, arrival)
    with replacing(target) as temporary:
        os.replace(part, temporary)
    said = f"trusted as it arrived first, recorded in {record_file(of)}" if trusted else "as expected"
    print(f"{target}: {arrival.bytes:,} bytes from {origin}, sha256 {arrival.sha256}, {said}", file=sys.stderr)


class _Transfer:
    """Shows how far a long download is, in MB; a context manager."""

    def __init__(self, of: Source, name: str) -> None:
        self._title = f"{of.name}/{name} (MB)"
        self._file = of.partial(f"{name}.progress.json")
        self._progress: Progress | None = None
        self._stack = ExitStack()
        self._shown = 0

    def __enter__(self) -> "_Transfer":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        self._file.unlink(missing_ok=True)

    def report(self, have: int, total: int | None) -> None:
        """`have` bytes of `total` are there; what an earlier run left counts as never asked for."""
        if total is None or total < LONG:
            return
        if self._progress is None:
            self._shown = have // MEGABYTE
            self._progress = self._stack.enter_context(Progress(self._file, self._title))
            self._progress.expect(total // MEGABYTE - self._shown)
        if (moved := have // MEGABYTE - self._shown) > 0:
            self._shown += moved
            self._progress.advance(moved)
