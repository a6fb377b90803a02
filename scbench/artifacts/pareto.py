"""Accuracy beside what it costs: resident KV bytes, KV bytes read for each token that is decoded, seconds a turn.

Bytes are shares of full attention's in the same cells, so that precision and model cancel. In a run that shares
prefills between methods seconds belong to no single one: they are those of the study's latencies, where each method ran
alone (scripts/measure_latency.py), and are left out where these were not measured.
"""

import math
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scbench import intervals, stats
from scbench.artifacts.board import MODE_TITLES, Board, Line
from scbench.artifacts.compared import column_interval
from scbench.artifacts.drawing import (
    FAINT,
    WIDTH,
    Pen,
    add_axes,
    name_beside,
    named,
    names_height,
    names_width,
    notes_height,
    pens,
    plain_grid,
    sidestep,
    wrap,
    write_at,
    write_figure,
    write_notes,
)
from scbench.artifacts.scored import holes, left_out, missing_text
from scbench.artifacts.stamp import Stamp
from scbench.artifacts.timed import COMMAND, read_timed
from scbench.artifacts.turns import gaps

COLUMNS = ["study", "profile", "method", "title", "budget", "mode"]
COLUMNS += ["score", "low", "high", "resident", "read", "seconds", "n", "missing"]
PANELS = {"resident": "Resident KV", "read": "KV read per decoded token", "seconds": "Seconds per turn"}
TIMED_MODE = "multi_turn"
MARKS = (
    "Bars: 95 % intervals over sessions. The broad line joins what nothing beats in both respects. Markers that would "
    "cover each other stand side by side, at the end of a thin line from their true place."
)
LEFT, GAP, NARROWEST, WIDEST, SIZE = 0.5, 0.3, 1.3, 2.6, 4.2  # inches, and points of a marker
ABOVE, BELOW = 0.45, 0.5  # inches of a row of panels: its titles, its ticks and labels


