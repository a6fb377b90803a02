"""Verdicts on synthetic records of known truth."""

import json

import numpy as np
import pandas as pd
import pytest

from scbench.artifacts import claims
from scbench.artifacts.findings import FINDINGS
from scbench.artifacts.stamp import make_stamp
from scbench.intervals import Interval

METHODS = {
    "full": {},
    "a_shape": {"budget": "1/8"},
    "tri_shape": {"budget": "1/8"},
    "minference": {"budget": "1/8"},
    "streaming_llm": {"budget": "1/8"},
    "snapkv": {"budget": "1/8"},
    "snapkv-half": {"method": "snapkv", "budget": "1/2"},
    "kivi": {"bits": 2},
}
DATA = {"scale": "mini", "tokens": 1024, "sessions": 24, "order": "balanced"}
TASKS = ["retr_kv", "retr_prefix_suffix", "en_qa", "en_sum"]


def papers_truth(method, mode, task, turn):
    """How often a method is right, if everything the paper says is so."""
    first = mode == "multi_turn" and turn == 1
    if task in ("en_qa", "en_sum"):
        return 0.95 if task == "en_sum" or turn == 1 else 0.6 + 0.1 * (method == "full")
    return {
        "full": 0.95,
        "a_shape": 0.3 if turn == 1 else 0.9,
        "tri_shape": 0.95 if mode == "multi_turn" else 0.2,
        "minference": 0.95,
        "streaming_llm": 0.02,
        "snapkv": 0.6 if first else (0.0 if turn == 2 else 0.02),
        "snapkv-half": 0.9 if first else 0.3,
        "kivi": 0.6,
        "no_context": 0.0,
    }[method]


def scored(board, truth, seed=0):
    """Every turn of `board`, right with probability truth(method, mode, task, turn)."""
    rng = np.random.default_rng(seed)
    rows = [
        (board.study, line.model, line.label, task, mode, f"s{session:03d}", turn, task, float(rng.random() < chance))
        for line in board.lines
        for task, sessions in board.sessions.items()
        for mode in board.modes
        for turn in range(1, 6)
        for chance in [truth(line.label, mode, task, turn)]
        for session in range(sessions)
    ]
    columns = ["study", "model", "method", "task", "mode", "session", "turn", "subtask", "score_strict"]
    return pd.DataFrame(rows, columns=columns).assign(score_compat=lambda frame: frame["score_strict"])


@pytest.fixture(scope="module")
def balanced(make_board):
    return make_board(methods=METHODS, tasks=TASKS, data=DATA)


@pytest.fixture(scope="module")
def papers(make_board):
    """Enough sessions to tell a difference of 5 points."""
    board = make_board(methods=METHODS, tasks=TASKS, data=DATA | {"sessions": 200})
    return claims.frame(scored(board, papers_truth), board)


def verdicts(frame, subject=""):
    own = frame[(frame["profile"] == "strict") & (frame["subject"] == subject)]
    return own.set_index("finding")["verdict"].to_dict()


def reasons(frame):
    return frame[(frame["profile"] == "strict") & (frame["subject"] == "")].set_index("finding")["reason"].to_dict()


def test_where_the_paper_is_right_every_finding_that_can_be_told_holds(papers):
    found = verdicts(papers)
    assert list(found) == [finding.name for finding in FINDINGS]
    unknown = {"near_zero_snapkv", "snapkv_second_turn"}  # the wider budget is not near zero, nor worse
    told = {name for name, word in found.items() if word == claims.HOLDS}
    lacking = {
        *("prompt_compression_helps", "prompt_compression_hurts", "hybrid", "error_propagation", "attention_shift"),
    }
    assert told == set(found) - lacking - unknown
    assert {found[name] for name in lacking} == {claims.OPEN}


def test_methods_of_a_class_are_looked_at_alone_too(papers):
    assert verdicts(papers)["near_zero_streaming_llm"] == claims.HOLDS
    assert verdicts(papers, "snapkv-half")["near_zero_snapkv"] == claims.FAILS
    assert verdicts(papers, "snapkv")["memory"] == claims.HOLDS


def test_each_is_called_by_its_title_where_nothing_could_be_computed_too(make_board, tmp_path):
    methods = METHODS | {"kivi-4": {"method": "kivi", "bits": 4}}
    board = make_board(methods=methods, tasks=["retr_kv"], data=DATA | {"sessions": 3})
    frame = claims.frame(scored(board, lambda *_: 0.5), board)
    text = claims.write(frame, board, make_stamp("claims", board, "0" * 64), tmp_path / "claims")[0].read_text()
    rows = [row.split(" | ")[:2] for row in text.partition("## Method by method")[2].splitlines()]
    named = {claim.removeprefix("| "): [] for claim, *_ in rows}
    for claim, *rest in rows:
        named[claim.removeprefix("| ")] += rest
    assert named["Methods with sub-O(n) memory fail after the first turn"] == [
        *("StreamingLLM (1/8)", "SnapKV (1/8)", "snapkv-half (1/2)"),
    ]
    assert named["A larger budget gives a higher score"] == ["SnapKV", "KIVI"]


