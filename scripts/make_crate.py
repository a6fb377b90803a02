"""Writes a lineage as a Provenance Run Crate: `python -m scripts.make_crate figures/table4.tex --out <directory>/...`.

The file is ro-crate-metadata.json; it describes what lies in its directory, and names everything behind that.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from scbench.canonical import write_atomically
from scbench.errors import UserError
from scbench.provenance.audit import audit
from scbench.store import writing
from scripts import run

NAME = "ro-crate-metadata.json"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.make_crate", description=__doc__)
    parser.add_argument("file", nargs="+", type=Path, help="tables and figures, e.g. figures/table4.tex")
    parser.add_argument("--out", required=True, type=Path, help=f"where to write it; a crate is always called {NAME}")
    options = parser.parse_args(arguments)
    if options.out.name != NAME:
        raise UserError(f"--out {options.out}: a crate is found by its name; call it {options.out.parent / NAME}")
    # Needed here alone: an audit does without.
    from scbench.provenance.crate import as_crate

    report = audit(options.file)
    with writing(options.out):
        write_atomically(options.out, as_crate(report, options.out.parent))
    print(f"{options.out}: {len(report.graph)} files and models, verdict {report.verdict.title}")


if __name__ == "__main__":
    run(main)
