"""A report's Markdown as LaTeX and as HTML: the few forms that our reports are written in, and no others.

Headings below the first, paragraphs, list items, tables, bold and code. Everything else is text and escaped.
"""

import html
import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from scbench.artifacts.latex import Tex, escape

NARROW, WIDEST = 24, 90  # characters: a column up to that is set as it is; more do not widen a column further
CHARACTERS = 130  # of \footnotesize on a line


def as_latex(markdown: str) -> Tex:
    """`markdown` without its first heading, for a document with array and booktabs.

    Each table is a tabular, and so is each list. Their heading is in their head, which stands above every part of one
    that goes over pages.
    """
    blocks = [(kind, own) for kind, own in _blocks(markdown) if kind]
    ends = ("", [])
    parts: list[str] = []
    for (last, above), (kind, own), (following, _) in zip([ends, *blocks], blocks, [*blocks[1:], ends], strict=False):
        if kind in ("table", "item"):
            heading = _heading(above) if last == "heading" else ""
            parts.append(_table(heading, own) if kind == "table" else _list(heading, own))
        elif kind == "heading" and following not in ("table", "item") and _heading(own):
            parts.append(rf"\par\medskip\noindent\textbf{{{_heading(own)}}}\par\nobreak")
        elif kind == "text":
            parts.append(rf"\par\smallskip\noindent {_inline(' '.join(own))}\par\smallskip")
    return Tex("\n".join([r"{\footnotesize\raggedright\renewcommand\arraystretch{1.15}", *parts, r"\par}", ""]))


def as_html(markdown: str) -> str:
    """`markdown` without its first heading, as the body of a page."""
    parts: list[str] = []
    for kind, own in _blocks(markdown):
        if kind == "table":
            head, *rows = _cells(own)
            parts += ["<table>", _html_row(head, "th"), *(_html_row(row, "td") for row in rows), "</table>"]
        elif kind == "item":
            parts.append("<ul>" + "".join(f"<li>{_html(line[2:])}</li>" for line in own) + "</ul>")
        elif kind == "heading":
            parts += [f"<h2>{_html(line.lstrip('# '))}</h2>" for line in own if "##" in line]
        elif kind == "text":
            parts.append(f"<p>{_html(' '.join(own))}</p>")
    return "\n".join(parts)


def _html_row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{_html(cell.strip())}</{tag}>" for cell in cells) + "</tr>"


def _html(text: str) -> str:
    tags = {"**": "b", "`": "code", "": ""}
    found = ((tags[mark], html.escape(plain)) for mark, plain in _marked(text))
    return "".join(f"<{tag}>{plain}</{tag}>" if tag else plain for tag, plain in found)


def _blocks(markdown: str) -> Iterator[tuple[str, list[str]]]:
    """Neighbouring lines of one kind."""
    for kind, lines in groupby(markdown.splitlines(), _kind):
        yield kind, list(lines)


def _kind(line: str) -> str:
    for kind, mark in (("table", "|"), ("heading", "#"), ("item", "- ")):
        if line.startswith(mark):
            return kind
    return "text" if line.strip() else ""


def _inline(text: str) -> str:
    commands = {"**": "textbf", "`": "texttt"}
    found = ((commands.get(mark), escape(plain)) for mark, plain in _marked(text))
    return "".join(rf"\{command}{{{plain}}}" if command else plain for command, plain in found)


def _marked(text: str) -> Iterator[tuple[str, str]]:
    """(mark, words) of a line: `**` around bold, a backtick around code, nothing; an escaped bar is a bar."""
    for piece in re.split(r"(\*\*[^*]+\*\*|`[^`]+`)", text.replace("\\|", "|")):
        around = [mark for mark in ("**", "`") if len(piece) > 2 * len(mark) and piece[: len(mark)] == mark]
        mark = around[0] if around and piece.endswith(around[0]) else ""
        yield mark, piece.strip(mark) if mark else piece


def _cells(lines: Sequence[str]) -> list[list[str]]:
    """The cells of a table's rows, its head first, without the line below that."""
    head, _, *rows = (re.split(r"(?<!\\)\|", line.strip())[1:-1] for line in lines)
    return [head, *rows]


def _table(heading: str, lines: Sequence[str]) -> str:
    head, *rows = _cells(lines)
    columns = list(_columns([head, *rows]))
    above = [rf"\multicolumn{{{len(columns)}}}{{@{{}}l@{{}}}}{{\textbf{{{heading}}}}} \\"] if heading else []
    tex = [rf"\par\medskip\begin{{tabular}}{{@{{}}{''.join(columns)}@{{}}}}", r"\toprule", *above, _row(head)]
    return "\n".join([*tex, r"\midrule", *map(_row, rows), r"\bottomrule", r"\end{tabular}\par"])


def _heading(lines: Sequence[str]) -> str:
    """The words of a heading; of the first of a report none, as the document gives it another."""
    return "".join(_inline(line.lstrip("# ")) for line in lines if line.startswith("##"))


def _list(heading: str, lines: Sequence[str]) -> str:
    head = [rf"\textbf{{{heading}}} \\", r"\midrule"] if heading else []
    rows = [rf"\makebox[1em][l]{{\textbullet}}{_inline(line[2:])} \\" for line in lines]
    column = r"@{}>{\raggedright\arraybackslash\hangindent=1em}p{0.98\linewidth}@{}"
    tex = [rf"\par\medskip\begin{{tabular}}{{{column}}}", r"\toprule", *head, *rows, r"\bottomrule"]
    return "\n".join([*tex, r"\end{tabular}\par"])


def _row(cells: Sequence[str]) -> str:
    return " & ".join(_inline(cell.strip()) for cell in cells) + r" \\"


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Each column: narrow ones as wide as their text; the others share the rest of the line by their longest."""
    longest = [max(len(cell.strip()) for cell in column) for column in zip(*rows, strict=True)]
    wide = {number: min(size, WIDEST) for number, size in enumerate(longest) if size > NARROW}
    narrow = sum(size for number, size in enumerate(longest) if number not in wide)
    # A narrow column takes a character's width for each of its own and for each of its two margins.
    rest = max(0.3, 1 - (narrow + 2 * (len(longest) - len(wide))) / CHARACTERS)
    for number in range(len(longest)):
        if number in wide:
            share = rest * wide[number] / sum(wide.values()) - 0.02
            yield rf">{{\raggedright\arraybackslash}}p{{{share:.3f}\linewidth}}"
        else:
            yield "l"
