"""Figure 3: (a) accuracy request by request in multi-turn sessions, (b) capabilities in both modes (paper, Section 1).

Methods are coloured by the class of their KV memory while decoding: O(n) cool and solid, below O(n) warm and dashed,
grey where nothing states it, as of models that are their own method.
Where a study has several models, a method is averaged over them. Panel (a) leaves the mixed tasks out: their turns
change between two kinds of question, so that their scores over turns show the questions and not the method.
"""

import math
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scbench import stats
from scbench.artifacts.board import MODE_TITLES, Board
from scbench.artifacts.curves import draw_curves
from scbench.artifacts.drawing import (
    LINEAR,
    SUBLINEAR,
    UNSTATED,
    WIDTH,
    add_axes,
    named,
    names_height,
    names_width,
    notes_height,
    pens,
    wrap,
    write_at,
    write_figure,
    write_notes,
)
from scbench.artifacts.radar import draw_radar
from scbench.artifacts.scored import holes, missing_text
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.turns import gaps, turn_points
from scbench.tasks import TASKS

COLUMNS = [
    *("study", "profile", "method", "title", "memory", "panel", "mode", "category", "turn"),
    *("score", "low", "high", "n", "missing"),
]
SPOKES = {"string": "String", "semantic": "Semantic", "global": "Global", "multi": "Multi-task"}
BANDS = (
    "Bands: 95 % intervals over sessions; markers that would cover each other stand side by side. Panel (a) leaves out "
    "the mixed tasks, whose turns change between two kinds of question."
)
LEFT, NARROWEST, RADAR, SPOKE = 0.46, 1.6, 1.72, 0.55  # inches: of panel (a), of the radar and of a name beside it


def frame(scores: pd.DataFrame, board: Board) -> pd.DataFrame:
    """A row for each profile, method and point of panel `requests` (turn) or `capabilities` (mode, category).

    score, low, high in percent (intervals in `requests` alone), n the turns behind it, missing the cells it lacks.
    """
    gaps = holes(scores, board)
    rows = []
    for profile in board.profiles:
        for panel in (_requests(scores, board, profile), _capabilities(scores, board, profile)):
            for row in panel:
                lines = board.groups[row["method"]]
                where = [(line, missing_text(gaps, line, row["mode"], board)) for line in lines]
                texts = [f"{line.model_title}: {text}" if len(lines) > 1 else text for line, text in where if text]
                known = {"study": board.study, "profile": profile, "method": row["method"], "title": lines[0].title}
                rows.append(known | {"memory": lines[0].memory} | row | {"missing": "; ".join(texts)})
    return pd.DataFrame(rows, columns=COLUMNS).astype({"turn": "Int64", "n": "int64"})


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.pdf`, `<out>.png` and `<out>.csv`."""
    return write_figure(lambda: draw(frame[frame["profile"] == board.profile], board, stamp), frame, stamp, out)


def draw(shown: pd.DataFrame, board: Board, stamp: Stamp) -> Figure:
    """Both panels from one profile's rows of `frame`."""
    kinds = {group: lines[0].kind for group, lines in board.groups.items()}
    drawn = pens(kinds.items())
    requests = shown[shown["panel"] == "requests"]
    known = set(requests.dropna(subset="score")["method"])
    titles = named({group: lines[0].title for group, lines in board.groups.items()}, known)
    notes = wrap([BANDS, *board.footer, *gaps(shown), stamp.line])
    base = notes_height(notes) + 0.7  # inches below the panels
    high = names_height(len(titles), least=2.4)
    # The radar with the names of its spokes on both sides.
    rest = names_width(titles.values()) + RADAR + 2 * SPOKE
    wide = max(NARROWEST, WIDTH - LEFT - rest)
    width = LEFT + wide + rest
    figure = Figure(figsize=(width, base + high + 0.45))

    left = add_axes(figure, LEFT, base, wide, high)
    draw_curves(left, requests, drawn, titles)
    left.set(xlabel="Request in the session", ylabel="Mean score (%)")
    write_at(figure, LEFT, base + high + 0.25, "(a) Multi-turn, request by request", fontsize=9, fontweight="bold")

    start = width - RADAR - SPOKE
    right = add_axes(figure, start, base + (high - RADAR) / 2 - 0.1, RADAR, RADAR, projection="polar")
    modes = {mode: MODE_TITLES[mode] for mode in board.modes}
    draw_radar(right, shown[shown["panel"] == "capabilities"], drawn, modes, SPOKES)
    write_at(figure, start - SPOKE + 0.1, base + high + 0.25, "(b) Capabilities", fontsize=9, fontweight="bold")

    classes = [(LINEAR, "KV memory while decoding O(n)"), (SUBLINEAR, "below O(n)")]
    if "unstated" in kinds.values():
        classes.append((UNSTATED, "not stated"))
    figure.legend(
        handles=[Line2D([], [], color=pen.color, linestyle=pen.linestyle, label=label) for pen, label in classes],
        loc="center left",
        bbox_to_anchor=(LEFT / width, (base - 0.48) / figure.get_size_inches()[1]),
        borderpad=0,
        borderaxespad=0,
        ncols=len(classes),
        frameon=False,
        fontsize=8,
    )
    write_notes(figure, LEFT, notes)
    return figure


def _requests(scores: pd.DataFrame, board: Board, profile: str) -> list[dict]:
    """Each method's mean over its models and the tasks that ask one kind of question, turn by turn."""
    tasks = [task for task in board.sessions if len(TASKS[task].subtasks) == 1]
    points = turn_points(scores, board, profile, {"requests": tasks})
    return [{"mode": "multi_turn", "category": ""} | point for point in points]


def _capabilities(scores: pd.DataFrame, board: Board, profile: str) -> list[dict]:
    """Each method's mean over its models in each category and mode."""
    keys = [*stats.RUN, "category"]
    values = stats.per_category(scores, profile).set_index(keys)["score"].to_dict()
    category_of = {task: category for category, tasks in stats.CATEGORIES.items() for task in tasks}
    scored = scores[scores[f"score_{profile}"].notna()]
    count = scored.assign(category=scored["task"].map(category_of)).groupby(keys).size().to_dict()
    rows = []
    for group, lines in board.groups.items():
        for mode in board.modes:
            for category in SPOKES:
                cells = [(board.study, line.model, line.label, mode, category) for line in lines]
                rows.append(
                    {
                        "panel": "capabilities",
                        "method": group,
                        "mode": mode,
                        "category": category,
                        "score": sum(values.get(cell, math.nan) for cell in cells) / len(cells),
                        "n": sum(count.get(cell, 0) for cell in cells),
                    }
                )
    return rows
