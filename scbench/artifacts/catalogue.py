"""The artifacts as a reader meets them: in the paper's order, each with its label, its caption and its category.

All of it follows from the registry and from what a module says of itself in its first sentence, so that an artifact
that is registered stands in every list. Nothing here imports an artifact's module: Snakemake asks at every parse.
"""

import ast
import re
from dataclasses import dataclass
from functools import cache

from scbench import codedigest
from scbench.artifacts import ARTIFACTS, Artifact

TABLES, FIGURES, OWN = "Tables of the paper", "Figures of the paper", "Beyond the paper"
CATEGORIES = {"table": TABLES, "figure": FIGURES}


@dataclass(frozen=True)
class Entry:
    """One artifact in a list.

    label: `Table 4`, or of our own its name in words; caption: a sentence without its stop; number: 0 of our own.
    """

    artifact: Artifact
    label: str
    caption: str
    category: str
    number: int


def catalogue() -> list[Entry]:
    """Every artifact: the paper's tables by number, its figures by number, then our own as they are registered."""
    entries = [_entry(artifact) for artifact in ARTIFACTS.values()]
    order = [TABLES, FIGURES, OWN]
    return sorted(entries, key=lambda entry: (order.index(entry.category), entry.number))


def _entry(artifact: Artifact) -> Entry:
    found = re.fullmatch(r"(table|figure)(\d+)", artifact.name)
    number = int(found.group(2)) if found else 0
    label = f"{artifact.kind.capitalize()} {number}" if found else artifact.name.replace("_", " ").capitalize()
    caption = first_sentence(artifact.module).removeprefix(f"{label}: ")
    return Entry(
        artifact=artifact,
        label=label,
        caption=caption[:1].upper() + caption[1:].removesuffix("."),
        category=CATEGORIES[artifact.kind] if found else OWN,
        number=number,
    )


@cache
def first_sentence(module: str) -> str:
    """The first paragraph of a module's docstring, on one line."""
    words = ast.get_docstring(ast.parse(codedigest.source_file(module).read_bytes())) or ""
    return " ".join(words.partition("\n\n")[0].split())