def frame(scores: pd.DataFrame, board: Board) -> pd.DataFrame:
    """A row for each profile, mode and method but the floor, averaged over its models.

    score, low, high: the average of Table 4, or the mean of the study's tasks where it leaves some out, in percent.
    resident, read: KV bytes as shares of full attention's; seconds: a turn's, as measured alone, in multi-turn alone.
    n: turns. missing: the cells that it lacks.
    """
    missing = holes(scores, board)
    weights = _weights(board)
    seconds = _seconds(board)
    costs = {mode: _costs(scores[scores["mode"] == mode], board) for mode in board.modes}
    rows = []
    for profile in board.profiles:
        samples = intervals.samples(scores, profile)
        for mode in board.modes:
            for group, lines in board.groups.items():
                if lines[0].floor:
                    continue
                texts = [missing_text(missing, line, mode, board) for line in lines]
                known = {"study": board.study, "profile": profile, "method": group, "title": lines[0].title}
                known |= {"budget": lines[0].budget, "mode": mode, "missing": "; ".join(filter(None, texts))}
                known |= {"seconds": seconds[group] if mode == TIMED_MODE else math.nan}
                rows.append(known | _score(samples, board, lines, mode, weights)._asdict() | costs[mode][group])
    return pd.DataFrame(rows, columns=COLUMNS)


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.pdf`, `<out>.png` and `<out>.csv`."""
    return write_figure(lambda: _draw(frame[frame["profile"] == board.profile], board, stamp), frame, stamp, out)


def frontier(points: pd.DataFrame, cost: str) -> pd.DataFrame:
    """The rows of `points` that no other beats in `score` at the same or a lower `cost`, cheapest first."""
    best, kept = -math.inf, []
    known = points.dropna(subset=[cost, "score"]).sort_values([cost, "score"], ascending=[True, False])
    for index, score in known["score"].items():
        if score > best:
            best = score
            kept.append(index)
    return points.loc[kept]


def _weights(board: Board) -> dict[str, float]:
    if set(stats.WEIGHTS["average"]) <= set(board.sessions):
        return stats.WEIGHTS["average"]
    return dict.fromkeys(board.sessions, 1 / len(board.sessions))


def _score(
    samples: dict[tuple, intervals.Sample], board: Board, lines: tuple[Line, ...], mode: str, weights: dict[str, float]
) -> intervals.Interval:
    tasks = {}
    for task in weights:
        cells = [(board.study, line.model, line.label, mode, task) for line in lines]
        if all(cell in samples for cell in cells):
            tasks[task] = intervals.averaged([samples[cell] for cell in cells])
    return column_interval(tasks, weights)


def _costs(scores: pd.DataFrame, board: Board) -> dict[str, dict[str, float]]:
    """Group -> resident, read, n: the mean over models of its bytes over those of full attention on the same turns."""
    turns = ["task", "session", "turn"]
    scores = scores[["model", "method", *turns, "kv_bytes", "bytes_read", "new_tokens"]]
    known, none = dict(list(scores.groupby(["model", "method"]))), scores.iloc[:0]
    found = {}
    for group, lines in board.groups.items():
        ratios, n = [], 0
        for line in lines:
            own = known.get((line.model, line.label), none)
            full = next((other.label for other in board.lines if other.model == line.model and other.baseline), None)
            base = known.get((line.model, full), none)
            both = own.merge(base, on=turns, suffixes=("", "_full")).sum(numeric_only=True)
            n += len(own)
            if both.get("kv_bytes_full", 0) and both["new_tokens"] and both["bytes_read_full"]:
                per_token = both["bytes_read"] / both["new_tokens"]
                full_per_token = both["bytes_read_full"] / both["new_tokens_full"]
                ratios.append((both["kv_bytes"] / both["kv_bytes_full"], per_token / full_per_token))
        means = [sum(values) / len(values) for values in zip(*ratios, strict=True)] or [math.nan, math.nan]
        found[group] = {"resident": means[0], "read": means[1], "n": n}
    return found


def _seconds(board: Board) -> dict[str, float]:
    """Group -> the mean over models of its seconds a turn over full attention's, on the device measured last."""
    timed = read_timed(board).sort_values(["date", "device"])
    found = {}
    for group, lines in board.groups.items():
        ratios = []
        for line in lines:
            own = timed[(timed["model"] == line.model)]
            own = own[own["device"] == own["device"].iloc[-1]] if len(own) else own
            own = own.drop_duplicates(["method", "budget"], keep="last")
            took = own.set_index(["method", "budget"])["seconds_per_turn"]
            full = next((other for other in board.lines if other.model == line.model and other.baseline), None)
            if full and {(line.label, line.budget), (full.label, full.budget)} <= set(took.index):
                ratios.append(took[line.label, line.budget] / took[full.label, full.budget])
        found[group] = sum(ratios) / len(ratios) if len(ratios) == len(lines) else math.nan
    return found


def _draw(shown: pd.DataFrame, board: Board, stamp: Stamp) -> Figure:
    """A row of panels for each mode, one for each cost that is known of it."""
    rows = {mode: [cost for cost in PANELS if _has(shown, mode, cost)] for mode in board.modes}
    titles = shown.drop_duplicates("method").set_index("method")["title"].to_dict()
    drawn = pens((group, lines[0].kind) for group, lines in board.groups.items() if group in titles)
    # Of each row the last panel names the methods.
    beside = {
        mode: named(titles, set(shown[shown["mode"] == mode].dropna(subset=[costs[-1], "score"])["method"]))
        for mode, costs in rows.items()
    }
    names = max(names_width(own.values()) for own in beside.values())
    most = max(map(len, rows.values()))
    wide = min(WIDEST, max(NARROWEST, (WIDTH - LEFT - names - GAP * (most - 1)) / most))
    width = LEFT + most * (wide + GAP) - GAP + names
    notes = [MARKS, *_scope(board), *board.footer, *_timing(shown, board), *gaps(shown)]
    notes = wrap([*notes, stamp.line], width - LEFT)
    high = names_height(len(titles), least=1.7)
    base, tall = notes_height(notes), BELOW + high + ABOVE
    figure = Figure(figsize=(width, base + tall * len(rows)))
    for row, (mode, costs) in enumerate(reversed(rows.items())):
        bottom = base + tall * row + BELOW
        write_at(figure, LEFT, bottom + high + 0.28, MODE_TITLES[mode], fontsize=9, fontweight="bold")
        for number, cost in enumerate(costs):
            left = LEFT + number * (wide + GAP)
            axes = add_axes(figure, left, bottom, wide, high)
            ends = _scatter(axes, shown[shown["mode"] == mode], cost, drawn)
            axes.set(xlabel="share of full attention's", ylabel="Mean score (%)" if number == 0 else "")
            write_at(figure, left, bottom + high + 0.1, PANELS[cost], fontsize=8)
            if number == len(costs) - 1:
                name_beside(axes, ends, drawn, beside[mode])
    write_notes(figure, LEFT, notes)
    return figure


def _has(shown: pd.DataFrame, mode: str, cost: str) -> bool:
    """Whether `cost` has a panel: seconds where they are known, bytes always."""
    return cost != "seconds" or shown.loc[shown["mode"] == mode, cost].notna().any()


def _scatter(axes: Axes, points: pd.DataFrame, cost: str, drawn: dict[str, Pen]) -> dict[str, tuple[float, float]]:
    """Draw the methods of one mode, and return where each stands; a method without a score or a cost nowhere."""
    known = points.dropna(subset=[cost, "score"])
    low = min([0.09, *(known[cost] * 0.8)])
    high = max([1.6, *(known[cost] * 1.4)])
    axes.set(ylim=(0, 100), xscale="log", xlim=(low, high))
    ticks = [share for share in (2.0**power for power in range(-7, 6)) if low <= share <= high]
    axes.set_xticks(ticks, [f"1/{round(1 / share)}" if share < 1 else f"{share:.0f}" for share in ticks])
    axes.minorticks_off()
    plain_grid(axes)
    best = frontier(known, cost)
    axes.plot(best[cost], best["score"], color=FAINT, linewidth=3, zorder=1, solid_capstyle="round")
    ends = dict.fromkeys(points["method"], (math.nan, math.nan))
    places = sidestep(axes, known[cost].tolist(), known["score"].tolist(), SIZE)
    colors = [drawn[method].color for method in known["method"]]
    axes.vlines(places, known["low"], known["high"], colors=colors, linewidth=0.7, alpha=0.5, zorder=2)
    axes.hlines(known["score"], known[cost], places, colors=colors, linewidth=0.7, alpha=0.5, zorder=2)
    for row, place in zip(known.to_dict("records"), places, strict=True):
        pen = drawn[row["method"]]
        axes.plot(
            [place],
            [row["score"]],
            color=pen.color,
            marker=pen.marker,
            markersize=SIZE,
            markeredgewidth=0,
            alpha=0.85,
            linestyle="",
            zorder=3,
        )
        ends[row["method"]] = (place, row["score"])
    return ends


def _timing(shown: pd.DataFrame, board: Board) -> list[str]:
    """Whose seconds these are, or that there are none."""
    if shown["seconds"].isna().all():
        return [f"Seconds are not shown: the study's latencies were not measured ({COMMAND} <study> does that)."]
    timed = read_timed(board)
    where = ", ".join(
        f"{model} on {device}" for model, device in timed[["model", "device"]].drop_duplicates().to_numpy()
    )
    return [f"Seconds: each method alone, multi-turn, on sessions of random tokens; {where}."]


def _scope(board: Board) -> list[str]:
    notes = [f"{MODE_TITLES[mode]} is not part of the study." for mode in MODE_TITLES if mode not in board.modes]
    if left_out(board):
        notes.append("Scores are the mean of the study's tasks: it leaves out some of the twelve.")
    if not any(line.baseline for line in board.lines):
        notes.append("The study has no full attention to compare with, and so no shares.")
    return notes
