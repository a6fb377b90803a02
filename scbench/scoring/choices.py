"""Multiple choice: En.MultiChoice (text and letter are known) and ICL.ManyShot (letters only)."""

import re
import string
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from scbench.errors import UserError
from scbench.quirks import CHARACTERS, CHOICE_PARSER, Quirk
from scbench.scoring.letters import bracketed_letter, chosen_letter
from scbench.scoring.metric import Metric

_PUBLISHED_LETTERS = "ABCD"
_PUBLISHED_CUES = ("answer is:", "answer:", "answer is", "option is")
_PUBLISHED_BLANKS = str.maketrans(dict.fromkeys("\n\"'.,?!{}", " "))
# The largest of the three many-shot sets has seven options.
_MANY_SHOT_LETTERS = "ABCDEFG"


def _choice_published(prediction: str, golds: Sequence[str]) -> float:
    """The published parser. golds = (text of the right option, its letter).

    Any answer that begins with A, B, C or D is taken for that letter ("Based on ..." is B, "A man" is A), lower-case
    and bracketed letters are not seen, and the first cue found decides even where nothing readable follows it.
    """
    text = prediction.strip()
    if not text:
        return 0.0
    if text[0] in _PUBLISHED_LETTERS:
        return float(text[0] in golds)
    if text in golds:
        return 1.0
    text = re.sub(" {2,}", " ", text.translate(_PUBLISHED_BLANKS))
    for cue in _PUBLISHED_CUES:
        place = text.find(cue)
        if place >= 0:
            after = text[place + len(cue) + 1 :]
            return float(bool(after) and any(after.startswith(gold) for gold in golds))
    first = next((word for word in text.split() if word in _PUBLISHED_LETTERS), None)
    return float(first is not None and first in golds)


def _choice(prediction: str, golds: Sequence[str], meta: Mapping[str, Any], quirks: Collection[Quirk]) -> float:
    """1 if the option that the answer chooses is the right one; golds = (text of the right option, its letter)."""
    if CHOICE_PARSER in quirks:
        return _choice_published(prediction, golds)
    text, letter = golds[0], golds[-1].upper()
    given = meta.get("options") or ()
    letters = string.ascii_uppercase[: max(len(given), len(_PUBLISHED_LETTERS))]
    if letter not in letters:
        raise UserError(
            f"en_multichoice: gold letter {golds[-1]!r} is none of {', '.join(letters)}; "
            "write `golds` as the right option's text followed by its letter"
        )
    options = dict.fromkeys(letters, "")
    options |= dict(zip(letters, given, strict=False)) if given else {letter: "" if text == golds[-1] else text}
    return float(chosen_letter(prediction, options) == letter)


def _many_shot(prediction: str, golds: Sequence[str], meta: Mapping[str, Any], quirks: Collection[Quirk]) -> float:
    """1 if the first option letter of the answer is the gold; "(C)" goes before a bare "C".

    Brackets go first because the examples' answers are bracketed, and a continuation may repeat their lead "A:".
    With CHARACTERS, 1 if the letter occurs anywhere, in either case: "Answer: (C)" is right for A as well.
    """
    if CHARACTERS in quirks:
        upper = prediction.strip().upper()
        return float(any(char.upper() in upper for gold in golds for char in gold))
    if any(gold not in _MANY_SHOT_LETTERS or len(gold) != 1 for gold in golds):
        raise UserError(
            f"icl_manyshot: gold answers {list(golds)} are not letters from A to G; write the bare letter in `golds`"
        )
    letter = bracketed_letter(prediction, _MANY_SHOT_LETTERS)
    return float((letter or chosen_letter(prediction, dict.fromkeys(_MANY_SHOT_LETTERS, ""))) in golds)


CHOICE = Metric("choice", _choice, (CHOICE_PARSER,))
MANY_SHOT = Metric("letter", _many_shot, (CHARACTERS,))
