"""Reads the scores of a study, and those of its full attention asked anew with quirks of the published prompts."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scbench.artifacts.board import Line, read_board
from scbench.artifacts.scored import read_scores, study_in
from scbench.quirks import PromptQuirk, switched_on
from scbench.study import Study, quirk_twins


@dataclass(frozen=True)
class Anew:
    """Full attention of one model, asked with `quirk` switched on.

    line: its row in the study. scores: the scored turns of the cells that the quirk touches, as far as they are there.
    sessions: (task, mode) of these cells -> the sessions that each covers when it is complete.
    """

    quirk: PromptQuirk
    line: Line
    scores: pd.DataFrame
    sessions: Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class Asked:
    """The scored turns of a study, and what was asked anew beside it."""

    scores: pd.DataFrame
    anew: tuple[Anew, ...] = ()


def read_asked(paths: Iterable[str | Path], study: Study) -> Asked:
    """The scored turns of `study` and of the studies beside it that switch quirks on (`scbench.study.quirk_twins`).

    Raises UserError as `scored.read_scores` does.
    """
    others = {other.name: other for other in quirk_twins(study)}
    files: dict[str, list[str | Path]] = defaultdict(list)
    for path in paths:
        name = study_in(path)
        files[name if name in others else study.name].append(path)
    scores = read_scores(files[study.name], read_board(study))
    anew = []
    for name, other in others.items():
        board = read_board(other)
        found = read_scores(files[name], board) if files[name] else scores[:0]
        for quirk in switched_on(other.prompts):
            cells = {
                (task, mode): count
                for task, count in board.sessions.items()
                for mode in board.modes
                if quirk.touches(task, mode)
            }
            own = [cell in cells for cell in zip(found["task"], found["mode"], strict=True)]
            # From here on they are two runs of one study.
            anew.append(Anew(quirk, board.lines[0], found.loc[own].assign(study=study.name), cells))
    return Asked(scores, tuple(anew))
