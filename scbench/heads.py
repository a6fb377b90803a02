"""The head processes of runs: Snakemake's own, which submit jobs and wait for them, as long as they live.

Each shows itself in a directory of the working directory's results, so that a status can tell a job that will be tried
again from one that has failed, and so that two studies do not write figures/ over each other.
"""

import atexit
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from scbench.canonical import canonical_json, write_atomically
from scbench.errors import UserError
from scbench.leases import STALE_SECONDS, Leases, Owner
from scbench.store import writing

DIRECTORY = Path("results/heads")


@dataclass(frozen=True)
class Head:
    """A run of a study; began: in seconds since the epoch; retries: of each of its jobs; shows: it writes figures/."""

    study: str
    owner: Owner
    began: float
    retries: int
    shows: bool

    @property
    def file(self) -> Path:
        """What it shows."""
        return DIRECTORY / f"{self.owner.name}.json"

    @property
    def heartbeat(self) -> Path:
        """The file that is touched while it lives (`scbench.leases`)."""
        return DIRECTORY / f"owner-{self.owner.name}"

    def is_alive(self) -> bool:
        """Whether the process goes on, as far as this host can know."""
        try:
            silent = time.time() - self.heartbeat.stat().st_mtime
        except OSError:
            return False
        return silent < STALE_SECONDS and not self.owner.is_dead()


def living() -> Iterator[Head]:
    """The heads of all runs in this working directory that go on."""
    return (head for head in _shown() if head.is_alive())


def begin(study: str, retries: int, shows: bool) -> None:
    """Show this process as a head of `study` until it ends.

    Raises UserError where it would write figures/ while a run of another study does.
    """
    leases = Leases(DIRECTORY)  # for their heartbeat
    head = Head(study, leases.owner, time.time(), retries, shows)
    with ExitStack() as shown:
        with writing(DIRECTORY):
            for other in _shown():
                if other.owner.is_dead():  # killed: it could not clear up
                    other.file.unlink(missing_ok=True)
                    other.heartbeat.unlink(missing_ok=True)
            shown.enter_context(leases)
            shown.callback(head.file.unlink, missing_ok=True)
            write_atomically(head.file, canonical_json(asdict(head)))
        # Only now: of two that begin at once, each sees the other, or one does.
        for other in living():
            if shows and other.shows and other.study != study:
                raise UserError(
                    f"figures/: a run of the study {other.study} ({other.owner}) writes there, and this one of {study} "
                    f"would replace its tables; wait for it to end, or ask for files of this study alone, such as "
                    f"results/{study}/artifacts/table4.tex"
                )
        atexit.register(shown.pop_all().close)


def _shown() -> Iterator[Head]:
    """The heads that have shown themselves and not ended, dead or alive."""
    for path in sorted(DIRECTORY.glob("*.json")):
        try:
            found = json.loads(path.read_bytes())
            yield Head(**found | {"owner": Owner(**found["owner"])})
        except (OSError, ValueError, LookupError, TypeError):
            continue  # ended meanwhile, or of another version
