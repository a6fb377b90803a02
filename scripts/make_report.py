"""Write a report: `python -m scripts.make_report --name claims --config ... --scores ... --out .../claims.md`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from scbench.artifacts.making import make
from scbench.provenance import short_digest
from scripts import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write a report (.md, .json) with its provenance.")
    parser.add_argument("--name", required=True, help="the report, e.g. claims")
    parser.add_argument("--config", type=Path, required=True, help="the resolved study, results/<study>/study.json")
    parser.add_argument("--scores", type=Path, nargs="*", default=[], help="score files of the study")
    parser.add_argument("--out", type=Path, required=True, help="one of the files to write; the others stand beside it")
    options = parser.parse_args(arguments)
    for path in make(options.name, "report", options.config, options.out, scores=options.scores):
        print(f"{path}  {short_digest(path)}")


if __name__ == "__main__":
    run(main)
