"""The paper's findings, checked on whatever study ran: statistic, 95 % interval, verdict.

A finding holds, does not hold, or the data are not enough: something that it compares is not in the study, the order of
the evidence is that of the turns where turns are compared, or its interval includes the limit. Each finding is checked
by itself: of twenty that are true of nothing, one may seem to hold.
"""

import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from scbench import intervals
from scbench.artifacts.board import MODE_TITLES, Board, Line
from scbench.artifacts.findings import FINDINGS, ONE_KIND, Contrast, Finding, Select, Turns
from scbench.artifacts.stamp import Stamp
from scbench.canonical import write_atomically
from scbench.intervals import NOTHING, Interval, Sample
from scbench.methods import find
from scbench.tasks import TASKS

HOLDS, FAILS, OPEN = "holds", "does not hold", "not enough data"
LEAST_SESSIONS = 5  # fewer bear out an interval, but no verdict
ORDER = "turns are compared, and turn i asks about part i of the context: run it with `order: balanced`"
AWARE = "every request was encoded with its question: run it with `query_aware: false`"
COLUMNS = [
    *(
        "study",
        "profile",
        "finding",
        "subject",
        "claim",
        "source",
        "statistic",
        "score",
        "low",
        "high",
        "least",
        "most",
    ),
    *("verdict", "reason", "tasks", "methods", "models"),
]


class Lacking(Exception):
    """Why a statistic cannot be computed, in words that follow `not enough data: `."""


def frame(scores: pd.DataFrame, board: Board) -> pd.DataFrame:
    """A row for each profile and finding (subject empty), and one for each line that it is about, looked at alone.

    score, low, high: points; least, most: the limit that a statistic must be above or below for its finding to hold;
    tasks, methods, models: titles of what went into it; reason: why there is no verdict.
    """
    rows = []
    for profile in board.profiles:
        turns = _Turns(scores, profile)
        for finding in FINDINGS:
            subjects = _subjects(finding, board)
            for label, select in {"": finding.subject, **(subjects if len(subjects) > 1 else {})}.items():
                rows.append({"profile": profile, "subject": label} | _row(finding, select, turns, board))
    return pd.DataFrame(rows, columns=COLUMNS).assign(study=board.study)


def write(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path) -> list[Path]:
    """Write `<out>.md` for a reader and `<out>.json` with both profiles for a program."""
    paths = [out.with_suffix(".md"), out.with_suffix(".json")]
    write_atomically(paths[0], _markdown(frame[frame["profile"] == board.profile], board, stamp))
    known = {"study": board.study, "order": board.order, "level": intervals.LEVEL, "lineage": stamp.lineage}
    write_atomically(paths[1], json.dumps(known | {"findings": _records(frame)}, indent=2, ensure_ascii=False) + "\n")
    return paths


def verdict(found: Interval, finding: Finding) -> tuple[str, str]:
    """(verdict, reason) of a statistic."""
    if math.isnan(found.low):
        return OPEN, "there is one session a task"
    limit = finding.least if finding.least is not None else finding.most
    below, above = (HOLDS, FAILS) if finding.least is None else (FAILS, HOLDS)
    if found.low > limit:
        return above, ""
    if found.high < limit:
        return below, ""
    return OPEN, f"the interval includes {limit:g}"


_KEPT: dict[Turns, Callable[[pd.Series], pd.Series]] = {
    "all": lambda turn: turn >= 1,
    "first": lambda turn: turn == 1,
    "second": lambda turn: turn == 2,
    "later": lambda turn: turn > 1,
}


class _Turns:
    """Samples by which turns they are of, each computed once."""

    def __init__(self, scores: pd.DataFrame, profile: str) -> None:
        self.scores, self.profile = scores, profile
        self.known: dict[str, dict[tuple, Sample]] = {}

    def samples(self, turns: Turns) -> dict[tuple, Sample]:
        if turns not in self.known:
            own = self.scores[_KEPT[turns](self.scores["turn"])]
            own = own[own[f"score_{self.profile}"].notna()]
            self.known[turns] = {} if own.empty else intervals.samples(own, self.profile)
        return self.known[turns]


