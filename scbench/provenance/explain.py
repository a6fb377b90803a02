"""Why a number is what it is: the sessions and turns behind it, each prediction beside its golds.

Answers are read with the standard library. Scores are parquet: where pyarrow is not installed they are left out.
"""

import difflib
import json
from collections import defaultdict
from collections.abc import Iterator
from statistics import fmean
from typing import Any

from scbench.errors import UserError
from scbench.provenance.audit import Report
from scbench.provenance.checks import cell_key
from scbench.provenance.graph import Node
from scbench.provenance.project import Unreadable
from scbench.provenance.render import printable
from scbench.provenance.verdicts import Verdict

HEADS = {"rs": "string", "rsem": "semantic", "global": "global", "mt": "multi", "avg": "average"}
AVERAGE = "average"
MOST = 200  # characters of a prediction or a gold that are shown
Turn = tuple[str, str, str, str, str, str, int]  # study, model, label, task, mode, session, turn
Scored = dict[str, dict[str, dict[int, list[float]]]]  # task -> sub-task -> turn -> scores of sessions


def explain(report: Report, wanted: str) -> str:
    """The number `wanted` in words. Raises UserError when the lineage holds no such cell."""
    parts = wanted.split("/")
    categories = _categories(report)
    cells = [(key, node) for node in report.graph.values() if (key := cell_key(node))]
    chosen = [(key, node) for key, node in cells if _matches(key, parts, categories)]
    if not chosen:
        names = sorted({"/".join(key) for key, _ in cells})
        close = difflib.get_close_matches(wanted, names, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UserError(
            f"--why {wanted}: no such number in this lineage; {hint}name it as model/method/task/mode, or with a "
            f"category ({', '.join(sorted(set(categories.values())))}) or {AVERAGE} for the task"
        )
    scores, profile = _scores(report, {key for key, _ in chosen})
    # Of an artifact that compares a study with one beside it, each has the cell.
    order = sorted((str(node.identity.get("study")), key, node.identity["first"], node.path) for key, node in chosen)
    lines = [f"{wanted}: {len({place[:2] for place in order})} cells, verdict of the lineage {report.verdict.title}"]
    found: dict[str, Scored] = {
        study: defaultdict(lambda: defaultdict(lambda: defaultdict(list))) for study, *_ in order
    }
    for study, key, _, path in order:
        node = report.graph[path]
        lines += ["", f"{'/'.join(key)}  sessions {node.identity['first']} to {node.identity['stop'] - 1}, {node.path}"]
        if node.verdict is not Verdict.OK:
            lines += [f"  {verdict.title}: {reason}" for verdict, reason in node.findings]
        for record in _answers(report, node):
            score = scores.get((study, *key, record["session"], record["turn"]))
            if score is not None:
                # Where requests do not see each other, all of them count alike; else each turn does.
                turn = record["turn"] if key[3] == "multi_turn" else 0
                found[study][key[2]][record["subtask"]][turn].append(score)
            lines += _said(record, score)
    for study, own in found.items():
        lines += ["", *([f"study {study}"] if len(found) > 1 else []), *_sum(own, scores, profile, categories)]
    return printable("\n".join(lines))


def _matches(key: tuple[str, str, str, str], parts: list[str], categories: dict[str, str]) -> bool:
    if len(parts) != 4:
        return False
    model, label, what, mode = parts
    of_task = what == key[2] or what == AVERAGE or HEADS.get(what.lower(), what) in (categories.get(key[2]), AVERAGE)
    return (model, label, mode) == (key[0], key[1], key[3]) and of_task


def _categories(report: Report) -> dict[str, str]:
    """Task -> category, as the tables of the lineage know them."""
    for node in report.graph.values():
        tasks = node.identity.get("tasks")
        if isinstance(tasks, dict) and all(isinstance(task, dict) for task in tasks.values()):
            return {name: str(task.get("category")) for name, task in tasks.items()}
    return {}


def _scores(report: Report, keys: set[tuple[str, ...]]) -> tuple[dict[Turn, float], str]:
    """Score of each turn by the study's own profile, and that profile; none without pyarrow or the score files."""
    studies = [node.identity["study"] for node in report.graph.values() if isinstance(node.identity.get("study"), dict)]
    profile = next((str(study["scoring"]) for study in studies if "scoring" in study), "strict")
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        return {}, profile
    names = ["study", "model", "method", "task", "mode", "session", "turn", f"score_{profile}"]
    found: dict[Turn, float] = {}
    for node in report.graph.values():
        if node.kind != "scores":
            continue
        try:
            rows = parquet.read_table(report.project.place(node.path), columns=names).to_pylist()
        except (OSError, ValueError, Unreadable):
            continue  # the audit has said that it is missing or damaged
        for row in rows:
            values = tuple(row.values())
            if values[1:5] in keys and values[-1] is not None:
                found[values[:7]] = values[-1]
    return found, profile


def _answers(report: Report, node: Node) -> Iterator[dict[str, Any]]:
    try:
        text = report.project.place(node.path).read_text(encoding="utf-8", errors="replace")
    except (OSError, Unreadable):
        return
    for line in text.split("\n"):
        try:
            record = json.loads(line)
            if isinstance(record["session"], str) and isinstance(record["turn"], int):
                yield {name: record[name] for name in ("session", "turn", "subtask", "prediction", "golds")}
        except (ValueError, KeyError, TypeError, RecursionError):
            continue  # the last line's end, or a line that the audit has called tampered with


def _said(record: dict[str, Any], score: float | None) -> Iterator[str]:
    golds = " | ".join(_short(gold) for gold in record["golds"])
    shown = "" if score is None else f"  {score:.3f}"
    yield f"  {record['session']} turn {record['turn']}{shown}  said {_short(record['prediction'])}  gold {golds}"


def _short(text: Any) -> str:
    whole = json.dumps(text, ensure_ascii=False)
    return whole if len(whole) <= MOST else f"{whole[:MOST]}..."


def _sum(found: Scored, scores: dict[Turn, float], profile: str, categories: dict[str, str]) -> Iterator[str]:
    """How the turns make the number, as `scbench.stats` does: turns, sub-tasks, tasks, categories, their mean."""
    if not scores:
        yield "No scores: pyarrow is not installed here, or there is no score file; predictions and golds are above."
        return
    grouped: dict[str, list[float]] = defaultdict(list)
    for task, subtasks in found.items():
        mean = fmean(fmean(map(fmean, turns.values())) for turns in subtasks.values())
        grouped[categories.get(task, "all")].append(mean)
        count = sum(len(values) for turns in subtasks.values() for values in turns.values())
        yield f"{task}: {100 * mean:.2f} percent ({profile} scoring), from {count} turns"
    if len(found) > 1:
        for name, means in grouped.items():
            yield f"{name}: {100 * fmean(means):.2f} percent, the mean of {len(means)} tasks"
    if len(grouped) > 1:
        mean = fmean(map(fmean, grouped.values()))
        yield f"{AVERAGE}: {100 * mean:.2f} percent, the mean of {len(grouped)} categories"
