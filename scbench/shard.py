"""One job: what is missing of its units is computed, everything else comes from the store, results are written.

The store is asked before any weights are loaded. A session finished in all cells of its unit is durable at once; a job
that is killed loses the session it was at.
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from scbench import cellkey, codedigest, places
from scbench.canonical import canonical_json, write_atomically
from scbench.errors import UserError
from scbench.journal import Entry, Turns
from scbench.leases import Owner
from scbench.parts import code_of
from scbench.plan import Cell, Shard, Unit, unit_parts
from scbench.progress import Progress
from scbench.provenance import named, observe, record
from scbench.provenance.checks import some
from scbench.records import Observation, Result
from scbench.sessions import Session, read_sessions
from scbench.store import Store, writing
from scbench.study import Study

WAIT_SECONDS = 1.0  # between looks at sessions that another process computes


class Computing(Protocol):
    """What computes sessions; `scbench.compute.Computer` in earnest."""

    @property
    def counters(self) -> dict[str, int]: ...

    def compute(self, session: Session, cells: Sequence[Cell]) -> list[tuple[Cell, Turns, list[Observation]]]: ...


@dataclass(frozen=True)
class Summary:
    """What a job did: (cell, session) pairs in all and from the store; the engine's counters, if one was loaded."""

    total: int
    from_store: int
    counters: dict[str, int]


class ShardRun:
    """Runs one shard of a study. `start` loads the model; it is called at the first session that must be computed."""

    def __init__(self, study: Study, shard: Shard, start: Callable[[], Computing], progress: Progress) -> None:
        self.study = study
        self.shard = shard
        self.progress = progress
        self._start = start
        self._computer: Computing | None = None
        self._machine = progress.facts["machine"] = cellkey.machine(study)
        self._keys: dict[tuple[str, ...], str] = {}
        self._code: list[dict[str, Any]] = []
        self._load_seconds: float | None = None

    def run(self) -> Summary:
        """Compute what is missing and write every part of the shard.

        Raises UserError when session files, the store, the weights or the disk are not as they must be, or the code was
        edited since it began; what was finished by then is kept.
        """
        work = [(unit, self._sessions(unit)) for unit in self.shard.units]
        self._keys = {
            part.cell.id: cellkey.key(self.study, part.cell, self._machine)
            for unit in self.shard.units
            for part in unit_parts(self.study, unit)
        }
        rows: dict[tuple[str, ...], set[str]] = {}
        self.progress.facts["code"] = code_of(self.study, self.shard, rows)
        self._code = [codedigest.made(digest) for digest in sorted(set().union(*rows.values()))]
        with Store(places.STORE) as store:
            store.refresh(self._keys.values())
            self.progress.expect(sum(len(sessions) * len(self._cells(unit)) for unit, sessions in work))
            for unit, sessions in work:
                self._compute_missing(store, unit, sessions)
                self._write(store, unit, sessions)
        counters = self._computer.counters if self._computer else {}
        return Summary(self.progress.total, self.progress.from_store, counters)

    def _check_code(self) -> None:
        """Raise UserError where the code that decides the answers is another one by now than when the job began."""
        if edited := sorted({file for known in self._code for file in codedigest.changed(known)}):
            raise UserError(
                f"{self.shard.name}: {some(edited)} changed since this job began; run the same command again, which "
                "computes anew what the change concerns (finished sessions are kept, by the code that computed them)"
            )

    def _cells(self, unit: Unit) -> list[Cell]:
        return [part.cell for part in unit_parts(self.study, unit)]

    def _sessions(self, unit: Unit) -> list[Session]:
        path = places.sessions_file(self.study.name, unit.task)
        sessions = read_sessions(path)
        if len(sessions) < unit.stop:
            raise UserError(
                f"{path}: holds {len(sessions)} sessions, the study {self.study.origin} needs {unit.stop}; "
                "delete the file and build it again"
            )
        return sessions[unit.first : unit.stop]

    def _key(self, cell: Cell) -> str:
        return self._keys[cell.id]

    def _missing(self, store: Store, cells: Sequence[Cell], session: Session) -> list[Cell]:
        return [cell for cell in cells if store.get(self._key(cell), session.digest) is None]

    def _compute_missing(self, store: Store, unit: Unit, sessions: Sequence[Session]) -> None:
        cells = self._cells(unit)
        waiting = list(sessions)
        told: Owner | None = None
        while waiting:
            holder = None
            for session in list(waiting):
                busy = self._settle(store, cells, session)
                if busy is None:
                    waiting.remove(session)
                holder = busy or holder
            if waiting:
                if holder != told:
                    told = holder
                    self.progress.say(f"waiting for {holder}, which computes the same sessions")
                time.sleep(WAIT_SECONDS)
                store.refresh(self._key(cell) for cell in cells)

    def _settle(self, store: Store, cells: Sequence[Cell], session: Session) -> Owner | None:
        """Have `session` finished in all `cells`; or return who else is computing it."""
        missing = self._missing(store, cells, session)
        pairs = [(self._key(cell), session.digest) for cell in missing]
        if holder := store.lease(pairs):
            return holder
        try:
            # Another process may have finished it between our look and our lease.
            store.refresh(key for key, _ in pairs)
            missing = self._missing(store, missing, session)
            self.progress.advance(len(cells) - len(missing), from_store=True)
            if missing:
                self._compute(store, session, missing)
        finally:
            store.release(pairs)
        return None

    def _compute(self, store: Store, session: Session, cells: Sequence[Cell]) -> None:
        if self._computer is None:
            self.progress.say(f"loading {self.shard.model.name}")
            started = time.perf_counter()
            self._computer = self._start()
            self._load_seconds = round(time.perf_counter() - started, 3)
            self._check_code()  # what was imported only now may be newer than what the keys were made of
        results = self._computer.compute(session, cells)
        store.append(Entry(self._key(cell), session.digest, turns) for cell, turns, _ in results)
        self._observe([(cell, observation) for cell, _, observations in results for observation in observations])
        self.progress.advance(len(cells))

    @property
    def _observations(self) -> Path:
        return Path(places.observations_directory(self.study.name)) / f"{self.shard.name}.jsonl"

    def _observe(self, observations: Sequence[tuple[Cell, Observation]]) -> None:
        seen = observe()
        where = {name: seen[name] for name in ("host", "environment", "lock")}
        lines = [
            canonical_json(asdict(observation) | where | {"key": self._key(cell)}) for cell, observation in observations
        ]
        path = self._observations
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)

    def _write(self, store: Store, unit: Unit, sessions: Sequence[Session]) -> None:
        """Publish the unit's cells and write the files that the plan declares, each with its sidecar."""
        self._check_code()  # what a run has planned since would be written over
        turns = _observed(self._observations, {session.sid for session in sessions})
        model = {name: getattr(unit.model, name) for name in ("hub", "revision", "licence")}
        model["path"] = named(unit.model.directory)
        for part in unit_parts(self.study, unit):
            cell, key = part.cell, self._key(part.cell)
            fields = cellkey.fields(self.study, cell) | {"machine": self._machine}
            store.publish(key, [session.digest for session in sessions], fields)
            results = [
                result
                for session in sessions
                for result in session_results(self.study, cell, session, store.get(key, session.digest))
            ]
            identity: dict[str, Any] = {"study": self.study.name, "model": cell.model.name, "label": cell.row.label}
            identity |= {"task": cell.task, "first": part.first, "stop": part.stop, "key": key, "fields": fields}
            with writing(part.path):
                write_atomically(part.path, "".join(f"{canonical_json(asdict(result))}\n" for result in results))
                seen = {"model": model, "load_seconds": self._load_seconds, "computed": _summary(turns[key])}
                seen["computed"]["of"] = len(results)
                inputs = [places.sessions_file(self.study.name, cell.task)]
                record([part.path], inputs, identity, seen, libraries=cellkey.LIBRARIES)


