"""The lineage of some files, read from their sidecars: what was made from what, not yet checked."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from scbench.provenance.manifest import leaves
from scbench.provenance.project import Project, Unreadable
from scbench.provenance.sidecar import BadSidecar, is_digest, read_sidecar, sidecar_path
from scbench.provenance.verdicts import Verdict, gravest

_KINDS = {
    "figures": r"figures/",
    "artifacts": r"results/[^/]+/artifacts/",
    "scores": r"results/[^/]+/scores/",
    "cells": r"results/[^/]+/cells/",
    "sessions": r"results/[^/]+/sessions/",
    "raw inputs": r"results/raw/",
    "models": r"results/models/",
    "studies": r"results/[^/]+/study\.json$",
}
_WORKFLOW = ("figures", "artifacts", "scores", "cells", "sessions", "studies")  # what never goes without a sidecar


@dataclass
class Node:
    """One file of a lineage, or something that is on record without being one (a model, the ledger).

    expected: path -> sha256 of the files behind it. findings: verdicts with their reasons. notes: what could not be
    checked here, and why.
    """

    path: str
    kind: str
    sidecar: dict[str, Any] | None = None
    inputs: list[str] = field(default_factory=list)
    expected: dict[str, str] = field(default_factory=dict)
    findings: list[tuple[Verdict, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        return gravest([verdict for verdict, _ in self.findings])

    @property
    def identity(self) -> dict[str, Any]:
        return self.sidecar["identity"] if self.sidecar else {}

    @cached_property
    def decided(self) -> list[tuple[str, Any]]:
        """(dotted place, value) of everything in the identity; asked for once the sidecar was read."""
        return leaves(self.identity)

    @property
    def observation(self) -> dict[str, Any]:
        return self.sidecar["observation"] if self.sidecar else {}

    def find(self, verdict: Verdict, reason: str) -> None:
        self.findings.append((verdict, reason))


Graph = dict[str, Node]


def mapping(value: Any, *names: str) -> dict[str, Any]:
    """The object at `names` in a record, empty where there is none: what stands in a record may be anything."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def kind_of(path: str) -> str:
    """Which step of the workflow leaves files like this."""
    return next((kind for kind, pattern in _KINDS.items() if re.match(pattern, path)), "files")


def load(project: Project, roots: Iterable[str]) -> Graph:
    """Path -> node of `roots` and everything they were made from; a file before its inputs.

    What is wrong with a sidecar is a finding of its node.
    """
    graph: Graph = {}
    waiting = list(dict.fromkeys(roots))[::-1]
    asked = set(waiting)
    while waiting:
        path = waiting.pop()
        if path in graph:
            continue
        node = graph[path] = Node(path, kind_of(path))
        _read(project, node, must=path in asked or node.kind in _WORKFLOW)
        waiting.extend(reversed(node.inputs))
        for model in _models(node):
            graph.setdefault(model.path, model)
            node.inputs.append(model.path)
    return graph


def below(graph: Graph, node: Node) -> list[Node]:
    """Everything that `node` was made from, directly or not, once."""
    found: dict[str, Node] = {}
    waiting = list(node.inputs)
    while waiting:
        name = waiting.pop()
        if name in graph and name not in found:
            found[name] = graph[name]
            waiting.extend(graph[name].inputs)
    return list(found.values())


def _read(project: Project, node: Node, must: bool) -> None:
    try:
        sidecar = read_sidecar(sidecar_path(project.place(node.path)))
    except Unreadable as error:
        if must:
            node.find(Verdict.MISSING, str(error))
        else:
            node.notes.append(f"{node.path} {error}")
        return
    except FileNotFoundError:
        if must:
            node.find(
                Verdict.MISSING,
                "no sidecar: it was not finished, or not made by this workflow"
                if _there(project, node)
                else "is missing",
            )
        return
    except BadSidecar as error:
        if error.newer:
            node.find(Verdict.OUTDATED, f"its sidecar {error}: audit it with a newer version of this repository")
        elif error.older:
            node.find(Verdict.OUTDATED, f"its sidecar {error}: make it again")
        else:
            node.find(Verdict.TAMPERED, f"its sidecar {error}")
        return
    recorded = sidecar["output"]["path"]
    if recorded != node.path:
        node.find(Verdict.TAMPERED, f"its sidecar is that of {recorded}")
        return
    node.sidecar = sidecar
    node.inputs = [entry["path"] for entry in sidecar["inputs"]]
    node.expected = {node.path: sidecar["output"]["sha256"]}


def _there(project: Project, node: Node) -> bool:
    try:
        return project.size(node.path) >= 0
    except Unreadable:
        return False


def _models(node: Node) -> Iterator[Node]:
    """The model that a cell was computed with: its files by name."""
    files = mapping(node.identity, "fields").get("model")
    seen = mapping(node.observation, "model")
    if node.kind != "cells" or not isinstance(files, dict) or not seen:
        return
    name = str(node.identity.get("model"))
    if not all(is_digest(sha) for sha in files.values()):
        return
    model = Node(f"model {name} {sorted(files.items())}", "models", facts={"name": name} | seen)
    model.expected = {f"{seen.get('path')}/{file}": sha for file, sha in files.items()}
    yield model
