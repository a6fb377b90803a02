"""Score the answers of one table row: `python -m scripts.score --in part.jsonl ... --out scores.parquet`."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from scbench import codedigest, provenance
from scbench.canonical import write_atomically
from scbench.errors import UserError
from scbench.parts import check_parts
from scbench.scoring.table import score_files
from scbench.study import read_study
from scripts import run

CODE = ("scbench.scoring", "scbench.quirks", "scbench.records", "scripts.score")
# What scores depend on besides our own code.
LIBRARIES = (
    "nltk",
    "rouge-score",
    "tree-sitter",
    "tree-sitter-cpp",
    "tree-sitter-go",
    "tree-sitter-java",
    "tree-sitter-php",
    "tree-sitter-python",
    "tree-sitter-rust",
    "tree-sitter-typescript",
    "pyarrow",
)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.score", description=__doc__)
    parser.add_argument("--in", dest="inputs", nargs="+", required=True, metavar="PART", help="files of result lines")
    parser.add_argument("--out", required=True, type=Path, help="the parquet file to write")
    parser.add_argument("--config", help="study file: refuse parts that its jobs would not write today")
    arguments = parser.parse_args(argv)

    started = time.perf_counter()
    if arguments.config:
        check_parts(read_study(arguments.config), arguments.inputs)
    table = score_files(arguments.inputs)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    try:
        write_atomically(arguments.out, sink.getvalue().to_pybytes())
        provenance.record(
            outputs=[arguments.out],
            inputs=arguments.inputs,
            identity={"command": "score", "code": codedigest.digest(CODE)},
            libraries=LIBRARIES,
        )
    except OSError as error:
        raise UserError(
            f"--out {arguments.out}: cannot be written ({error.strerror}); free space or choose another directory"
        ) from error
    seconds = time.perf_counter() - started
    print(f"scored {table.num_rows:,} turns of {len(arguments.inputs)} files in {seconds:.1f} s: {arguments.out}")


if __name__ == "__main__":
    run(main)
