"""Requests that share the passes of their answers: what each computes never depends on the others, to the bit."""

import dataclasses

import pytest
import torch

from scbench import modes
from scbench.engines.alike import STEP
from scbench.engines.together import Together
from scbench.methods import METHODS
from tests.conformance.asking import answers, requests_for
from tests.conformance.models import encoded

FREE = dict(limits=(9, 2, 5), stop=frozenset(range(3, 20)))
"""Answers that differ in length, so that conversations leave the passes one by one."""


@pytest.fixture
def logits(llama, monkeypatch):
    """All logits after the first prompt, by the method that computed them, for runs of one mode."""
    found, forward = {}, llama.forward

    def spy(store, *how):
        computed = forward(store, *how)
        if isinstance(store, Together):
            for part, own in store._stores:
                rows = [row for row, token in enumerate(store.rows[: store.wanted]) if own.start <= token < own.stop]
                found.setdefault(part.method, []).append(computed[rows])
        return computed

    monkeypatch.setattr(llama, "forward", spy)

    def run(requests):
        found.clear()
        answers(llama, encoded(**FREE), requests)
        return {method: torch.cat(rows) for method, rows in found.items()}

    return run


@pytest.mark.parametrize("mode", modes.MODES)
def test_a_request_alone_computes_the_same_bits_as_among_others(llama, logits, mode):
    requests = requests_for(METHODS, [mode])
    assert llama.rows_alike > STEP
    together = logits(requests)
    assert together.keys() == {request.method for request in requests}
    for request in requests:
        assert torch.equal(logits([request])[request.method], together[request.method])


@pytest.mark.parametrize(("bound", "value"), [("rows", STEP), ("rows", 0), ("bytes", 1)])
def test_bounds_decide_who_shares_passes_and_nothing_else(llama, full, monkeypatch, bound, value):
    session, requests = encoded(**FREE), requests_for(["full", "snapkv", "kivi", "quest"])
    free, passes = answers(llama, session, requests), []
    if bound == "rows":
        monkeypatch.setitem(llama.__dict__, "rows_alike", value)
    else:
        monkeypatch.setattr(modes, "TOGETHER_BYTES", value)
    forward = llama.forward

    def spy(store, *how):
        if isinstance(store, Together):
            passes.append((len(store._stores), len(store.ids)))
        return forward(store, *how)

    monkeypatch.setattr(llama, "forward", spy)
    assert answers(llama, session, requests) == free
    widest, most = (max(column) for column in zip(*passes, strict=True))
    assert most <= max(STEP, 36)  # the prompts of one conversation
    assert (widest > 1) == (value == STEP)


def test_a_session_takes_as_many_passes_as_its_longest_answer(llama):
    before = dataclasses.replace(llama.counters)
    answers(llama, encoded(limits=(4, 1, 3), stop=frozenset()), requests_for(["full", "snapkv", "kivi"]))
    assert llama.counters.decode_steps - before.decode_steps == 3
    assert llama.counters.decode_tokens - before.decode_tokens == 6 * (3 + 0 + 2)


def test_one_conversation_at_a_time_is_open_where_none_share_passes(llama, monkeypatch):
    """So that no more than its KV is held."""
    monkeypatch.setitem(llama.__dict__, "rows_alike", 0)
    talks, start = [], llama.start

    def spy(*how):
        assert not any(talk.store.total >= 0 for talk in talks)
        talks.append(start(*how))
        return talks[-1]

    monkeypatch.setattr(llama, "start", spy)
    answers(llama, encoded(), requests_for(["full", "snapkv"]), share_prefill=False)
    assert len(talks) == 4


def test_seconds_of_shared_passes_are_shared_out(llama):
    ran = modes.run_session(
        llama, encoded(**FREE), requests_for(["full", "magicpig"]), share_prefill=True, history="golden"
    )
    outputs = [output for _, turns in ran for output in turns]
    assert all(output.decode_seconds > 0 for output in outputs if output.new_tokens > 1)
    assert all(output.decode_seconds == 0 for output in outputs if output.new_tokens == 0)
