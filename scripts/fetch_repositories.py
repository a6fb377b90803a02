"""Writes the repositories that a corpus names by git and commit: `python -m scripts.fetch_repositories my_documents`.

A repository whose directory is there already is left as it is; delete the directory to have it written anew.
"""

import argparse
from collections.abc import Sequence

from scbench.corpus import folder
from scripts import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.fetch_repositories",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", help="the folder that holds the questions file (docs/corpus.md)")
    options = parser.parse_args(arguments)
    for path, written in folder.fetch_repositories(options.folder):
        print(f"{path}: {'written' if written else 'is there already'}", flush=True)


if __name__ == "__main__":
    run(main)
