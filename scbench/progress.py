"""How far a job is: on the terminal, or a line every few seconds, and in a file for a display outside of the job."""

import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scbench.canonical import canonical_json, write_atomically
from scbench.errors import UserError
from scbench.leases import start_time
from scbench.store import writing

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

LINE_SECONDS = 5.0
FILE_SECONDS = 0.5
MOST_STARTS = 20  # that a file tells of


class Progress:
    """Counts steps done, of them from the store; a context manager.

    path: receives the state, see `read_state`; no result depends on it.
    """

    def __init__(self, path: str | Path, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = Path(path)
        self.title = title
        self.done = self.from_store = self.total = 0
        before = read_state(self.path)
        # What a run before this one said of itself holds until this one says it anew.
        self.facts: dict[str, Any] = before | {"host": socket.gethostname(), "pid": os.getpid()}
        self.facts["started"] = start_time(os.getpid())
        self.facts["earlier"] = before.get("earlier", 0.0) + before.get("seconds", 0.0)
        self.facts["starts"] = [*before.get("starts", ()), time.time()][-MOST_STARTS:]
        self._clock = clock
        self._start = clock()
        self._said = self._written = float("-inf")
        self._bars: Bars | None = None

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            # Imported by every plan, which shows no bar, the library would cost it a tenth of a second.
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bars

            columns = TextColumn(self.title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
            self._bars = Bars(*columns, TextColumn("{task.fields[note]}"))
            self._bars.add_task("", total=None, note="")
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._show(force=True)
        except UserError:
            if kind is None:  # else a first error is under way, often the same full disk: it must not be hidden
                raise
        finally:
            if self._bars:
                self._bars.stop()

    @property
    def seconds(self) -> float:
        """Seconds since the job started."""
        return self._clock() - self._start

    def expect(self, total: int) -> None:
        """How many steps there are in all."""
        self.total = total
        self._show(force=True)

    def advance(self, steps: int, *, from_store: bool = False) -> None:
        """`steps` more are done."""
        self.done += steps
        self.from_store += steps if from_store else 0
        self._show()

    def say(self, text: str) -> None:
        """A line of its own."""
        if self._bars:
            self._bars.console.print(text, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def line(self) -> str:
        """The state in words, with the time left as far as the pace of what was computed tells."""
        computed = self.done - self.from_store
        left = self.total - self.done
        eta = f", {_clock_text(self.seconds / computed * left)} left" if computed and left else ""
        return f"{self.title}: {self.done}/{self.total} done, {self.from_store} from the store{eta}"

    def _show(self, force: bool = False) -> None:
        now = self._clock()
        if force or now - self._written >= FILE_SECONDS:
            self._written = now
            state = {"done": self.done, "total": self.total, "from_store": self.from_store, "seconds": self.seconds}
            with writing(self.path):
                write_atomically(self.path, canonical_json(self.facts | state))
        if self._bars:
            note = f"{self.from_store} from the store"
            self._bars.update(self._bars.task_ids[0], completed=self.done, total=self.total or None, note=note)
        elif force or now - self._said >= LINE_SECONDS:
            self._said = now
            self.say(self.line())


def read_state(path: str | Path) -> dict[str, Any]:
    """What a job at `path` says of itself; empty where none has said anything.

    done, total, from_store: steps; seconds: of this run so far, earlier: of the runs before it; starts: when they began
    (in seconds since the epoch, the last one last); host, pid, started: its process, as in `scbench.leases.Owner`; and
    what the job itself adds to its `facts`.
    """
    try:
        state = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
