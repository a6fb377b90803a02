"""Tables in a terminal, from their .csv twins."""

from pathlib import Path

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from scbench.artifacts.board import MODE_TITLES
from scbench.artifacts.table4 import HEADS
from scbench.errors import UserError
from scbench.stats import FLOOR_POINTS

WIDTH = 7  # characters a score takes; one less where the terminal is narrow
WIDE = 112  # characters from which on the budgets fit beside two modes
BESIDE = ("_low", "_high", "_n", "_p", "_best")  # what a table of scores has beside each number
TEXTS = (
    "model",
    "method",
    "title",
    "budget",
    "description",
    "capability",
    "multi_turn_missing",
    "multi_request_missing",
    "multi_turn_near_floor",
    "multi_request_near_floor",
)


def read_twin(path: str | Path) -> pd.DataFrame:
    """The .csv twin at `path`, absent texts as "". Raises UserError when it cannot be read or has no rows."""
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise UserError(f"{path}: not the .csv file of a table ({problem}); build the table again") from error
    if "study" not in frame or frame.empty:
        raise UserError(f"{path}: not the .csv file of a table (no column 'study', or no rows); build the table again")
    return frame.fillna({name: "" for name in TEXTS if name in frame})


def as_table(frame: pd.DataFrame, width: int = WIDE) -> Table:
    """A terminal table of `read_twin`'s frame: scores by method, category and mode, or the columns as they are.

    width: characters of the terminal; below `WIDE` the budgets are left out.
    """
    averages = any(f"{mode}_average" in frame for mode in MODE_TITLES)
    return _scores(frame, width >= WIDE) if averages else _plain(frame)


def _scores(frame: pd.DataFrame, wide: bool) -> Table:
    each = _width(wide)
    shown = frame[frame["profile"] == frame["profile"].iloc[0]]
    modes = [mode for mode in MODE_TITLES if f"{mode}_average" in shown]
    caption = _caption(shown, modes)
    padding = (0, 1) if wide else 0
    table = Table(box=box.HORIZONTALS, padding=padding, caption=caption, caption_justify="left", caption_style="dim")
    table.add_column("Method", no_wrap=True)
    if wide:
        table.add_column("Budget", no_wrap=True)
    # The line between columns stands before the first: in a narrow terminal a character that names need.
    heads = "".join((head if wide else head[:4]).rjust(each) for head in HEADS.values())[not wide :]
    for mode in modes:
        table.add_column(f"{MODE_TITLES[mode].center(len(heads))}\n{heads}", no_wrap=True)
    several = shown["model"].nunique() > 1
    previous = None
    for row in shown.sort_values("floor", kind="stable").to_dict("records"):
        section = "floor" if row["floor"] else row["model"]
        if section != previous and previous is not None:
            table.add_section()
        if section != previous and several and not row["floor"]:
            table.add_row(Text(row["model"], style="italic"))
        previous = section
        name = f"{row['title']}, {row['model']}" if several and row["floor"] else row["title"]
        budget = [Text(str(row["budget"]))] if wide else []
        cells = [_cells(row, mode, wide) for mode in modes]
        table.add_row(Text(name), *budget, *cells, style="dim" if row["floor"] else None)
    return table


def _cells(row: dict, mode: str, wide: bool) -> Text:
    text, width = Text(), _width(wide)
    for column in HEADS:
        value = row[f"{mode}_{column}"]
        shown = "–" if pd.isna(value) else f"{value:.1f}"
        text.append(shown.rjust(width), style="bold" if column == "average" and not row["floor"] else "")
    return text if wide else text[1:]


def _width(wide: bool) -> int:
    return WIDTH if wide else WIDTH - 1


def _caption(shown: pd.DataFrame, modes: list[str]) -> Text:
    turns = int(max(shown[f"{mode}_average_n"].max() for mode in modes))
    models = ", ".join(shown["model"].unique())
    lines = [
        f"Study {shown['study'].iloc[0]} on {models}, {shown['profile'].iloc[0]} scoring, n = {turns:,} turns a mode; %"
    ]
    averages = shown[[f"{mode}_average" for mode in modes]]
    if averages.isna().all(axis=None) and not any(shown[f"{mode}_missing"].any() for mode in modes):
        lines.append("–: a category needs all of its tasks, and this study leaves some out")
    for row in shown.to_dict("records"):
        for mode in modes:
            if row[f"{mode}_missing"]:
                lines.append(f"Missing: {row['title']}, {MODE_TITLES[mode].lower()}: {row[f'{mode}_missing']}")
            if near := row.get(f"{mode}_near_floor"):
                lines.append(f"Less than {FLOOR_POINTS:g} points above no context, {MODE_TITLES[mode].lower()}: {near}")
    return Text("\n".join(lines))


def _plain(frame: pd.DataFrame) -> Table:
    if "profile" in frame:
        frame = frame[frame["profile"] == frame["profile"].iloc[0]]
    columns = [name for name in frame.columns if name not in ("study", "profile") and not name.endswith(BESIDE)]
    table = Table(box=box.HORIZONTALS, caption=Text(f"Study {frame['study'].iloc[0]}"), caption_style="dim")
    for name in columns:
        numbers = pd.api.types.is_numeric_dtype(frame[name])
        table.add_column(name.replace("_", " "), justify="right" if numbers else "left")
    for row in frame.to_dict("records"):
        table.add_row(*(_plain_cell(row[name]) for name in columns))
    return table


def _plain_cell(value: object) -> Text:
    if isinstance(value, float):
        return Text("–" if pd.isna(value) else f"{value:,.1f}")
    return Text(f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value))
