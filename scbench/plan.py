"""From a study to jobs: cells (model x row x task x mode), cut by session range and packed into shards.

A unit is what must be computed together: the methods that start from dense KV, in all modes, share one prefill of each
context. A shard is one job: it loads one model once and runs units until the configured minutes, less a margin for
estimates that are too short, are full.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Self

from scbench import places
from scbench.costs import session_count, session_seconds
from scbench.errors import UserError
from scbench.models import Model
from scbench.study import BESIDE, Row, Study, starts_dense, twins

MARGIN = 1.2  # the time a job asks for, over the time it is estimated to take
# Sessions that a job has room for at the least, where fewer methods at a time give it that. Enough of them share a
# prefill by then, and the files of a study that is cut finer grow with the square of its methods.
FEWEST_SESSIONS = 8
SHORTEST_REQUEST = 10  # minutes a job asks for at the least, where the study allows as much


@dataclass(frozen=True)
class Cell:
    """One number of a table before averaging: a model with a method on a task in a mode."""

    model: Model
    row: Row
    task: str
    mode: str

    @property
    def id(self) -> tuple[str, str, str, str]:
        """(model, label, task, mode): names the cell within a study."""
        return self.model.name, self.row.label, self.task, self.mode


@dataclass(frozen=True)
class Part:
    """A cell for the sessions [first, stop), and the file its results are declared in."""

    cell: Cell
    first: int
    stop: int
    path: str


@dataclass(frozen=True)
class Unit:
    """Cells of one model and task computed together for the sessions [first, stop), and their estimated seconds."""

    model: Model
    task: str
    rows: tuple[Row, ...]
    modes: tuple[str, ...]
    first: int
    stop: int
    seconds: float


@dataclass(frozen=True)
class Shard:
    """One job: its units run on one load of their model; `seconds` includes the load."""

    name: str
    model: Model
    units: tuple[Unit, ...]
    seconds: float

    def on(self, model: Model) -> Self:
        """The same job with what is known of its model by the time it runs (`Model.found`)."""
        return replace(self, model=model, units=tuple(replace(unit, model=model) for unit in self.units))


@dataclass(frozen=True)
class Plan:
    """All jobs of a study."""

    study: Study
    shards: tuple[Shard, ...]

    @property
    def rows(self) -> list[tuple[Model, Row]]:
        """The rows of the study's tables, in their order."""
        return [(model, row) for model in self.study.models for row in self.study.rows(model)]

    @property
    def cells(self) -> list[Cell]:
        study = self.study
        return [
            Cell(model, row, task, mode) for model, row in self.rows for task in study.tasks for mode in study.modes
        ]

    @property
    def seconds(self) -> float:
        """Estimated seconds of all shards together."""
        return sum(shard.seconds for shard in self.shards)

    def minutes(self, shard: Shard) -> int:
        """Whole minutes that the job of `shard` asks for."""
        return job_minutes(self.study, shard.seconds)

    def parts(self, shard: Shard) -> list[Part]:
        """What `shard` writes."""
        return [part for unit in shard.units for part in unit_parts(self.study, unit)]

    @cached_property
    def parts_by_row(self) -> dict[tuple[str, str], list[Part]]:
        """The parts of each row (model, label): cells in the study's order, sessions in theirs."""
        parts: dict[tuple[str, str], list[Part]] = {(model.name, row.label): [] for model, row in self.rows}
        for shard in self.shards:
            for part in self.parts(shard):
                parts[part.cell.model.name, part.cell.row.label].append(part)
        tasks, modes = self.study.tasks.index, self.study.modes.index
        for found in parts.values():
            found.sort(key=lambda part: (tasks(part.cell.task), modes(part.cell.mode), part.first))
        return parts

    def shard(self, name: str) -> Shard:
        """The shard of that name. Raises UserError when the plan has none."""
        for shard in self.shards:
            if shard.name == name:
                return shard
        raise UserError(f"{self.study.origin}: the plan has no shard {name!r}; plan again (the study changed since)")


def job_minutes(study: Study, seconds: float) -> int:
    """Whole minutes to ask for a job of `seconds`: at most `execution.max_shard_minutes`, at least one."""
    wanted = max(SHORTEST_REQUEST, math.ceil(MARGIN * seconds / 60))
    return max(1, min(math.floor(study.execution.max_shard_minutes), wanted))


def make_plan(study: Study) -> Plan:
    """The plan of `study`: no job, the margin included, is longer than `execution.max_shard_minutes`.

    Raises UserError when one session alone is.
    """
    limit = study.execution.max_shard_minutes * 60 / MARGIN
    shards: list[Shard] = []
    for model in study.models:
        units = [unit for task in study.tasks for unit in _units(study, model, task, limit - model.seconds.load)]
        shards += _cell_shards(model, units) if study.execution.granularity == "cell" else _pack(model, units, limit)
    return Plan(study, tuple(shards))


def make_plans(study: Study) -> list[Plan]:
    """The plan of `study`, then those of the studies that run beside it (`scbench.study.twins`).

    Raises UserError as `make_plan` does, for a name that such a study could have, and where one would need more
    sessions of a task than there are.
    """
    if ending := BESIDE.search(study.name):
        raise UserError(
            f"{study.origin}: study: {study.name!r} ends in {ending.group()!r}, as does what both_histories and "
            f"prompt_quirks run beside a study {study.name[: ending.start()]!r}; give it another name"
        )
    others = twins(study)
    for other in others:
        key = "both_histories" if other.prompts == study.prompts else "prompt_quirks"
        for task in other.tasks:
            if session_count(other, task) > (there := session_count(study, task)):
                raise UserError(
                    f"{study.origin}: {key}: {getattr(study, key)}, but {task} has {there} sessions here; "
                    f"give at most {min(session_count(study, name) for name in other.tasks)}, or true for all"
                )
    return [make_plan(each) for each in (study, *others)]


