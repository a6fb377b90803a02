"""From answered turns to scored turns: reads Result lines, scores them in both profiles, returns one sorted table.

Beside the two scores stands what each quirk of the published scorers makes of the answer when it alone is switched on:
`score_quirks`, a JSON object of quirk -> score that holds those which differ from the strict score.
"""

import dataclasses
import json
import typing
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from scbench.canonical import canonical_json
from scbench.errors import UserError
from scbench.quirks import SPECIAL_TOKENS
from scbench.records import Result
from scbench.scoring import PROFILES, quirks_of, score_turn, score_with

KEY = ("study", "model", "method", "task", "mode", "session", "turn")  # unique; the order of the rows
AS_JSON = ("golds", "options", "meta")  # written as canonical JSON strings
QUIRKS = "score_quirks"
END_TOKEN = "<|eot_id|>"  # how the models of the paper's first rows end an answer

_ARROW = {str: pa.string(), int: pa.int64(), bool | None: pa.bool_()}
_FIELDS = {field.name: field.type for field in dataclasses.fields(Result)}
# What a field is in JSON: tuples are lists, mappings are objects.
_JSON = {str: str, int: int, bool | None: (bool, type(None)), tuple: list, Mapping: dict}
_KINDS = {name: _JSON[typing.get_origin(kind) if name in AS_JSON else kind] for name, kind in _FIELDS.items()}

SCHEMA = pa.schema(
    [(name, pa.string() if name in AS_JSON else _ARROW[kind]) for name, kind in _FIELDS.items()]
    + [(f"score_{profile}", pa.float64()) for profile in sorted(PROFILES, reverse=True)]
    + [(QUIRKS, pa.string())]
)


def score_files(paths: Iterable[str | Path]) -> pa.Table:
    """A row for every Result line of `paths`, sorted by KEY, with its scores (SCHEMA).

    The table depends on the records alone, not on how they are spread over files. Raises UserError, naming file and
    line, for a line that is cut short or is no Result, for a turn that occurs twice and for one that cannot be scored.
    """
    records: dict[tuple, dict[str, Any]] = {}
    places: dict[tuple, str] = {}
    for place, record in _records(paths):
        key = tuple(record[name] for name in KEY)
        if key in records:
            raise UserError(
                f"{place}: turn {record['turn']} of {record['session']} ({record['method']}, {record['mode']}) is "
                f"already in {places[key]}; name each file once and delete the copy"
            )
        records[key] = record
        places[key] = place
    ordered = {key: records[key] for key in sorted(records)}
    pools = _pools(ordered.values())
    return pa.Table.from_pylist([_scored(record, pools, places[key]) for key, record in ordered.items()], schema=SCHEMA)


def _pools(records: Iterable[Mapping[str, Any]]) -> dict[tuple, str]:
    """File of answers and repository (`_pool_key`) -> the functions asked for there, as the candidates of a turn."""
    pools: dict[tuple, dict[tuple[str, str], None]] = defaultdict(dict)
    for record in records:
        if record["subtask"] == "code_repoqa" and record["golds"]:
            function = (record["meta"].get("name"), record["golds"][0])
            pools[_pool_key(record)][function] = None
    return {key: canonical_json([{"name": name, "code": code} for name, code in pool]) for key, pool in pools.items()}


def _pool_key(record: Mapping[str, Any]) -> tuple:
    """The published runs write one file for each of these; a session without a repository is one of its own."""
    file = tuple(record[name] for name in ("study", "model", "method", "task", "mode"))
    return (*file, record["meta"].get("repo", record["session"]))


def _scored(record: dict[str, Any], pools: Mapping[tuple, str], place: str) -> dict[str, Any]:
    subtask, prediction, golds = record["subtask"], record["prediction"], tuple(record["golds"])
    meta = record["meta"] | {
        "options": tuple(record["options"]),
        "mode": record["mode"],
        "session_task": record["task"],
    }
    if _pool_key(record) in pools:
        meta["pool"] = pools[_pool_key(record)]
    row = record | {name: canonical_json(record[name]) for name in AS_JSON}
    try:
        scores = {profile: score_turn(subtask, prediction, golds, profile=profile, **meta) for profile in PROFILES}
        alone = {quirk.name: score_with([quirk], subtask, prediction, golds, **meta) for quirk in quirks_of(subtask)}
        if record["finish"] == "eos":
            alone[SPECIAL_TOKENS.name] = score_with([], subtask, prediction + END_TOKEN, golds, **meta)
    except UserError as error:
        raise UserError(f"{place}: {error}") from error
    strict = scores["strict"]
    changed = {name: score for name, score in alone.items() if score != strict}
    return row | {f"score_{profile}": score for profile, score in scores.items()} | {QUIRKS: canonical_json(changed)}


def _records(paths: Iterable[str | Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line as a record, with "file, line n"."""
    for path in paths:
        try:
            with open(path, "rb") as file:
                lines = file.read().splitlines()
        except OSError as error:
            raise UserError(
                f"{path}: cannot be read ({error.strerror}); build it first: run its shard again"
            ) from error
        for number, line in enumerate(lines, start=1):
            place = f"{path}, line {number}"
            yield place, _record(line, place, path)


def _record(line: bytes, place: str, path: str | Path) -> dict[str, Any]:
    remedy = f"delete {path} and run its shard again (finished sessions come from the store)"
    try:
        record = json.loads(line)
    except ValueError as error:
        raise UserError(f"{place}: cut short or damaged, not one JSON object; {remedy}") from error
    if not isinstance(record, dict) or set(record) != set(_FIELDS):
        strange = set(record) ^ set(_FIELDS) if isinstance(record, dict) else {"everything"}
        raise UserError(f"{place}: not a result of this version, it differs in {', '.join(sorted(strange))}; {remedy}")
    for name, kind in _KINDS.items():
        if not isinstance(record[name], kind):
            raise UserError(f"{place}: {name} is {record[name]!r}, which is of another type than a result's; {remedy}")
    return record