def _row(finding: Finding, subject: Select, turns: _Turns, board: Board) -> dict:
    about = {name: getattr(finding, name) for name in ("claim", "source", "statistic", "least", "most")}
    row = {"finding": finding.name} | about | {"tasks": "", "methods": "", "models": ""}
    found = NOTHING
    try:
        _require(finding, board)
        found, used = _statistic(finding, subject, turns, board)
        row |= used
        word, reason = verdict(found, finding)
    except Lacking as lacking:
        word, reason = OPEN, str(lacking)
    return row | found._asdict() | {"verdict": word, "reason": reason}


def _require(finding: Finding, board: Board) -> None:
    if finding.lacking:
        raise Lacking(finding.lacking)
    if min(board.sessions.values()) < LEAST_SESSIONS:
        raise Lacking(f"the study has fewer than {LEAST_SESSIONS} sessions a task")
    if finding.balanced and board.order != "balanced":
        raise Lacking(ORDER)
    if finding.question_free and board.query_aware:
        raise Lacking(AWARE)


def _statistic(finding: Finding, subject: Select, turns: _Turns, board: Board) -> tuple[Interval, dict[str, str]]:
    """The finding's statistic and what went into it. Raises Lacking where a part of it is nowhere in the study."""
    contrasts = finding.contrasts(subject)
    lines = _compared(finding, subject, contrasts, board)
    found, tasks = [], []
    for contrast in contrasts:
        parts = {task: _one_task(contrast, task, lines, turns, board) for task in contrast.tasks}
        known = {task: part for task, part in parts.items() if part is not None}
        if not known:
            raise Lacking(_lacking_cells(contrast, board))
        found.append(intervals.combine(list(known.values()), [1 / len(known)] * len(known)))
        tasks += known
    shown = subject(lines)
    used = {
        "tasks": _tasks(list(dict.fromkeys(tasks)), board),
        "methods": ", ".join(dict.fromkeys(_title(line) for line in shown)),
        "models": ", ".join(dict.fromkeys(line.model_title for line in lines)),
    }
    return intervals.combine(found, [1.0] * len(found)), used


def _tasks(used: Sequence[str], board: Board) -> str:
    for words, tasks in (("all tasks", list(board.sessions)), ("all tasks but the mixed ones", ONE_KIND)):
        if set(used) == set(tasks) & set(board.sessions):
            return words
    return ", ".join(TASKS[task].title for task in used)


def _compared(finding: Finding, subject: Select, contrasts: Sequence[Contrast], board: Board) -> list[Line]:
    """The lines of every model that has a line for each term, and of a term all that any model has.

    A model with some methods of a class alone would weigh less in that class than in what the class is compared with.
    """
    terms = [term for contrast in contrasts for term in contrast.terms]
    if absent := [mode for mode in dict.fromkeys(term.mode for term in terms) if mode not in board.modes]:
        raise Lacking(f"the study has no {' and no '.join(MODE_TITLES[mode].lower() for mode in absent)} part")
    models = {line.model: [own for own in board.lines if own.model == line.model] for line in board.lines}
    groups = [list(board.lines)] if finding.across else list(models.values())
    # Which budgets the terms of a sweep pick depends on those that a model has.
    selects = [subject] if finding.swept else [term.lines for term in terms]
    labels = [_labels(select, board.lines) for select in selects]
    whole = [own for own in groups if all(labels) and [_labels(select, own) for select in selects] == labels]
    lines = [line for own in whole for line in own]
    if not lines:
        absent = dict.fromkeys(term.lines.words for term in terms if not term.lines(board.lines))
        raise Lacking(f"the study has no row of {' and none of '.join(absent) or 'all of them on one model'}")
    return lines


def _labels(select: Select, lines: Sequence[Line]) -> set[str]:
    return {line.label for line in select(lines)}


