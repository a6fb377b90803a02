"""Time the GPU kernels beside what people use for the same attention.

    python -m scripts.bench_kernels                             # every kernel, 4K to 128K tokens
    python -m scripts.bench_kernels --only tri --tokens 131072

Writes resources/measurements/kernels-<device>.yaml. No figure of a kernel is printed before the kernel agreed with its
float64 reference on this device.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from scbench.canonical import replacing
from scbench.errors import UserError
from scbench.places import ROOT
from scbench.store import check_writable
from scripts import run

MEASUREMENTS = ROOT / "resources" / "measurements"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.bench_kernels", description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="TEXT", default="", help="kernels whose name contains this")
    parser.add_argument("--tokens", type=int, metavar="N", help="this length alone")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write the results")
    given = parser.parse_args(argv)

    from kernels import benchmark
    from kernels.benchmarks import BENCHMARKS

    chosen = [entry for entry in BENCHMARKS if given.only.lower() in entry.name.lower()]
    if not chosen:
        raise UserError(f"--only {given.only}: no kernel has that in its name; known: {_listed(BENCHMARKS)}")
    if given.tokens is not None and given.tokens < 1:
        raise UserError(f"--tokens {given.tokens}: give at least 1")
    try:
        device = benchmark.device_at_hand()
        about = benchmark.circumstances()
        out = given.out or MEASUREMENTS / f"kernels-{re.sub('[^a-z0-9]+', '-', about['device'].lower())}.yaml"
        check_writable(out.parent)
        lines = []
        for entry in chosen:
            for tokens in entry.lengths if given.tokens is None else [given.tokens]:
                lines.append(benchmark.measure(entry, tokens, device, benchmark.clock_on_cuda))
                print(_sentence(lines[-1]), flush=True)
    except benchmark.CannotMeasureError as error:
        raise UserError(str(error)) from error
    with replacing(out) as file:
        file.write_text(yaml.safe_dump(about | {"kernels": lines}, sort_keys=False))
    print(f"wrote {out}")


def _sentence(line: dict[str, Any]) -> str:
    """One line for the terminal: the time, and how many times as long the others take."""
    others = ", ".join(
        f"{other['speedup']:.1f}x {name}" if "speedup" in other else f"{name} not run"
        for name, other in line["comparators"].items()
    )
    roofline = f", {line['roofline']:.0%} of the roofline" if "roofline" in line else ""
    return f"{line['name']}, {line['tokens']} tokens: {line['milliseconds']['median']:.3f} ms{roofline}; {others}"


def _listed(entries: Sequence[Any]) -> str:
    return ", ".join(entry.name for entry in entries)


if __name__ == "__main__":
    run(main)
