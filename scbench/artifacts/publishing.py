"""From the artifacts of a study, as they lie there, to its one document with a sidecar."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scbench.artifacts import paperkey
from scbench.artifacts.board import MODE_TITLES, Board, read_board
from scbench.artifacts.catalogue import Entry
from scbench.artifacts.paper import Compiled, Piece, compose
from scbench.artifacts.stamp import make_stamp
from scbench.canonical import digest_file, write_atomically
from scbench.errors import UserError
from scbench.provenance import lineage, record, short, sidecar_path
from scbench.provenance.audit import Report
from scbench.provenance.facts import facts
from scbench.provenance.graph import Node, load
from scbench.provenance.project import Project
from scbench.provenance.sidecar import BadSidecar, read_sidecar
from scbench.store import writing
from scbench.study import Study, read_study
from scbench.tasks import TASKS


def publish(config: Path, artifacts: Path, out: Path) -> Compiled:
    """Write the document of a study as `out`, with its sidecar.

    config: the resolved study; artifacts: the directory of its tables, figures and reports, all of them there.
    Raises UserError for an artifact that is missing or has no sidecar, and where LuaLaTeX is missing or stops.
    """
    study = read_study(config)
    pieces = [_piece(Path(path), entry) for path, entry in paperkey.files(artifacts.as_posix()).items()]
    inputs = [piece.file for piece in pieces]
    decided = paperkey.fields(study)
    board = read_board(study)
    stamp = make_stamp(paperkey.NAME, board, lineage(decided, inputs))
    values = {
        "title": f"SCBench, rebuilt: the study {study.name}",
        "stamp": stamp,
        "notes": board.caveats,
        "environment": [*_about(study, board), *_environment(inputs)],
    }
    done = compose(pieces, values)
    with writing(out):
        write_atomically(out, done.pdf)
        record([out], inputs, decided, {"typesetter": done.program}, libraries=paperkey.LIBRARIES)
    return done


def _piece(file: Path, entry: Entry) -> Piece:
    try:
        sidecar = read_sidecar(sidecar_path(file))
        return Piece(entry, file, digest_file(file), sidecar["lineage"])
    except FileNotFoundError as error:
        raise UserError(f"{error.filename or file}: missing; build {entry.artifact.name} first") from error
    except BadSidecar as error:
        raise UserError(f"{sidecar_path(file)}: {error}; delete {file} and build it again") from error


def _about(study: Study, board: Board) -> Iterator[tuple[str, str]]:
    """What the study runs."""
    data = study.data
    length = f"{data.tokens:,} tokens" if data.tokens else "the published length"
    yield "Models", ", ".join(dict.fromkeys(line.model_title for line in board.lines))
    rows = Counter(line.title for line in board.lines)
    shown = ", ".join(title if count == 1 else f"{title} ({count} rows)" for title, count in rows.items())
    yield "Rows", f"{len(board.lines)}: {shown}"
    yield "Tasks", ", ".join(TASKS[task].title for task in board.sessions)
    yield "Modes", ", ".join(MODE_TITLES[mode] for mode in board.modes)
    published = ", ".join(TASKS[task].title for task in data.published)
    source = f"{data.source} ({published}: the published set)" if published else data.source
    yield "Data", f"{source}, scale {data.scale}, contexts of {length}, order {data.order}, seed {data.seed}"
    yield "Prompts", f"{study.prompts}, {study.history} history, {board.profile} scoring"


def _environment(inputs: list[Path]) -> Iterator[tuple[str, str]]:
    """What the answers behind the artifacts were computed with, as it was recorded then; nothing is checked here."""
    project = Project(Path.cwd())
    roots = [path.as_posix() for path in inputs]
    known = facts(Report(project, load(project, roots), roots, Node("", ""), strict=False))
    for name, found in known["models"].items():
        yield "Weights", f"{name}: " + ", ".join(f"{file} {short(sha)}" for file, sha in _weights(found["files"]))
    yield (
        "Libraries",
        "; ".join(", ".join(f"{name} {number}" for name, number in of.items()) for of in known["libraries"]),
    )
    yield "Python", ", ".join(known["python"])
    yield "Machines", ", ".join([*known["processors"], *known["gpus"]])
    yield "Numbers", ", ".join(known["dtype"])


def _weights(files: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(file, sha) for file, sha in files.items() if file.endswith(".safetensors")]
