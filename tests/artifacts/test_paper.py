"""The document: every artifact in the paper's order, tables of any size and text of any kind fitted, the same bytes."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import matplotlib.style
import pytest
from matplotlib.figure import Figure

from scbench.artifacts import ARTIFACTS, paperkey
from scbench.artifacts.catalogue import FIGURES, OWN, TABLES, catalogue
from scbench.artifacts.drawing import save
from scbench.artifacts.latex import escape, render, with_characters
from scbench.artifacts.markdown import as_latex
from scbench.artifacts.paper import Piece, _write, compose, overfull
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.view import as_page
from scbench.errors import UserError
from scbench.provenance import record
from scripts import make_paper
from tests.artifacts.conftest import study_config
from tests.artifacts.tex_check import NASTY, check_table

needs_tex = pytest.mark.skipif(
    paperkey.program() is None, reason=f"{paperkey.PROGRAM} is not installed (Debian: {paperkey.PACKAGES})"
)
STAMP = Stamp("paper", "a_b", "strict", "6 sessions a task", "0" * 64)
VALUES = {"title": "A study", "stamp": STAMP, "notes": ["A note"], "environment": [("Weights", "x 1"), ("Rows", NASTY)]}
CHINESE = "阅读以下书籍然后回答问题，" * 12
REPORT = """# Findings

Two *findings* of `order: balanced`, 95 % and **bold**.

| finding | verdict |
|---|---|
| a \\| b & c | **holds** |
| {long} | not enough data: {long} |

## More

