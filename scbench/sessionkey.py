"""What decides the sessions of a task, known without building them."""

from dataclasses import asdict
from typing import Any

from scbench import codedigest, trainkey
from scbench.canonical import digest_value
from scbench.costs import session_count
from scbench.models import Model
from scbench.study import Study
from scbench.versions import version

LIBRARIES = ("pyarrow", "tokenizers")


def fields(study: Study, task: str) -> dict[str, Any]:
    """The data settings, how many sessions they come to, the tokenizer that counts, the builder's code."""
    return {
        "task": task,
        "data": asdict(study.data),
        "sessions": session_count(study, task),
        "tokenizer": _tokenizer(study.models[0]),
        "code": codedigest.digest(
            {*codedigest.closure([f"scbench.tasks.{task}"]), "scbench.sessions", "scripts.build_sessions"}
        ),
    }


def _tokenizer(model: Model) -> dict[str, Any]:
    """The digests of the tokenizer's files, or what a training makes them from."""
    planned = trainkey.planned(model)
    return planned if model.awaited else {name: sha for name, sha in planned.items() if name.startswith("tokenizer")}


def digest(study: Study, task: str) -> str:
    """sha256 of the fields and the installed versions of the libraries."""
    return digest_value(fields(study, task) | {"libraries": {name: version(name) for name in LIBRARIES}})
