"""How far a study is, from what its jobs leave: result files, progress files, heartbeats and logs.

Nothing is asked of a scheduler and nothing is loaded, so that it can be read while a run goes on, on any machine that
sees the working directory.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from scbench import places
from scbench.heads import Head, living
from scbench.leases import STALE_SECONDS, Owner
from scbench.parts import Standing
from scbench.plan import Plan, Shard
from scbench.progress import read_state

STATES = ("done", "running", "failed", "again", "stopped", "waiting")
# What SLURM's daemons say about a job that they ended.
SCHEDULER = re.compile(r"(slurmstepd|srun|slurmd): error: (.*)")


@dataclass(frozen=True)
class JobStatus:
    """One shard of a plan.

    state: done; running; failed, with the last error of its log in `words`; stopped, by a kill, a scheduler or Ctrl-C;
        again, where it ended in one of these two ways and a run that goes on will try it again; or waiting, for its
        turn, its first start or, with the reason in `words`, to be computed anew.
    done, from_store, total: (session, cell) pairs that its last run finished, of these from the store, and of the plan.
    seconds: of its last run so far; spent: of all its runs.
    """

    shard: Shard
    state: str
    done: int
    from_store: int
    total: int
    seconds: float
    spent: float
    words: str

    @property
    def rate(self) -> float | None:
        """Pairs computed in a second of its last run; None before the first."""
        computed = self.done - self.from_store
        return computed / self.seconds if computed > 0 and self.seconds > 0 else None

    @property
    def left(self) -> float:
        """Seconds that the job still takes: by its own rate, before that by the plan's estimate; 0 when it is done."""
        open_pairs = self.total - self.done
        if open_pairs <= 0 or self.state == "done":
            return 0.0
        return open_pairs / self.rate if self.rate else self.shard.seconds * open_pairs / self.total

    @property
    def gpus(self) -> int:
        return self.shard.model.gpus


@dataclass(frozen=True)
class StudyStatus:
    """All jobs of a plan, and its cells: how many have all of their results written, as they would be today.

    stale: which cells have results that count no more, and why, in a line; empty where none has.
    """

    plan: Plan
    jobs: tuple[JobStatus, ...]
    stale: str
    cells_done: int
    cells_running: int
    cells_failed: int

    @cached_property
    def by_state(self) -> dict[str, list[JobStatus]]:
        """State -> its jobs, states without any left out, in the order of STATES."""
        found = {state: [job for job in self.jobs if job.state == state] for state in STATES}
        return {state: jobs for state, jobs in found.items() if jobs}

    @property
    def is_done(self) -> bool:
        """Whether all cells have all of their results, as they would be written today."""
        return self.cells_done == len(self.plan.cells)

    @property
    def done(self) -> int:
        """(session, cell) pairs finished."""
        return sum(job.done for job in self.jobs)

    @property
    def total(self) -> int:
        """(session, cell) pairs in all."""
        return sum(job.total for job in self.jobs)

    def hours(self, of: str, *, gpu: bool) -> float:
        """Hours of jobs, or of their GPUs: `spent` so far, `left` by what jobs say of themselves, `planned`."""
        seconds = {
            "spent": lambda job: job.spent,
            "left": lambda job: job.left,
            "planned": lambda job: job.shard.seconds,
        }[of]
        return sum(seconds(job) * (job.gpus if gpu else 1) for job in self.jobs) / 3600

    @property
    def eta(self) -> float | None:
        """Seconds to the end if as many jobs run on as do now; None where none does, 0 where nothing is left."""
        running = self.by_state.get("running", [])
        left = sum(job.left for job in self.jobs)
        if not left:
            return 0.0
        return max(left / len(running), *(job.left for job in running)) if running else None


def study_status(plan: Plan, prefix: str = "") -> StudyStatus:
    """The status of `plan` in this working directory.

    prefix: what begins the names of its jobs, where it runs beside another study (`scbench.study.twins`).
    """
    study = plan.study.name
    run = study.removesuffix(f"-{prefix[:-1]}") if prefix else study  # of the study that it runs beside
    logs = Path("logs", run, "infer")
    alive, heads = _alive(), [head for head in living() if head.study == run]
    standing = Standing(plan.study)
    written: dict[tuple[str, ...], bool] = {}
    jobs, everything = [], []
    for shard in plan.shards:
        parts = plan.parts(shard)
        everything += parts
        for part in parts:
            written[part.cell.id] = written.get(part.cell.id, True) and standing.holds(part)
        name = f"{prefix}{shard.name}"
        jobs.append(_job(plan, shard, standing, logs / f"{name}.log", f"infer_{name}", alive, heads))
    open_cells = {
        state: {part.cell.id for job in jobs if job.state == state for part in plan.parts(job.shard)}
        for state in ("running", "failed")
    }
    finished = {cell for cell, whole in written.items() if whole}
    return StudyStatus(
        plan,
        tuple(jobs),
        stale=standing.told(everything),
        cells_done=len(finished),
        cells_running=len(open_cells["running"] - finished),
        cells_failed=len(open_cells["failed"] - open_cells["running"] - finished),
    )


