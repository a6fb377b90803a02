"""A page of a table's numbers or of a report: static HTML that needs no script, no network and no TeX."""

import csv
import html
import re
from pathlib import Path

from scbench.artifacts.markdown import as_html
from scbench.errors import UserError

STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; color: #222; margin: 1.5em; }
h1 { font-size: 20px; } h2 { font-size: 16px; }
table { border-collapse: collapse; font-size: 12px; margin: 1em 0; } code { font: 12px ui-monospace, monospace; }
th { text-align: left; border-bottom: 1px solid #222; white-space: nowrap; } th, td { padding: .2em .8em .2em 0; }
td { vertical-align: top; border-bottom: 1px solid #eee; } td.n { text-align: right; white-space: nowrap; }
"""


def as_page(file: Path, title: str, caption: str) -> str:
    """The page of `file`, a .csv or .md. Raises UserError when it cannot be read."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({error}); build the artifact first") from error
    body = as_html(text) if file.suffix == ".md" else _table(text)
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>',
        f"<style>{STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1><p>{html.escape(caption)}.</p>",
        body,
        "</body></html>",
    ]
    return "\n".join([*parts, ""])


def _table(text: str) -> str:
    head, *rows = csv.reader(text.splitlines(keepends=True))
    lines = ["<tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in head) + "</tr>"]
    lines += ["<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows]
    return "\n".join(["<table>", *lines, "</table>"])


def _cell(text: str) -> str:
    """A cell: a decimal fraction is shown shortened, everything else, answers and whole numbers too, as it is."""
    if re.fullmatch(r"-?\d+\.\d+(e[-+]?\d+)?", text, re.ASCII):
        return f'<td class="n" title="{text}">{float(text):.6g}</td>'
    side = ' class="n"' if re.fullmatch(r"-?\d+", text, re.ASCII) else ""
    return f"<td{side}>{html.escape(text)}</td>"
