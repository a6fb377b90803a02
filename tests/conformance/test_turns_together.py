"""Turns of a session that share passes: the same answers at the same cost as one after the other."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from scbench.methods import METHODS, make
from scbench.methods.base import Method
from scbench.methods.full import Full
from scbench.methods.loading.oracle_topk import OracleTopK
from scbench.modes import MODES, Request, run_session
from tests.conformance.asking import CONTEXT, answers, answers_to, own_logits, requests_for
from tests.conformance.models import encoded, tokens


@pytest.fixture
def apart(monkeypatch):
    """From here on, no method lets turns share passes."""

    def forbid():
        for method in {*METHODS.values(), Method}:
            monkeypatch.setattr(method, "turns_together", False)

    return forbid


def test_answers_and_costs_are_those_of_turns_one_after_the_other(engine, apart):
    """In a session whose answers differ in length, so that branches end one by one."""
    requests, session = requests_for(METHODS), encoded(limits=(9, 2, 5), stop=frozenset(range(3, 20)))
    together = answers(engine, session, requests)
    assert len({output.new_tokens for outputs in together.values() for output in outputs}) > 4
    apart()
    assert answers(engine, session, requests) == together


@pytest.mark.parametrize("mode", MODES)
def test_logits_are_within_a_ten_thousandth(llama, method, mode, apart, monkeypatch):
    seen, forward = [], llama.forward

    def spy(store, *how):
        logits = forward(store, *how)
        if store.sealed:
            seen.extend(own_logits(store, logits))
        return logits

    monkeypatch.setattr(llama, "forward", spy)

    def run():
        seen.clear()
        answers(llama, encoded(limits=(6, 6, 6), stop=frozenset()), requests_for([method.name], [mode]))
        return list(seen)

    # Question 1 of a multi-turn session is part of the first prompt and so of no pass after it.
    points = [(turn, step) for turn in range(3) for step in range(6) if mode == "multi_request" or turn or step]
    together = dict(zip(sorted(points, key=lambda point: point[::-1]), run(), strict=True))
    apart()
    for point, alone in zip(points, run(), strict=True):
        assert torch.allclose(together[point], alone, atol=1e-4), point


def test_a_turn_takes_as_many_passes_as_the_longest_answer(llama, full):
    for mode in MODES:
        before = dataclasses.replace(llama.counters)
        request = Request(full, mode, mode)
        [_] = run_session(
            llama, encoded(limits=(4, 1, 3), stop=frozenset()), [request], share_prefill=True, history="golden"
        )
        assert llama.counters.decode_steps - before.decode_steps == 3
        assert llama.counters.decode_tokens - before.decode_tokens == 3 + 0 + 2


def test_the_store_is_left_as_it_was(llama, method):
    talk = llama.start(method, 150)
    talk.prefill(tokens(150))
    talk.seal()
    rows = [part.clone() for layer in range(3) for part in talk.store.rows(layer)]
    held, logits = talk.store.resident_bytes, talk.logits
    asked = ((), tokens(7, seed=4), tokens(3, seed=5))
    first, again = ([output.token_ids for output in answers_to(talk, asked, (5, 5, 5))] for _ in range(2))
    assert first == again
    assert (talk.store.length, talk.store.resident_bytes) == (150, held)
    assert talk.logits is logits
    now = [part for layer in range(3) for part in talk.store.rows(layer)]
    assert all(torch.equal(a, b) for a, b in zip(now, rows, strict=True))


def test_generated_history_is_asked_turn_by_turn(llama, full):
    session, before = encoded(limits=(4, 4, 4), stop=frozenset()), llama.counters.decode_steps
    [_] = run_session(llama, session, [Request(full, "multi_turn", "")], share_prefill=True, history="generated")
    assert llama.counters.decode_steps - before == 3 * 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadsItself(OracleTopK):
    """A method with a `load` of its own that says nothing of turns."""

    def load(self, step):
        return step.dense()


def test_who_lets_turns_share_passes():
    together = {name: make(name, {}, CONTEXT).turns_together for name in METHODS}
    assert all(together.values())
    assert not make("kivi", {"grow": True}, CONTEXT).turns_together
    assert not make("a_shape+kivi", {"kivi": {"grow": True}}, CONTEXT).turns_together
    assert make("tri_shape+quest", {}, CONTEXT).turns_together
    assert not LoadsItself.resolve({}, CONTEXT).turns_together


def test_what_grows_along_the_turns_cannot_share_passes(llama, monkeypatch):
    method = make("kivi", {"grow": True, "group": 4, "residual": 8}, CONTEXT)
    monkeypatch.setattr(type(method), "turns_together", True)
    with pytest.raises(RuntimeError, match="grows along the turns"):
        answers(llama, encoded(), [Request(method, "multi_turn", "")])


def test_an_answer_needs_something_fed_before(llama):
    talk = llama.start(Full(budget=1.0), 0)
    talk.seal()
    with pytest.raises(RuntimeError, match="nothing was fed"):
        talk.ask_all(((), tokens(3)), (2, 2), (), chained=True)
