"""Table 10: every method of the study's further models in the four categories and on average, in both modes (appendix).

As Table 4, for the models that `board.read_board` puts here; a study with one model has none.
"""

from pathlib import Path

import pandas as pd

from scbench.artifacts.board import Board
from scbench.artifacts.lacking import lacking
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.table4 import category_frame, write_categories

NO_FURTHER = "This study has no further model: Table 4 shows all of its models"


def frame(scores: pd.DataFrame, board: Board) -> pd.DataFrame:
    """As `table4.category_frame`, of the further models."""
    if not board.other_models:
        return lacking(board, NO_FURTHER)
    return category_frame(scores, board.of(board.other_models))


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.tex`, to be read by \\input, and `<out>.csv`."""
    return write_categories(frame, board.of(board.other_models), stamp, out)
