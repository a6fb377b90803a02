"""The default study from nothing to its Table 4, with progress: what `make demo` runs after the set-up."""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from scbench import baseline, places
from scbench.artifacts import ARTIFACTS, paperkey
from scbench.errors import UserError
from scbench.models import Model
from scbench.plan import make_plans
from scbench.progress import read_state
from scbench.status import StudyStatus, study_status
from scbench.study import Study, read_study
from scripts import run, show_table

LOG = Path("logs/demo.log")
POLL_SECONDS = 0.5
LINE_SECONDS = 20.0  # between two lines of progress where there is no terminal
NOTHING = "Nothing to be done"  # what Snakemake says where it is so
TAIL_LINES, TAIL_WIDTH = 15, 160


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Run the default study on this machine and show its Table 4.")
    parser.add_argument("--cores", type=int, default=2, help="jobs at a time (default: 2)")
    options = parser.parse_args(arguments)
    if options.cores < 1:
        raise UserError(f"--cores {options.cores}: give 1 or more")

    console = Console()
    study = read_study("config.yaml")
    plans = make_plans(study)
    console.print(
        f"Study [bold]{study.name}[/bold]: {len(study.tasks)} tasks x {len(study.modes)} modes x "
        f"{len(study.methods)} methods and the floor, {study.data.sessions} sessions a task of about "
        f"{study.data.tokens} tokens, on {', '.join(_named(study, model) for model in study.models)}.",
        highlight=False,
    )
    cells, shards = (sum(len(getattr(plan, name)) for plan in plans) for name in ("cells", "shards"))
    console.print(f"{cells} cells in {shards} jobs, {options.cores} at a time; log: {LOG}")
    statuses = [study_status(plan) for plan in plans]
    for status in statuses:
        if status.stale:
            console.print(f"Study {status.plan.study.name}: {status.stale}", highlight=False, soft_wrap=True)
    if all(status.is_done for status in statuses):
        console.print("Nothing to compute: all cells are finished. Tables and figures are made where they are missing.")
    elif baseline.applies(study):
        console.print("Before them, full attention has to pass a check of its own: look-ups and pass keys.")
    started = time.monotonic()
    _snakemake(statuses, options.cores, console)
    show_table.show("figures/table4.csv", console)
    took = _clock(time.monotonic() - started)
    console.print(f"\nNothing to be done ({took}):" if NOTHING in LOG.read_text() else f"\nBuilt in {took}:")
    for line in built():
        console.print(f"  {line}", highlight=False)


def built() -> Iterator[str]:
    """What lies in figures/ now, one line for each kind of artifact."""
    for kind in dict.fromkeys(artifact.kind for artifact in ARTIFACTS.values()):
        of_kind = [artifact for artifact in ARTIFACTS.values() if artifact.kind == kind]
        names = ", ".join(artifact.name for artifact in of_kind)
        yield f"{kind}s in figures/ ({' '.join(of_kind[0].suffixes)}): {names}"
    if (document := Path("figures", f"{paperkey.NAME}.pdf")).is_file():
        yield f"all of them with captions in one document: {document}"


def _named(study: Study, model: Model) -> str:
    """The name of `model`, and how many of the methods it runs where that is not all."""
    own = study.methods_of(model)
    return model.name if own == study.methods else f"{model.name} ({len(own)} of the methods)"


def _snakemake(statuses: Sequence[StudyStatus], cores: int, console: Console) -> None:
    """Run everything; raise UserError with the end of the log when it fails. `statuses`: how far the studies are."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    study = statuses[0].plan.study
    checks = study.models if baseline.applies(study) else ()
    # Path of what each job says of itself -> what is done before it is started.
    check_files = {Path(places.progress_file(study.name, baseline.job(model))): 0 for model in checks}
    progress_files = {
        Path(places.progress_file(status.plan.study.name, job.shard.name)): job.done
        for status in statuses
        for job in status.jobs
    }
    command = [sys.executable, "-m", "snakemake", "--profile", "local", "--cores", str(cores)]
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with open(LOG, "w", encoding="utf-8") as log, Progress(*columns, console=console) as bars:
        total = sum(status.total for status in statuses)
        asked = len(checks) * baseline.QUERIES * len(baseline.floors(study))
        check = bars.add_task("baseline", total=asked, unit="queries", visible=False)
        bar = bars.add_task("inference", total=total, unit="session cells")
        began = time.time()
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        done, said = 0, time.monotonic()
        try:
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
                done, checked = (
                    sum(_done(path, before, began) for path, before in files.items())
                    for files in (progress_files, check_files)
                )
                bars.update(bar, completed=done)
                bars.update(check, completed=checked, visible=bool(checked))
                if not console.is_terminal and time.monotonic() - said >= LINE_SECONDS:
                    said = time.monotonic()
                    where = f"{done}/{total} session cells" if done else f"{checked}/{asked} queries of the check"
                    console.print(f"{where}{_steps()}", highlight=False)
        except KeyboardInterrupt:
            process.wait()
            raise
        if process.returncode == 0 and done:
            bars.update(bar, completed=total)
    if process.returncode:
        raise UserError(_why(process.returncode, study.name, began))


def _why(status: int, study: str, began: float) -> str:
    """What stopped the workflow: the sentences that its jobs left since `began`, else the end of its log."""
    logs = [LOG, *(path for path in sorted(Path("logs", study).rglob("*.log")) if path.stat().st_mtime >= began)]
    lines = [line for path in logs for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    said = list(dict.fromkeys(line for line in lines if line.startswith("error: ")))
    tail = [line[:TAIL_WIDTH] for line in LOG.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]]
    how = f"was killed by signal {-status}" if status < 0 else "stopped"
    last = "Finished sessions are kept: run the same command again to go on."
    return "\n".join([f"the workflow {how}; its log is {LOG}", *(said or tail), last])


def _steps() -> str:
    """How many of its jobs Snakemake has finished, by its log, as the end of a line; empty before the first."""
    found = re.findall(r"^\d+ of \d+ steps", LOG.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return f"; {found[-1]} of the workflow" if found else ""


def _done(path: Path, before: int, began: float) -> int:
    """Steps done by one job, `before` until it says so in a run that began at `began` (in seconds since the epoch)."""
    try:
        return read_state(path).get("done", before) if path.stat().st_mtime >= began else before
    except FileNotFoundError:
        return before


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


if __name__ == "__main__":
    run(main)
