"""Says where a table, a figure or any result came from, and proves it: `python -m scripts.audit figures/table4.tex`.

Every file of the lineage is hashed again and compared with its record; the records with each other, with the ledger,
and with today's code, settings and locks. It needs Python alone: no GPU, no network, no installed library (--replay
apart, which computes; --why shows scores where pyarrow is installed).
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from scbench.errors import UserError
from scbench.provenance.audit import audit
from scbench.provenance.page import as_html
from scbench.provenance.render import as_dot, as_json, as_text
from scbench.provenance.verdicts import Verdict
from scripts import run

FORMATS = {"text": as_text, "json": as_json, "dot": as_dot, "html": as_html}
EPILOG = "verdicts and exit status (of the gravest; 1: the audit itself could not be done):\n" + "\n".join(
    f"  {verdict.status:>2}  {verdict.title:<15} {verdict.meaning}"
    for verdict in sorted(Verdict, key=lambda verdict: verdict.status)
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.audit",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", nargs="+", type=Path, help="what to audit, e.g. figures/table4.tex")
    parser.add_argument("--cell", metavar="MODEL/METHOD/TASK/MODE", help="only what leads to this cell")
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument(
        "--fast", action="store_true", help="do not hash again what the inode says is unchanged since the last audit"
    )
    effort.add_argument("--strict", action="store_true", help="what cannot be checked here counts as MISSING")
    parser.add_argument(
        "--format", choices=list(FORMATS), default="text", help="text (default), json, dot (Graphviz), html (one page)"
    )
    parser.add_argument(
        "--why",
        metavar="CELL",
        help="the sessions and turns behind a number: model/method/task/mode, or a category or `average` for the task",
    )
    parser.add_argument(
        "--replay", type=int, metavar="N", help="compute N sessions again in all cells shown, and compare every answer"
    )
    options = parser.parse_args(arguments)
    if options.replay is not None and options.replay < 1:
        raise UserError(f"--replay {options.replay}: give 1 or more sessions")
    if options.format != "text" and options.why:
        raise UserError(f"--format {options.format}: --why is text; leave one of them out")

    report = audit(options.file, cell=options.cell, fast=options.fast, strict=options.strict)
    if options.replay:
        from scbench.provenance.replay import replay

        # Its words go to the other stream: the report may be JSON.
        replay(report, options.replay, say=lambda line: print(line, file=sys.stderr, flush=True))
    if options.why:
        from scbench.provenance.explain import explain

        text = explain(report, options.why)
    else:
        text = FORMATS[options.format](report)
    sys.stdout.reconfigure(errors="replace")
    try:
        print(text, flush=True)
    except BrokenPipeError:  # a reader like `head` has seen enough; Python would complain of it once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return report.verdict.status


if __name__ == "__main__":
    run(main)