def _one_task(contrast: Contrast, task: str, lines: Sequence[Line], turns: _Turns, board: Board) -> Interval | None:
    """The contrast on one task; None where a cell of it is missing."""
    parts = []
    for term in contrast.terms:
        samples = turns.samples(term.turns)
        cells = [(board.study, line.model, line.label, term.mode, task) for line in term.lines(lines)]
        if not all(cell in samples for cell in cells):
            return None
        parts.append(intervals.averaged([samples[cell] for cell in cells]))
    found = intervals.contrast(parts, [term.weight for term in contrast.terms])
    return None if math.isnan(found.score) else found


def _lacking_cells(contrast: Contrast, board: Board) -> str:
    if not set(contrast.tasks) & set(board.sessions):
        return f"the study has none of {', '.join(TASKS[task].title for task in contrast.tasks)}"
    return "cells are missing, or sessions have no second turn"


def _subjects(finding: Finding, board: Board) -> dict[str, Select]:
    """What the finding is about, method by method: the label (of a sweep, the method) and what selects its lines."""
    names = dict.fromkeys(_subject(finding, line) for line in finding.subject(board.lines))
    return {name: Select(name, partial(_only, finding, name)) for name in names}


def _only(finding: Finding, name: str, lines: Sequence[Line]) -> list[Line]:
    return [line for line in finding.subject(lines) if _subject(finding, line) == name]


def _subject(finding: Finding, line: Line) -> str:
    return line.method if finding.swept else line.group


def _subject_title(row: dict, board: Board) -> str:
    """The name for a reader of what `_subject` names: a line of the study, or a method with all its budgets."""
    finding = next(finding for finding in FINDINGS if finding.name == row["finding"])
    lines = [line for line in board.lines if _subject(finding, line) == row["subject"]]
    return find(lines[0].method).title if finding.swept else _title(lines[0])


def _title(line: Line) -> str:
    return f"{line.title} ({line.budget})" if line.budget else line.title


def _records(frame: pd.DataFrame) -> list[dict]:
    return [
        {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _markdown(shown: pd.DataFrame, board: Board, stamp: Stamp) -> str:
    whole, parts = shown[shown["subject"] == ""], shown[shown["subject"] != ""]
    counts = whole["verdict"].value_counts()
    said = "; ".join(f"{word}: {counts.get(word, 0)}" for word in (HOLDS, FAILS, OPEN))
    lines = [
        "# The paper's findings on this study",
        "",
        f"{stamp.line}.",
        "",
        f"{len(whole)} findings. {said}.",
        "",
        "Statistics are points (of 100) with a 95 % interval over sessions, on the same sessions wherever two things",
        "are compared; methods of a class are averaged, and models that ran all of what a finding compares. A finding",
        "holds where the whole interval is on its side of the limit, which is 0 unless the statistic says otherwise.",
        "Each is checked by itself, without a correction for their number.",
        "",
        "| finding | source | statistic | value | verdict |",
        "|---|---|---|---|---|",
    ]
    for row in whole.to_dict("records"):
        cells = (row["claim"], row["source"], row["statistic"], _value(row), _verdict(row))
        lines.append("| " + " | ".join(map(_plain, cells)) + " |")
    lines += ["", "## Method by method", "", "| finding | method | value | verdict |", "|---|---|---|---|"]
    for row in parts.to_dict("records"):
        cells = (row["claim"], row["methods"] or _subject_title(row, board), _value(row), _verdict(row))
        lines.append("| " + " | ".join(map(_plain, cells)) + " |")
    lines += ["", "## What went into them", ""]
    for row in whole[whole["tasks"] != ""].to_dict("records"):
        used = "; ".join(text for text in (row["methods"], row["models"], row["tasks"]) if text)
        lines.append(f"- {_plain(row['claim'])}: {_plain(used)}.")
    return "\n".join([*lines, ""])


def _value(row: dict) -> str:
    if math.isnan(row["score"]):
        return "–"
    limits = "" if math.isnan(row["low"]) else f" [{row['low']:.1f}, {row['high']:.1f}]"
    return f"{row['score']:.1f}{limits}".replace("-", "−")


def _verdict(row: dict) -> str:
    word = f"**{row['verdict']}**" if row["verdict"] != OPEN else row["verdict"]
    return f"{word}: {row['reason']}" if row["reason"] else word


def _plain(text: str) -> str:
    """`text` as one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
