"""What decides the sessions of a task, known without building them."""

from dataclasses import asdict
from typing import Any

from scbench import codedigest, corpus, trainkey
from scbench.canonical import digest_value
from scbench.costs import session_count
from scbench.models import Model
from scbench.raw import needs, source
from scbench.study import Study
from scbench.versions import version

LIBRARIES = ("pyarrow", "tokenizers")


def fields(study: Study, task: str) -> dict[str, Any]:
    """Data settings, raw files, how many sessions they come to, the tokenizer that counts, the builder's code."""
    data = asdict(study.data)
    del data["mirror"]  # it says where the same bytes come from
    del data["published"]  # what it says of this task is `source`
    came = study.data.source_of(task)
    maker = "scbench.published" if came == "published" else f"scbench.tasks.{task}"
    return {
        "task": task,
        "source": came,
        "data": data | {"corpus": corpus.digest(study.data, task)},
        "raw": {f"{name}/{file}": source(name).revision for name, file in needs(study, task)},
        "sessions": session_count(study, task),
        "tokenizer": _tokenizer(study.models[0]),
        "code": codedigest.digest(
            {
                *codedigest.closure([maker]),
                *(corpus.CODE if corpus.reads_documents(study.data, task) else ()),
                "scbench.sessions",
                "scripts.build_sessions",
            }
        ),
    }


def _tokenizer(model: Model) -> dict[str, Any]:
    """The digests of the tokenizer's files, or what a training makes them from."""
    planned = trainkey.planned(model)
    return planned if model.awaited else {name: sha for name, sha in planned.items() if name.startswith("tokenizer")}


def libraries(study: Study, task: str) -> tuple[str, ...]:
    """The distributions that decide the sessions."""
    parsed = corpus.reads_documents(study.data, task) and corpus.KINDS[task] == "repositories"
    return (*LIBRARIES, *(corpus.GRAMMARS if parsed else ()))


def digest(study: Study, task: str) -> str:
    """sha256 of the fields and the installed versions of the libraries."""
    versions = {name: version(name) for name in libraries(study, task)}
    return digest_value(fields(study, task) | {"libraries": versions})
