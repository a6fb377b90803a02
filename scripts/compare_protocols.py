"""Seconds per session by the published protocol and by ours, of every row of a study, in one process.

`python -m scripts.compare_protocols --config config.yaml --sessions 2 --out protocols.json`: each session is run by one
and then by the other, so that what else the machine does falls on both. All rows of the study are run by ours at once,
as a job runs them, and then each row by itself, as rows that share passes have no seconds of their own. Sessions are
built as the study builds them; loading the model counts for neither, and nothing is kept from one run to the next.
"""

import argparse
import json
import os
import platform
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scbench.canonical import write_atomically
from scbench.errors import UserError
from scbench.methods import make
from scbench.plan import Cell
from scbench.provenance.observation import hardware
from scbench.raw import checked_file, needs
from scbench.schema import unknown
from scbench.sessions import Session
from scbench.store import check_writable, writing
from scbench.study import ITSELF, Row, Study, read_study
from scbench.versions import version
from scripts import run
from scripts.build_sessions import sessions_of

if TYPE_CHECKING:
    from scbench.compute import Computer

TOGETHER = "all rows"
LIBRARIES = ("torch", "transformers", "tokenizers")
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""cpu: user and system time of this process, which other processes slow less than they slow the clock."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="study file")
    parser.add_argument("--sessions", type=int, default=1, help="sessions a task (default: 1)")
    parser.add_argument("--methods", nargs="+", help="labels of the study's rows (default: all)")
    parser.add_argument("--out", required=True, help="the JSON file to write")
    options = parser.parse_args(arguments)
    if options.sessions < 1:
        raise UserError(f"--sessions {options.sessions}: give 1 or more")
    check_writable(Path(options.out).parent)
    report = compare(read_study(options.config), options.sessions, options.methods)
    with writing(options.out):
        write_atomically(options.out, json.dumps(report, indent=2) + "\n")
    print(said(report))


def compare(study: Study, count: int, labels: Sequence[str] | None = None) -> dict[str, Any]:
    """What both protocols took for `count` sessions of each task, on the study's first model.

    Raises UserError for a label that the study does not have, for a study that is not asked the published way, for a
    model that one process cannot run by the engine transformers, and where full attention does not answer alike.
    """
    from scbench.quirked import computer_of

    if study.history != "golden" or study.query_aware:
        raise UserError(
            f"{study.origin}: history {study.history}, query_aware {study.query_aware}; compare a study "
            "with golden history and query_aware: false"
        )
    if (engine := study.engine_of(study.models[0])) != "transformers" or study.models[0].gpus > 1:
        raise UserError(
            f"{study.origin}: protocols are compared by the engine transformers in one process, but its first model, "
            f"{study.models[0].name}, has engine {engine} and {study.models[0].gpus} GPUs; let another model be first"
        )
    model = study.models[0].found()
    study = replace(study, models=(model, *study.models[1:]))
    rows, left_out = _rows(study, labels)
    computer, spent = computer_of(study, model), Counter()
    rows_alike = computer.engine.rows_alike  # tried out here, as a part of loading
    for session in _sessions(study, count):
        cells = [Cell(model, row, session.task, mode) for row in rows for mode in study.modes]
        _compare(computer, session, cells, spent)
    if spent["differing", ITSELF]:
        raise UserError("full attention answers differently by the two protocols: one of them is wrong; report it")
    return _report(study, rows, computer, spent) | {"rows_alike": rows_alike, "left_out": left_out}


def said(report: dict[str, Any]) -> str:
    """The report as a table: seconds of the processor a session, by row run alone and of all rows together."""
    lines = [f"{'CPU seconds per session':24}{'authors':>10}{'ours':>10}{'ratio':>8}  answers alike"]
    for label, row in report["rows"].items():
        lines.append(
            f"{label:24}{row['authors_cpu']:10.3f}{row['ours_cpu']:10.3f}{row['ratio_cpu']:8.2f}"
            f"  {row['answers_alike']} of {row['answers']}"
        )
    for clock in CLOCKS:
        both = [report[who][f"{clock}_seconds_per_session"] for who in ("authors", "ours")]
        lines.append(f"{f'all rows, {clock}':24}{both[0]:10.3f}{both[1]:10.3f}{report[f'ratio_{clock}']:8.2f}")
    lines += [f"left out: {reason}" for reason in report["left_out"].values()]
    for who in ("authors", "ours"):
        counted = (f"{name} {value}" for name, value in report[who].items() if isinstance(value, int))
        lines.append(f"{who}: {', '.join(counted)}")
    return "\n".join(lines)


