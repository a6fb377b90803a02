"""What decides the document of a study besides the artifacts in it, and whether it can be set here.

Snakemake asks at every parse, so that nothing here imports pandas, matplotlib or jinja2.
"""

import os
import shutil
from collections.abc import Mapping
from typing import Any

from scbench import codedigest
from scbench.artifacts import TEMPLATES
from scbench.artifacts.catalogue import Entry, catalogue
from scbench.canonical import digest_file, digest_value
from scbench.study import Study
from scbench.versions import version

NAME = "paper"
TEMPLATE = "paper.tex.j2"
PROGRAM = "lualatex"
VARIABLE = "LUALATEX"  # environment variable: another name or path of the program; empty: leave the document out
PACKAGES = "texlive-luatex texlive-latex-recommended fonts-droid-fallback"
LIBRARIES = ("jinja2", "matplotlib")
CODE = tuple(
    f"{__package__}.{name}" for name in ("board", "catalogue", "latex", "markdown", NAME, "publishing", "stamp")
)
# What of an artifact is set: a table and a report as LaTeX, a figure as it was drawn.
SET = {"table": ".tex", "figure": ".pdf", "report": ".md"}


def program() -> str | None:
    """Where the program that sets the document is; None where it is not installed."""
    return shutil.which(os.environ.get(VARIABLE, PROGRAM))


def missing() -> str:
    """What to do where it is not, in one sentence."""
    return (
        f"{PROGRAM}, which sets figures/{NAME}.pdf, is not installed; install it (Debian: apt-get install "
        f"--no-install-recommends {PACKAGES}) or name it in {VARIABLE}; everything else is made without it"
    )


def files(directory: str) -> dict[str, Entry]:
    """Path -> entry of what is set of each artifact below `directory`, in the document's order."""
    return {f"{directory}/{entry.artifact.name}{SET[entry.artifact.kind]}": entry for entry in catalogue()}


def fields(study: Study) -> Mapping[str, Any]:
    """The settings of `study`, the words around the artifacts, and the code and the template that arrange them."""
    return {
        "artifact": NAME,
        "study": {key: value for key, value in study.resolved().items() if key != "execution"},
        "words": {entry.artifact.name: [entry.label, entry.caption, entry.category] for entry in catalogue()},
        "code": {"modules": codedigest.digest(CODE), "templates": {TEMPLATE: digest_file(TEMPLATES / TEMPLATE)}},
    }


def digest(study: Study) -> str:
    """sha256 of the fields and the installed versions of the libraries."""
    return digest_value({"identity": fields(study), "libraries": {name: version(name) for name in LIBRARIES}})
