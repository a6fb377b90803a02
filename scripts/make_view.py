"""Makes a page of a table's .csv or a report's .md: `python -m scripts.make_view <file> --title ... --out <html>`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from scbench.artifacts.view import as_page
from scbench.canonical import write_atomically
from scbench.provenance import record
from scbench.store import writing
from scripts import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="a table's .csv or a report's .md")
    parser.add_argument("--title", required=True, help="what it is called")
    parser.add_argument("--caption", default="", help="what it shows")
    parser.add_argument("--out", type=Path, required=True, help="the .html file to write")
    options = parser.parse_args(arguments)
    page = as_page(options.file, options.title, options.caption)
    with writing(options.out):
        write_atomically(options.out, page)
        record([options.out], [options.file], {"view": [options.title, options.caption]})
    print(f"{options.out}: {len(page)} characters")


if __name__ == "__main__":
    run(main)
