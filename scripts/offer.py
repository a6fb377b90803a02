"""Copies the files of an artifact to where they were asked for: `python -m scripts.offer <file>... --to figures`."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from scbench.canonical import write_atomically
from scbench.errors import UserError
from scbench.provenance import record, sidecar_path
from scbench.store import writing
from scripts import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifacts", nargs="+", metavar="file", help="a file under results/<study>/artifacts/")
    parser.add_argument("--to", required=True, help="the directory of the copies")
    options = parser.parse_args(arguments)

    for artifact in map(Path, options.artifacts):
        out = Path(options.to, artifact.name)
        offer(artifact, out)
        print(f"{out}: copied from {artifact}")


def offer(artifact: Path, out: Path) -> None:
    """Copy `artifact` to `out`, with a sidecar that leads back to it.

    Raises UserError when the artifact or its sidecar is missing, or when a directory cannot be written.
    """
    sidecar = sidecar_path(artifact)
    for path in (artifact, sidecar):
        if not path.is_file():
            raise UserError(f"{path}: missing; build the artifact first")
    identity = {"copy_of": artifact.as_posix(), "lineage": json.loads(sidecar.read_text(encoding="utf-8"))["lineage"]}
    with writing(out):
        write_atomically(out, artifact.read_bytes())
        record([out], [artifact], identity)


if __name__ == "__main__":
    run(main)
