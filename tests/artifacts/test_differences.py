import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scbench.artifacts.differences import SHOWN, as_tex, as_wdiff, compare_words, plain_tex, visible
from tests.artifacts.tex_check import NASTY


def joined(pieces, *kinds):
    return "".join(piece.text for piece in pieces if piece.kind in kinds)


@given(st.text(), st.text())
@example(NASTY, "")
@example("", NASTY)
@example("guard_status", "guard_state")
@example("长城 a", "长成 a")
def test_pieces_hold_both_texts(gold, said):
    pieces = compare_words(gold, said)
    assert joined(pieces, "same", "other") == visible(said).replace(" ", "")
    assert joined(pieces, "same", "lacking") == visible(gold).replace(" ", "")


@given(st.text())
def test_an_answer_that_is_the_gold_has_no_marks(text):
    assert all(piece.kind == "same" for piece in compare_words(text, text))
    assert as_wdiff(compare_words(text, text)) == visible(text)


@given(st.text(), st.text())
@example(NASTY, NASTY[::-1])
@example("", "-- ,, '' ``")
def test_latex_of_any_answer_is_ascii_on_one_line_with_balanced_braces(gold, said):
    tex = as_tex(compare_words(gold, said))
    assert re.fullmatch(r"[ -~]*", tex)
    depth = 0
    for match in re.finditer(r"\\.|[{}]", tex):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        assert depth >= 0
    assert depth == 0


@pytest.mark.parametrize(
    ("gold", "said", "wdiff", "tex"),
    [
        ("the red house", "the red house", "the red house", "the red house"),
        ("the red house", "the blue house", "the [-red-] {+blue+} house", r"the \textbf{blue} house"),
        ("the red house", "the house", "the [-red-] house", r"the{\tiny$\wedge$} house"),
        ("the house", "the red house", "the {+red+} house", r"the \textbf{red} house"),
        ("a8f3c9d1", "a8f3zz", "a8f3[-c9d1-]{+zz+}", r"a8f3\allowbreak{}\textbf{zz}"),
        ("a8f3c9d1", "a8f3", "a8f3[-c9d1-]", r"a8f3{\tiny$\wedge$}"),
        ("red", "rod", "[-red-]{+rod+}", r"\textbf{rod}"),
        ("", "", "", ""),
    ],
)
def test_marks(gold, said, wdiff, tex):
    pieces = compare_words(gold, said)
    assert (as_wdiff(pieces), as_tex(pieces)) == (wdiff, tex)


def test_a_long_answer_is_cut_between_words_and_a_long_word_within():
    words = plain_tex("word " * 100)
    assert words.endswith(r"word\,\ldots{}") and len(words) < SHOWN + 20
    chunks = plain_tex("x" * 1000)
    assert chunks.endswith(r"\,\ldots{}") and chunks.count(r"\allowbreak") == SHOWN // 20 - 1
    assert plain_tex("x" * SHOWN).count("x") == SHOWN


@pytest.mark.parametrize(("text", "shown"), [("a\n\tb", "a b"), ("a\x1b[2J", "aU+001B[2J"), ("\ud800", "U+D800")])
def test_what_cannot_be_seen_is_shown_by_its_code(text, shown):
    assert visible(text) == shown
