"""The checks of an audit, each over the whole graph: bytes, edges, the ledger, what is planned, what is mixed."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from scbench.canonical import canonical_json
from scbench.provenance.graph import Graph, Node, below, mapping
from scbench.provenance.ledger import Ledger
from scbench.provenance.manifest import leaves
from scbench.provenance.project import Project, Unreadable
from scbench.provenance.sidecar import SUFFIX, short
from scbench.provenance.verdicts import Verdict

EMBEDDED = re.compile(rb"[Ll]ineage:? ([0-9a-f]{64})")
CARRIERS = (".tex", ".pdf", ".png")  # what carries its lineage within
PINNED = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
FEW = 3  # named of many, before "and n more"


def check_bytes(project: Project, graph: Graph) -> None:
    """TAMPERED where bytes are not those of the file's own record, MISSING where there are none."""
    project.hash_all(path for node in graph.values() for path in node.expected if _same_size(project, node, path))
    for node in graph.values():
        for path, sha in node.expected.items():
            try:
                if not _same_size(project, node, path):
                    bytes_now, recorded = project.size(path), node.sidecar["output"]["bytes"]
                    node.find(Verdict.TAMPERED, f"has {bytes_now:,} bytes, its record says {recorded:,}")
                elif project.sha256(path) != sha:
                    _differs(node, path, short(project.sha256(path)), short(sha))
            except Unreadable as error:
                if node.kind == "models":
                    node.notes.append(f"{path} {error} here: its sha256 {short(sha)} could not be compared")
                else:
                    node.find(Verdict.MISSING, str(error))


def check_edges(project: Project, graph: Graph) -> None:
    """STALE where a file was made from another input than there is today."""
    for node in graph.values():
        for entry in node.sidecar["inputs"] if node.sidecar else ():
            parent = graph.get(entry["path"])
            if parent is None:
                continue  # left out of an audit of one cell
            if parent.sidecar:
                made, lineage = parent.sidecar["output"]["sha256"], parent.sidecar["lineage"]
                if made != entry["sha256"]:
                    node.find(Verdict.STALE, f"was made from {_other(parent, entry['sha256'], made)}")
                elif entry.get("lineage") != lineage:
                    was = f"lineage {short(entry['lineage'])}" if "lineage" in entry else "no sidecar"
                    node.find(
                        Verdict.STALE,
                        f"was made when {parent.path} had {was}; {short(lineage)} now, of the same bytes; "
                        "delete it and run the workflow again, which records it anew",
                    )
            elif not parent.findings:
                _check_leaf(project, node, parent, entry["sha256"])


def check_embedded(project: Project, graph: Graph) -> None:
    """TAMPERED where the lineage inside a table or figure is not that of its record."""
    for node in graph.values():
        if node.sidecar is None or node.kind not in ("figures", "artifacts") or not node.path.endswith(CARRIERS):
            continue
        if node.verdict in (Verdict.TAMPERED, Verdict.MISSING):
            continue  # what it carries says nothing then, and it may be of any size
        copied = node.identity.get("copy_of")
        wanted = node.identity.get("lineage") if copied else node.sidecar["lineage"]
        try:
            found = EMBEDDED.search(project.place(node.path).read_bytes())
        except (OSError, Unreadable):
            continue
        if found and found[1].decode() != wanted:
            node.find(
                Verdict.TAMPERED, f"carries lineage {short(found[1].decode())}, its record says {short(str(wanted))}"
            )
        parent = graph.get(str(copied))
        if parent and parent.sidecar and parent.sidecar["lineage"] != wanted:
            node.find(Verdict.STALE, f"is a copy of an earlier {copied}")
        if (
            copied
            and node.sidecar["inputs"]
            and node.sidecar["inputs"][0]["sha256"] != node.sidecar["output"]["sha256"]
        ):
            node.find(Verdict.TAMPERED, f"is no copy of {copied}: their recorded bytes differ")


