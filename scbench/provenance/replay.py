"""Sessions computed again, to compare every answer with the one on record: what an archive of hashes cannot do.

This is the one part of an audit that loads a model.
"""

import json
import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import chdir
from typing import Any

from scbench import cellkey, places
from scbench.compute import Computer
from scbench.errors import UserError
from scbench.plan import Cell
from scbench.provenance.audit import Report
from scbench.provenance.checks import cell_key
from scbench.provenance.graph import Node
from scbench.provenance.verdicts import Verdict
from scbench.quirked import computer_of
from scbench.sessions import read_sessions
from scbench.study import read_study

SEED = 0  # of the draw: a second replay of as many sessions looks at the same ones
COMPARED = ("prediction", "finish", "new_tokens", "prompt_tokens")


def replay(report: Report, number: int, say: Callable[[str], None]) -> None:
    """Compute `number` sessions of the lineage again, each in all of its cells there, and compare the answers.

    NOT-REPRODUCED is a finding of the cell. On another kind of machine, other answers are no surprise; it is said.
    Raises UserError when what it takes is not here: sessions, weights, the study.
    """
    with chdir(report.project.root):
        _replay(report, number, say)


def _replay(report: Report, number: int, say: Callable[[str], None]) -> None:
    wanted: dict[tuple[str, str, str], dict[int, list[Node]]] = defaultdict(lambda: defaultdict(list))
    for node in report.graph.values():
        key = cell_key(node)
        if key and (report.cell is None or key == report.cell):
            for index in range(node.identity["first"], node.identity["stop"]):
                wanted[str(node.identity["study"]), key[0], key[2]][index].append(node)
    every = sorted((*where, index) for where, indices in wanted.items() for index in indices)
    if not every:
        raise UserError(
            f"--replay: the lineage of {', '.join(report.roots)} holds no cells, so there is nothing to compute"
        )
    chosen = sorted(random.Random(SEED).sample(every, min(number, len(every))))
    computers: dict[tuple[str, str], Computer] = {}
    turns = wrong = 0
    for study_name, model_name, task, index in chosen:
        study = read_study(places.study_file(study_name))
        model = next((model for model in study.models if model.name == model_name), None)
        if model is None:
            raise UserError(
                f"--replay: {places.study_file(study_name)} knows no model {model_name!r} today; build again"
            )
        model = model.found()
        sessions = read_sessions(places.sessions_file(study_name, task))
        if index >= len(sessions):
            raise UserError(
                f"--replay: {places.sessions_file(study_name, task)} holds {len(sessions)} sessions, but the lineage "
                f"has a session {index}; build again"
            )
        session = sessions[index]
        nodes = wanted[study_name, model_name, task][index]
        rows = {row.label: row for row in study.rows(model)}
        by_cell = {}
        for node in nodes:
            label = node.identity["label"]
            if label not in rows:
                raise UserError(f"--replay: {places.study_file(study_name)} knows no row {label!r} today; build again")
            by_cell[Cell(model, rows[label], task, node.identity["fields"]["mode"]).id] = node
        cells = [Cell(model, rows[label], task, mode) for _, label, _, mode in by_cell]
        if (study_name, model_name) not in computers:
            computers[study_name, model_name] = computer_of(study, model)
            say(_machine(nodes[0], cellkey.machine(study)))
        different = 0
        for cell, computed, _ in computers[study_name, model_name].compute(session, cells):
            node = by_cell[cell.id]
            recorded = _recorded(node, session.sid)
            turns += len(computed)
            for turn, (now, then) in enumerate(zip(computed, recorded, strict=False), start=1):
                if any(now[name] != then.get(name) for name in COMPARED):
                    different += 1
                    said = json.dumps([then.get("prediction"), now["prediction"]], ensure_ascii=False)
                    node.find(Verdict.NOT_REPRODUCED, f"{session.sid} turn {turn}: recorded and replayed {said}")
            if len(recorded) != len(computed):
                different += 1
                node.find(Verdict.NOT_REPRODUCED, f"{session.sid}: {len(computed)} turns, {len(recorded)} recorded")
        wrong += different
        say(f"replayed {session.sid} on {model_name} in {len(cells)} cells: {different or 'no'} differences")
    say(f"replay: {len(chosen)} sessions, {turns} turns, {turns - wrong} as recorded, {wrong} not")


def _recorded(node: Node, sid: str) -> list[dict[str, Any]]:
    """The recorded turns of a session, in their order."""
    found = []
    try:
        with open(node.path, encoding="utf-8") as file:
            for line in file:
                record = json.loads(line)
                if record["session"] == sid:
                    found.append(record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{node.path}: cannot be compared, it is not there or damaged ({error}); build it again"
        ) from error
    return sorted(found, key=lambda record: record["turn"])


def _machine(node: Node, here: dict[str, Any]) -> str:
    there = node.identity["fields"].get("machine")
    if there == here:
        return f"replay: on the same kind of machine as recorded ({here['device']})"
    return f"replay: recorded on {there}, this is {here}: other answers need not mean a fault"
