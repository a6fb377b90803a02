"""The lineage as a page: one static HTML file that needs nothing but a browser, no script and no network."""

from collections.abc import Iterator
from html import escape

from scbench.provenance.audit import Report
from scbench.provenance.graph import Node
from scbench.provenance.manifest import leaves
from scbench.provenance.render import as_text, colour, title
from scbench.provenance.verdicts import Verdict

DEEPEST = 50  # steps; nothing of this workflow is made in so many
STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; color: #222; max-width: 75em; margin: 2em auto; padding: 0 1em; }
details { margin-left: 1.2em; } summary { cursor: pointer; } .leaf { margin-left: 2.2em; }
.v { color: #fff; border-radius: 3px; padding: 0 .4em; font-size: 12px; }
.why { margin-left: 2.2em; color: #c62828; } .note { margin-left: 2.2em; color: #6b6b6b; }
pre { background: #f6f6f6; padding: 1em; overflow-x: auto; font-size: 12px; }
table { border-collapse: collapse; font: 12px ui-monospace, monospace; margin: .3em 0 .3em 2.2em; }
td { padding: 0 1em 0 0; vertical-align: top; overflow-wrap: anywhere; } td:first-child { color: #6b6b6b; }
"""


def as_html(report: Report) -> str:
    """The tree of `report`, every record folded under its file, the text of the audit below."""
    heading = ", ".join(report.roots[:4]) + (f" and {len(report.roots) - 4} more" if len(report.roots) > 4 else "")
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>Lineage: {escape(heading)}</title>',
        f"<style>{STYLE}</style></head><body>",
        f"<h1>Where it came from</h1><p>{_badge(report.verdict)} {escape(report.verdict.meaning)}</p>",
    ]
    shown: set[str] = set()
    for root in report.roots:
        parts += _branch(report, root, shown)
    parts += _branch(report, None, shown)
    parts += ["<h2>The same as text</h2>", f"<pre>{escape(as_text(report))}</pre>", "</body></html>"]
    return "\n".join(parts)


def _branch(report: Report, path: str | None, shown: set[str], depth: int = 0) -> Iterator[str]:
    """A file and what it was made from; the ledger for None. What was shown in full before is a link to it."""
    node = report.ledger if path is None else report.graph[path]
    head = f"{_badge(node.verdict)} {escape(title(node))}"
    if node.path in shown or depth > DEEPEST:
        yield f'<div class="leaf">{_badge(node.verdict)} <a href="#{_anchor(node)}">{escape(title(node))}</a></div>'
        return
    shown.add(node.path)
    opened = depth == 0 or node.verdict is not Verdict.OK
    yield f'<details id="{_anchor(node)}"{" open" if opened else ""}><summary>{head}</summary>'
    yield from (f'<div class="why">{verdict.title}: {escape(reason)}</div>' for verdict, reason in node.findings)
    yield from (f'<div class="note">not checked here: {escape(note)}</div>' for note in node.notes)
    yield from _record(node)
    for name in node.inputs:
        if name in report.graph:
            yield from _branch(report, name, shown, depth + 1)
    yield "</details>"


def _record(node: Node) -> Iterator[str]:
    record = {"sha256": node.expected, "identity": node.identity, "observation": node.observation}
    if node.sidecar:
        record = {"lineage": node.sidecar["lineage"], "versions": node.sidecar["versions"]} | record
    rows = [f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>" for name, value in leaves(record)]
    if rows:
        yield f"<details><summary>record</summary><table>{''.join(rows)}</table></details>"


def _badge(verdict: Verdict) -> str:
    return f'<span class="v" style="background:{colour(verdict)}">{verdict.title}</span>'


def _anchor(node: Node) -> str:
    return escape(node.path.replace(" ", "_"), quote=True)
