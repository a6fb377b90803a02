"""What can be checked of LaTeX without LaTeX, and LaTeX itself where it is installed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

NASTY = r"""100% of $x_1^2$ & {braces} #1 ~ \input{/etc/passwd} \\ [2pt] * | <a> "quoted" -- --- `` '' ?` !` ,, """
PREAMBLE = r"\documentclass{article}\usepackage[margin=1in]{geometry}\usepackage{array,booktabs}\begin{document}"


def columns(specification: str) -> int:
    """Columns of a tabular's specification."""
    bare = re.sub(r"[@>]\{(?:[^{}]|\{[^{}]*\})*\}", "", specification)
    bare = re.sub(r"w\{([lrc])\}\{[^{}]*\}", r"\1", bare)
    return len(re.findall(r"[lrcp]", re.sub(r"p\{[^{}]*\}", "p", bare)))


def check_table(tex: str) -> None:
    """Balanced braces and environments, and as many cells in every row as the tabular has columns."""
    body = re.sub(r"(?<!\\)%.*", "", tex)
    depth = 0
    for match in re.finditer(r"\\.|[{}]", body, re.S):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        assert depth >= 0
    assert depth == 0
    assert re.findall(r"\\begin\{(\w+)\}", body) == re.findall(r"\\end\{(\w+)\}", body) == ["tabular"]
    start = re.search(r"\\begin\{tabular\}\{(.*)\}\n", body)
    count = columns(start.group(1))
    inside = body[start.end() : body.index(r"\end{tabular}")]
    rows = [line for line in inside.splitlines() if line.rstrip().endswith(r"\\")]
    assert rows
    for row in rows:
        cells = re.split(r"(?<!\\)&", row)
        spans = [int(span) - 1 for span in re.findall(r"\\multicolumn\{(\d+)\}", row)]
        assert len(cells) + sum(spans) == count, row


def compile_table(tex: str, directory: Path) -> str:
    """Compile a minimal article around the table and return the log. Skips where there is no pdflatex."""
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("pdflatex is not installed (Debian: texlive-latex-recommended)")
    (directory / "table.tex").write_text(tex, encoding="ascii")
    (directory / "article.tex").write_text(PREAMBLE + "\n\\input{table}\n\\end{document}\n", encoding="ascii")
    done = subprocess.run(
        [program, "-interaction=nonstopmode", "-halt-on-error", "article.tex"],
        cwd=directory,
        capture_output=True,
        timeout=60,
    )
    log = (directory / "article.log").read_text(encoding="latin-1")
    assert done.returncode == 0, log[-2000:]
    return log
