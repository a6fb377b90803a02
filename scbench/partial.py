"""A table of what is finished so far, while the rest is still computed; never to be taken for the final one."""

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from scbench import cellkey, places
from scbench.artifacts import artifact
from scbench.artifacts.board import read_board
from scbench.artifacts.identity import identity
from scbench.artifacts.scored import read_scores
from scbench.artifacts.stamp import make_stamp
from scbench.canonical import canonical_json, digest_file, write_atomically
from scbench.errors import UserError
from scbench.plan import Part, Plan, Shard, make_plan
from scbench.progress import read_state
from scbench.provenance import lineage, record, sidecar_path
from scbench.provenance.sidecar import BadSidecar, read_sidecar
from scbench.scoring.table import score_files
from scbench.sessions import read_sessions
from scbench.shard import session_results
from scbench.store import Store, writing
from scbench.study import Study, read_study


def make_partial(name: str, config: Path, out: Path) -> list[Path]:
    """Write the table `name` of the resolved study `config` from the sessions that are finished, and return its files.

    Cells count as far as they are: the table's own notes name what is missing, and its stamp says PARTIAL and how much
    there is. Raises UserError when nothing is finished, and for a table that is not made from scores.
    """
    wanted = artifact(name, "table")
    wanted.files(out)
    if wanted.needs != "scores":
        raise UserError(f"--name {name}: is made from {wanted.needs}, not from scores alone; ask for the final table")
    plan = make_plan(read_study(config))
    study, board = plan.study, read_board(plan.study)
    parts = [part for shard in plan.shards for part in plan.parts(shard)]
    made = [Path(places.sessions_file(study.name, task)) for task in study.tasks]
    sessions = {path.as_posix(): digest_file(path) for path in made if path.is_file()}
    written = [part for shard in plan.shards for part in _written(plan, shard, sessions)]
    with tempfile.TemporaryDirectory() as directory:
        stored = Path(directory, "stored.jsonl")
        write_atomically(stored, "".join(f"{canonical_json(result)}\n" for result in _stored(plan, written, parts)))
        scored = score_files([*(part.path for part in written), stored])
        if not scored.num_rows:
            raise UserError(f"{study.name}: no session is finished yet; ask again later (python -m scripts.status)")
        pq.write_table(scored, Path(directory, "scores.parquet"))
        scores = read_scores([Path(directory, "scores.parquet")], board)
    done = len(scores[["model", "method", "task", "mode", "session"]].drop_duplicates())
    total = sum(part.stop - part.first for part in parts)
    decided = identity(wanted, study) | {"partial": {"done": done, "of": total}}
    inputs = [part.path for part in written]
    stamp = make_stamp(name, board, lineage(decided, inputs))
    stamp = replace(stamp, study=f"{study.name} (PARTIAL: {done:,} of {total:,} sessions in cells)")
    module = wanted.load()
    with writing(out):
        files = module.write(module.frame(scores, board), board, stamp, out)
        record(files, inputs, decided, libraries=wanted.libraries)
    return files


def _written(plan: Plan, shard: Shard, sessions: Mapping[str, str]) -> list[Part]:
    """The parts of `shard` that are there and hold what it would write today; any other the next run makes again.

    sessions: sha256 of the session files by path.
    """
    if not any(Path(part.path).is_file() for part in plan.parts(shard)):
        return []
    return [part for part in plan.parts(shard.on(shard.model.found())) if _is_current(plan.study, part, sessions)]


def _is_current(study: Study, part: Part, sessions: Mapping[str, str]) -> bool:
    """Whether the results of a part are those of its study, code and sessions as they are now, by its sidecar."""
    try:
        sidecar = read_sidecar(sidecar_path(part.path))
        identity = sidecar["identity"]
        same = identity["key"] == cellkey.key(study, part.cell, identity["fields"]["machine"])
        return same and all(sessions.get(entry["path"]) == entry["sha256"] for entry in sidecar["inputs"])
    except (OSError, BadSidecar, KeyError):
        return False


def _stored(plan: Plan, written: Iterable[Part], parts: Iterable[Part]) -> Iterable[dict[str, Any]]:
    """Results of the parts that are not written, of the sessions that the store has by now."""
    study = plan.study
    there = {part.path for part in written}
    keys = _keys(plan)
    store = Store(places.STORE)
    store.refresh(key for found in keys.values() for key in found)
    sessions = {task: _sessions(study, task) for task in study.tasks}
    for part in parts:
        if part.path in there:
            continue
        for session in sessions[part.cell.task][part.first : part.stop]:
            found = (store.get(key, session.digest) for key in keys.get(part.cell.id, ()))
            if turns := next(filter(None, found), None):
                yield from (asdict(result) for result in session_results(study, part.cell, session, turns))


def _keys(plan: Plan) -> dict[tuple[str, ...], list[str]]:
    """Cell -> its keys on the machines that jobs of its model have said they run on."""
    keys: dict[tuple[str, ...], list[str]] = {}
    for shard in plan.shards:
        machine = read_state(places.progress_file(plan.study.name, shard.name)).get("machine")
        if machine is None:
            continue
        known = shard.on(shard.model.found())
        for part in plan.parts(known):
            key = cellkey.key(plan.study, part.cell, machine)
            found = keys.setdefault(part.cell.id, [])
            found += [key] if key not in found else []
    return keys


def _sessions(study: Study, task: str) -> list:
    path = Path(places.sessions_file(study.name, task))
    return read_sessions(path) if path.is_file() else []
