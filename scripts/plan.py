"""Prints what a study comes to, without running any of it: `python -m scripts.plan --configfile studies/paper.yaml`."""

import argparse
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from scbench.console import unfolded
from scbench.models import Model
from scbench.plan import Plan, make_plans, shared_prefill_saves
from scbench.study import read_study
from scripts import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    given = parser.add_mutually_exclusive_group()
    given.add_argument("study", nargs="?", default="config.yaml", help="study file (default: config.yaml)")
    given.add_argument("--configfile", "--config", metavar="STUDY", help="the same, as Snakemake has it")
    options = parser.parse_args(arguments)

    plan, *others = make_plans(read_study(options.configfile or options.study))
    console = unfolded(Console())
    for each in (plan, *others):
        console.print(by_model(each))
        for line in summary(each):
            console.print(line, soft_wrap=True)
    if anew := [model.name for model in plan.study.models if model.encodes_each_turn]:
        console.print(
            f"{', '.join(anew)}: the dialogue is encoded anew for each answer, and counted so", highlight=False
        )
    if plan.study.pending:
        console.print(f"not available yet: {'; '.join(plan.study.pending)}", style="yellow", highlight=False)


def by_model(plan: Plan) -> Table:
    """A line a model: rows, cells, jobs, estimated hours, what sharing saves, the longest job, whence the costs."""
    table = Table(title=f"study {plan.study.name}")
    table.add_column("model")
    for name in ("rows", "cells", "jobs", "hours", "GPU hours", "GPU hours saved", "longest job (min)"):
        table.add_column(name, justify="right")
    table.add_column("costs")
    for model in plan.study.models:
        shards = [shard for shard in plan.shards if shard.model is model]
        rows = plan.study.rows(model)
        hours = sum(shard.seconds for shard in shards) / 3600
        table.add_row(
            model.name,
            f"{len(rows)}",
            f"{len(rows) * len(plan.study.tasks) * len(plan.study.modes):,}",
            f"{len(shards)}",
            f"{hours:,.2f}",
            f"{model.gpus * hours:,.2f}",
            f"{model.gpus * _saved(plan, model):,.2f}",
            f"{max(plan.minutes(shard) for shard in shards):,}",
            model.seconds.basis,
        )
    return table


def summary(plan: Plan) -> list[str]:
    """The totals, and what the shared prefill saves."""
    study = plan.study
    gpu_hours = sum(shard.model.gpus * shard.seconds for shard in plan.shards) / 3600
    saved = sum(_saved(plan, model) for model in study.models)
    saved_gpu = sum(model.gpus * _saved(plan, model) for model in study.models)
    return [
        f"{count(len(plan.rows), 'row')} x {count(len(study.tasks), 'task')} x {count(len(study.modes), 'mode')} = "
        f"{count(len(plan.cells), 'cell')} in {count(len(plan.shards), 'job')}, "
        f"about {plan.seconds / 3600:,.1f} hours of jobs, {gpu_hours:,.1f} GPU hours",
        f"one prefill of a context for all methods that start dense, in both modes, saves {saved:,.1f} hours of jobs, "
        f"{saved_gpu:,.1f} GPU hours",
        f"no job asks for more than {max(plan.minutes(shard) for shard in plan.shards)} minutes "
        f"(execution.max_shard_minutes: {study.execution.max_shard_minutes:g})",
    ]


def count(number: int, what: str) -> str:
    """`1 mode` or `2 modes`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _saved(plan: Plan, model: Model) -> float:
    return shared_prefill_saves(plan.study, model) / 3600


if __name__ == "__main__":
    run(main)
