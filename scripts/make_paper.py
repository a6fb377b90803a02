"""Sets the document of a study: `python -m scripts.make_paper --config ... --artifacts ... --out .../paper.pdf`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from scbench.artifacts.paper import overfull
from scbench.artifacts.publishing import publish
from scbench.provenance import short_digest
from scripts import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Set all tables and figures of a study as one PDF, with LuaLaTeX.")
    parser.add_argument("--config", type=Path, required=True, help="the resolved study, results/<study>/study.json")
    parser.add_argument("--artifacts", type=Path, required=True, help="the directory of its tables and figures")
    parser.add_argument("--out", type=Path, required=True, help="the PDF to write")
    options = parser.parse_args(arguments)
    done = publish(options.config, options.artifacts, options.out)
    worst = max(overfull(done.log), default=0.0)
    print(f"{options.out}  {short_digest(options.out)}  set by {done.program}; widest box: {worst:g} pt over its place")


if __name__ == "__main__":
    run(main)
