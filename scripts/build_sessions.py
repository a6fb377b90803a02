"""Builds one task's sessions: `python -m scripts.build_sessions --config <study> --task retr_kv --out <parquet>`."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from scbench import sessionkey
from scbench.costs import session_count
from scbench.errors import UserError
from scbench.models import Model
from scbench.provenance import record
from scbench.sessions import write_sessions
from scbench.store import writing
from scbench.study import Study, read_study
from scbench.tasks import TASKS, Scale
from scripts import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, help="study file, as resolved by the workflow or as written")
    parser.add_argument("--task", required=True, choices=list(TASKS))
    parser.add_argument("--out", required=True, help="the parquet file to write")
    options = parser.parse_args(arguments)

    study = read_study(options.config)
    build(study, options.task, options.out)
    print(f"{options.out}: {session_count(study, options.task)} sessions of {options.task}")


def build(study: Study, task: str, out: str | Path) -> None:
    """Write the sessions of `task` and their sidecar; lengths are counted in tokens of the study's first model."""
    data = study.data
    if data.source != "build":
        raise UserError(f"{study.origin}: data.source: {data.source} cannot be read yet; set data.source: build")
    model = study.models[0].found()
    study = replace(study, models=(model, *study.models[1:]))
    scale = Scale(name=data.scale, tokens=data.tokens, turns=data.turns, order=data.order)
    if data.tokens is not None:
        scale = Scale(**(vars(scale) | {"count": token_counter(model)}))
    sessions = [TASKS[task].build(scale, data.seed, index) for index in range(session_count(study, task))]
    with writing(out):
        write_sessions(out, sessions)
        record([out], [], sessionkey.fields(study, task), libraries=sessionkey.LIBRARIES)


def token_counter(model: Model) -> Callable[[str], int]:
    """Counts the tokens of a text as `model` reads it, special tokens left out."""
    # The tokenizer alone: importing transformers for it takes longer than building the sessions.
    from tokenizers import Tokenizer

    path = model.directory / "tokenizer.json"
    if not path.is_file():
        raise UserError(f"{path}: missing, the tokens of {model.name} cannot be counted; fetch the model first")
    tokenizer = Tokenizer.from_file(str(path))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


if __name__ == "__main__":
    run(main)
