"""Time the GPU kernels beside what people use for the same attention.

    python -m scripts.bench_kernels                             # every kernel, 4K to 128K tokens
    python -m scripts.bench_kernels --only tri --tokens 131072

Writes resources/measurements/kernels-<device>.yaml, anew after each line: what was measured there on the same day with
the same versions stays until it is measured again. No figure of a kernel is printed before the kernel agreed with its
float64 reference on this device.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from scbench.artifacts import measurement_file
from scbench.canonical import write_atomically
from scbench.errors import UserError
from scbench.schema import read_yaml
from scbench.store import check_writable, writing
from scripts import run


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
    except benchmark.CannotMeasureError as error:
        raise UserError(str(error)) from error
    about = benchmark.circumstances()
    out = given.out or measurement_file("kernels", about["device"])
    check_writable(out.parent)
    lines = _measured(out, about, whole=len(chosen) == len(BENCHMARKS) and given.tokens is None)
    wrong: dict[str, str] = {}
    for entry in chosen:
        for tokens in entry.lengths if given.tokens is None else [given.tokens]:
            try:
                line = benchmark.measure(entry, tokens, device, benchmark.clock_on_cuda)
            except benchmark.CannotMeasureError as error:
                wrong[entry.name] = str(error)
                break
            lines[entry.name, tokens] = line
            print(_sentence(line), flush=True)
            with writing(out):
                write_atomically(out, yaml.safe_dump(about | {"kernels": list(lines.values())}, sort_keys=False))
    if wrong:
        raise UserError("; ".join(wrong.values()))
    print(f"wrote {out}")


def _measured(out: Path, about: dict[str, Any], whole: bool) -> dict[tuple[str, int], dict[str, Any]]:
    """The lines of `out` by kernel and length; none where they were measured under other circumstances than `about`.

    Raises UserError where a part alone, not `whole`, would take the place of such lines.
    """
    found = read_yaml(out) if out.is_file() else None
    if isinstance(found, dict) and found == about | {"kernels": found.get("kernels")}:
        return {(line["name"], line["tokens"]): line for line in found["kernels"]}
    if found is not None and not whole:
        raise UserError(
            f"{out}: was measured on another day or with other versions, and a part cannot stand among that; measure "
            "every kernel, or name another file with --out"
        )
    return {}


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
