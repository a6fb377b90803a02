"""Tables 14 to 17: what rows answered to one question, beside its gold (paper, appendix).

A table names a task, a model, and the methods that the paper shows. Two written rules say what stands in it, so that
nobody picks an example that pleases:

The rows. The methods run on the paper's model, or on the study's first where it lacks that one. A method that the
study lacks is replaced by the first of the study's rows, in their order, of the same stage of a KV cache's life, or
else by the first of its other rows; none is shown twice.

The question. Of the turns that the most of these rows answered, those on which their scores differ; of these, in the
order of how far the first row is above the mean of the others, then of session and turn, the one in the middle. Where
no scores differ, the first turn. A mixed task has one question for each of its two kinds.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scbench.artifacts.board import MODE_TITLES, Board, Line
from scbench.artifacts.differences import SHOWN, as_tex, as_wdiff, compare_words, plain_tex, visible
from scbench.artifacts.lacking import is_lacking, lacking, write_both, write_lacking
from scbench.artifacts.latex import MISSING, Tex, render
from scbench.artifacts.paging import pages
from scbench.artifacts.stamp import Stamp
from scbench.methods import METHODS, find
from scbench.tasks import TASKS

MARKS = f"Bold: what the gold does not have; a wedge: the gold has more there; dots: cut after {SHOWN} characters"
PICKED = (
    "The question is the middle one of those on which these rows score differently, in the order of how far the first "
    "row is above the mean of the others, then of session and turn"
)
SINGLE_SCORES = "Scores are those of the one answer, in percent"
LINES_EACH = 4  # lines that an answer takes at the most


@dataclass(frozen=True)
class Case:
    """What a table of answers shows.

    task: whose answers. model: the paper's. methods: of the paper, in its order. every_model: full attention of every
    model of the study, or the model that is its own method, stands above them.
    """

    task: str
    model: str
    methods: tuple[str, ...]
    every_model: bool = False


def case_frame(answers: pd.DataFrame, board: Board, case: Case) -> pd.DataFrame:
    """A row for each question and line: who answered, the gold (the first of several), the answer, scores.

    `marked`: the answer in the marks of wdiff; texts are on one line (`differences.visible`). `turns`: how many the
    lines could be compared on; `differ`: on how many of them their scores differ; `ahead`: on how many of these the
    first line is above the mean of the others. What is missing is an empty field.
    """
    title = TASKS[case.task].title
    if case.task not in board.sessions:
        return lacking(board, f"This study has no sessions of {title}, whose answers stand here")
    mode = "multi_turn" if "multi_turn" in board.modes else board.modes[0]
    lines, _ = chosen_lines(board, case)
    asked = answers[(answers["task"] == case.task) & (answers["mode"] == mode)]
    rows = []
    for subtask in TASKS[case.task].subtasks:
        rows += _question(asked[asked["subtask"] == subtask], board, lines, {"task": case.task, "subtask": subtask})
    if not rows:
        return lacking(board, f"There is not one answer to {title} of {', '.join(line.title for line in lines)}")
    return pd.DataFrame(rows).astype({"turn": "Int64"})


def write_case(frame: pd.DataFrame, board: Board, stamp: Stamp, out: Path, case: Case) -> list[Path]:
    """Write `<out>.tex`, to be read by \\input, and `<out>.csv`."""
    if is_lacking(frame):
        return write_lacking(frame, stamp, out)
    several = len({line.model for line in board.lines}) > 1
    questions = [own.to_dict("records") for _, own in frame.groupby("subtask", sort=False)]
    groups = [{"title": _title(rows[0]), "rows": list(_typeset(rows, board, several))} for rows in questions]
    _, replaced = chosen_lines(board, case)
    notes = [SINGLE_SCORES, *_picked(questions), MARKS, *replaced, *board.caveats]
    text = render(f"{stamp.name}.tex.j2", {"stamp": stamp, "pages": pages(groups, each=LINES_EACH), "notes": notes})
    return write_both(text, frame, out)


def chosen_lines(board: Board, case: Case) -> tuple[list[Line], list[str]]:
    """The rows of the table, by the rule of this module, and a note on what stands in for another row or model."""
    models = list(dict.fromkeys(line.model for line in board.lines))
    model = case.model if case.model in models else models[0]
    chosen, notes = [], []
    for name in models if case.every_model else ():
        own = [line for line in board.lines if line.model == name and not line.floor]
        chosen += [line for line in own if line.baseline] or own[:1]
    own = [line for line in board.lines if line.model == model and not line.floor]
    if model != case.model:
        notes.append(f"The methods run on {own[0].model_title}, as this study lacks the model of the paper's table")
    wanted = {name: next((line for line in own if line.method == name), None) for name in case.methods}
    for name, line in wanted.items():
        if line is None:
            free = [other for other in own if other not in chosen and other not in wanted.values()]
            line = next((other for other in free if _stage(other.method) == _stage(name)), next(iter(free), None))
            stands = f"in its place stands {line.title}" if line else "and no other row is left for its place"
            notes.append(f"{METHODS[name].title} is no row of {own[0].model_title} here, {stands}")
        if line and line not in chosen:
            chosen.append(line)
    return chosen, notes


def _stage(method: str) -> str:
    found = find(method)
    return found.stage if found else ""


def _question(asked: pd.DataFrame, board: Board, lines: Sequence[Line], about: dict[str, str]) -> Iterator[dict]:
    """The rows of one question; none where none of `lines` answered one."""
    score = f"score_{board.profile}"
    numbers = {(line.model, line.label): number for number, line in enumerate(lines)}
    turns: dict[tuple[str, int], dict[int, dict]] = {}
    own = asked[asked["model"].isin({model for model, _ in numbers}) & asked[score].notna()]
    for answer in own.to_dict("records"):
        if (number := numbers.get((answer["model"], answer["method"]))) is not None:
            turns.setdefault((answer["session"], answer["turn"]), {})[number] = answer
    if not turns:
        return
    most = max(map(len, turns.values()))
    whole = {
        turn: [found[number][score] for number in sorted(found)] for turn, found in turns.items() if len(found) == most
    }
    differ = {turn: scores for turn, scores in whole.items() if max(scores) > min(scores)}
    turn = _middle(differ) if differ else min(whole)
    gold = visible(next(iter(turns[turn].values()))["golds"][0])
    known = {"study": board.study, "profile": board.profile} | about
    known |= {"mode": next(iter(turns[turn].values()))["mode"], "session": turn[0], "turn": turn[1]}
    known |= {"turns": len(whole), "differ": len(differ), "ahead": sum(_lead(scores) > 0 for scores in differ.values())}
    for number, line in enumerate(lines):
        row = known | {
            "model": line.model,
            "method": line.label,
            "title": line.title,
            "budget": line.budget,
            "gold": gold,
        }
        answer = turns[turn].get(number)
        said = visible(answer["prediction"]) if answer else None
        row |= {"prediction": said, "marked": as_wdiff(compare_words(gold, said)) if answer else None}
        yield row | {
            f"score_{profile}": answer[f"score_{profile}"] if answer else math.nan for profile in board.profiles
        }


def _lead(scores: Sequence[float]) -> float:
    """How far the first is above the mean of the others; rounded, so that the order of a sum decides nothing."""
    first, *others = scores
    return round(first - sum(others) / len(others), 9)


def _middle(scores: Mapping[tuple[str, int], Sequence[float]]) -> tuple[str, int]:
    """The turn in the middle, by the lead of its first score, then by its name."""
    ordered = sorted(scores, key=lambda turn: (_lead(scores[turn]), turn))
    return ordered[(len(ordered) - 1) // 2]


def _title(row: dict) -> str:
    mode = MODE_TITLES[row["mode"]].lower()
    return f"{TASKS[row['subtask']].title}: {mode} session {row['session']}, turn {row['turn']}"


def _picked(questions: Sequence[Sequence[dict]]) -> Iterator[str]:
    """By which rule the questions stand there, and on how many turns the rows differ at all."""
    firsts = [rows[0] for rows in questions]
    if any(row["differ"] for row in firsts):
        yield PICKED
    for row in firsts:
        about = f"{TASKS[row['subtask']].title}: these rows score alike on all {row['turns']} turns, the first is shown"
        if row["differ"]:
            about = (
                f"{TASKS[row['subtask']].title}: scores differ on {row['differ']} of {row['turns']} turns; on "
                f"{row['ahead']} of these the first row is above the mean of the others"
            )
        yield about


def _typeset(rows: Sequence[dict], board: Board, several: bool) -> Iterator[dict]:
    titles = {line.model: line.model_title for line in board.lines}
    yield {"title": "Gold", "score": "", "answer": plain_tex(rows[0]["gold"])}
    for row in rows:
        alone = row["title"] == titles[row["model"]]
        where = f", {titles[row['model']]}" if several and not alone else ""
        missing = pd.isna(row["prediction"])
        yield {
            "title": f"{row['title']}{where}" + (f" ({row['budget']})" if row["budget"] else ""),
            "score": Tex(MISSING) if missing else f"{100 * row[f'score_{board.profile}']:.1f}",
            "answer": Tex(MISSING) if missing else as_tex(compare_words(row["gold"], row["prediction"])),
        }
