"""Packs tables and figures with all they rest on: `python -m scripts.bundle figures/table4.tex --out table4.zip`.

In the archive: the files and everything they were made from, their sidecars, the ledger, the lock, a Provenance Run
Crate, and the code. Unpacked anywhere, `python -m scripts.audit figures/table4.tex` in it audits them, with Python
alone.
"""

import argparse
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from scbench.canonical import replacing
from scbench.errors import UserError
from scbench.places import ROOT
from scbench.provenance import manifest
from scbench.provenance.audit import Report, audit
from scbench.provenance.graph import mapping
from scbench.provenance.ledger import DIRECTORY, HEAD, LEDGER
from scbench.provenance.observation import ENVIRONMENTS
from scbench.provenance.project import Unreadable
from scbench.provenance.sidecar import REPOSITORY, sidecar_path
from scbench.provenance.verdicts import Verdict
from scbench.store import writing
from scripts import run
from scripts.make_crate import NAME

# What a reader needs to audit, and to build again.
CODE = (
    "Snakefile",
    "rules",
    "scripts",
    "scbench",
    "kernels",
    "resources",
    "studies",
    "envs",
    "local",
    "slurm",
    "config.yaml",
)
CODE += ("requirements.in", "requirements.lock", "README.md", "LICENSE", "CITATION.cff")
LEFT_OUT = {"__pycache__", "site.yaml"}
BIG = 64 * 2**20  # bytes of a file of the code, or of a model, above which it stays where it is
STAMP = (1980, 1, 1, 0, 0, 0)  # of every file in it, so that the same files give the same archive


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.bundle", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="+", type=Path, help="tables and figures, e.g. figures/table4.tex")
    parser.add_argument("--out", required=True, type=Path, help="the archive to write (.zip)")
    parser.add_argument("--any", action="store_true", help="pack even what does not audit as OK")
    options = parser.parse_args(arguments)
    if options.out.suffix != ".zip":
        raise UserError(f"--out {options.out}: the archive is a zip file; call it {options.out.with_suffix('.zip')}")
    report = audit(options.file)
    if report.verdict is not Verdict.OK and not options.any:
        raise UserError(
            f"{options.file[0]}: {report.verdict.title}, {report.verdict.meaning}; see python -m scripts.audit "
            f"{options.file[0]}, or pack it as it is with --any"
        )
    from scbench.provenance.crate import as_crate

    names = dict(sorted(contents(report)))
    crate = as_crate(report, report.project.root)
    with writing(options.out), replacing(options.out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, path in names.items():
            entry = zipfile.ZipInfo(name, STAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with open(path, "rb") as source, archive.open(entry, "w", force_zip64=True) as sink:
                while block := source.read(2**20):
                    sink.write(block)
        archive.writestr(zipfile.ZipInfo(NAME, STAMP), crate, zipfile.ZIP_DEFLATED)
    size = options.out.stat().st_size
    print(f"{options.out}: {len(names) + 1:,} files, {size:,} bytes, verdict {report.verdict.title}")


def contents(report: Report) -> Iterator[tuple[str, Path]]:
    """(name in the archive, file) of everything that goes into it."""
    project = report.project
    root = project.root
    for node in report.graph.values():
        for path in [*node.expected, *([] if node.expected else [node.path])]:
            try:
                place = project.place(path)
                if project.size(path) <= BIG or node.kind != "models":
                    yield path.removeprefix(REPOSITORY), place
            except Unreadable:
                continue  # the report that goes with it says so
        if node.sidecar:
            yield sidecar_path(node.path).as_posix(), root / sidecar_path(node.path)
        if node.kind == "studies":
            for path in mapping(node.identity, "config"):
                with suppress(Unreadable):
                    project.size(path)
                    yield path.removeprefix(REPOSITORY), project.place(path)
        yield from _named(root, mapping(node.observation, "code"), manifest.DIRECTORY)
        yield from _named(root, {"environment": node.observation.get("environment")}, ENVIRONMENTS)
    for name in (LEDGER, HEAD):
        if (root / DIRECTORY / name).is_file():
            yield (DIRECTORY / name).as_posix(), root / DIRECTORY / name
    for name in CODE:
        place = ROOT / name
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and not LEFT_OUT & set(path.parts) and path.stat().st_size <= BIG:
                yield path.relative_to(ROOT).as_posix(), path


def _named(root: Path, value: dict, directory: Path) -> Iterator[tuple[str, Path]]:
    """The files of `directory` that are called after a digest in `value`."""
    for text in manifest.strings(value):
        name = directory / f"{text}.json"
        if text.isalnum() and (root / name).is_file():
            yield name.as_posix(), root / name


if __name__ == "__main__":
    run(main)