def shared_prefill_saves(study: Study, model: Model) -> float:
    """Estimated seconds that jobs of `model` save because what starts from dense KV shares one prefill of a context."""
    if not study.execution.share_prefill:
        return 0.0
    return sum(
        session_count(study, task)
        * (_each(study, model, task, rows, modes, False) - _each(study, model, task, rows, modes, True))
        for task in study.tasks
        for rows, modes in _groups(study, model)
    )


def unit_parts(study: Study, unit: Unit) -> Iterator[Part]:
    """The parts that `unit` writes, rows first."""
    for row in unit.rows:
        for mode in unit.modes:
            path = places.part_file(study.name, unit.model.name, row.label, unit.task, mode, unit.first, unit.stop)
            yield Part(Cell(unit.model, row, unit.task, mode), unit.first, unit.stop, path)


def _units(study: Study, model: Model, task: str, limit: float) -> Iterator[Unit]:
    """The units of one task, each cut into session ranges that take at most `limit` seconds."""
    for rows, modes in _groups(study, model):
        yield from _cut(study, model, task, rows, modes, limit)


def _cut(
    study: Study, model: Model, task: str, rows: tuple[Row, ...], modes: tuple[str, ...], limit: float
) -> Iterator[Unit]:
    """The units of what is computed together. Of rows so many that few sessions fit a job, each half is for itself."""
    each = _each(study, model, task, rows, modes, study.execution.share_prefill)
    if each > limit / FEWEST_SESSIONS and len(rows) > 1:
        half = len(rows) // 2
        yield from _cut(study, model, task, rows[:half], modes, limit)
        yield from _cut(study, model, task, rows[half:], modes, limit)
        return
    if each > limit:
        raise UserError(
            f"{study.origin}: execution.max_shard_minutes: {study.execution.max_shard_minutes:g} is too short, one "
            f"session of {task} on {model.name} is estimated at "
            f"{MARGIN * (each + model.seconds.load) / 60:.1f} minutes with a margin; "
            "give more, or granularity: cell"
        )
    sessions = session_count(study, task)
    pieces = math.ceil(sessions / math.floor(limit / each))
    bounds = [sessions * piece // pieces for piece in range(pieces + 1)]
    for first, stop in pairwise(bounds):
        yield Unit(model, task, rows, modes, first, stop, (stop - first) * each)


def _each(
    study: Study, model: Model, task: str, rows: tuple[Row, ...], modes: tuple[str, ...], share_prefill: bool
) -> float:
    """Estimated seconds of one session in what is computed together."""
    shared = share_prefill and _shares(rows[0]) and study.engine_of(model) == "transformers"
    prefills = 1 if shared else len(rows) * sum(_encodings(study, model, mode) for mode in modes)
    return session_seconds(study, model, task, len(rows) * len(modes), prefills, rows[0].with_context)


def _groups(study: Study, model: Model) -> list[tuple[tuple[Row, ...], tuple[str, ...]]]:
    """What is computed together: all rows that share the dense prefill, each other row alone."""
    rows = study.rows(model)
    if study.execution.granularity == "cell":
        return [((row,), (mode,)) for row in rows for mode in study.modes]
    dense = tuple(row for row in rows if _shares(row))
    alone = [((row,), study.modes) for row in rows if not _shares(row)]
    return ([(dense, study.modes)] if dense else []) + alone


def _encodings(study: Study, model: Model, mode: str) -> int:
    """How often a cell of `model` in `mode` encodes each context."""
    anew = model.encodes_each_turn or (study.query_aware and mode == "multi_request")
    return study.data.turns if anew else 1


def _shares(row: Row) -> bool:
    return row.with_context and starts_dense(row.method)


def _cell_shards(model: Model, units: list[Unit]) -> list[Shard]:
    """One shard a unit, named after its cell, so that the same cell is the same job whatever else the study holds."""
    return [
        Shard(
            f"{model.name}-{unit.rows[0].label}-{unit.task}-{unit.modes[0]}-{unit.first}-{unit.stop}",
            model,
            (unit,),
            model.seconds.load + unit.seconds,
        )
        for unit in units
    ]


def _pack(model: Model, units: list[Unit], limit: float) -> list[Shard]:
    """As few shards as `limit` seconds allow, about equally long: the longest unit goes to the emptiest shard first."""
    room = limit - model.seconds.load
    bins: list[list[int]] = [[] for _ in range(math.ceil(sum(unit.seconds for unit in units) / room))]
    filled = [0.0] * len(bins)
    for number in sorted(range(len(units)), key=lambda number: (-units[number].seconds, number)):
        emptiest = min(range(len(bins)), key=lambda index: filled[index])
        if filled[emptiest] + units[number].seconds > room:
            emptiest = len(bins)
            bins.append([])
            filled.append(0.0)
        bins[emptiest].append(number)
        filled[emptiest] += units[number].seconds
    return [
        Shard(
            f"{model.name}-{index:03d}",
            model,
            tuple(units[number] for number in sorted(chosen)),
            model.seconds.load + filled[index],
        )
        for index, chosen in enumerate(bins)
        if chosen
    ]
