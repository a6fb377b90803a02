"""An audit as text, JSON or a dot graph; the page is in `page`."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from scbench.provenance.audit import Report
from scbench.provenance.facts import facts
from scbench.provenance.graph import Node, below, mapping
from scbench.provenance.sidecar import short
from scbench.provenance.verdicts import Verdict

PLURAL = {"cells": "cell", "sessions": "session file", "models": "model", "raw inputs": "raw input"}
COLOURS = {Verdict.OK: "#2e7d32", Verdict.TAMPERED: "#c62828", Verdict.MISSING: "#c62828"}
OTHER_COLOUR = "#b26a00"
DEEPEST = 150  # characters before a line of the tree: nothing of this workflow is made in so many steps
MOST_LINES = 12  # findings of one kind, before they are counted only


def as_text(report: Report) -> str:
    """The lineage as a tree, what it comes to, every finding, and the verdict."""
    lines = []
    for root in report.roots:
        lines += _tree(report, root)
    lines += ["", *_facts(report), ""]
    lines += _findings(report)
    notes = Counter(note for node in report.nodes for note in node.notes)
    if notes:
        shown = [
            f"  {note}" + (f" ({count} times)" if count > 1 else "") for note, count in notes.most_common(MOST_LINES)
        ]
        rest = [f"  and {len(notes) - MOST_LINES} more"] if len(notes) > MOST_LINES else []
        lines += ["Not checked here:", *shown, *rest, ""]
    counts = ", ".join(f"{count} {verdict.title}" for verdict, count in sorted(report.counts.items(), key=_by_gravity))
    lines.append(f"{report.verdict.title}: {counts} of {len(report.nodes)} ({report.verdict.meaning})")
    return printable("\n".join(lines))


def printable(text: str) -> str:
    """`text` without what moves a terminal's cursor: a name in a record may be a stranger's."""
    return text.translate({code: "?" for code in (*range(10), *range(11, 32), *range(127, 160))})


def as_json(report: Report) -> str:
    """Every node with its verdict, findings, record and inputs."""
    nodes = [
        {
            "path": node.path,
            "kind": node.kind,
            "verdict": node.verdict.title,
            "findings": [{"verdict": verdict.title, "reason": reason} for verdict, reason in node.findings],
            "notes": node.notes,
            "inputs": node.inputs,
            "sha256": node.expected,
            "lineage": node.sidecar["lineage"] if node.sidecar else None,
            "identity": node.identity,
            "observation": node.observation,
        }
        for node in report.nodes
    ]
    found: dict[str, Any] = {
        "verdict": report.verdict.title,
        "status": report.verdict.status,
        "roots": report.roots,
        "facts": facts(report),
        "ledger": report.ledger.facts,
        "nodes": nodes,
    }
    return json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True)


def as_dot(report: Report) -> str:
    """The graph for Graphviz: an arrow from each file to what was made from it, coloured by verdict."""
    lines = ["digraph lineage {", '  rankdir=LR; node [shape=box, fontname="sans-serif", fontsize=9];']
    for node in report.nodes:
        label = f"{title(node)}\n{node.verdict.title}"
        lines.append(f"  {_quoted(node.path)} [label={_quoted(label)}, color={_quoted(colour(node.verdict))}];")
    lines += [f"  {_quoted(name)} -> {_quoted(node.path)};" for node in report.graph.values() for name in node.inputs]
    return "\n".join([*lines, "}"])


def title(node: Node) -> str:
    """What a reader calls the node."""
    return f"model {node.facts['name']}" if node.kind == "models" and "name" in node.facts else node.path


def colour(verdict: Verdict) -> str:
    return COLOURS.get(verdict, OTHER_COLOUR)


def _tree(report: Report, root: str) -> Iterator[str]:
    """A line a node; inputs that are alike, cells for one, share a line."""
    yield from _branch(report, root, "", "", set())


def _branch(report: Report, path: str, first: str, rest: str, shown: set[str]) -> Iterator[str]:
    node = report.graph[path]
    again = " (above)" if path in shown and node.inputs else " ..." if len(rest) > DEEPEST else ""
    yield f"{first}{title(node)}  {node.verdict.title}{_about(node)}{again}"
    if again:
        return
    shown.add(path)
    groups: dict[tuple[str, Verdict] | str, list[str]] = {}
    for name in node.inputs:
        if name in report.graph:
            groups.setdefault(_group(report, name), []).append(name)
    for number, names in enumerate(groups.values()):
        last = number == len(groups) - 1
        branch, stem = ("└─ ", "   ") if last else ("├─ ", "│  ")
        if len(names) == 1:
            yield from _branch(report, names[0], rest + branch, rest + stem, shown)
        else:
            yield from _summary(report, names, rest + branch, rest + stem)


def _group(report: Report, name: str) -> tuple[str, Verdict] | str:
    """What shares a line: files of a kind that is common, of one verdict, over what is all of one verdict."""
    kind = report.graph[name].kind
    if kind not in PLURAL or kind == "models" or report.cell is not None:
        return name
    under = {node.verdict for node in below(report.graph, report.graph[name])}
    return (kind, report.graph[name].verdict) if under <= {Verdict.OK} else name


def _summary(report: Report, names: list[str], first: str, rest: str) -> Iterator[str]:
    """One line for files of a kind and a verdict, and one for each kind of what they were made from, which is OK."""
    kind, verdict = report.graph[names[0]].kind, report.graph[names[0]].verdict
    under: dict[str, dict[str, Node]] = {}
    for name in names:
        for node in below(report.graph, report.graph[name]):
            under.setdefault(node.kind, {})[node.path] = node
    yield f"{first}{_count(kind, len(names))}  {verdict.title}"
    for number, (kind, nodes) in enumerate(under.items()):
        branch = "└─ " if number == len(under) - 1 else "├─ "
        one = next(iter(nodes.values()))
        shown = f"{title(one)}  OK{_about(one)}" if len(nodes) == 1 else f"{_count(kind, len(nodes))}  OK"
        yield f"{rest}{branch}{shown}"


def _count(kind: str, number: int) -> str:
    return f"{number} {PLURAL[kind]}{'' if number == 1 else 's'}" if kind in PLURAL else f"{number} {kind}"


def _about(node: Node) -> str:
    """The little that is said of a node in its line."""
    if node.kind == "models" and node.expected:
        weights = [path for path in node.expected if path.endswith(".safetensors")] or list(node.expected)
        revision = f"revision {node.facts['revision']}, " if node.facts.get("revision") else ""
        name, count = weights[0].rpartition("/")[2], len(node.expected)
        return f"  {revision}{name} {short(node.expected[weights[0]])}, {count} file{'' if count == 1 else 's'}"
    if node.sidecar and node.kind in ("figures", "artifacts", "scores"):
        seen = node.observation
        return f"  lineage {short(node.sidecar['lineage'])}, {seen.get('finished')} on {seen.get('host')}"
    return f"  {short(node.sidecar['output']['sha256'])}" if node.sidecar else ""


def _facts(report: Report) -> Iterator[str]:
    found = facts(report)
    if found["cells"]:
        files = f"{_count('sessions', found['sessions'])}, {_count('cells', found['cells'])}"
        turns, timed = found["turns"], found["turns_timed"]
        hours = (
            f"all {turns:,} turns timed" if timed == turns else f"{timed:,} of {turns:,} turns timed, the others stored"
        )
        yield f"data         seed {_list(found['seeds'])}; {files}"
        yield f"kernels      core code {_digests(found['code'])}, {_list(found['dtype'])}"
        yield f"libraries    {'; '.join(map(_pairs, found['libraries']))}"
        chips = _list(found["gpus"] or found["processors"])
        yield f"machine      {'; '.join(map(_pairs, found['machines']))} ({chips})"
        yield f"{found['hours_of']} hours    {found['hours']:.3f} ({hours})"
    yield f"environment  python {_list(found['python'])}, lock {_digests(found['locks']) or 'none'}"
    yield f"commit       {_digests(found['commits']) or 'none: the code was no clone of a repository'}"
    ledger = report.ledger
    end = short(ledger.facts["end"])
    yield f"ledger       {ledger.facts['lines']:,} lines, the last of digest {end}  {ledger.verdict.title}"
    for node in report.graph.values():
        if node.kind == "studies":
            config = mapping(node.identity, "config")
            yield f"study        {node.path}  {node.verdict.title}{f'  read from {_list(config)}' if config else ''}"


def _list(values: Iterable[Any]) -> str:
    return ", ".join(map(str, values))


def _digests(values: Iterable[Any]) -> str:
    return ", ".join(short(str(value)) for value in values)


def _pairs(of: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(of.items()) if value is not None)


def _findings(report: Report) -> Iterator[str]:
    """Every finding; where many files have the same one, they share it."""
    grouped: dict[tuple[Verdict, str], list[str]] = {}
    for node in report.nodes:
        for verdict, reason in dict.fromkeys(node.findings):
            grouped.setdefault((verdict, reason), []).append(title(node))
    number = 0
    for (verdict, reason), paths in sorted(grouped.items(), key=lambda item: -item[0][0].gravity):
        number += 1
        if number > MOST_LINES * 4:
            continue
        yield f"{verdict.title}  {paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}: {reason}"
    if number > MOST_LINES * 4:
        yield f"and {number - MOST_LINES * 4} findings more (--format json lists all)"
    if grouped:
        yield ""


def _by_gravity(item: tuple[Verdict, int]) -> int:
    return -item[0].gravity


def _quoted(text: str) -> str:
    """A string of dot: backslashes stay what they are but for the line breaks that we put in."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
