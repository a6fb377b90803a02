"""Reads the score files of a study with the answers that were scored, for tables that show answers."""

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from scbench.artifacts.board import Board
from scbench.artifacts.scored import COLUMNS, read_scores


def read_answers(paths: Iterable[str | Path], board: Board) -> pd.DataFrame:
    """As `scored.read_scores`, with `prediction` (text) and `golds` (a tuple of accepted answers) of each turn."""
    answers = read_scores(paths, board, (*COLUMNS, "prediction", "golds"))
    return answers.assign(golds=[tuple(json.loads(golds)) for golds in answers["golds"]])
