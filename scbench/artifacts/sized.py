"""Measures the session files of a study in tokens, one row a session, and keeps what an example is made of."""

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from tokenizers import Tokenizer

from scbench.artifacts.board import Board
from scbench.errors import UserError
from scbench.prompts import answer_text
from scbench.sessions import Session, iter_sessions

# Characters of a passage: in all, and before the evidence.
PASSAGE, BEFORE = 400, 40


def read_sizes(paths: Iterable[str | Path], tokenizer: str | Path, board: Board) -> pd.DataFrame:
    """task, session, turns, input_tokens (context and every question), output_tokens (every golden answer).

    Of the first question: `passage`, what stands around its evidence, `query` and `answer`.

    tokenizer: a tokenizer.json. Tokens of the texts themselves: no instruction, no chat header.
    Raises UserError when there are no sessions, when a file cannot be read or is of a task outside the study.
    """
    encode = _load(tokenizer).encode

    def tokens(text: str) -> int:
        return len(encode(text, add_special_tokens=False))

    rows = []
    for path in paths:
        for session in iter_sessions(path):
            if session.task not in board.sessions:
                raise UserError(
                    f"{path}: the study {board.study} has no task {session.task}; name its own session files"
                )
            rows.append(
                {
                    "task": session.task,
                    "session": session.sid,
                    "turns": len(session.turns),
                    "input_tokens": tokens(session.context) + sum(tokens(turn.query) for turn in session.turns),
                    "output_tokens": sum(tokens(answer_text(turn, "clean")) for turn in session.turns),
                    "passage": _passage(session),
                    "query": session.turns[0].query,
                    "answer": answer_text(session.turns[0], "clean"),
                }
            )
    if not rows:
        raise UserError(
            f"--sessions: no sessions; name the files of the study, results/{board.study}/sessions/*.parquet"
        )
    return pd.DataFrame(rows)


def _passage(session: Session) -> str:
    """Where the evidence of the first question begins, some characters before it; the beginning without evidence."""
    evidence = session.turns[0].evidence
    start = max(0, evidence[0][0] - BEFORE) if evidence else 0
    return session.context[start : start + PASSAGE]


def _load(path: str | Path) -> Tokenizer:
    try:
        parts = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"--tokenizer {path}: not a readable tokenizer.json ({error}); fetch the model again"
        ) from error
    if not isinstance(parts, dict) or "model" not in parts:
        raise UserError(f"--tokenizer {path}: JSON, but not a tokenizer's; name the tokenizer.json of the first model")
    return Tokenizer.from_file(str(path))
