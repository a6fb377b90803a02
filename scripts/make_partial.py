"""Writes a table of what is finished so far: `python -m scripts.make_partial --name table4 --config ... --out ...`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from scbench.partial import make_partial
from scripts import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="the table, e.g. table4")
    parser.add_argument("--config", type=Path, required=True, help="the resolved study, results/<study>/study.json")
    parser.add_argument(
        "--out", type=Path, required=True, help="figures/partial/<table>.tex; the .csv stands beside it"
    )
    options = parser.parse_args(arguments)
    for path in make_partial(options.name, options.config, options.out):
        print(path)


if __name__ == "__main__":
    run(main)
