"""Which result files are those that the study and the code of today would write, and what others were made by.

A part says in its sidecar what decided it. An edit leaves parts behind that count no more, and a job that began before
the edit, under a head process that has died since, may still write some.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from scbench import cellkey, codedigest
from scbench.canonical import digest_file, digest_value
from scbench.errors import UserError
from scbench.models import Model
from scbench.plan import Cell, Part, Shard
from scbench.provenance import manifest, sidecar_path
from scbench.provenance.checks import some
from scbench.provenance.manifest import leaves
from scbench.study import Study

ELSEWHERE = re.compile(r"(machine|libraries|engine\.libraries)\.")


class Standing:
    """Which parts of a study are there and those of today, at the time of the first look at each.

    Sidecars are read as they are, unproven, as a study has thousands; to prove them is an audit's work.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._models: dict[str, Model | None] = {}
        self._sidecars: dict[str, dict[str, Any] | None] = {}
        self._changes: dict[str, list[str]] = {}
        self._today: dict[tuple[str, ...], dict[str, Any]] = {}
        self._code: dict[tuple[str, ...], set[str]] = {}
        self._sessions: dict[str, str | None] = {}

    def holds(self, part: Part) -> bool:
        """Whether `part` is written and holds what would be written today."""
        return self._sidecar(part.path) is not None and not self.changes(part)

    def changes(self, part: Part) -> list[str]:
        """What decided `part` and is another today, in words; empty for what is as today, and for what is not there."""
        if part.path not in self._changes:
            self._changes[part.path] = self._look(part)
        return self._changes[part.path]

    def code(self, shard: Shard) -> str | None:
        """What `code_of` says of `shard`; None where the files of its model are not known."""
        model = self._model(shard.model)
        return model and code_of(self._study, shard.on(model), self._code)

    def told(self, parts: Iterable[Part]) -> str:
        """Of `parts`, which cells are written and computed again, and why, in a line; empty where none is."""
        cells: set[tuple[str, ...]] = set()
        reasons: Counter[str] = Counter()
        for part in parts:
            if changes := self.changes(part):
                cells.add(part.cell.id)
                reasons.update(changes)
        if not cells:
            return ""
        most = [reason for reason, _ in reasons.most_common()]
        return f"finished cells to be computed again: {len(cells):,}; changed: {some(most)}"

    def _look(self, part: Part) -> list[str]:
        sidecar, cell, model = self._sidecar(part.path), part.cell, self._model(part.cell.model)
        if sidecar is None:
            return []
        if model is None:
            return [f"{cell.model.name}, which is not trained"]
        if cell.id not in self._today:
            self._today[cell.id] = _decided(cellkey.fields(self._study, replace(cell, model=model)))
        then = _decided(sidecar["identity"]["fields"])
        # Sessions that were deleted are no others: the study, which decides them, would make the same again.
        digests = {entry["path"]: (None, entry["sha256"]) for entry in sidecar["inputs"]}
        changed = [path for path, known in digests.items() if self._digest(path) not in known]
        return changed + _differences(then, self._today[cell.id], sidecar["observation"]["code"])

    def _sidecar(self, path: str) -> dict[str, Any] | None:
        """The sidecar of the part at `path`; None where there is none, or it is not a part's."""
        if path not in self._sidecars:
            try:
                found = json.loads(sidecar_path(path).read_bytes())
                whole = Path(path).is_file() and found["identity"]["fields"]["machine"] and found["observation"]["code"]
            except (OSError, ValueError, LookupError, TypeError):
                whole = False
            self._sidecars[path] = found if whole else None
        return self._sidecars[path]

    def _model(self, model: Model) -> Model | None:
        """`model` with its files known; None where it is trained here, and was not or is damaged."""
        if model.name not in self._models:
            try:
                self._models[model.name] = model.found()
            except UserError:
                self._models[model.name] = None
        return self._models[model.name]

    def _digest(self, path: str) -> str | None:
        if path not in self._sessions:
            self._sessions[path] = digest_file(path) if Path(path).is_file() else None
        return self._sessions[path]


def code_of(study: Study, shard: Shard, known: dict[tuple[str, ...], set[str]] | None = None) -> str:
    """One digest of the code that decides the results of `shard`.

    It is the same wherever the repository is the same: jobs may run with other libraries than the head that plans them.
    known: digests of rows that were worked out before, to be added to.
    """
    known = {} if known is None else known
    rows = {(study.name, unit.model.name, row.label): (unit, row) for unit in shard.units for row in unit.rows}
    for name in rows.keys() - known.keys():
        unit, row = rows[name]
        known[name] = set(manifest.manifests(cellkey.fields(study, Cell(unit.model, row, unit.task, unit.modes[0]))))
    return digest_value(sorted(set().union(*(known[name] for name in rows))))


def check_parts(study: Study, paths: Iterable[str | Path]) -> None:
    """Raise UserError unless each of the parts at `paths` is as it was written, and what `study` would write today."""
    standing = Standing(study)
    models = {model.name: model for model in study.models}
    rows = {(model.name, row.label): row for model in study.models for row in study.rows(model)}
    for path in map(str, paths):
        try:
            sidecar = json.loads(sidecar_path(path).read_bytes())
            identity = sidecar["identity"]
            row = rows[identity["model"], identity["label"]]
            cell = Cell(models[identity["model"]], row, identity["task"], identity["fields"]["mode"])
            part = Part(cell, identity["first"], identity["stop"], path)
            whole = standing.holds(part) or bool(standing.changes(part))
            whole = whole and sidecar["output"]["sha256"] == digest_file(path)
        except (OSError, ValueError, LookupError, TypeError):
            whole = False
        if not whole:
            raise UserError(
                f"{path}: is not what its sidecar tells of; delete it and run the same command again, which takes its "
                "sessions from the store"
            )
        if changes := standing.changes(part):
            raise UserError(
                f"{path}: a job wrote it that began before these changed: {some(changes)}; delete "
                f"{Path(path).parents[2]} and run the same command again, which computes what the change concerns"
            )


def _decided(fields: dict[str, Any]) -> dict[str, Any]:
    """(dotted place -> value) of the fields of a key, machine and libraries aside: jobs have their own."""
    return {place: value for place, value in leaves(fields) if not ELSEWHERE.match(place)}


def _differences(then: dict[str, Any], today: dict[str, Any], code: dict[str, str]) -> list[str]:
    """What is another today; of code the files, where `code` leads from its digest to its manifest."""
    found: list[str] = []
    for place in sorted({*then, *today}):
        before, after = then.get(place), today.get(place)
        if before != after:
            files = _edited(before, code[before]) if before in code else ()
            found += files or [f"{place} ({before} before, {after} now)"]
    return found


@lru_cache(maxsize=1024)
def _edited(digest: str, kept: str) -> tuple[str, ...]:
    """The files of the code `digest` that are others today; none where the manifest `kept` of it is not here."""
    known = manifest.read(Path(), digest, kept)
    return tuple(codedigest.changed(known)) if known else ()
