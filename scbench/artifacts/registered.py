"""What the registries state, for tables that need no run. No pandas: it is part of an artifact's identity."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scbench.methods import METHODS
from scbench.study import ITSELF, Study, resolve

# In the order of a KV cache's life.
STAGES = ("baseline", "generation", "compression", "retrieval", "loading")


@dataclass(frozen=True)
class Stated:
    """One method as it describes itself; complexity: the fields of `scbench.methods.Complexity`."""

    name: str
    title: str
    stage: str
    paper: str
    complexity: Mapping[str, Any]


@dataclass(frozen=True)
class Configured:
    """One row of a study and every setting that its method runs with, in the method's order."""

    label: str
    title: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Registry:
    """Every method of this version, stage by stage; the rows of the study."""

    methods: tuple[Stated, ...]
    rows: tuple[Configured, ...]


def read_registry(study: Study) -> Registry:
    """The registries as `study` sees them."""
    methods = [
        Stated(method.name, method.title, method.stage, method.paper, dict(method.complexity))
        for method in METHODS.values()
    ]
    rows = []
    for row in study.methods:
        if row.method != ITSELF:
            settings = {key: value for key, value in resolve(study, row).items() if key != "method"}
            named = METHODS.get(row.method)
            title = named.title if named and row.label == row.method else row.label
            rows.append(Configured(row.label, title, settings))
    return Registry(tuple(sorted(methods, key=lambda method: STAGES.index(method.stage))), tuple(rows))