def _rows(study: Study, labels: Sequence[str] | None) -> tuple[list[Row], dict[str, str]]:
    """The rows to compare, and why others are not: label -> reason."""
    from scbench.engines.authors_protocol import check_method

    rows = {row.label: row for row in study.rows(study.models[0])}
    for label in labels or ():
        if label not in rows:
            raise unknown("scripts.compare_protocols", "--methods", label, rows)
    able, left_out = [], {}
    for label, row in rows.items():
        if labels is None or label in labels:
            try:
                check_method(make(row.method, row.settings, study.context_tokens))
                able.append(row)
            except UserError as error:
                left_out[label] = str(error)
    if not able:
        raise UserError(f"--methods: nothing to compare; {'; '.join(left_out.values())}")
    return able, left_out


def _sessions(study: Study, count: int) -> Iterator[Session]:
    for task in study.tasks:
        raw = [checked_file(*needed) for needed in needs(study, task)]
        yield from islice(sessions_of(study, task, raw), count)


def _compare(computer: "Computer", session: Session, cells: Sequence[Cell], spent: Counter) -> None:
    """Run `session` in `cells` by both protocols and add to `spent` what they took and whether they agree."""
    from scbench.engines.authors_protocol import Work, run_session
    from scbench.engines.conversation import EngineCounters

    with _charged(computer, spent, "ours", TOGETHER):
        answered = _answers(computer, session, cells)
    work = asdict(computer.engine.counters)
    for label, own in groupby(cells, key=lambda cell: cell.row.label):
        with _charged(computer, spent, "ours", label):
            _answers(computer, session, list(own))
    computer.engine.counters = EngineCounters(**work)
    for cell in cells:
        work, label = Work(), cell.row.label
        method = make(cell.row.method, cell.row.settings, computer.study.context_tokens)
        with _charged(computer, spent, "authors", label):
            answers = run_session(computer.engine, computer.prompts_of(session, cell), method, work)
        spent.update(asdict(work))
        for ours, theirs in zip(answered[cell.id], answers, strict=True):
            spent["answers", label] += 1
            spent["differing", label] += ours != theirs
    spent["sessions"] += 1


def _answers(computer: "Computer", session: Session, cells: Sequence[Cell]) -> dict[str, list[tuple[int, ...]]]:
    """The tokens of each answer, by cell."""
    found = computer.answers(session, cells)
    return {cell.id: [output.token_ids for output in outputs] for cell, _, outputs, _ in found}


@contextmanager
def _charged(computer: "Computer", spent: Counter, who: str, label: str) -> Iterator[None]:
    """Add the time inside to what `who` took for the row `label`; what runs before have left is forgotten."""
    from scbench.engines.chunks import ChunkCache
    from scbench.methods.generation.token_classifier import words

    computer.engine.chunks = ChunkCache()
    words.cache_clear()
    began = {name: clock() for name, clock in CLOCKS.items()}
    yield
    for name, clock in CLOCKS.items():
        spent[who, name, label] += clock() - began[name]


def _report(study: Study, rows: Sequence[Row], computer: "Computer", spent: Counter) -> dict[str, Any]:
    sessions, labels = spent["sessions"], [row.label for row in rows]

    def mean(who: str, clock: str, *of: str) -> float:
        return sum(spent[who, clock, label] for label in of) / sessions

    report: dict[str, Any] = {
        "what": "seconds per session, all modes; ours and authors: all rows in one run each; rows: each row by itself",
        "study": study.name,
        "model": study.models[0].name,
        "tasks": list(study.tasks),
        "modes": list(study.modes),
        "context_tokens": study.context_tokens,
        "sessions": sessions,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": hardware()
        | {"cores": os.cpu_count(), "threads": study.execution.threads}
        | {"load_average": round(os.getloadavg()[0], 1)},
        "libraries": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
    }
    in_all = {"authors": labels, "ours": [TOGETHER]}
    for who, of in in_all.items():
        report[who] = {f"{clock}_seconds_per_session": round(mean(who, clock, *of), 4) for clock in CLOCKS}
    report["authors"] |= {name: spent[name] for name in ("prefill_tokens", "prompt_passes", "decode_steps")}
    report["ours"] |= computer.counters
    for clock in CLOCKS:
        report[f"ratio_{clock}"] = round(mean("authors", clock, *labels) / mean("ours", clock, TOGETHER), 3)
    report["rows"] = {}
    for label in labels:
        seconds = {f"{who}_{clock}": mean(who, clock, label) for who in ("authors", "ours") for clock in CLOCKS}
        seconds |= {f"ratio_{clock}": seconds[f"authors_{clock}"] / seconds[f"ours_{clock}"] for clock in CLOCKS}
        report["rows"][label] = {name: round(value, 4) for name, value in seconds.items()} | {
            "answers": spent["answers", label],
            "answers_alike": spent["answers", label] - spent["differing", label],
        }
    return report


if __name__ == "__main__":
    run(main)
