"""Measure what each method of a study costs end to end, one session of random tokens at a time.

    python -m scripts.measure_latency --config studies/latency.yaml    # Llama-3.1-8B's shape, 128K tokens, five turns
    python -m scripts.measure_latency --config config.yaml             # the bundled model, on a CPU

Writes resources/measurements/latency-<study>-<model>-<device>.yaml, which figures/latency.tex shows and
figures/pareto.pdf takes its seconds from. What was measured is kept method by method: a run that was stopped goes on
where it stopped.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from scbench import latency, places
from scbench.artifacts import measurement_file
from scbench.artifacts.board import read_board
from scbench.canonical import write_atomically
from scbench.errors import UserError
from scbench.latency import Protocol
from scbench.methods import find
from scbench.models import Model
from scbench.progress import Progress
from scbench.schema import unknown
from scbench.store import check_writable, writing
from scbench.study import Row, Study, read_study
from scripts import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.measure_latency", description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True, help="study file")
    parser.add_argument("--model", metavar="NAME", help="one of the study's models (default: its first)")
    parser.add_argument(
        "--methods", nargs="+", metavar="LABEL", help="rows of the study, in the file too (default: all)"
    )
    for option, default, what in (
        ("--question", latency.QUESTION, "tokens of a question"),
        ("--answer", latency.ANSWER, "tokens of an answer"),
        ("--warm-ups", latency.WARM_UPS, "sessions a method that do not count"),
        ("--repetitions", latency.REPETITIONS, "sessions a method that count"),
    ):
        parser.add_argument(option, type=int, default=default, metavar="N", help=f"{what} (default: {default})")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write the results")
    given = parser.parse_args(arguments)

    study = read_study(given.config)
    model = _model(study, given.model)
    protocol = latency.protocol_of(study, given.question, given.answer, given.warm_ups, given.repetitions)
    rows = _rows(study, model, given.methods)
    about = latency.about(study, model, protocol)
    out = given.out or measurement_file(f"latency-{study.name}-{model.name}", about["device"])
    check_writable(out.parent, latency.MEASURED)
    lines: list[dict[str, Any]] = []
    for line in measured(study, model, rows, protocol):
        # After each, so that an error in one method takes nothing from those before it.
        lines.append(line)
        with writing(out):
            write_atomically(out, yaml.safe_dump(about | {"methods": lines}, sort_keys=False, allow_unicode=True))
    for line in lines:
        print(said(line))
    print(f"wrote {out}")


def measured(study: Study, model: Model, rows: Sequence[Row], protocol: Protocol) -> Iterator[dict[str, Any]]:
    """A line for each of `rows`; what was measured before by the same code, device and settings is taken over."""
    budgets = {line.label: line.budget for line in read_board(study).lines if line.model == model.name}
    engine = None
    with Progress(places.progress_file(study.name, "latency"), "latency") as progress:
        progress.expect(len(rows) * protocol.sessions)
        for row in rows:
            path = latency.kept_in(study, model, row, protocol)
            if path.is_file():
                found = json.loads(path.read_text(encoding="utf-8"))
                progress.advance(protocol.sessions, from_store=True)
            else:
                engine = engine or latency.load(study, model)
                found = latency.measure(engine, study, row, protocol, progress.advance) | {"date": latency.today()}
                # Memory may have run out because of others; that is tried again.
                if "out_of_memory" not in found:
                    with writing(path):
                        write_atomically(path, json.dumps(found))
            yield {"label": row.label, "budget": budgets[row.label]} | found


def said(line: dict[str, Any]) -> str:
    """One line for the terminal."""
    if "left_out" in line:
        return f"{line['label']}: left out, {line['left_out']}"
    if "out_of_memory" in line:
        wanted = line["out_of_memory"]["wanted_bytes"]
        return f"{line['label']}: out of memory" + (f", {wanted / 2**30:.2f} GiB more were wanted" if wanted else "")
    first, token, turn = (
        line[name]["median"] for name in ("first_token_seconds", "seconds_per_token", "seconds_per_turn")
    )
    return f"{line['label']}: first token {first:.3g} s, {1000 * token:.3g} ms a token, {turn:.3g} s a turn"


def _model(study: Study, name: str | None) -> Model:
    models = {model.name: model for model in study.models}
    if name is not None and name not in models:
        raise unknown("scripts.measure_latency", "--model", name, models)
    model = models[name] if name else study.models[0]
    if (engine := study.engine_of(model)) != "transformers":
        raise UserError(
            f"--model {model.name}: latency is measured of the engine transformers, and the study runs it by {engine}; "
            "choose another model, or leave execution.engine out"
        )
    if model.gpus > 1:
        raise UserError(
            f"--model {model.name}: latency is measured in one process, and {model.name} needs {model.gpus} GPUs; "
            "choose another model"
        )
    return model.found()


def _rows(study: Study, model: Model, labels: Sequence[str] | None) -> list[Row]:
    rows = latency.rows_of(study, model)
    known = [row.label for row in rows]
    for label in labels or ():
        if label not in known:
            raise unknown("scripts.measure_latency", "--methods", label, known)
    chosen = [row for row in rows if labels is None or row.label in labels]
    if missing := [row.label for row in chosen if find(row.method) is None]:
        raise UserError(f"{study.origin}: methods.{missing[0]}: this version does not have it yet; leave it out")
    return chosen


if __name__ == "__main__":
    run(main)
