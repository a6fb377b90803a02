import re

import jinja2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scbench.artifacts import latex
from scbench.artifacts.latex import Tex, escape, render
from tests.artifacts.tex_check import NASTY


@given(st.text())
@example(NASTY)
@example("a\nb\tc\x00d\x7f\u2028")
@example("naïve Straße Ångström – “x” … 长 🎉")
def test_escaped_text_is_printable_ascii_on_one_line(text):
    assert re.fullmatch(r"[ -~]*", escape(text))


@given(st.text(alphabet=st.characters(codec="ascii")))
@example(NASTY)
def test_escaped_text_has_no_active_character(text):
    bare = re.sub(r"\\[\\{}$&#%_^~]", "", escape(text))  # escaped characters
    bare = re.sub(r"\\text[a-z]+\{\}|\{\\kern0pt\}", "", bare)
    assert not re.search(r"[$&#%_^]", bare)
    assert "\\" not in bare


@given(st.text())
@example(NASTY)
@example("}{")
def test_braces_are_balanced(text):
    depth = 0
    for match in re.finditer(r"\\.|[{}]", escape(text)):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        assert depth >= 0
    assert depth == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_shape", r"a\_shape"),
        ("50% & more", r"50\% \& more"),
        ("\\input{x}", r"\textbackslash{}input\{x\}"),
        ("#1 $x$ ^ ~", r"\#1 \$x\$ \textasciicircum{} \textasciitilde{}"),
        ("--", r"-{\kern0pt}-"),
        ("?`", r"?{\kern0pt}`"),
        ("[1]*", "{[}1{]}{*}"),
        ("a\nb", "a b"),
        ("\N{MINUS SIGN}5", "$-$5"),
        ("é", r"\'{e}"),
        ("Å", r"\r{A}"),
        ("长", r"\texttt{U+957F}"),
        ("", ""),
        ("plain text, 1/8 (twice).", "plain text, 1/8 (twice)."),
    ],
)
def test_escape(text, expected):
    assert escape(text) == expected


@pytest.fixture
def template(tmp_path, monkeypatch):
    """Render a template given as text."""
    environment = latex._environment().overlay(loader=jinja2.FileSystemLoader(tmp_path), cache_size=0)
    monkeypatch.setattr(latex, "_environment", lambda: environment)

    def fill(text, **values):
        (tmp_path / "t").write_text(text)
        return render("t", values)

    return fill


def test_values_are_escaped_unless_they_are_latex(template):
    assert template("((( plain ))) ((( tex )))", plain="a_b", tex=Tex(r"\textbf{x}")) == r"a\_b \textbf{x}"


def test_templates_keep_latex_braces_and_comments(template):
    assert template("{{x}} {%y%} \\cmidrule(lr){(((a)))-(((b)))}", a=1, b=2) == "{{x}} {%y%} \\cmidrule(lr){1-2}"


def test_a_value_that_the_template_misses_is_an_error(template):
    with pytest.raises(jinja2.UndefinedError):
        template("((( absent )))")
