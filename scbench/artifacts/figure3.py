"""Figure 3: (a) accuracy request by request in multi-turn sessions, (b) capabilities in both modes (paper, Section 1).

Methods are coloured by the class of their KV memory while decoding: O(n) cool and solid, below O(n) warm and dashed,
grey where nothing states it, as of models that are their own method.
Where a study has several models, a method is averaged over them. Panel (a) leaves the mixed tasks out: their turns
change between two kinds of question, so that their scores over turns show the questions and not the method.
"""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scbench import stats
from scbench.artifacts.board import MODE_TITLES, Board
from scbench.artifacts.curves import draw_curves
from scbench.artifacts.drawing import LINEAR, SOFT, SUBLINEAR, UNSTATED, add_axes, pens, save, style, wrap, write_at
from scbench.artifacts.radar import draw_radar
from scbench.artifacts.scored import holes, missing_text
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.turns import gaps, turn_points
from scbench.artifacts.twin import csv_text
from scbench.canonical import write_atomically
from scbench.tasks import TASKS

COLUMNS = [
    *("study", "profile", "method", "title", "memory", "panel", "mode", "category", "turn"),
    *("score", "low", "high", "n", "missing"),
]
SPOKES = {"string": "String", "semantic": "Semantic", "global": "Global", "multi": "Multi-task"}
BANDS = (
    "Bands: 95 % intervals over sessions. Panel (a) leaves out the mixed tasks, whose turns change between "
    "two kinds of question."
)
WIDTH, NOTE_HEIGHT = 7.8, 0.125  # inches


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
    with style():
        paths = save(draw(frame[frame["profile"] == board.profile], board, stamp), stamp, out)
    paths.append(out.with_suffix(".csv"))
    write_atomically(paths[-1], csv_text(frame))
    return paths


def draw(shown: pd.DataFrame, board: Board, stamp: Stamp) -> Figure:
    """Both panels from one profile's rows of `frame`."""
    notes = wrap([BANDS, *(f"{caveat}." for caveat in board.caveats), *gaps(shown), stamp.line])
    base = 0.62 + NOTE_HEIGHT * len(notes)  # inches below the panels
    figure = Figure(figsize=(WIDTH, base + 3.0))
    kinds = {group: lines[0].kind for group, lines in board.groups.items()}
    drawn = pens(kinds.items())
    titles = {group: lines[0].title for group, lines in board.groups.items()}

    left = add_axes(figure, 0.46, base + 0.18, 2.6, 2.35)
    draw_curves(left, shown[shown["panel"] == "requests"], drawn, titles)
    left.set(xlabel="Request in the session", ylabel="Mean score (%)")
    write_at(figure, 0.46, base + 2.78, "(a) Multi-turn, request by request", fontsize=9, fontweight="bold")

    right = add_axes(figure, 5.0, base + 0.0, 2.15, 2.15, projection="polar")
    modes = {mode: MODE_TITLES[mode] for mode in board.modes}
    draw_radar(right, shown[shown["panel"] == "capabilities"], drawn, modes, SPOKES)
    write_at(figure, 4.4, base + 2.78, "(b) Capabilities", fontsize=9, fontweight="bold")

    classes = [(LINEAR, "KV memory while decoding O(n)"), (SUBLINEAR, "below O(n)")]
    if "unstated" in kinds.values():
        classes.append((UNSTATED, "not stated"))
    figure.legend(
        handles=[Line2D([], [], color=pen.color, linestyle=pen.linestyle, label=label) for pen, label in classes],
        loc="center left",
        bbox_to_anchor=(0.46 / WIDTH, (base - 0.42) / (base + 3.0)),
        borderpad=0,
        borderaxespad=0,
        ncols=len(classes),
        frameon=False,
        fontsize=8,
    )
    for number, text in enumerate(reversed(notes)):
        write_at(figure, 0.46, 0.08 + NOTE_HEIGHT * number, text, fontsize=6.5, color=SOFT)
    return figure


def _requests(scores: pd.DataFrame, board: Board, profile: str) -> list[dict]:
    """Each method's mean over its models and the tasks that ask one kind of question, turn by turn."""
    tasks = [task for task in board.sessions if len(TASKS[task].subtasks) == 1]
    points = turn_points(scores, board, profile, {"requests": tasks})
    return [{"mode": "multi_turn", "category": ""} | point for point in points]


def _capabilities(scores: pd.DataFrame, board: Board, profile: str) -> list[dict]:
    """Each method's mean over its models in each category and mode."""
    keys = ["model", "method", "mode", "category"]
    values = stats.per_category(scores, profile).set_index(keys)["score"]
    category_of = {task: category for category, tasks in stats.CATEGORIES.items() for task in tasks}
    scored = scores[scores[f"score_{profile}"].notna()]
    count = scored.assign(category=scored["task"].map(category_of)).groupby(keys).size()
    rows = []
    for group, lines in board.groups.items():
        for mode in board.modes:
            for category in SPOKES:
                cells = [(line.model, line.label, mode, category) for line in lines]
                rows.append(
                    {
                        "panel": "capabilities",
                        "method": group,
                        "mode": mode,
                        "category": category,
                        "score": values.reindex(cells).mean(skipna=False),
                        "n": int(count.reindex(cells).sum()),
                    }
                )
    return rows
