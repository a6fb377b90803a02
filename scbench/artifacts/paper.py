"""One document of a study: all its tables and figures with captions, how it was run, and where each came from.

LuaLaTeX sets it from the files of the artifacts, in the order of the catalogue, whatever is registered. The same files
give the same bytes: no date, no path and no host enters it.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scbench.artifacts.catalogue import Entry
from scbench.artifacts.latex import Tex, render, with_characters
from scbench.artifacts.markdown import as_latex
from scbench.artifacts.paperkey import PROGRAM, TEMPLATE, missing, program
from scbench.errors import UserError

MOST_RUNS, MINUTES = 4, 10
# Fonts with Chinese, Japanese and Korean characters by the names of their files, the best first.
CJK_FONTS = (
    "NotoSerifCJK-Regular.ttc",
    "NotoSansCJK-Regular.ttc",
    "SourceHanSerifSC-Regular.otf",
    "DroidSansFallbackFull.ttf",
    "DroidSansFallback.ttf",
    "wqy-zenhei.ttc",
    "wqy-microhei.ttc",
    "gbsn00lp.ttf",
)


@dataclass(frozen=True)
class Piece:
    """One artifact in the document: the file that is set (.tex, .pdf or .md), and digests for a reader to compare.

    sha256: of that file; lineage: of what it was made from, as its sidecar records it.
    """

    entry: Entry
    file: Path
    sha256: str
    lineage: str


@dataclass(frozen=True)
class Compiled:
    """A document: its bytes, the log of the last run, and the program's own words for itself."""

    pdf: bytes
    log: str
    program: str


def compose(pieces: Sequence[Piece], values: Mapping[str, Any]) -> Compiled:
    """The document of `pieces`. values: what else the template shows: title, stamp, notes, environment.

    Raises UserError without LuaLaTeX, and with its own words where it stops.
    """
    found = program()
    if found is None:
        raise UserError(missing())
    with tempfile.TemporaryDirectory() as directory:
        return _compile(found, _write(pieces, values, Path(directory)))


def overfull(log: str) -> list[float]:
    """By how many points each box of a run exceeds its place, the worst first."""
    return sorted(map(float, re.findall(r"^Overfull \\[hv]box \((\d+(?:\.\d+)?)pt", log, re.MULTILINE)), reverse=True)


def _write(pieces: Sequence[Piece], values: Mapping[str, Any], directory: Path) -> Path:
    """Put the document and every file that it reads into `directory`, and return its .tex."""
    sections: dict[str, list[dict[str, Any]]] = {}
    for number, piece in enumerate(pieces):
        figure = piece.file.suffix == ".pdf"
        name = f"part{number}.{'pdf' if figure else 'tex'}"
        if figure:
            shutil.copyfile(piece.file, directory / name)
        else:
            (directory / name).write_text(_text(piece.file), encoding="ascii")
        # A number does not begin a line without the word before it.
        caption = re.sub(r"\bSection (?=\d)", "Section\N{NO-BREAK SPACE}", piece.entry.caption)
        shown = {"label": piece.entry.label, "caption": caption, "file": Tex(name), "figure": figure}
        digests = {"sha256": piece.sha256, "lineage": piece.lineage}
        sections.setdefault(piece.entry.category, []).append(shown | digests)
    tex = directory / "paper.tex"
    cjk = _cjk_font()
    font = {"cjk": bool(cjk), "cjk_path": Tex(f"{cjk.parent}/"), "cjk_name": Tex(cjk.name)} if cjk else {"cjk": False}
    filled = render(TEMPLATE, dict(values) | {"sections": sections} | font)
    tex.write_text(with_characters(filled), encoding="utf-8")
    return tex


def _text(file: Path) -> str:
    """A table or a report as LaTeX in which every character that a font may have stands as its number."""
    text = file.read_text(encoding="utf-8")
    return with_characters(as_latex(text) if file.suffix == ".md" else text)


def _compile(found: str, tex: Path) -> Compiled:
    """Run the program `found` until what the document says of itself, page numbers and bookmarks, stays the same."""
    command = [found, "--interaction=nonstopmode", "--halt-on-error", "--no-shell-escape", tex.name]
    environment = os.environ | {"SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "TZ": "UTC"}
    said: dict[str, bytes] | None = None
    for _ in range(MOST_RUNS):
        try:
            done = subprocess.run(command, cwd=tex.parent, env=environment, capture_output=True, timeout=60 * MINUTES)
        except subprocess.TimeoutExpired as error:
            raise UserError(
                f"{PROGRAM} did not end within {MINUTES} minutes; run it where there is more time"
            ) from error
        log = (_bytes(tex.with_suffix(".log")) or done.stdout + done.stderr).decode(errors="replace")
        if done.returncode:
            raise UserError(f"{PROGRAM} stopped: {_why(log)}")
        before, said = said, {suffix: _bytes(tex.with_suffix(suffix)) for suffix in (".aux", ".toc", ".out")}
        if said == before:
            break
    return Compiled(tex.with_suffix(".pdf").read_bytes(), log, log.partition("\n")[0].partition("  (")[0])


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _why(log: str) -> str:
    """The error in a log, with the lines that say where; the end of the log where there is none."""
    found = re.search(r"^! .*(?:\n.*){0,4}", log, re.MULTILINE)
    return " ".join((found.group() if found else log[-400:]).split())


def _cjk_font() -> Path | None:
    """The file of a font with Chinese, Japanese and Korean characters; None where none is installed."""
    from matplotlib.font_manager import findSystemFonts

    there = {Path(path).name: Path(path) for path in sorted(findSystemFonts())}
    return next((there[name] for name in CJK_FONTS if name in there), None)
