"""What a method that shortens the context changes of a session and of its results, and what it leaves alone."""

from dataclasses import replace

import pytest

from scbench.compute import Computer
from scbench.methods import METHODS, make
from scbench.methods.generation.llmlingua2 import LLMLingua2
from scbench.places import ROOT
from scbench.plan import make_plan
from scbench.prompts import chat_frame, encode
from scbench.schema import read_yaml
from scbench.sessions import Session, Turn
from scbench.shortening import shortened
from scbench.study import load_study
from scbench.tasks import TASKS, Scale
from scripts.build_sessions import token_counter

TOKENS = 256
TEXT = "Ada lives in Rome. Bob lives in Oslo."


def session_of(*evidence):
    turns = tuple(Turn(f"Question {n}?", ("Rome",), "en_qa", spans) for n, spans in enumerate(evidence))
    return Session("en_qa", "one", TEXT, turns)


def evidence_left(kept, *evidence):
    """The shortened context and what each turn's evidence reads in it."""
    left = shortened(session_of(*evidence), kept)
    return left.context, [[left.context[start:stop] for start, stop in turn.evidence] for turn in left.turns]


def test_evidence_moves_with_the_text_and_is_lost_with_a_word_of_it():
    whole, other = (0, 18), (19, 37)
    assert evidence_left([(0, 37)], (whole,), (other,)) == (TEXT, [["Ada lives in Rome."], ["Bob lives in Oslo."]])
    # "Ada lives in Rome" without its mark, then "Bob Oslo".
    kept = [(0, 17), (18, 22), (31, 37)]
    assert evidence_left(kept, (whole,), (other,), (whole, other), ((32, 36),)) == (
        "Ada lives in Rome Bob Oslo.",
        [["Ada lives in Rome"], [], [], ["Oslo"]],
    )
    assert evidence_left([(0, 9)], (other,), ()) == ("Ada lives", [[], []])
    assert evidence_left([], (whole,)) == ("", [[]])


def test_the_session_is_otherwise_the_same():
    session = session_of(((0, 18),), ())
    left = shortened(session, [(0, 5)])
    assert replace(left, context=TEXT, turns=session.turns) == session
    assert [replace(turn, evidence=()) for turn in left.turns] == [replace(turn, evidence=()) for turn in session.turns]


def study_of(methods, **changes):
    config = read_yaml(ROOT / "studies" / "smoke.yaml") | {
        "methods": methods,
        "floor": False,
        "tasks": ["mix_sum_niah"],
    }
    return load_study(config | changes, "my.yaml")


ROWS = {
    "full": {},
    "half": {"method": "llmlingua2"},
    "all": {"method": "llmlingua2", "budget": 1},
    "both": {"method": "llmlingua2+snapkv"},
}


@pytest.fixture(scope="module")
def computed():
    """What a computer of the four rows says of two sessions, by label, mode and session; and the computer."""
    study = study_of(ROWS)
    plan = make_plan(study)
    computer = Computer(study, study.models[0])
    scale = Scale(tokens=TOKENS, turns=3, count=token_counter(study.models[0]))
    sessions = [TASKS["mix_sum_niah"].build(scale, 3, number) for number in range(2)]
    found = {
        (cell.row.label, cell.mode, number): turns
        for number, session in enumerate(sessions)
        for cell, turns, _ in computer.compute(session, plan.cells)
    }
    return found, computer, sessions, plan


@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
def test_keeping_all_is_full_attention(computed, mode):
    found, *_ = computed
    for number in range(2):
        whole, full = found["all", mode, number], found["full", mode, number]
        assert [turn["prediction"] for turn in whole] == [turn["prediction"] for turn in full]
        exact = ("new_tokens", "prompt_tokens", "kv_bytes", "kv_bytes_dense", "keys_attended", "dropped_tokens")
        assert [[turn[name] for name in exact] for turn in whole] == [[turn[name] for name in exact] for turn in full]


@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
@pytest.mark.parametrize("label", ["half", "both"])
def test_what_was_dropped_is_on_record(computed, label, mode):
    """Fewer tokens are fed and kept; those that are not are counted, and stay in what dense KV would take."""
    found, *_ = computed
    for number in range(2):
        ours, full = found[label, mode, number], found["full", mode, number]
        assert ours[0]["prompt_tokens"] + ours[0]["dropped_tokens"] == full[0]["prompt_tokens"]
        assert 0.35 < ours[0]["dropped_tokens"] / full[0]["prompt_tokens"] < 0.6
        for turn, whole in zip(ours, full, strict=True):
            assert turn["dropped_tokens"] == ours[0]["dropped_tokens"]
            assert turn["kv_bytes_dense"] == whole["kv_bytes_dense"]
            assert turn["kv_bytes"] < 0.7 * whole["kv_bytes"]
        assert [turn["prompt_tokens"] for turn in ours[1:]] == [turn["prompt_tokens"] for turn in full[1:]]


