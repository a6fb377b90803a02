"""Shows how far a study is, while it runs or after: `python -m scripts.status [--configfile my_study.yaml] [--all]`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scbench.console import unfolded
from scbench.errors import UserError
from scbench.plan import make_plan
from scbench.status import JobStatus, StudyStatus, study_status
from scbench.study import BESIDE, read_study, twins
from scripts import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--configfile", "--config", metavar="STUDY", help="study file (default: the study that ran here last)"
    )
    parser.add_argument("--all", action="store_true", help="also the jobs that are done or wait")
    options = parser.parse_args(arguments)

    study = read_study(options.configfile or last_study())
    console = unfolded(Console())
    statuses = [study_status(make_plan(study))]
    for other in twins(study):
        statuses.append(study_status(make_plan(other), prefix=f"{other.name.removeprefix(f'{study.name}-')}-"))
    for status in statuses:
        for line in summary(status):
            console.print(line, highlight=False, soft_wrap=True)
        shown = [job for state, jobs in status.by_state.items() for job in jobs if options.all or notable(state)]
        if shown:
            console.print(by_job(shown))


def last_study() -> Path:
    """The resolved study in results/ whose jobs said something last; those beside a study are shown with it."""
    studies = {path.parent.name: path for path in Path("results").glob("*/study.json")}
    found = {path: _touched(path) for name, path in studies.items() if BESIDE.sub("", name) not in {*studies} - {name}}
    if not found:
        raise UserError("results: no study has run here; name one with --configfile")
    return max(found, key=found.get)


def _touched(study: Path) -> float:
    places_of = [study, *study.parent.glob("progress/*.json")]
    return max(path.stat().st_mtime for path in places_of)


def notable(state: str) -> bool:
    """Whether a job in `state` is shown where only some are."""
    return state not in ("done", "waiting")


def summary(status: StudyStatus) -> list[str]:
    """The whole study in a few lines."""
    cells = len(status.plan.cells)
    share = status.done / status.total
    jobs = ", ".join(f"{len(jobs)} {state}" for state, jobs in status.by_state.items())
    open_cells = f"{status.cells_running} running, {status.cells_failed} failed"
    lines = [
        f"study {status.plan.study.name}: {status.cells_done:,} of {cells:,} cells done, {open_cells}",
        f"sessions in cells: {status.done:,} of {status.total:,} finished ({share:.0%}); jobs: {jobs}",
        hours(status, gpu=False),
    ]
    if status.stale:
        lines.insert(1, status.stale)
    if any(job.gpus for job in status.jobs):
        lines.append(hours(status, gpu=True))
    eta = status.eta
    lines.append(f"left at this pace: {clock(eta)}" if eta is not None else "no inference job runs at the moment")
    return lines


def hours(status: StudyStatus, *, gpu: bool) -> str:
    """What was spent, what is expected in all, and what the plan estimated."""
    spent, left, planned = (status.hours(of, gpu=gpu) for of in ("spent", "left", "planned"))
    what = "GPU hours" if gpu else "hours of jobs"
    return f"{what}: {spent:,.2f} spent, {spent + left:,.2f} expected in all (estimated by the plan: {planned:,.2f})"


def by_job(jobs: Sequence[JobStatus]) -> Table:
    """A line a job."""
    table = Table()
    for name in ("job", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("sessions in cells", "from store", "a minute", "left"):
        table.add_column(name, justify="right")
    table.add_column("last words", overflow="fold")
    for job in jobs:
        table.add_row(
            job.shard.name,
            job.state,
            f"{job.done:,}/{job.total:,}",
            f"{job.from_store:,}",
            f"{60 * job.rate:,.1f}" if job.rate else "",
            clock(job.left) if job.left else "",
            job.words,
        )
    return table


def clock(seconds: float) -> str:
    """`3 h 5 min`, `4 min` or `12 s`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


if __name__ == "__main__":
    run(main)
