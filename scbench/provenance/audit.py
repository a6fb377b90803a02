"""The audit of some files: their lineage, every check over it, and one verdict for the whole."""

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scbench.errors import UserError
from scbench.provenance import checks, current
from scbench.provenance.graph import Graph, Node, load
from scbench.provenance.ledger import read_ledger
from scbench.provenance.project import Project, find_project
from scbench.provenance.sidecar import sidecar_path
from scbench.provenance.verdicts import Verdict, gravest


@dataclass
class Report:
    """What an audit found. roots: the files asked for; cells: the keys that `--cell` chose, or None for all."""

    project: Project
    graph: Graph
    roots: list[str]
    ledger: Node
    strict: bool
    cell: tuple[str, ...] | None = None

    @property
    def nodes(self) -> list[Node]:
        """Every node, the ledger last."""
        return [*self.graph.values(), self.ledger]

    @property
    def verdict(self) -> Verdict:
        return gravest([node.verdict for node in self.nodes])

    @property
    def counts(self) -> Counter[Verdict]:
        return Counter(node.verdict for node in self.nodes)


def audit(targets: Sequence[Path], *, cell: str | None = None, fast: bool = False, strict: bool = False) -> Report:
    """Audit `targets`, all of one project, and what they were made from.

    cell: `model/method/task/mode`, to look at what leads to that cell alone. fast: files whose inodes are those of the
    last audit are not hashed again. strict: what cannot be checked here counts as MISSING.
    Raises UserError for a target that is not there or in no project, and for a cell that the lineage does not hold.
    """
    found = [find_project(target) for target in targets]
    if len({root for root, _ in found}) > 1:
        raise UserError(f"{targets[1]}: another project than that of {targets[0]}; audit them one by one")
    project = Project(found[0][0], fast)
    roots = [path for _, path in found]
    graph = load(project, roots)
    studies = sorted({study for path in graph if (study := current.study_of(path))})
    for study in studies:
        if (project.root / study).exists() or sidecar_path(project.root / study).exists():
            graph |= load(project, [study])
    wanted = tuple(cell.split("/")) if cell else None
    if wanted:
        graph = _only(graph, wanted)
    checks.check_bytes(project, graph)
    checks.check_edges(project, graph)
    checks.check_embedded(project, graph)
    ledger = checks.check_ledger(project, graph, read_ledger(project.root))
    if wanted is None:
        checks.check_planned(graph)
    checks.check_mixed(graph)
    checks.check_pinned(graph)
    current.check_current(project, graph)
    project.keep_cache()
    if strict:
        for node in (*graph.values(), ledger):
            for note in node.notes:
                node.find(Verdict.MISSING, f"not checked: {note}")
    return Report(project, graph, roots, ledger, strict, wanted)


def _only(graph: Graph, wanted: tuple[str, ...]) -> Graph:
    """The part of `graph` that leads to the cell `wanted`, and what that was made from."""
    keys = {path: key for path, node in graph.items() if (key := checks.cell_key(node))}
    chosen = [path for path, key in keys.items() if key == wanted]
    if not chosen:
        names = sorted({"/".join(key) for key in keys.values()})
        close = difflib.get_close_matches("/".join(wanted), names, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UserError(
            f"--cell {'/'.join(wanted)}: no such cell in this lineage; {hint}a cell is model/method/task/mode, and "
            f"there are {len(names)}: {checks.some(names) or 'none'}"
        )
    kept = set(chosen)
    grown = True
    while grown:
        above = {path for path, node in graph.items() if kept & set(node.inputs)} - kept
        kept |= above
        grown = bool(above)
    waiting = list(chosen)
    while waiting:
        below = [name for name in graph[waiting.pop()].inputs if name not in kept]
        kept |= set(below)
        waiting += below
    kept |= {path for path, node in graph.items() if node.kind == "studies"}
    for path in kept:
        # The other cells of a score file still count for what it was made from, but are not looked at.
        graph[path].inputs = [name for name in graph[path].inputs if name in kept]
    return {path: node for path, node in graph.items() if path in kept}
