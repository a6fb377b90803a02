"""Appends what was recorded since the last run to results/provenance/ledger.jsonl: `python -m scripts.fold_ledger`.

Snakemake does this at the start and at the end of every run; by hand it is needed after a run that was killed when
nothing was left to do, or after a command that was called without Snakemake.
"""

import argparse
from collections.abc import Sequence

from scbench.provenance.ledger import DIRECTORY, LEDGER, fold
from scbench.store import writing
from scripts import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.fold_ledger", description=__doc__)
    parser.parse_args(arguments)
    with writing(DIRECTORY / LEDGER):
        lines = fold()
    print(f"{DIRECTORY / LEDGER}: {lines} lines added")


if __name__ == "__main__":
    run(main)