- one: a_b
- two
"""


def test_the_catalogue_holds_every_artifact_in_the_papers_order():
    entries = catalogue()
    assert {entry.artifact.name for entry in entries} == set(ARTIFACTS) and len(entries) == len(ARTIFACTS)
    numbers = {category: [e.number for e in entries if e.category == category] for category in (TABLES, FIGURES, OWN)}
    assert [entry.category for entry in entries] == [name for name, own in numbers.items() for _ in own]
    assert numbers[TABLES] == sorted(set(numbers[TABLES])) and numbers[FIGURES] == sorted(set(numbers[FIGURES]))


@pytest.mark.parametrize("entry", catalogue(), ids=lambda entry: entry.artifact.name)
def test_every_artifact_has_a_label_and_a_caption_of_its_own(entry):
    assert len(entry.caption) > 20 and not entry.caption.endswith(".") and not entry.caption.startswith(entry.label)
    assert [other.caption for other in catalogue()].count(entry.caption) == 1


def table(columns: int, rows: int, cell: str) -> str:
    """A table as our templates write it."""
    body = "\n".join(" & ".join([f"row {row}", *[escape(cell)] * (columns - 1)]) + r" \\" for row in range(rows))
    head = " & ".join(["Method", *["Head"] * (columns - 1)]) + r" \\"
    tabular = rf"\begin{{tabular}}{{@{{}}l{'r' * (columns - 1)}@{{}}}}" + f"\n\\toprule\n{head}\n\\midrule\n{body}\n"
    return (
        f"{{\\centering\\small\n{tabular}\\bottomrule\n\\end{{tabular}}\n\\par\\medskip\\footnotesize A note.\\par}}\n"
    )


@pytest.fixture
def pieces(tmp_path):
    """A small table, a long one, one too wide for a page, one of words, a report and two figures too large."""
    words = r"\begin{tabular}{@{}lp{0.6\linewidth}@{}}\toprule A & B \\ \midrule " + "\n".join(
        f"case {row} & {escape(f'{NASTY} {CHINESE}' + chr(0) + chr(7) + '🎉')} \\\\" for row in range(12)
    )
    texts = {
        "table4": table(5, 4, "0.1"),
        "table11": table(3, 150, "0.25"),
        "table12": table(40, 60, "100.0"),
        "table3": f"{{\\footnotesize {words}\\bottomrule\\end{{tabular}}\\par}}",
        "claims": REPORT.replace("{long}", "many words about it " * 8),
    }
    made = []
    for entry in catalogue():
        name = entry.artifact.name
        path = tmp_path / f"{name}{paperkey.SET[entry.artifact.kind]}"
        if name in texts:
            path.write_text(texts[name])
        elif name in ("figure3", "figure4"):
            with matplotlib.style.context("default"):
                figure = Figure(figsize=(12, 3) if name == "figure3" else (3, 20))
                figure.text(0.1, 0.5, "some text")
                save(figure, STAMP, path)
        else:
            continue
        made.append(Piece(entry, path, "1" * 64, "2" * 64))
    return made


@needs_tex
def test_tables_of_any_size_and_text_of_any_kind_fit_and_nothing_is_lost(pieces, tmp_path):
    done = compose(pieces, VALUES)
    assert max(overfull(done.log), default=0.0) <= 10
    assert "Missing character" not in done.log
    assert compose(pieces, VALUES).pdf == done.pdf
    if shutil.which("pdftotext") is None:
        return
    path = tmp_path / "paper.pdf"
    path.write_bytes(done.pdf)
    text = subprocess.run(["pdftotext", "-layout", path, "-"], capture_output=True, text=True, check=True).stdout
    assert {int(row) for row in re.findall(r"row (\d+)", text)} == set(range(150))
    assert "Table 11, continued." in text
    assert len(re.findall(r"case \d+", text)) == 12
    assert "-- ---" in text and "\N{EN DASH}" not in text, "no sign of a text becomes another"
    assert "1" * 64 in text and "2" * 64 in text
    fonts = subprocess.run(["pdffonts", path], capture_output=True, text=True, check=True).stdout.splitlines()[2:]
    assert fonts and all(line.split()[-5] == "yes" for line in fonts)  # columns: ... emb sub uni object ID


@needs_tex
@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext is not installed (Debian: poppler-utils)")
def test_no_page_is_half_empty_and_no_heading_stands_alone(tmp_path):
    rows = {"table1": 14, "table2": 38, "table3": 44, "table4": 22, "table5": 30, "table6": 12, "budgets": 34}
    made = []
    for entry in catalogue():
        name = entry.artifact.name
        path = tmp_path / f"{name}{paperkey.SET[entry.artifact.kind]}"
        if name in rows:
            path.write_text(table(5, rows[name], "0.1"))
        elif name in ("figure1", "figure3", "pareto"):
            with matplotlib.style.context("default"):
                figure = Figure(figsize=(6, 4.2))
                figure.text(0.1, 0.1, "lowest")
                save(figure, STAMP, path)
        else:
            continue
        made.append(Piece(entry, path, "1" * 64, "2" * 64))
    path = tmp_path / "paper.pdf"
    path.write_bytes(compose(made, VALUES).pdf)
    text = subprocess.run(["pdftotext", "-bbox", path, "-"], capture_output=True, text=True, check=True).stdout
    _, *pages, last = [re.findall(r'yMax="([\d.]+)">([^<]*)<', page) for page in text.split("<page ")[1:]]
    assert [word for _, word in last][:1] == ["Lineage"] and len(pages) > 4
    for words in pages[:-1]:
        # The last word of a page is its number.
        assert max(float(down) for down, _ in words[:-1]) > 0.5 * 842
        assert words[-2][1] not in ("paper", "continued.")


def test_what_is_written_for_the_typesetter_names_every_piece_once_in_order(pieces, tmp_path):
    tex = _write(pieces, VALUES, tmp_path).read_text()
    shown = re.findall(r"\\paper(?:table|figure)\{part(\d+)\.(tex|pdf)\}\{([^}]*)\}", tex)
    assert [(int(number), label) for number, _, label in shown] == [
        (number, piece.entry.label) for number, piece in enumerate(pieces)
    ]
    assert STAMP.lineage in tex and "1" * 64 in tex
    assert "Section~4)" in tex and "Section 4)" not in tex, "a line does not begin with a number alone"
    for number, ending, _ in shown:
        assert (tmp_path / f"part{number}.{ending}").stat().st_size


def test_without_the_typesetter_one_sentence_says_what_to_install(pieces, monkeypatch):
    monkeypatch.setenv(paperkey.VARIABLE, "")
    assert paperkey.program() is None
    with pytest.raises(UserError, match=rf"^lualatex.*not installed.*apt-get install.*{paperkey.PACKAGES}"):
        compose(pieces, VALUES)


def test_the_words_of_the_typesetter_are_passed_on(pieces, tmp_path, monkeypatch):
    program = tmp_path / "lualatex"
    program.write_text("#!/bin/sh\necho '! Undefined control sequence.'; echo 'l.7 \\oops'; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv(paperkey.VARIABLE, str(program))
    with pytest.raises(UserError, match=r"stopped: ! Undefined control sequence\. l\.7 \\oops"):
        compose(pieces, VALUES)


def test_an_artifact_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("study.json").write_text(json.dumps(study_config()))
    arguments = ["--config", "study.json", "--artifacts", "artifacts", "--out", "paper.pdf"]
    with pytest.raises(UserError, match=r"artifacts/table1\.tex.*missing; build table1 first"):
        make_paper.main(arguments)


@needs_tex
def test_the_command_leaves_a_document_whose_sidecar_names_every_artifact(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("study.json").write_text(json.dumps(study_config()))
    Path("artifacts").mkdir()
    some = catalogue()[:2]
    monkeypatch.setattr("scbench.artifacts.paperkey.catalogue", lambda: some)
    for path in paperkey.files("artifacts"):
        Path(path).write_text(table(3, 2, "1"))
        record([path], [], {"artifact": Path(path).stem})
    make_paper.main(["--config", "study.json", "--artifacts", "artifacts", "--out", "paper.pdf"])
    assert "widest box: 0 pt" in capsys.readouterr().out
    sidecar = json.loads(Path("paper.pdf.prov.json").read_text())
    assert [entry["path"] for entry in sidecar["inputs"]] == sorted(paperkey.files("artifacts"))
    assert sidecar["identity"]["words"].keys() == ARTIFACTS.keys() & {entry.artifact.name for entry in some}


def test_a_report_becomes_tables_and_paragraphs_with_everything_escaped():
    tex = as_latex(REPORT.replace("{long}", NASTY.replace("|", "\\|")))
    assert r"\textbf{holds}" in tex and r"\texttt{order: balanced}" in tex and "95 \\%" in tex
    assert r"a \textbar{} b \& c" in tex and r"a\_b" in tex and "Findings" not in tex
    table, items = tex.split(r"\par\medskip\begin{tabular}", 2)[1:]
    check_table(rf"\begin{{tabular}}{table}")
    assert items.index(r"\textbf{More}") < items.index(r"\midrule") < items.index("one: a"), "a list below its heading"


def test_characters_are_marked_by_their_numbers():
    assert with_characters(escape("长 a 🎉")) == r"\character{957F} a \character{1F389}"
    assert with_characters(escape(r"\texttt{U+957F}")) == escape(r"\texttt{U+957F}")


def test_the_template_fills_with_an_artifact_of_any_name():
    entry = {"label": "A_b", "caption": "50% & more", "file": "x.tex", "figure": False, "sha256": "", "lineage": ""}
    tex = render(paperkey.TEMPLATE, VALUES | {"sections": {"Own": [entry]}, "cjk": False})
    assert r"{A\_b}{50\% \& more}" in tex


def test_pages_of_tables_and_reports_show_every_cell_as_text(tmp_path):
    table, report = tmp_path / "table4.csv", tmp_path / "claims.md"
    table.write_text('task,score,note\nen_qa,0.123456789,"<b>x</b>\nsecond"\nzh_qa,,长\nmath_find,1e-07,00123456789\n')
    report.write_text(REPORT.replace("{long}", "<script>"))
    page = as_page(table, "Table <4>", "A & b")
    assert "<h1>Table &lt;4&gt;</h1><p>A &amp; b.</p>" in page
    assert '<td class="n" title="0.123456789">0.123457</td>' in page
    assert "<td>&lt;b&gt;x&lt;/b&gt;\nsecond</td>" in page and "<td>长</td>" in page
    assert '<td class="n">00123456789</td>' in page  # an answer stands as it was given
    assert page.count("<tr>") == 4
    shown = as_page(report, "Claims", "")
    assert "<script>" not in shown and "<b>holds</b>" in shown and "<code>order: balanced</code>" in shown
    assert "<td>a | b &amp; c</td>" in shown and "<li>one: a_b</li>" in shown
    with pytest.raises(UserError, match=r"gone\.csv: cannot be read"):
        as_page(tmp_path / "gone.csv", "", "")