def check_ledger(project: Project, graph: Graph, ledger: Ledger) -> Node:
    """LEDGER-BROKEN for the chain, on a node of its own, and for files of which it knows another record."""
    found = Node("results/provenance/ledger.jsonl", "ledger", facts={"lines": ledger.lines, "end": ledger.end})
    if ledger.broken:
        found.find(Verdict.LEDGER_BROKEN, ledger.broken)
        return found
    if not ledger.exists:
        found.notes.append("there is no ledger: nothing but the sidecars themselves says what was recorded")
        return found
    if ledger.torn:
        found.notes.append("its last line was cut short by a kill; the next run of the workflow removes it")
    unknown = []
    for node in graph.values():
        if node.sidecar is None:
            continue
        entry = ledger.latest.get(node.path)
        try:
            same = entry and entry["sidecar"] == project.sha256(f"{node.path}{SUFFIX}")
        except Unreadable:
            continue
        if entry is None:
            unknown.append(node.path)
        elif not same:
            node.find(
                Verdict.LEDGER_BROKEN,
                f"line {entry.get('number')} of the ledger knows another sidecar of it: it was changed outside of the "
                "workflow, or a run was killed before it said so (python -m scripts.fold_ledger)",
            )
    if unknown:
        found.notes.append(f"does not know {some(unknown)} yet (python -m scripts.fold_ledger)")
    return found


def check_planned(graph: Graph) -> None:
    """PARTIAL where a table or figure plans cells that its lineage does not hold, or holds in part."""
    for node, cells in _tables(graph):
        if any(other.sidecar is None for other in below(graph, node) if other.kind in ("scores", "cells")):
            continue  # a lineage that is cut short is said where it is cut
        board = node.identity.get("board")
        try:
            plan = [
                ((line["model"], line["label"], task, mode), sessions)
                for line in board["lines"]
                for mode in board["modes"]
                for task, sessions in board["sessions"].items()
            ]
        except (KeyError, TypeError):
            continue
        covered = defaultdict(set)
        for cell in cells:
            if key := cell_key(cell):
                covered[key].update(range(cell.identity["first"], cell.identity["stop"]))
        absent = ["/".join(key) for key, sessions in plan if len(covered[key]) < sessions]
        if absent:
            node.find(
                Verdict.PARTIAL, f"{len(absent)} of {len(plan)} planned cells are absent or not whole: {some(absent)}"
            )


def check_mixed(graph: Graph) -> None:
    """MIXED where the cells of one table or figure, its sessions or its scores were not made alike."""
    for node, cells in _tables(graph):
        others = below(graph, node)
        kinds = {
            kind: [other for other in others if other.kind == kind and other.sidecar] for kind in ("sessions", "scores")
        }
        for kind, nodes in ({"cells": cells} | kinds).items():
            values: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
            for other in nodes:
                for name, value in _alike(kind, other):
                    values[name][canonical_json(value)].append(other.path)
            for name, found in values.items():
                if len(found) > 1:
                    # Of each value, how many have it; the rarest with a place to look.
                    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
                    rare, paths = ordered[-1]
                    shown = ", ".join(f"{_text(value)} in {len(of)}" for value, of in ordered)
                    node.find(Verdict.MIXED, f"its {kind} differ in {name}: {shown} ({_text(rare)}: {some(paths)})")


def check_pinned(graph: Graph) -> None:
    """UNPINNED where something without a fixed version stands in a record, or the code had uncommitted edits."""
    for node in graph.values():
        if node.kind == "models" and not node.expected:
            node.find(Verdict.UNPINNED, "no file of the model is pinned by its sha256")
        for place, value in (*node.decided, *leaves(node.facts if node.kind == "models" else {})):
            name = place.rpartition(".")[2]
            if name in ("revision", "commit") and isinstance(value, str) and not PINNED.fullmatch(value):
                node.find(Verdict.UNPINNED, f"{place} is {value!r}, which names no fixed version")
        commit = mapping(node.observation, "commit")
        if commit.get("dirty"):
            diff = short(str(commit.get("diff")))
            node.find(Verdict.UNPINNED, f"made with uncommitted edits of the code (diff {diff})")


