"""The published set as sessions: seven schemas, one reader each.

A row becomes a session with everything that prompts and metrics need of it; `counts` says how many there should be.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from scbench.errors import UserError
from scbench.published import chains, choices, code, labelled, lists, needles, plain
from scbench.published.counts import Counts, Disagreement, disagreements, published_counts
from scbench.published.rows import REMEDY, Content, Row, read_rows
from scbench.sessions import PUBLISHED, Session

__all__ = ["Counts", "Disagreement", "counted", "disagreements", "published_counts", "sessions"]

READERS: dict[str, Callable[[Row, str], Content]] = {
    "retr_kv": plain.read,
    "retr_prefix_suffix": plain.read,
    "retr_multihop": chains.read,
    "code_repoqa": code.read,
    "en_qa": plain.read,
    "zh_qa": plain.read,
    "en_multichoice": choices.read,
    "icl_manyshot": labelled.read,
    "math_find": lists.read,
    "en_sum": plain.read,
    "mix_sum_niah": needles.read,
    "mix_repoqa_kv": code.read,
}


def sessions(task: str, path: str | Path, turns: int, count: int | None = None) -> Iterator[Session]:
    """The first `count` sessions of `task` in the published file at `path`, each with its first `turns` turns.

    count: None takes all, and they must be as many as the card says. A generator: one row is in memory at a time.
    Raises UserError for a row that is not of the task's schema, and where there are not as many rows as asked for.
    """
    expected = published_counts()[task].card.sessions if count is None else count
    rows = read_rows(path)
    number = 0
    for number, row in enumerate(rows if count is None else islice(rows, count), start=1):
        yield _session(task, row, number - 1, turns)
    if number != expected:
        asked = "the published set's card says" if count is None else "data.sessions asks for"
        raise UserError(f"{path}: holds {number} rows, but {asked} {expected}; {_remedy(number, count)}")


def counted(sessions: Iterable[Session]) -> Counts:
    """How many sessions and turns the published rows of `sessions` held, turns that were cut off included."""
    turns = [int(session.meta["turns"]) for session in sessions if session.meta.get("source") == PUBLISHED]
    return Counts(len(turns), sum(turns))


def _session(task: str, row: Row, index: int, turns: int) -> Session:
    content = READERS[task](row, task)
    meta = {"source": PUBLISHED, "turns": str(len(content.turns)), **content.meta}
    return Session(task, f"{task}-{index:05d}", content.context, tuple(content.turns[:turns]), meta)


def _remedy(rows: int, count: int | None) -> str:
    return (
        f"set data.sessions to {rows} to take them as they are, or: {REMEDY}"
        if count is None
        else (f"set data.sessions to {rows} or less")
    )