def test_evidence_that_was_dropped_is_on_record(computed):
    found, _, sessions, _ = computed
    seen = set()
    for number, session in enumerate(sessions):
        spans = make("llmlingua2", {}, TOKENS).shorten(session.context, "cpu")
        places = {place for start, stop in spans for place in range(start, stop)}
        for asked, turn in zip(session.turns, found["half", "multi_turn", number], strict=True):
            needed = {place for start, stop in asked.evidence for place in range(start, stop)}
            whole = all(place in places for place in needed if session.context[place].isalnum())
            assert turn["evidence_kept"] is whole
            seen.add(whole)
        assert all(turn["evidence_kept"] for turn in found["full", "multi_turn", number])
    assert False in seen


def test_snapkv_keeps_less_of_what_was_left(computed):
    found, *_ = computed
    for mode in ("multi_turn", "multi_request"):
        assert found["both", mode, 0][0]["kv_bytes"] < found["half", mode, 0][0]["kv_bytes"]
        assert found["both", mode, 0][0]["prompt_tokens"] == found["half", mode, 0][0]["prompt_tokens"]


def test_a_row_alone_and_after_other_sessions_says_the_same(computed):
    found, computer, sessions, plan = computed
    for label in ("half", "both"):
        for cell in (cell for cell in plan.cells if cell.row.label == label):
            [(_, turns, _)] = computer.compute(sessions[0], [cell])
            assert turns == found[label, cell.mode, 0]


def test_the_context_is_shortened_once_and_nothing_else(computed, monkeypatch):
    """Each mode's first prompt is the whole one with another context; every question is as it was."""
    _, computer, sessions, _ = computed
    session, seen = sessions[0], []
    shorten = LLMLingua2.shorten

    def spy(method, context, device):
        seen.append(context)
        return shorten(method, context, device)

    monkeypatch.setattr(LLMLingua2, "shorten", spy)
    method = make("llmlingua2", {}, TOKENS)
    whole = computer._encode(session, True)
    ours, seconds = computer._shortened(session, whole, method)
    assert seconds > 0
    assert seen == [session.context]
    left = "".join(session.context[start:stop] for start, stop in method.shorten(session.context, "cpu"))
    tokenizer = computer.engine.tokenizer
    before, opening = (
        chat_frame(tokenizer).before,
        tokenizer.decode(whole["multi_turn"].first[-whole["multi_turn"].question :]),
    )
    assert tokenizer.decode(ours["multi_turn"].first) == f"{before}{left}\n\n{opening}"
    assert tokenizer.decode(ours["multi_request"].first) == f"{before}{left}\n\n"
    for mode in whole:
        same = {"first": (), "evidence_kept": (), "shortened_tokens": 0}
        assert replace(ours[mode], **same) == replace(whole[mode], **same)


def test_what_does_not_fit_is_cut_after_the_context_was_shortened(computed):
    """As published: words are dropped from the whole text, so that more of it is within reach."""
    _, computer, sessions, _ = computed
    method = make("llmlingua2", {}, TOKENS)
    session = sessions[0]
    left = shortened(session, method.shorten(session.context, "cpu"))
    how = {"profile": "clean", "scale_name": "mini", "max_prompt_tokens": 300}
    whole, short = (encode(each, "multi_turn", computer.engine.tokenizer, **how) for each in (session, left))
    assert whole.dropped_tokens > 0
    assert short.dropped_tokens == 0


def test_a_row_names_what_is_not_pinned():
    rows = {"published": {"method": "llmlingua2", "classifier": "xlm_roberta_meetingbank"}}
    pending = ("pinned files of the classifier xlm_roberta_meetingbank",)
    assert study_of(rows).pending == pending
    assert (
        study_of(
            {"both": {"method": "llmlingua2+snapkv", "llmlingua2": {"classifier": "xlm_roberta_meetingbank"}}}
        ).pending
        == pending
    )
    assert study_of({"llmlingua2": {}, "both": {"method": "llmlingua2+snapkv"}}).pending == ()
    assert METHODS["full"](budget=1.0).pending == ()
