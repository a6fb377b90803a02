"""LaTeX from jinja2 templates in which every value is escaped unless it says that it is LaTeX already.

The output is plain ASCII, so that a table compiles under every engine and input encoding, whatever a study, a method or
a prediction is called.
"""

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Any

import jinja2

from scbench.artifacts import TEMPLATES

MISSING = "--"  # an en dash: a value that does not exist, which is not the value 0

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # A bracket after a row's `\\` would be read as its optional argument.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "\N{NO-BREAK SPACE}": "~",
    "\N{EN DASH}": r"\textendash{}",
    "\N{EM DASH}": r"\textemdash{}",
    "\N{LEFT SINGLE QUOTATION MARK}": "`",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": "``",
    "\N{RIGHT DOUBLE QUOTATION MARK}": "''",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
    "\N{MIDDLE DOT}": r"\textperiodcentered{}",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{MINUS SIGN}": "$-$",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\le$",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\ge$",
    "\N{RIGHTWARDS ARROW}": r"$\rightarrow$",
    "\N{GREEK SMALL LETTER TAU}": r"$\tau$",
    "\N{LATIN SMALL LETTER SHARP S}": r"\ss{}",
}
_ACCENTS = {
    "\N{COMBINING GRAVE ACCENT}": r"\`",
    "\N{COMBINING ACUTE ACCENT}": r"\'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": r"\^",
    "\N{COMBINING TILDE}": r"\~",
    "\N{COMBINING DIAERESIS}": r"\"",
    "\N{COMBINING RING ABOVE}": r"\r",
    "\N{COMBINING CARON}": r"\v",
    "\N{COMBINING CEDILLA}": r"\c",
    "\N{COMBINING MACRON}": r"\=",
}
_LIGATURE_HEADS, _LIGATURE_TAILS = set("-`'?!,"), set("-`',")
NO_LIGATURE = r"{\kern0pt}"  # LuaTeX joins signs over an empty group


class Tex(str):
    """Text that is LaTeX already: a template writes it as it is."""

    __slots__ = ()


def escape(text: str) -> Tex:
    """`text` as LaTeX that typesets it: printable ASCII only, no line break, no active character, no ligature.

    Accented Latin letters become accent commands; a character that a default LaTeX cannot set appears as `U+XXXX`.
    """
    pieces: list[str] = []
    previous = ""
    for character in text:
        if previous in _LIGATURE_HEADS and character in _LIGATURE_TAILS:
            pieces.append(NO_LIGATURE)
        pieces.append(_escape_character(character))
        previous = character
    return Tex("".join(pieces))


def _escape_character(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character.isascii():
        return character if character.isprintable() else " "
    base, *marks = unicodedata.normalize("NFD", character)
    if len(marks) == 1 and marks[0] in _ACCENTS and base.isascii() and base.isalpha():
        return f"{_ACCENTS[marks[0]]}{{{base}}}"
    return rf"\texttt{{U+{ord(character):04X}}}"


def with_characters(tex: str) -> str:
    """`tex` with each character that `escape` could not set as \\character{<its number in hexadecimal digits>}.

    For a document that defines that command because it has more fonts than a default LaTeX.
    """
    return re.sub(r"\\texttt\{U\+([0-9A-F]{4,6})\}", r"\\character{\1}", tex)


def render(template: str, values: Mapping[str, Any]) -> str:
    """Fill `resources/templates/<template>` with `values`; everything but `Tex` is escaped on its way in."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> jinja2.Environment:
    # Jinja's own delimiters are braces and percent signs, which LaTeX is full of.
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        block_start_string="((*",
        block_end_string="*))",
        variable_start_string="(((",
        variable_end_string=")))",
        comment_start_string="((=",
        comment_end_string="=))",
        finalize=lambda value: value if isinstance(value, Tex) else escape(str(value)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
