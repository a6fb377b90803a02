"""Builds one task's sessions: `python -m scripts.build_sessions --config <study> --task retr_kv --out <parquet>`."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from scbench import corpus, published, sessionkey
from scbench.costs import session_count
from scbench.errors import UserError
from scbench.models import Model
from scbench.provenance import record
from scbench.raw import checked_file, needs
from scbench.sessions import Session, write_sessions
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
    model = study.models[0].found()
    study = replace(study, models=(model, *study.models[1:]))
    raw = [checked_file(*needed) for needed in needs(study, task)]
    with writing(out):
        write_sessions(out, sessions_of(study, task, raw))
        record([out], raw, sessionkey.fields(study, task), libraries=sessionkey.libraries(study, task))


def sessions_of(study: Study, task: str, raw: Sequence[Path]) -> Iterator[Session]:
    """The sessions of `task`: published, generated, or made from documents; `raw`: the fetched files it needs."""
    data = study.data
    if data.source_of(task) == "published":
        yield from published.sessions(task, *raw, turns=data.turns, count=data.sessions)
        return
    scale = Scale(name=data.scale, tokens=data.tokens, turns=data.turns, order=data.order)
    if data.tokens is not None:
        scale = replace(scale, count=token_counter(study.models[0]))
    documents = corpus.documents(data, task, raw)
    made_from = [documents] if documents else []
    for index in range(session_count(study, task)):
        yield TASKS[task].build(scale, data.seed, index, *made_from)


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
