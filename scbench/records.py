"""The two records that inference leaves, each field explained once."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """One answered turn: everything a score or a table may depend on. Byte-identical on a rerun."""

    study: str
    model: str
    method: str
    task: str
    mode: str  # multi_turn | multi_request
    session: str  # the session's sid
    turn: int  # 1-based, in the order asked
    subtask: str  # the task whose metric scores this turn
    prediction: str  # decoded without special tokens
    golds: tuple[str, ...]
    options: tuple[str, ...]
    meta: Mapping[str, str]  # what a metric needs besides
    finish: str  # eos | length
    new_tokens: int  # tokens generated, the end token not counted
    prompt_tokens: int  # tokens fed for this turn, the shared context included where this turn fed it
    dropped_tokens: int  # tokens the first prompt lacks: cut out of its middle, or left out by a shortened context
    evidence_kept: bool | None  # all evidence of this turn survived that; None where the task records none
    kv_bytes: int  # resident KV bytes summed over layers when the turn's answer began (metadata and index counted)
    kv_bytes_dense: int  # what 16-bit dense KV of these tokens would take, with those a shortened context left out
    keys_attended: int  # keys read per KV head for the answer's tokens, summed over layers and tokens
    bytes_read: int  # KV bytes read for the answer's tokens, metadata and index included
    tokens_prefilled: (
        int  # tokens this cell alone would compute for the turn's prompt; a shared prefill is not discounted
    )


@dataclass(frozen=True)
class Observation:
    """How a turn went on this machine. Never enters a key, a digest or a score."""

    model: str
    method: str
    task: str
    mode: str
    session: str
    turn: int
    prompt_seconds: float
    decode_seconds: float
    device: str
    prefill_chunk: int | None = None  # what a pass over a first prompt could have, of engines that cut it
