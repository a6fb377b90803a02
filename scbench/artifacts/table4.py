"""Table 4: every method of the main models in the four categories and on average, in both modes (paper, Section 4).

The main models are all of the study's unless it names them (`board.read_board`). A row per method, grouped by model,
the rows without context at the bottom; in percent, with half of the width of the 95 % interval beside each number. The
.csv twin holds each row once per scoring profile, the study's own first, with the interval of each number, the turns
behind it, how it compares with full attention, and the cells that are missing.
"""

from pathlib import Path

import pandas as pd

from scbench import stats
from scbench.artifacts.board import MODE_TITLES, Board, Line
from scbench.artifacts.compared import compare, groups, marks
from scbench.artifacts.lacking import is_lacking, lacking, write_both, write_lacking
from scbench.artifacts.latex import render
from scbench.artifacts.paging import pages
from scbench.artifacts.scored import left_out
from scbench.artifacts.stamp import Stamp
from scbench.study import FLOOR, ITSELF
from scbench.tasks import TASKS

HEADS = {"string": "RS", "semantic": "RSem", "global": "Global", "multi": "MT", "average": "AVG"}
ABBREVIATIONS = (
    "RS: string retrieval. RSem: semantic retrieval. Global: global information. MT: multi-tasking. AVG: their "
    "unweighted mean"
)
LEGEND = f"Mean scores in percent. {ABBREVIATIONS}"
NO_SCORES = "There is not one score of the models of this table"


def frame(scores: pd.DataFrame, board: Board) -> pd.DataFrame:
    """As `category_frame`, of the main models."""
    return category_frame(scores, board.of(board.main_models))


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.tex`, to be read by \\input, and `<out>.csv`."""
    return write_categories(frame, board.of(board.main_models), stamp, out)


def category_frame(scores: pd.DataFrame, board: Board) -> pd.DataFrame:
    """A row for each profile and line of `board`, with the fields of `compare` for the categories and the average.

    `<mode>_near_floor`, of full attention's rows alone: the tasks on which it stands less than `stats.FLOOR_POINTS`
    above the question asked without its context. Without a score of these models the frame is `lacking`.
    """
    scores = scores[scores["model"].isin({line.model for line in board.lines})]
    if scores.empty:
        return lacking(board, NO_SCORES)
    near_floor = {profile: _near_floor(scores, profile) for profile in board.profiles}
    baselines = {line.label for line in board.lines if line.baseline}
    columns = {column: stats.WEIGHTS[column] for column in HEADS}
    rows = compare(scores, board, board.modes, columns)
    for row in rows:
        for mode in board.modes:
            flagged = near_floor[row["profile"]].get((row["model"], mode), "")
            row[f"{mode}_near_floor"] = flagged if row["method"] in baselines else ""
    return pd.DataFrame(rows)


def write_categories(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.tex` by the template of the artifact, and `<out>.csv`."""
    if is_lacking(frame):
        return write_lacking(frame, stamp, out)
    shown = frame[frame["profile"] == board.profile].reset_index(drop=True)
    rows = list(zip(board.lines, shown.to_dict("records"), strict=True))
    names = [f"{mode}_{column}" for mode in board.modes for column in HEADS]
    notes = [LEGEND, *marks(rows, names), *board.caveats, *_notes(rows, board)]
    text = render(
        f"{stamp.name}.tex.j2",
        {
            "stamp": stamp,
            "heads": list(HEADS.values()),
            "modes": [_span(mode, number) for number, mode in enumerate(board.modes)],
            "pages": pages(groups(rows, board, names)),
            "notes": notes,
        },
    )
    return write_both(text, frame, out)


def _near_floor(scores: pd.DataFrame, profile: str) -> dict[tuple[str, str], str]:
    """(model, mode) -> titles of the tasks on which full attention hardly beats the question without its context."""
    compared = scores[scores["method"].isin([ITSELF, FLOOR]) & scores[f"score_{profile}"].notna()]
    if compared.empty:
        return {}
    flagged = stats.floors(compared, profile, full=ITSELF, floor=FLOOR).query("flagged == True")
    titles = flagged.assign(title=flagged["task"].map(lambda task: TASKS[task].title))
    return titles.groupby(["model", "mode"], sort=False)["title"].agg(", ".join).to_dict()


def _span(mode: str, number: int) -> dict:
    first = 3 + number * len(HEADS)
    return {"title": MODE_TITLES[mode], "first": first, "last": first + len(HEADS) - 1}


def _notes(rows: list[tuple[Line, dict]], board: Board) -> list[str]:
    several = len({line.model for line in board.lines}) > 1
    notes: list[str] = []
    if outside := left_out(board):
        notes.append(f"Not part of this study, so that their categories have no score: {', '.join(outside)}")
    for line, row in rows:
        for mode in board.modes:
            if row[f"{mode}_missing"]:
                where = f"{line.model_title}, " if several and line.title != line.model_title else ""
                notes.append(f"Missing: {where}{line.title}, {MODE_TITLES[mode].lower()}: {row[f'{mode}_missing']}")
            if row[f"{mode}_near_floor"]:
                where = f" of {line.model_title}" if several else ""
                notes.append(
                    f"{line.title}{where} is less than {stats.FLOOR_POINTS:g} points above the row without context, "
                    f"{MODE_TITLES[mode].lower()}: {row[f'{mode}_near_floor']}"
                )
    return notes
