"""Checks that full attention works: `python -m scripts.check_baseline --config <study> --model minilm --out <json>`."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from scbench import baseline, codedigest, places, sessionkey
from scbench.canonical import write_atomically
from scbench.models import Model
from scbench.progress import Progress
from scbench.provenance import record
from scbench.schema import unknown
from scbench.store import writing
from scbench.study import Study, read_study
from scbench.tasks import Scale
from scripts import run
from scripts.build_sessions import token_counter


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, help="study file, as resolved by the workflow or as written")
    parser.add_argument("--model", required=True, help="name of a model of the study")
    parser.add_argument("--out", required=True, help="the JSON file to write")
    options = parser.parse_args(arguments)

    study = read_study(options.config)
    models = {model.name: model for model in study.models}
    if options.model not in models:
        raise unknown(study.origin, "models", options.model, models)
    check(study, models[options.model], options.out)


def check(study: Study, model: Model, out: str | Path) -> None:
    """Write what full attention reaches on `model`, with a sidecar. Raises UserError where that is below a floor."""
    from scbench.quirked import computer_of

    # As in the study, lengths are counted in tokens of its first model.
    counting, model = study.models[0].found(), model.found()
    study = replace(study, models=(counting, *study.models[1:]))
    scale = Scale(name="mini", tokens=study.data.tokens, count=token_counter(counting))
    floors = baseline.floors(study)
    job = baseline.job(model)
    with Progress(places.progress_file(study.name, job), job) as progress:
        progress.expect(baseline.QUERIES * len(floors))
        progress.say(f"loading {model.name}")
        computer = computer_of(study, model)
        reached = [baseline.measure(computer, scale, floor, progress) for floor in floors]
    for found in reached:
        print(f"{model.name}: {baseline.said(found)}")
    baseline.judge(study, model, reached)
    result = {"study": study.name, "model": model.name, "files": dict(model.files), "tokens": study.data.tokens}
    result |= {"prompts": study.prompts, "scoring": "strict", "tasks": [asdict(found) for found in reached]}
    with writing(out):
        write_atomically(out, json.dumps(result, indent=2) + "\n")
        identity = baseline.fields(study, model) | {"metrics": codedigest.digest(baseline.METRICS)}
        record([out], [], identity, libraries=sessionkey.LIBRARIES)


if __name__ == "__main__":
    run(main)
