"""Reads the scores of a study under both histories: its own, and those of its twin (`scbench.study.twin`)."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from scbench.artifacts.board import read_board
from scbench.artifacts.scored import read_scores, study_in
from scbench.study import Study, twin


def read_histories(paths: Iterable[str | Path], study: Study) -> dict[str, pd.DataFrame]:
    """History -> the scored multi-turn turns of `study` under it; a history without a file is left out.

    Where the twin ran on fewer sessions, these alone are kept of the others.

    Raises UserError as `scored.read_scores` does.
    """
    other = twin(study)
    studies = {found.name: found for found in (study, other) if found}
    files: dict[str, list[str | Path]] = {}
    for path in paths:
        name = study_in(path)
        files.setdefault(name if name in studies else study.name, []).append(path)
    scores = {studies[name].history: read_scores(own, read_board(studies[name])) for name, own in files.items()}
    if other and other.history in scores:
        asked = scores[other.history][["task", "session"]].drop_duplicates()
        scores = {history: own.merge(asked, on=["task", "session"]) for history, own in scores.items()}
    # From here on they are two runs of one study.
    return {history: own[own["mode"] == "multi_turn"].assign(study=study.name) for history, own in scores.items()}