def cell_key(node: Node) -> tuple[str, str, str, str] | None:
    """(model, label, task, mode) of a cell, None where its record lacks one or the range of its sessions."""
    identity = node.identity
    try:
        key = (identity["model"], identity["label"], identity["task"], identity["fields"]["mode"])
        return key if identity["first"] <= identity["stop"] <= identity["first"] + 10**7 else None
    except (KeyError, TypeError):
        return None


def some(names: Iterable[str]) -> str:
    """The first of `names`, and how many more there are."""
    names = list(names)
    rest = len(names) - FEW
    return ", ".join(names[:FEW]) + (f" and {rest} more" if rest > 0 else "")


def _same_size(project: Project, node: Node, path: str) -> bool:
    try:
        return node.sidecar is None or project.size(path) == node.sidecar["output"]["bytes"]
    except Unreadable:
        return True  # said where it is read


def _differs(node: Node, path: str, now: str, recorded: str) -> None:
    where = "" if path == node.path else f"{path} "
    node.find(Verdict.TAMPERED, f"{where}has sha256 {now}, its record says {recorded}")


def _check_leaf(project: Project, node: Node, leaf: Node, recorded: str) -> None:
    """Compare an input that has no record of its own with what its reader saw."""
    leaf.facts.setdefault("sha256", recorded)
    try:
        now = project.sha256(leaf.path)
    except Unreadable as error:
        if error.absent:
            leaf.find(Verdict.MISSING, str(error))
        elif not leaf.notes:
            leaf.notes.append(f"{leaf.path} {error}")
        return
    if now != recorded:
        node.find(Verdict.STALE, f"was made from {_other(leaf, recorded, now)}")


def _other(parent: Node, recorded: str, now: str) -> str:
    return f"another {parent.path}: sha256 {short(recorded)} then, {short(now)} now"


def _tables(graph: Graph) -> Iterator[tuple[Node, list[Node]]]:
    """Every table or figure that is made from cells, with its cells."""
    for node in graph.values():
        if node.kind == "artifacts" and any(name in graph and graph[name].kind == "scores" for name in node.inputs):
            yield node, [other for other in below(graph, node) if other.kind == "cells"]


def _alike(kind: str, node: Node) -> Iterator[tuple[str, Any]]:
    """(name, value) of what has to be the same in all nodes of a kind."""
    identity = node.identity
    if kind == "sessions":
        # Every task has documents of its own.
        data = mapping(identity, "data")
        yield from leaves({"data": {key: value for key, value in data.items() if key != "corpus"}})
    elif kind == "scores":
        yield from leaves({"code": identity.get("code"), "versions": node.sidecar["versions"]})
    elif fields := mapping(identity, "fields"):
        code = mapping(fields, "code")
        yield from leaves({name: fields.get(name) for name in ("machine", "libraries", "dtype", "scale")})
        # A study may be asked again, beside it and otherwise (`scbench.study.twins`).
        yield f"prompts of {identity.get('study')}", fields.get("prompts")
        model, label = identity.get("model"), identity.get("label")
        yield f"the core code ({model})", code.get("core")
        yield f"the code of {label}", code.get("method")
        yield f"the settings of {label} ({model})", fields.get("method")
        yield f"the files of {model}", fields.get("model")
        yield "python", node.sidecar["versions"].get("python")
        yield "the environment lock", computed_locks(node)


def computed_locks(node: Node) -> list[str | None]:
    """Digests of the locks under which the turns of a cell were computed, else that of the job that wrote them down."""
    return mapping(node.observation, "computed").get("lock") or [node.observation.get("lock")]


def _text(value: str) -> str:
    """A value of JSON as a reader sees it; digests short."""
    return re.sub(r"[0-9a-f]{64}", lambda found: short(found[0]), value).strip('"')