def test_where_the_opposite_is_true_the_findings_do_not_hold(balanced):
    def opposite(method, mode, task, turn):
        return 1 - papers_truth(method, mode, task, turn)

    found = verdicts(claims.frame(scored(balanced, opposite), balanced))
    mirrored = ("memory", "sparse_encoding", "a_shape", "tri_shape", "dynamic", "quantisation", "budgets")
    assert {found[name] for name in mirrored} == {claims.FAILS}


def test_where_all_methods_are_alike_no_difference_holds(balanced):
    """Each finding by itself may seem to hold in one study of forty; this is not one of them."""
    found = verdicts(claims.frame(scored(balanced, lambda *_: 0.7), balanced))
    differences = [finding.name for finding in FINDINGS if (finding.least, finding.most) in ((0.0, None), (None, 0.0))]
    assert {found[name] for name in differences} == {claims.OPEN}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Interval(5, 1, 9), (claims.HOLDS, claims.FAILS)),
        (Interval(-5, -9, -1), (claims.FAILS, claims.HOLDS)),
        (Interval(5, -1, 9), (claims.OPEN, claims.OPEN)),
        (Interval(5, float("nan"), float("nan")), (claims.OPEN, claims.OPEN)),
    ],
)
def test_a_verdict_needs_the_whole_interval_on_one_side(found, expected):
    above = next(finding for finding in FINDINGS if finding.least == 0)
    below = next(finding for finding in FINDINGS if finding.most == 0)
    assert tuple(claims.verdict(found, finding)[0] for finding in (above, below)) == expected


def test_turns_are_compared_in_balanced_order_alone(make_board):
    board = make_board(methods=METHODS, tasks=TASKS, data=DATA | {"order": "published", "sessions": 8})
    frame = claims.frame(scored(board, papers_truth), board)
    for finding in FINDINGS:
        if finding.balanced:
            assert verdicts(frame)[finding.name] == claims.OPEN and "order: balanced" in reasons(frame)[finding.name]
    assert verdicts(frame)["tri_shape"] == claims.HOLDS


@pytest.mark.parametrize(
    ("changes", "turns", "finding", "reason"),
    [
        ({"methods": {"full": {}}}, 5, "memory", "no row of a method with sub-O(n) memory"),
        ({"methods": {"snapkv": {}}}, 5, "memory", "no row of full attention"),
        ({"modes": ["multi_turn"]}, 5, "query_awareness_snapkv", "no multi-request part"),
        ({"query_aware": True}, 5, "query_awareness_snapkv", "query_aware: false"),
        ({"tasks": ["en_qa"]}, 5, "near_zero_snapkv", "none of Retr.KV"),
        ({"data": DATA | {"sessions": 4}}, 5, "tri_shape", "fewer than 5 sessions"),
        ({}, 1, "memory", "no second turn"),
        ({}, 5, "budgets", "no row of a method with two budgets"),
    ],
)
def test_a_study_that_cannot_tell_says_why(changes, turns, finding, reason, make_board):
    methods = {name: METHODS[name] for name in ("full", "a_shape", "tri_shape", "snapkv")}
    board = make_board(**({"methods": methods, "tasks": TASKS, "data": DATA | {"sessions": 5}} | changes))
    scores = scored(board, papers_truth)
    frame = claims.frame(scores[scores["turn"] <= turns], board)
    assert verdicts(frame)[finding] == claims.OPEN
    assert reason in reasons(frame)[finding]


def test_a_method_without_half_of_its_cells_is_judged_on_the_others_and_they_are_named(balanced):
    scores = scored(balanced, papers_truth)
    scores = scores[~((scores["method"] == "tri_shape") & scores["task"].isin(TASKS[1:]))]
    frame = claims.frame(scores, balanced)
    row = frame[(frame["finding"] == "tri_shape") & (frame["subject"] == "")].iloc[0]
    assert row["tasks"] == "Retr.KV" and row["verdict"] == claims.HOLDS


def test_scores_that_are_all_equal_prove_nothing(balanced):
    found = verdicts(claims.frame(scored(balanced, lambda *_: 1.0), balanced))
    assert {found[name] for name in ("memory", "dynamic", "budgets", "tri_shape")} == {claims.OPEN}


def test_the_files_carry_the_same_verdicts_and_every_row_has_five_cells(papers, balanced, tmp_path):
    stamp = make_stamp("claims", balanced, "0" * 64)
    text, data = (path.read_text() for path in claims.write(papers, balanced, stamp, tmp_path / "claims"))
    read = json.loads(data, parse_constant=lambda name: pytest.fail(name))
    assert read["lineage"] == stamp.lineage and read["level"] == 0.95
    assert [entry["finding"] for entry in read["findings"]] == list(papers["finding"])
    table = text[: text.index("## Method by method")].splitlines()
    rows = [line for line in table if line.startswith("| ") and "| finding |" not in line]
    assert len(rows) == len(FINDINGS) and all(row.count(" | ") == 4 for row in rows)
    for row, finding in zip(rows, FINDINGS, strict=True):
        assert finding.claim in row and verdicts(papers)[finding.name] in row
    assert stamp.line in text and "nan" not in text
