"""Print a table in the terminal: `python -m scripts.show_table figures/table4.csv`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from scbench.artifacts.terminal import as_table, read_twin
from scbench.console import unfolded
from scripts import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Print the .csv twin of a table in the terminal.")
    parser.add_argument("table", type=Path, help="the .csv file of a table")
    options = parser.parse_args(arguments)
    show(options.table, Console())


def show(table: str | Path, console: Console) -> None:
    """Print the .csv twin `table` on `console`; where that is no terminal, as wide as the table is."""
    console = unfolded(console)
    console.print(as_table(read_twin(table), console.width))


if __name__ == "__main__":
    run(main)
