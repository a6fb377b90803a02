"""One file over http(s): what arrived is kept and resumed, what may pass is tried again, the rest is one sentence."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

from scbench.errors import UserError

TRIES = 6  # in a row without a byte gained
LONGEST_WAIT = 60.0
TIMEOUTS = (20.0, 60.0)  # seconds to connect, seconds without a byte
CHUNK = 1 << 16  # bytes; what a broken connection can lose
FINAL = (requests.exceptions.InvalidURL, requests.exceptions.SSLError, requests.TooManyRedirects)
MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})

Wait = Callable[[float], None]
Report = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Address:
    """Where a file is asked for, with the headers that the asker needs, and the remedy where it is not to be had."""

    url: str
    headers: Mapping[str, str]
    remedy: str


class Passing(Exception):
    """A failure that another try may not meet; `wait`: seconds the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def download(address: Address, part: Path, *, pinned: bool, report: Report, wait: Wait = time.sleep) -> None:
    """Fetch `address` into `part`, going on behind the bytes that are there.

    pinned: the bytes will be compared with a known sha256, so that resuming cannot mix two versions unseen; otherwise a
    part is resumed only where the server confirms by its strong ETag that the file is the same.
    report: called with (bytes there, bytes in all as far as the server says).
    Raises UserError for what another try would meet again, and after TRIES tries in a row that gained nothing.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    failures = 0
    with requests.Session() as session:
        while True:
            before = _size(part)
            try:
                return _attempt(session, address, part, pinned, report)
            except FINAL as error:
                raise UserError(f"{address.url}: cannot be used ({_plain(error)}); {address.remedy}") from error
            except requests.RequestException as error:
                problem = Passing(f"cannot be reached ({_plain(error)})")
            except Passing as error:
                problem = error
            failures = 1 if _size(part) > before else failures + 1
            if failures >= TRIES:
                raise UserError(f"{address.url}: {problem}, {failures} times in a row; {address.remedy}") from problem
            wait(min(LONGEST_WAIT, max(problem.wait, 2.0 ** (failures - 1))))


def _attempt(session: requests.Session, address: Address, part: Path, pinned: bool, report: Report) -> None:
    tag_file = part.with_name(f"{part.name}.etag")
    tag = tag_file.read_text(encoding="utf-8") if tag_file.is_file() else ""
    if not (pinned or tag):
        part.unlink(missing_ok=True)
    have = _size(part)
    headers = {"Accept-Encoding": "identity", **address.headers}
    if have:
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": tag} if tag else {})
    with session.get(address.url, headers=headers, stream=True, timeout=TIMEOUTS) as response:
        _refuse(response, address, part, have)
        if response.status_code == 200:
            have = 0  # the whole file comes, whatever was asked for
        tag = response.headers.get("ETag", "")
        tag_file.write_text(tag if tag.startswith('"') else "", encoding="utf-8")
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isascii() and length.isdigit() else None
        if total is None and not pinned and response.headers.get("Transfer-Encoding") != "chunked":
            raise UserError(
                f"{address.url}: does not say how long the file is, so that a cut would not be seen; {address.remedy}"
            )
        with open(part, "ab" if have else "wb") as file:
            report(have, total)
            try:
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
                    have += len(chunk)
                    report(have, total)
            except requests.RequestException as error:
                raise Passing(_cut_short(have, total)) from error
    if total is not None and have != total:
        raise Passing(_cut_short(have, total))


def _cut_short(have: int, total: int | None) -> str:
    return f"was cut short after {have:,} bytes" + (f" of {total:,}" if total is not None else "")


def _refuse(response: requests.Response, address: Address, part: Path, have: int) -> None:
    """Raise for every answer that is not the rest of the file: Passing where another try may help, else UserError."""
    status, kind = response.status_code, response.headers.get("Content-Type", "")
    start = response.headers.get("Content-Range", "")
    if status == 416 or (status == 206 and not start.startswith(f"bytes {have}-")):
        part.unlink(missing_ok=True)  # what is here is no beginning of the file; the next try asks for the whole
        raise Passing(f"does not send the bytes behind the first {have:,}")
    if status in MAY_PASS:
        asked = response.headers.get("Retry-After", "")
        raise Passing(f"answers {status} {response.reason}", float(asked) if asked.isdigit() else 0.0)
    if status not in (200, 206):
        raise UserError(f"{address.url}: answers {status} {response.reason}; {address.remedy}")
    if kind.startswith("text/html"):
        raise Passing("answers with a web page instead of the file (text/html)")
    if coding := response.headers.get("Content-Encoding", "identity").replace("identity", ""):
        raise Passing(f"sends the file in another form than asked for ({coding})")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _plain(error: requests.RequestException) -> str:
    """What went wrong, without the objects that the library's message drags along."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not accepted"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return " ".join(str(error).split())
