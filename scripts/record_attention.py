"""Records where a model looks: `python -m scripts.record_attention --config results/mini/study.json --out <json>`."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from scbench import attention
from scbench.canonical import write_atomically
from scbench.provenance import record
from scbench.sessions import iter_sessions
from scbench.store import writing
from scbench.study import read_study
from scripts import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the resolved study, results/<study>/study.json")
    parser.add_argument("--sessions", type=Path, help=f"the study's sessions of {attention.TASK}")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    options = parser.parse_args(arguments)
    study = read_study(options.config)
    inputs = [] if options.sessions is None else [options.sessions]
    if reason := attention.lacking(study):
        found, said = {"lacks": reason}, reason
    else:
        model = attention.chosen_model(study).found()
        found = attention.record_attention(study, model, iter_sessions(options.sessions))
        said = f"{len(found['heads'])} heads of {model.name}, session {found['session']['sid']}"
    with writing(options.out):
        write_atomically(options.out, json.dumps(found, indent=1) + "\n")
        record([options.out], inputs, attention.fields(study), libraries=attention.LIBRARIES)
    print(f"{options.out}: {said}")


if __name__ == "__main__":
    run(main)
