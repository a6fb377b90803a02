"""A table of what is finished so far, while the rest is still computed; never to be taken for the final one."""

import tempfile
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scbench import cellkey, places
from scbench.artifacts import artifact
from scbench.artifacts.asked import read_asked
from scbench.artifacts.board import read_board
from scbench.artifacts.identity import identity
from scbench.artifacts.scored import read_scores
from scbench.artifacts.stamp import make_stamp
from scbench.canonical import canonical_json, write_atomically
from scbench.errors import UserError
from scbench.parts import Standing
from scbench.plan import Part, Plan, make_plan
from scbench.progress import read_state
from scbench.provenance import lineage, record
from scbench.scoring.table import score_files
from scbench.sessions import read_sessions
from scbench.shard import session_results
from scbench.store import Store, writing
from scbench.study import Study, quirk_twins, read_study


def make_partial(name: str, config: Path, out: Path) -> list[Path]:
    """Write the table `name` of the resolved study `config` from the sessions that are finished, and return its files.

    Cells count as far as they are: the table's own notes name what is missing, and its stamp says PARTIAL and how much
    there is. Raises UserError when nothing is finished, and for a table that is not made from scores.
    """
    wanted = artifact(name, "table")
    wanted.files(out)
    if wanted.needs not in ("scores", "asked"):
        raise UserError(f"--name {name}: is made from {wanted.needs}, not from scores alone; ask for the final table")
    study = read_study(config)
    board = read_board(study)
    done = total = 0
    inputs, scores = [], []
    with tempfile.TemporaryDirectory() as directory:
        for each in (study, *(quirk_twins(study) if wanted.needs == "asked" else ())):
            plan = make_plan(each)
            scored, written = _finished(plan, Path(directory, "stored.jsonl"))
            if each is study and not scored.num_rows:
                raise UserError(f"{study.name}: no session is finished yet; ask again later (python -m scripts.status)")
            scores.append(Path(directory, f"{each.name}.parquet"))
            pq.write_table(scored, scores[-1])
            done += scored.group_by(["model", "method", "task", "mode", "session"]).aggregate([]).num_rows
            total += sum(part.stop - part.first for part in _parts(plan))
            inputs += [part.path for part in written]
        source = read_asked(scores, study) if wanted.needs == "asked" else read_scores(scores, board)
    decided = identity(wanted, study) | {"partial": {"done": done, "of": total}}
    stamp = make_stamp(name, board, lineage(decided, inputs))
    stamp = replace(stamp, study=f"{study.name} (PARTIAL: {done:,} of {total:,} sessions in cells)")
    module = wanted.load()
    with writing(out):
        files = module.write(module.frame(source, board), board, stamp, out)
        record(files, inputs, decided, libraries=wanted.libraries)
    return files


def _parts(plan: Plan) -> list[Part]:
    return [part for shard in plan.shards for part in plan.parts(shard)]


def _finished(plan: Plan, stored: Path) -> tuple[pa.Table, list[Part]]:
    """The scored turns of what is finished of `plan`, and its parts among that; stored: where the others are put."""
    standing, parts = Standing(plan.study), _parts(plan)
    written = [part for part in parts if standing.holds(part)]
    lines = [f"{canonical_json(result)}\n" for result in _stored(plan, written, parts)]
    write_atomically(stored, "".join(lines))
    return score_files([*(part.path for part in written), stored]), written


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
