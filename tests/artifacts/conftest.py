"""Scored turns as a study would leave them: made up, with the shape of the real ones."""

import random
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from scbench.artifacts.board import Board, read_board
from scbench.study import Study, load_study
from scbench.tasks import TASKS

METHODS = {
    "full": {},
    "a_shape": {"budget": "1/8"},
    "tri_shape": {"budget": "1/8"},
    "streaming_llm": {"budget": "1/8"},
    "snapkv": {"budget": "1/8"},
    "kivi": {"bits": 2},
}
EASE = {"string": 0.85, "semantic": 0.6, "global": 0.7, "multi": 0.75}


def study_config(**changes: Any) -> dict[str, Any]:
    """A resolved study of twelve tasks, both modes and six methods on one model, with `changes`."""
    return {
        "study": "fake",
        "models": ["minilm"],
        "methods": METHODS,
        "tasks": list(TASKS),
        "data": {"scale": "mini", "tokens": 1024, "sessions": 6},
    } | changes


def chance(method: str, mode: str, category: str, turn: int) -> float:
    """How often a method is right: the paper's picture in a few numbers."""
    ease = EASE[category]
    if method == "no_context":
        return 0.08
    if method == "streaming_llm":
        return 0.15 + 0.1 * (category == "global")
    if method == "snapkv":
        return ease * (0.95 if turn == 1 and mode == "multi_turn" else 0.35)
    if method in ("a_shape", "tri_shape"):
        start = 0.35 if method == "a_shape" else 0.7
        return ease * min(1.0, start + 0.13 * (turn - 1) * (mode == "multi_turn"))
    return ease * (0.8 if method == "kivi" else 1.0)


def fake_scores(board: Board) -> pd.DataFrame:
    """Every turn of every cell of `board`, scored at random but the same each time."""
    rows = []
    for line in board.lines:
        for task, sessions in board.sessions.items():
            subtasks = TASKS[task].subtasks
            for mode in board.modes:
                rng = random.Random(f"{line.model}/{line.label}/{task}/{mode}")
                for session in range(sessions):
                    for turn in range(1, 6):
                        p = chance(line.label, mode, TASKS[task].category, turn)
                        strict = min(1.0, max(0.0, rng.gauss(p, 0.1)))
                        if "sum" not in task:
                            strict = float(rng.random() < p)
                        rows.append(
                            {
                                "study": board.study,
                                "model": line.model,
                                "method": line.label,
                                "task": task,
                                "mode": mode,
                                "session": f"{task}-{session:04d}",
                                "turn": turn,
                                "subtask": subtasks[(turn - 1) % len(subtasks)],
                                "score_strict": strict,
                                "score_compat": min(1.0, strict + (rng.random() < 0.1)),
                                "score_quirks": "{}",
                                "kv_bytes": 1000 if line.memory == "O(n)" else 125,
                                "kv_bytes_dense": 500,
                                "keys_attended": 4 * (100 if line.memory == "O(n)" else 15),
                                "bytes_read": 4 * (1000 if line.memory == "O(n)" else 150),
                                "tokens_prefilled": 60,
                                "new_tokens": 4,
                                "finish": "eos",
                            }
                        )
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Study]:
    """A study from its changes."""
    return lambda **changes: load_study(study_config(**changes), "study.json")


@pytest.fixture(scope="session")
def make_board(make_study: Callable[..., Study]) -> Callable[..., Board]:
    """A board from a study's changes."""
    return lambda **changes: read_board(make_study(**changes))


@pytest.fixture(scope="session")
def make_scores() -> Callable[[Board], pd.DataFrame]:
    """The scored turns of a board."""
    return fake_scores


@pytest.fixture(scope="session")
def board(make_board: Callable[..., Board]) -> Board:
    return make_board()


@pytest.fixture(scope="session")
def scores(board: Board) -> pd.DataFrame:
    return fake_scores(board)
