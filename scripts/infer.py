"""Runs one shard of a study: `python -m scripts.infer --config results/mini/study.json --shard minilm-000`."""

import argparse
import signal
from collections.abc import Sequence
from types import FrameType

from scbench import places
from scbench.errors import UserError
from scbench.parts import code_of
from scbench.plan import make_plan
from scbench.progress import Progress
from scbench.shard import Computing, ShardRun
from scbench.study import read_study
from scripts import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Engines: docs/engines.md. Never run yet: vllm on a GPU, any model on several GPUs."
    )
    parser.add_argument("--config", required=True, help="study file, as resolved by the workflow or as written")
    parser.add_argument("--shard", required=True, help="name of the shard in the study's plan")
    parser.add_argument(
        "--code", help="refuse to start where another code would decide the shard (`scbench.parts.code_of`)"
    )
    options = parser.parse_args(arguments)

    # A scheduler's TERM ends the job like Ctrl-C does: leases are given back, what was finished is kept.
    signal.signal(signal.SIGTERM, _interrupt)
    study = read_study(options.config)
    shard = make_plan(study).shard(options.shard)

    # From here on, so that a start that is refused counts as one of those that a run makes (`scbench.status`).
    with Progress(places.progress_file(study.name, shard.name), shard.name) as progress:
        if options.code and options.code != code_of(study, shard):
            raise UserError(
                f"{shard.name}: the code changed since this job was planned; run the same command again, which plans "
                "anew (of what is finished, nothing that still counts is computed again)"
            )
        shard = shard.on(shard.model.found())

        def start() -> Computing:
            # The deep-learning libraries take seconds to import; a job that finds everything in the store does without.
            from scbench.engines.parallel import start_computer

            return start_computer(study, shard.model)

        summary = ShardRun(study, shard, start, progress).run()
    computed = summary.total - summary.from_store
    print(f"{shard.name}: {summary.total} sessions in cells, {summary.from_store} from the store, {computed} computed")
    for name, count in summary.counters.items():
        print(f"{shard.name}: {name} {count}")


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    run(main)
