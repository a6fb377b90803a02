"""Scores turn by turn, averaged over tasks and models, with their intervals."""

from collections.abc import Mapping, Sequence

import pandas as pd

from scbench import intervals
from scbench.artifacts.board import Board
from scbench.intervals import Interval, Sample

TURNS = 5  # the figures' x axes; a few published sessions go on longer


def turn_points(scores: pd.DataFrame, board: Board, profile: str, panels: Mapping[str, Sequence[str]]) -> list[dict]:
    """panel, method, turn, score, low, high (percent), n (turns) of each group of lines: means over tasks and models.

    panels: name -> its tasks, of which those count that are in the study. A turn of a mixed task is of one of its
    sub-metrics. A cell that is missing leaves its point out.
    """
    kept = {panel: [task for task in tasks if task in board.sessions] for panel, tasks in panels.items()}
    asked = scores[(scores["mode"] == "multi_turn") & (scores["turn"] <= TURNS)]
    points: dict[str, list[dict]] = {panel: [] for panel, tasks in kept.items() if tasks}
    # A turn in the place of the mode, so that each is a sample of its own.
    scored = asked[asked[f"score_{profile}"].notna()].assign(mode=lambda frame: frame["turn"].astype(str))
    samples = {} if scored.empty else intervals.samples(scored, profile, whole=False)
    count = scored.groupby(["model", "method", "mode", "task"]).size().to_dict()
    for turn in sorted(asked["turn"].unique()):
        for group, lines in board.groups.items():
            runs = [(board.study, line.model, line.label, str(turn)) for line in lines]
            for panel in points:
                n = sum(count.get((*run[1:], task), 0) for run in runs for task in kept[panel])
                known = {"panel": panel, "method": group, "turn": turn, "n": n}
                points[panel].append(known | _point(samples, runs, kept[panel])._asdict())
    return [point for panel in points.values() for point in panel]


def gaps(shown: pd.DataFrame) -> list[str]:
    """A note that names the methods with missing cells, if any; the .csv twin says which cells."""
    titles = shown.loc[shown["missing"] != "", "title"].unique()
    return [f"Gaps: cells are missing of {', '.join(titles)}; the .csv twin lists them."] if len(titles) else []


def _point(samples: Mapping[tuple, Sample], runs: Sequence[tuple], tasks: Sequence[str]) -> Interval:
    """The mean of `tasks`, each averaged over `runs`; `NOTHING` where one is missing: others would be another mean."""
    parts = []
    for task in tasks:
        if not all((*run, task) in samples for run in runs):
            return intervals.NOTHING
        parts.append(intervals.interval(intervals.averaged([samples[*run, task] for run in runs])))
    return intervals.combine(parts, [1 / len(parts)] * len(parts))
