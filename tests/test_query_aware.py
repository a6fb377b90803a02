"""Query awareness in a study: what its key means, what it costs, and what it gives SnapKV on the bundled model."""

import pytest
import torch

from scbench import cellkey, engines
from scbench.kv import LayerKV
from scbench.methods import make
from scbench.models import read_models
from scbench.modes import Request, run_session
from scbench.places import ROOT
from scbench.plan import Plan, make_plan
from scbench.prompts import INSTRUCTIONS, chat_frame, encode
from scbench.schema import read_yaml
from scbench.scoring import score_turn
from scbench.study import load_study
from scbench.tasks import TASKS, Scale
from scripts.build_sessions import token_counter

TOKENS, SESSIONS = 512, 4


def plan_of(**changes: object) -> Plan:
    config = read_yaml(ROOT / "studies" / "smoke.yaml") | {"tasks": ["retr_kv"]}
    return make_plan(load_study(config | changes, "my.yaml"))


def test_it_is_off_unless_a_study_asks_for_it():
    assert plan_of().study.query_aware is False
    assert plan_of(query_aware=True).study.resolved()["query_aware"] is True


def test_it_is_in_the_keys_of_requests_and_not_of_turns():
    unaware, aware = plan_of(), plan_of(query_aware=True)
    same = {
        (cell.row.label, cell.mode): cellkey.key(unaware.study, cell, {}) == cellkey.key(aware.study, other, {})
        for cell, other in zip(unaware.cells, aware.cells, strict=True)
    }
    assert {mode for (_, mode), equal in same.items() if equal} == {"multi_turn"}
    assert {mode for (_, mode), equal in same.items() if not equal} == {"multi_request"}


def test_methods_that_start_sparse_pay_for_every_request():
    """`a_shape` and the floor, in two tasks of two sessions and two turns: one encoding more a session each."""
    unaware, aware = (plan_of(query_aware=on, floor=False) for on in (False, True))
    one = 256 / 1000 * aware.study.models[0].seconds.prefill_1k
    assert aware.seconds - unaware.seconds == pytest.approx(2 * one)


@pytest.fixture(scope="module")
def engine():
    return engines.load(read_models()["minilm"].spec(), threads=1, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def sessions():
    scale = Scale(name="mini", tokens=TOKENS, turns=5, count=token_counter(read_models()["minilm"]))
    return [TASKS["retr_kv"].build(scale, 7, number) for number in range(SESSIONS)]


def encoded(engine, session):
    how = {"profile": "clean", "max_prompt_tokens": None, "scale_name": "mini", "model_stop_ids": engine.stop_ids}
    return {mode: encode(session, mode, engine.tokenizer, **how) for mode in ("multi_turn", "multi_request")}


def answered(engine, session, method, query_aware):
    """The answers to the five requests."""
    how = {"share_prefill": True, "history": "golden", "query_aware": query_aware}
    request = Request(method, "multi_request", "")
    [(_, outputs)] = run_session(engine, encoded(engine, session), [request], **how)
    return [output.prediction for output in outputs]


def accuracy(engine, sessions, method, query_aware):
    """The share of right answers."""
    scores = [
        score_turn("retr_kv", prediction, turn.golds, profile="strict")
        for session in sessions
        for turn, prediction in zip(session.turns, answered(engine, session, method, query_aware), strict=True)
    ]
    return sum(scores) / len(scores)


def evidence_positions(engine, session, turn):
    """Positions of the first prompt's tokens that hold the evidence of `turn`."""
    before = engine.tokenizer(chat_frame(engine.tokenizer).before, add_special_tokens=False)["input_ids"]
    head = f"{INSTRUCTIONS['retr_kv']}\n\n"
    text = engine.tokenizer(head + session.context, add_special_tokens=False, return_offsets_mapping=True)
    spans = [(start + len(head), stop + len(head)) for start, stop in turn.evidence]
    return [
        len(before) + number
        for number, (low, high) in enumerate(text["offset_mapping"])
        if any(low < stop and start < high for start, stop in spans)
    ]


def test_snapkv_keeps_the_evidence_of_a_question_that_it_sees(engine, sessions, monkeypatch):
    chosen, keep = [], LayerKV.keep

    def spy(layer, positions):
        chosen.append(torch.as_tensor(positions))
        return keep(layer, positions)

    monkeypatch.setattr(LayerKV, "keep", spy)
    method = make("snapkv", {"budget": "1/8"}, TOKENS)
    layers = engine.shape.layers

    def kept(query_aware):
        """The share of the evidence that is kept, over all heads, layers and questions."""
        found = total = 0
        for session in sessions[:2]:
            chosen.clear()
            answered(engine, session, method, query_aware)
            assert len(chosen) == layers * (len(session.turns) if query_aware else 1)
            for number, turn in enumerate(session.turns):
                evidence = torch.tensor(evidence_positions(engine, session, turn))
                for positions in chosen[number * layers :][:layers] if query_aware else chosen:
                    found += sum(int(torch.isin(evidence, head).sum()) for head in positions)
                    total += len(evidence) * len(positions)
        return found / total

    assert kept(query_aware=True) > 1.5 * kept(query_aware=False)


def test_snapkv_needs_the_question_and_full_attention_does_not(engine, sessions):
    full, snapkv = make("full", {}, TOKENS), make("snapkv", {"budget": "1/8"}, TOKENS)
    for session in sessions:
        assert answered(engine, session, full, True) == answered(engine, session, full, False)
    assert accuracy(engine, sessions, full, True) > 0.9
    assert accuracy(engine, sessions, snapkv, True) > accuracy(engine, sessions, snapkv, False) + 0.2
