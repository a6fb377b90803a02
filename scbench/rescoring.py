"""Answers of the authors' own runs, scored anew: `prediction_<task>_<multi_turn|scdq>.jsonl` -> scored turns, a table.

A line of such a file is one answer: id (of the row), turn_idx (from 0), prediction, ground_truth; of the mixed tasks
also task; of functions lang, repo and func_name. Their golds are what the published scorers were handed: a bare string,
a list, a number. `compat` scores all of that as it is. `strict` leaves the tokens out that end an answer, and lets a
function compete with those of its own session.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from scbench import intervals
from scbench.canonical import canonical_json
from scbench.errors import UserError
from scbench.published.rows import SUBTASKS
from scbench.raw.needs import CONFIGS
from scbench.scoring import PROFILES, score_turn
from scbench.tasks import TASKS

TASK_OF = {config: task for task, config in CONFIGS.items()}
COLUMNS = ["file", "task", "part", "mode", "profile", "sessions", "turns", "score", "low", "high"]

_NAME = re.compile(r"prediction_(scbench_\w+?)_(multi_turn|scdq)(?:_lingua)?\.jsonl")
_MODES = {"multi_turn": "multi_turn", "scdq": "multi_request"}
_END = re.compile(r"(?:\s*(?:<\|(?:eot_id|eom_id|end_of_text|endoftext|im_end|user|end)\|>|</s>))+\s*\Z")
_RESUMED = "a resumed run wrote it twice: delete one of the two lines"


@dataclass(frozen=True)
class Answers:
    """A file of answers, and what task and mode they are of."""

    path: Path
    task: str
    mode: str


@dataclass(frozen=True)
class Answer:
    """One line. gold: as it stands there."""

    where: str
    session: str
    turn: int
    subtask: str
    prediction: str
    gold: Any
    function: tuple[str, str, str] | None  # language, repository and name of the function asked for


def answers(path: str | Path, task: str | None = None, mode: str | None = None) -> Answers:
    """What `path` holds, by its name where `task` (ours or the authors' name) or `mode` is not given.

    Raises UserError for a task that is unknown, or given nowhere.
    """
    path = Path(path)
    named = _NAME.fullmatch(path.name)
    told = task or (named and named[1])
    if not told:
        raise UserError(
            f"{path}: its name is not prediction_<task>_multi_turn.jsonl or prediction_<task>_scdq.jsonl, so that its "
            f"task is unknown; give --task, one of {', '.join(TASK_OF)}"
        )
    known = TASK_OF.get(told, told)
    if known not in TASKS:
        where = "--task" if task else str(path)
        raise UserError(f"{where}: task {told!r} is none of the benchmark's; give --task, one of {', '.join(TASK_OF)}")
    found = _MODES[named[2]] if named else "multi_request" if "scdq" in path.name else "multi_turn"
    return Answers(path, known, mode or found)


def rescore(files: Iterable[Answers], profiles: Sequence[str] = PROFILES) -> pd.DataFrame:
    """The scored turns of `files`: the columns of `scbench.stats`, with the path as `model`, a score for each profile.

    Raises UserError, naming file, line and field, for what is not an answer, stands twice or cannot be scored.
    """
    rows = []
    for file in files:
        read = list(_read(file))
        pools = _Pools(read)
        rows += [_scored(answer, file, pools, profiles) for answer in read]
    return pd.DataFrame(rows)


def summary(turns: pd.DataFrame, profiles: Sequence[str] = PROFILES) -> pd.DataFrame:
    """A row for each file, profile and, of a mixed task, each of its parts (`part`; empty: the task).

    COLUMNS, percent, and a column for each turn of a multi-turn file. The published summaries print a part as 0 at the
    turns where it is not asked: so do the rows of `compat`, whose score leaves these zeros out all the same.
    """
    rows = []
    for (file, task, mode), own in turns.groupby(["model", "task", "mode"], sort=False):
        subtasks = TASKS[task].subtasks
        for profile in profiles:
            for part in ("", *subtasks) if len(subtasks) > 1 else ("",):
                some = own[own["subtask"] == part] if part else own
                about = {"file": file, "task": task, "part": part, "mode": mode, "profile": profile}
                rows.append(about | _numbers(some, profile) | _by_turn(some, own, profile, part))
    found = pd.DataFrame(rows)
    return found[COLUMNS + sorted(set(found.columns) - set(COLUMNS), key=lambda name: int(name.removeprefix("turn_")))]


def _numbers(turns: pd.DataFrame, profile: str) -> dict[str, float | int]:
    samples = list(intervals.samples(turns, profile, whole=False).values()) if len(turns) else []
    found = intervals.interval(samples[0]) if samples else intervals.NOTHING
    return {"sessions": turns["session"].nunique(), "turns": len(turns)} | found._asdict()


def _by_turn(turns: pd.DataFrame, whole: pd.DataFrame, profile: str, part: str) -> dict[str, float]:
    """turn_<n> -> percent, of a multi-turn file."""
    if (whole["mode"] != "multi_turn").all() or (not part and whole["subtask"].nunique() > 1):
        return {}
    means = 100 * turns.groupby("turn")[f"score_{profile}"].mean()
    absent = 0.0 if profile == "compat" else float("nan")
    return {f"turn_{turn}": float(means.get(turn, absent)) for turn in sorted(whole["turn"].unique())}


class _Pools:
    """The functions that a file asks for, by session and by repository."""

    def __init__(self, read: Sequence[Answer]) -> None:
        self.own: dict[str, dict[tuple[str, str], None]] = defaultdict(dict)
        self.everywhere: dict[str, dict[tuple[str, str], None]] = defaultdict(dict)
        for answer in read:
            if answer.function:
                _, repo, name = answer.function
                self.own[answer.session][name, answer.gold] = None
                self.everywhere[repo][name, answer.gold] = None

    def meta(self, answer: Answer) -> dict[str, str]:
        """`candidates` and `pool` of a function's metric."""
        found = {"candidates": self.own[answer.session], "pool": self.everywhere[answer.function[1]]}
        return {
            key: canonical_json([{"name": name, "code": code} for name, code in pool]) for key, pool in found.items()
        }


def _scored(answer: Answer, file: Answers, pools: _Pools, profiles: Sequence[str]) -> dict[str, Any]:
    golds = tuple(map(str, answer.gold)) if isinstance(answer.gold, list) else (str(answer.gold),)
    meta: dict[str, Any] = {"mode": file.mode, "session_task": file.task, "stored_as": type(answer.gold).__name__}
    if answer.function:
        meta |= {"language": answer.function[0], "name": answer.function[2], **pools.meta(answer)}
    row = {"study": "authors", "model": str(file.path), "method": "", "mode": file.mode, "task": file.task}
    row |= {"subtask": answer.subtask, "session": answer.session, "turn": answer.turn}
    for profile in profiles:
        prediction = _END.sub("", answer.prediction) if profile == "strict" else answer.prediction
        try:
            row[f"score_{profile}"] = score_turn(answer.subtask, prediction, golds, profile=profile, **meta)
        except UserError as error:
            raise UserError(f"{answer.where}: {error}") from error
    return row


def _read(file: Answers) -> Iterator[Answer]:
    try:
        data = file.path.read_bytes()
    except OSError as error:
        raise UserError(f"{file.path}: cannot be read ({error.strerror}); name a file of answers") from error
    places: dict[tuple[str, int], str] = {}
    for number, line in enumerate(data.split(b"\n"), start=1):
        if line.strip():
            answer = _answer(line, f"{file.path}, line {number}", file)
            key = (answer.session, answer.turn)
            if key in places:
                id_, index = answer.session, answer.turn - 1
                raise UserError(f"{answer.where}: id {id_}, turn_idx {index} is already in {places[key]}; {_RESUMED}")
            places[key] = f"line {number}"
            yield answer
    if not places:
        raise UserError(f"{file.path}: holds no answers; run the authors' run_scbench.py for this task again")


def _answer(line: bytes, where: str, file: Answers) -> Answer:
    try:
        record = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 (byte {error.start + 1}); save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not one JSON object ({error}); delete the line or run that task again") from error
    if not isinstance(record, dict):
        raise UserError(f"{where}: not one JSON object; delete the line or run that task again")
    subtask = _subtask(record, where, file)
    function = None
    if subtask == "code_repoqa":
        function = tuple(_field(record, key, where, _is_text, "text") for key in ("lang", "repo", "func_name"))
    return Answer(
        where=where,
        session=str(_field(record, "id", where, _is_number, "a whole number")),
        turn=1 + _field(record, "turn_idx", where, _is_number, "a whole number"),
        subtask=subtask,
        prediction=_field(record, "prediction", where, _is_text, "text"),
        gold=_field(record, "ground_truth", where, _GOLDS.get(subtask, _is_text_or_texts), _GOLD_WORDS[subtask]),
        function=function,
    )


def _subtask(record: dict, where: str, file: Answers) -> str:
    if len(TASKS[file.task].subtasks) == 1:
        return file.task
    told = _field(record, "task", where, _is_text, "text")
    allowed = {name: task for name, task in SUBTASKS.items() if task in TASKS[file.task].subtasks}
    if told not in allowed:
        raise UserError(f"{where}: task {told!r} is no part of {file.task}; it must be one of {', '.join(allowed)}")
    return allowed[told]


def _field(record: dict, key: str, where: str, fits: Callable[[Any], bool], words: str) -> Any:
    if key not in record:
        raise UserError(f"{where}: has no {key}; add it, or name a file as the authors' run_scbench.py writes it")
    if not fits(record[key]):
        raise UserError(f"{where}: {key} is {str(record[key])[:60]!r}, not {words}; correct it or delete the line")
    return record[key]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text_or_texts(value: Any) -> bool:
    return _is_text(value) or (isinstance(value, list) and len(value) > 0 and all(map(_is_text, value)))


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_option(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_text, value))


_GOLDS: dict[str, Callable[[Any], bool]] = {
    "math_find": _is_figure,
    "needle": lambda value: _is_text(value) or _is_figure(value),
    "code_repoqa": _is_text,
    "en_multichoice": _is_option,
}
_GOLD_WORDS: dict[str, str] = defaultdict(
    lambda: "text or a list of texts",
    math_find="a number",
    needle="text or a number",
    code_repoqa="the text of a function",
    en_multichoice="[text of the right option, its letter]",
)