def running_jobs(study: str) -> list[str]:
    """The inference jobs that run now for the study of that name, whatever its plan says by now."""
    alive = _alive()
    files = Path(places.progress_file(study, "x")).parent.glob("*.json")
    return sorted(path.stem for path in files if _runs(read_state(path), alive))


def _job(
    plan: Plan,
    shard: Shard,
    standing: Standing,
    log: Path,
    rule: str,
    alive: Sequence[tuple[str, int]],
    heads: Sequence[Head],
) -> JobStatus:
    parts = plan.parts(shard)
    total = sum(part.stop - part.first for part in parts)
    held = sum(part.stop - part.first for part in parts if standing.holds(part))
    path = Path(places.progress_file(plan.study.name, shard.name))
    state = read_state(path)
    seconds, earlier = state.get("seconds", 0.0), state.get("earlier", 0.0)
    # A job that has written everything is done, even while its process ends or goes on with another.
    running = _runs(state, alive) and not (held == total and state["done"] == total)
    if running:
        seconds += max(0.0, time.time() - path.stat().st_mtime)
    # The study or its code was changed since: the job that said this is another one than the plan's.
    known = state if state.get("total") == total and state.get("code") == standing.code(shard) else {}
    done = known.get("done", 0) if running else max(held, known.get("done", 0))
    from_store = min(known.get("from_store", 0), done)
    if running:
        what, words = "running", ""
    elif held == total:
        what, words = "done", ""
    elif words := standing.told(parts):
        what = "waiting"
    else:
        what, words = _ended(log, rule, bool(state))
        if what in ("failed", "stopped") and any(_tries_again(head, state.get("starts", ())) for head in heads):
            what = "again"
    return JobStatus(shard, what, done, from_store, total, seconds, earlier + seconds, words)


def _tries_again(head: Head, starts: Sequence[float]) -> bool:
    """Whether `head` will start a job again that ended after these `starts`."""
    return sum(start >= head.began for start in starts) <= head.retries


def _alive() -> list[tuple[str, int]]:
    """(host, pid) of the processes that work on the store, by their heartbeats."""
    found = []
    for path in (places.STORE / "leases").glob("owner-*"):
        host, _, pid = path.name.removeprefix("owner-").rpartition("-")[0].rpartition("-")
        try:
            if time.time() - path.stat().st_mtime < STALE_SECONDS:
                found.append((host, int(pid)))
        except (OSError, ValueError):
            continue
    return found


def _runs(state: dict[str, Any], alive: Sequence[tuple[str, int]]) -> bool:
    """Whether the process that wrote a progress file still works on the store."""
    try:
        owner = Owner(state["host"], state["pid"], state["started"], "")
    except KeyError:
        return False
    return (owner.host, owner.pid) in alive and not owner.is_dead()


def _ended(log: Path, rule: str, began: bool) -> tuple[str, str]:
    """How a job ended that runs no more and is not done: its state, and the words that its log or SLURM's ends with."""
    try:
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    last = lines[-1] if lines else ""
    for words in (last,) if last.startswith("interrupted") else (last, _raised(lines)):
        if words.startswith("error: ") or re.match(r"[\w.]*(Error|Exception)\b", words):
            return "failed", words.removeprefix("error: ")
    if not began and not lines:
        return "waiting", ""
    return "stopped", _scheduler_words(rule) or (last if last.startswith("interrupted") else "")


def _raised(lines: Sequence[str]) -> str:
    """The first line of the exception that the last traceback ends with; CUDA's, say, have lines of advice below."""
    begin = max((number for number, line in enumerate(lines) if line.startswith("Traceback (")), default=len(lines))
    return next((line for line in lines[begin + 1 :] if not line[0].isspace()), "")


def _scheduler_words(rule: str) -> str:
    """The last error of SLURM's daemons in the newest log that the executor keeps of the job."""
    logs = Path(".snakemake", "slurm_logs", f"rule_{rule}").rglob("*.log")
    newest = max(logs, key=lambda path: path.stat().st_mtime, default=None)
    if newest is None:
        return ""
    found = SCHEDULER.findall(newest.read_text(encoding="utf-8", errors="replace"))
    return found[-1][1].strip(" *") if found else ""
