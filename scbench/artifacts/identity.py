"""What decides an artifact besides the files it is made from. No pandas: Snakemake asks for it at every parse."""

from dataclasses import asdict
from typing import Any

from scbench.artifacts import Artifact
from scbench.artifacts.board import Board, read_board
from scbench.artifacts.registered import read_registry
from scbench.canonical import digest_value
from scbench.cellkey import version
from scbench.study import Study, history_rows
from scbench.tasks import TASKS

ABOUT = ("title", "description", "capability", "category", "subtasks")


def board_of(artifact: Artifact, study: Study) -> Board:
    """What `artifact` shows of `study`: all of it, or the rows that are compared between histories."""
    return read_board(history_rows(study) if artifact.needs == "histories" else study)


def identity(artifact: Artifact, study: Study) -> dict[str, Any]:
    """What a reader sees of `study`, and the code that shows it; with the inputs it determines the artifact's numbers.

    The tasks that the study leaves out are in it: a table names them.
    """
    # How the work was cut into jobs decides no number; what it decided shows in the inputs.
    settings = {key: value for key, value in study.resolved().items() if key != "execution"}
    stated = {"registry": asdict(read_registry(study))} if artifact.needs == "registry" else {}
    return stated | {
        "artifact": artifact.name,
        "study": settings,
        "board": asdict(board_of(artifact, study)),
        "tasks": {name: {key: getattr(task, key) for key in ABOUT} for name, task in TASKS.items()},
        "code": artifact.code(),
    }


def digest(artifact: Artifact, study: Study) -> str:
    """sha256 of the identity and the installed versions of the libraries, on which the bytes of a drawing depend."""
    versions = {name: version(name) for name in artifact.libraries}
    return digest_value({"identity": identity(artifact, study), "libraries": versions})