def _observed(path: Path, sessions: set[str]) -> dict[str, list[dict[str, Any]]]:
    """Key of a cell -> what was observed of its turns in `sessions`, by all runs of this shard, the last of each."""
    found: dict[str, dict[tuple[str, int], dict[str, Any]]] = defaultdict(dict)
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            seen = json.loads(line)
            if seen["session"] in sessions:
                found[seen["key"]][seen["session"], seen["turn"]] = seen
        except (ValueError, KeyError):
            continue  # a kill tore the line, or it was written before observations named their cell's key
    return defaultdict(list, {key: list(turns.values()) for key, turns in found.items()})


def _summary(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How many turns were observed, in how many seconds, where and in what passes; others came from other jobs."""
    seconds = {name: round(sum(turn[name] for turn in turns), 3) for name in ("prompt_seconds", "decode_seconds")}
    names = ("device", "host", "environment", "lock", "prefill_chunk")
    where = {name: sorted({turn[name] for turn in turns} - {None}) for name in names}
    return {"turns": len(turns)} | seconds | where


def session_results(study: Study, cell: Cell, session: Session, turns: Turns) -> list[Result]:
    """The result lines of one session in one cell, of the turns that the store keeps."""
    return [
        Result(
            study=study.name,
            model=cell.model.name,
            method=cell.row.label,
            task=cell.task,
            mode=cell.mode,
            session=session.sid,
            turn=number,
            subtask=turn.subtask,
            golds=turn.golds,
            options=turn.options,
            meta=turn.meta,
            **computed,
        )
        for number, (turn, computed) in enumerate(zip(session.turns, turns, strict=True), start=1)
    ]
