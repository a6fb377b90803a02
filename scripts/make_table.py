"""Write a table: `python -m scripts.make_table --name table4 --config ... --scores ... --out .../table4.tex`."""

import argparse
import atexit
import gc
from collections.abc import Sequence
from pathlib import Path

from scbench.artifacts.making import make
from scbench.provenance import short_digest
from scripts import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write a table (.tex, .csv) with its provenance.")
    parser.add_argument("--name", required=True, help="the table, e.g. table4")
    parser.add_argument("--config", type=Path, required=True, help="the resolved study, results/<study>/study.json")
    parser.add_argument("--scores", type=Path, nargs="*", default=[], help="score files, for a table of scores")
    parser.add_argument("--sessions", type=Path, nargs="*", default=[], help="session files, for a table of the data")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json of the first model, for a table of the data")
    parser.add_argument("--out", type=Path, required=True, help="one of the files to write; the others stand beside it")
    options = parser.parse_args(arguments)
    written = make(
        options.name,
        "table",
        options.config,
        options.out,
        scores=options.scores,
        sessions=options.sessions,
        tokenizer=options.tokenizer,
    )
    for path in written:
        print(f"{path}  {short_digest(path)}")


if __name__ == "__main__":
    # It takes seconds: looking for garbage, also at the end among all that was imported, is half a second of them.
    gc.disable()
    atexit.register(gc.freeze)
    run(main)
