"""A session: one shared context and the turns that ask about it; how sessions are written and read.

Every task, generated or published, at either scale, becomes this one shape before anything else looks at it.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from scbench.canonical import canonical_json, digest_value, replacing
from scbench.errors import UserError

Span = tuple[int, int]

PUBLISHED = "published"  # `source` in the meta of a session that others made


@dataclass(frozen=True)
class Turn:
    """One question about the shared context.

    query: the raw turn input, before any prompt template.
    golds: the accepted answers; for retr_multihop, every variable of the chain.
    subtask: the task that scores this turn; differs from the session's task only in the two mixed tasks.
    evidence: character spans [start, stop) of the context that the answer rests on, in the order they are needed.
    options: the choices of a multiple-choice question, in the order shown, else empty.
    meta: what a metric needs besides (function name, language, candidates), strings only.
    """

    query: str
    golds: tuple[str, ...]
    subtask: str
    evidence: tuple[Span, ...] = ()
    options: tuple[str, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Session:
    """A shared context (text) and its turns; `sid` is unique within the task."""

    task: str
    sid: str
    context: str
    turns: tuple[Turn, ...]
    meta: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """sha256 over everything in the session; enters the key of every result computed from it."""
        return digest_value(dataclasses.asdict(self))


def check_session(session: Session, where: str = "session") -> Session:
    """Return `session` if it can be evaluated; raise UserError naming what is wrong with it."""
    name = f"{where}: session {session.sid!r} of {session.task}"
    if not session.turns:
        raise UserError(f"{name} has no turns; remove the session or give it at least one turn")
    for number, turn in enumerate(session.turns, start=1):
        if not turn.golds:
            raise UserError(f"{name}, turn {number} has no gold answer; add at least one to `golds`")
        for start, stop in turn.evidence:
            if not 0 <= start < stop <= len(session.context):
                raise UserError(
                    f"{name}, turn {number}: evidence [{start}, {stop}) lies outside the context of "
                    f"{len(session.context)} characters; rebuild the session file"
                )
    queries = [(turn.query, turn.options) for turn in session.turns]
    # Published sessions are taken as they are.
    if len(set(queries)) < len(queries) and session.meta.get("source") != PUBLISHED:
        raise UserError(f"{name} asks the same question twice; a repeat can be copied from the history, remove it")
    return session


_SCHEMA = pa.schema(
    [
        ("task", pa.string()),
        ("sid", pa.string()),
        ("context", pa.large_string()),
        ("turns", pa.large_string()),
        ("meta", pa.string()),
        ("digest", pa.string()),
    ]
)


# Rows are gathered up to this many characters of context: a reader holds one such group, however long the file is.
_GROUP_CHARACTERS = 4_000_000


def write_sessions(path: str | Path, sessions: Iterable[Session]) -> None:
    """Write sessions as parquet, one row a session. The bytes depend on the sessions alone.

    At most a group of rows is in memory, so that `sessions` may be a generator over a file of any size; where it fails,
    or a session cannot be evaluated (UserError), nothing is left.
    """
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(temporary, _SCHEMA, compression="zstd", use_dictionary=False) as writer,
    ):
        for rows in _groups(_row(check_session(session, str(path))) for session in sessions):
            writer.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA))


def read_sessions(path: str | Path) -> list[Session]:
    """Read what `write_sessions` wrote. Raises UserError on a file that is missing, cut short or edited."""
    return list(iter_sessions(path))


def iter_sessions(path: str | Path) -> Iterator[Session]:
    """The sessions of `read_sessions` one after the other, with one group of rows in memory at a time."""
    try:
        with pq.ParquetFile(path) as file:
            if file.schema_arrow.names != _SCHEMA.names:
                raise pa.ArrowInvalid("other columns than a session file's")
            for group in range(file.num_row_groups):
                for row in file.read_row_group(group).to_pylist():
                    yield check_session(_session(row, path), str(path))
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: not a readable session file ({error}); delete it and build it again") from error


def _row(session: Session) -> dict[str, str]:
    return {
        "task": session.task,
        "sid": session.sid,
        "context": session.context,
        "turns": canonical_json([dataclasses.asdict(turn) for turn in session.turns]),
        "meta": canonical_json(dict(session.meta)),
        "digest": session.digest,
    }


def _groups(rows: Iterable[dict[str, str]]) -> Iterator[list[dict[str, str]]]:
    group: list[dict[str, str]] = []
    characters = 0
    for row in rows:
        group.append(row)
        characters += len(row["context"])
        if characters >= _GROUP_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _session(row: Mapping[str, str], path: str | Path) -> Session:
    """The session of a row. Raises UserError where it is not the one that was written."""
    turns = tuple(
        Turn(
            query=turn["query"],
            golds=tuple(turn["golds"]),
            subtask=turn["subtask"],
            evidence=tuple((start, stop) for start, stop in turn["evidence"]),
            options=tuple(turn["options"]),
            meta=turn["meta"],
        )
        for turn in json.loads(row["turns"])
    )
    session = Session(row["task"], row["sid"], row["context"], turns, json.loads(row["meta"]))
    if session.digest != row["digest"]:
        raise UserError(
            f"{path}: session {session.sid!r} has digest {session.digest[:12]}, the file records "
            f"{row['digest'][:12]}: it was changed after it was built; delete the file and build it again"
        )
    return session
