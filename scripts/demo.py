"""The default study from nothing to its Table 4, with progress: what `make demo` runs after the set-up."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from scbench import baseline, places
from scbench.artifacts import ARTIFACTS
from scbench.errors import UserError
from scbench.plan import Plan, make_plans
from scbench.study import read_study
from scripts import run, show_table

LOG = Path("logs/demo.log")
POLL_SECONDS = 0.5
LINE_SECONDS = 20.0  # between two lines of progress where there is no terminal
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
        f"{study.data.tokens} tokens, on {', '.join(model.name for model in study.models)}.",
        highlight=False,
    )
    cells, shards = (sum(len(getattr(plan, name)) for plan in plans) for name in ("cells", "shards"))
    console.print(f"{cells} cells in {shards} jobs, {options.cores} at a time; log: {LOG}")
    if baseline.applies(study):
        console.print("Before them, full attention has to pass a check of its own: look-ups and pass keys.")
    started = time.monotonic()
    _snakemake(plans, options.cores, console)
    show_table.show("figures/table4.csv", console)
    console.print(f"\nBuilt in {_clock(time.monotonic() - started)}:")
    for line in built():
        console.print(f"  {line}", highlight=False)


def built() -> Iterator[str]:
    """What lies in figures/ now, one line for each kind of artifact."""
    for kind in dict.fromkeys(artifact.kind for artifact in ARTIFACTS.values()):
        of_kind = [artifact for artifact in ARTIFACTS.values() if artifact.kind == kind]
        names = ", ".join(artifact.name for artifact in of_kind)
        yield f"{kind}s in figures/ ({' '.join(of_kind[0].suffixes)}): {names}"


def _snakemake(plans: Sequence[Plan], cores: int, console: Console) -> None:
    """Run everything; raise UserError with the end of the log when it fails."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    study = plans[0].study
    shards = [(plan, shard) for plan in plans for shard in plan.shards]
    checks = study.models if baseline.applies(study) else ()
    check_files = [Path(places.progress_file(study.name, baseline.job(model))) for model in checks]
    progress_files = [Path(places.progress_file(plan.study.name, shard.name)) for plan, shard in shards]
    for path in (*check_files, *progress_files):
        path.unlink(missing_ok=True)
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
        total = sum(part.stop - part.first for plan, shard in shards for part in plan.parts(shard))
        asked = len(checks) * baseline.QUERIES * len(baseline.floors(study))
        check = bars.add_task("baseline", total=asked, unit="queries", visible=bool(checks))
        bar = bars.add_task("inference", total=total, unit="session cells")
        began = time.time()
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        done, said = 0, time.monotonic()
        try:
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
                done, checked = (sum(map(_done, files)) for files in (progress_files, check_files))
                bars.update(bar, completed=done)
                bars.update(check, completed=checked)
                if not console.is_terminal and time.monotonic() - said >= LINE_SECONDS:
                    said = time.monotonic()
                    where = f"{done}/{total} session cells" if done else f"{checked}/{asked} queries of the check"
                    console.print(where, highlight=False)
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


def _done(path: Path) -> int:
    """Steps done by one job; 0 until it has said so. The file is replaced atomically, so it is whole or absent."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))["done"]
    except FileNotFoundError:
        return 0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


if __name__ == "__main__":
    run(main)
