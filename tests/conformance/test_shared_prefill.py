"""One dense prefill serves every method and mode that starts dense, and changes nothing."""

import dataclasses

import pytest
import torch

from scbench.methods import METHODS, make
from tests.conformance.asking import CONTEXT, answers, own_logits, requests_for
from tests.conformance.models import encoded, tokens

DENSE = [name for name in METHODS if METHODS[name].starts_dense]
POSITIONAL = ["a_shape", "tri_shape", "trianglemix"]
APART = [name for name in METHODS if name not in (*DENSE, *POSITIONAL)]


def work(engine, *how):
    """Counters of a run of `answers`: dense prefills, tokens prefilled."""
    before = dataclasses.replace(engine.counters)
    answers(engine, *how)
    after = engine.counters
    return after.dense_prefills - before.dense_prefills, after.prefill_tokens - before.prefill_tokens


@pytest.mark.parametrize("context", [150, 20, 3])
def test_shared_and_unshared_answers_are_equal(engine, context):
    session, requests = encoded(context), requests_for(METHODS)
    assert answers(engine, session, requests, True) == answers(engine, session, requests, False)


def test_shared_and_unshared_runs_compute_the_same_bits(llama, monkeypatch):
    seen, forward = [], llama.forward

    def spy(store, *how):
        logits = forward(store, *how)
        if store.sealed:
            seen.extend(own_logits(store, logits))
        return logits

    monkeypatch.setattr(llama, "forward", spy)
    for share_prefill in (True, False):
        answers(llama, encoded(), requests_for([*DENSE, *POSITIONAL]), share_prefill)
    half = len(seen) // 2
    assert torch.equal(torch.stack(seen[:half]), torch.stack(seen[half:]))


@pytest.mark.parametrize("name", ["full", "streaming_llm"])
def test_logits_are_within_a_ten_thousandth_of_a_whole_prefill(engine, name):
    first, method = tokens(170), make(name, {}, CONTEXT)
    whole, stem = engine.start(method, 170), engine.start(make("full", {}, CONTEXT), 150)
    whole.prefill(first)
    stem.prefill(first[:150])
    fork = stem.fork(method, 170)
    fork.prefill(first[150:])
    assert torch.allclose(whole.logits, fork.logits, atol=1e-4)
    for talk in (whole, fork):
        talk.seal()
        talk.append(tokens(9, seed=4))
    assert torch.allclose(whole.logits, fork.logits, atol=1e-4)


def test_a_session_is_prefilled_once(llama):
    session, requests = encoded(), requests_for(DENSE)
    shared, tokens_shared = work(llama, session, requests, True)
    alone, tokens_alone = work(llama, session, requests, False)
    assert (shared, alone) == (1, len(requests))
    assert tokens_alone - tokens_shared == (len(requests) - 1) * 150


def test_who_shares_nothing(llama):
    session, requests = encoded(), requests_for(APART)
    assert all(request.method.own_rows is None for request in requests)
    assert work(llama, session, requests, True) == work(llama, session, requests, False)
    assert work(llama, session, requests, True)[0] == 0


@pytest.mark.parametrize("name", POSITIONAL)
def test_what_a_mask_of_positions_encodes_serves_both_modes(llama, name):
    """But for the last rows, which are encoded as the end of a prompt."""
    session, requests = encoded(), requests_for([name])
    shared, alone = (work(llama, session, requests, share)[1] for share in (True, False))
    assert alone - shared == 150 - requests[0].method.own_rows


def test_no_more_is_kept_than_later_requests_go_on_from(llama, monkeypatch):
    started, open_stems, start = [], [], llama.start

    def spy(*how):
        open_stems.append(sum(talk.store.total >= 0 for talk in started))
        started.append(start(*how))
        return started[-1]

    monkeypatch.setattr(llama, "start", spy)
    answers(llama, encoded(), requests_for(["full", "a_shape", "tri_shape"]))
    assert open_stems == [0, 0, 0]
    assert not any(talk.store.total >= 0 for talk in started)


def test_first_prompts_without_a_common_prefix_are_prefilled_apart(llama):
    session = encoded()
    other = dataclasses.replace(session["multi_request"], first=(3, *session["multi_request"].first))
    if other.first[0] == session["multi_turn"].first[0]:
        pytest.fail("the prompts must differ from the first token on")
    requests = requests_for(DENSE)
    apart = {"multi_turn": session["multi_turn"], "multi_request": other}
    assert work(llama, apart, requests, True)[0] == len(requests)


def test_one_mode_shares_its_whole_first_prompt(llama):
    session = {"multi_turn": encoded()["multi_turn"]}
    requests = requests_for(DENSE, ["multi_turn"])
    assert work(llama, session, requests, True)[0] == 1
    assert answers(llama, session, requests, True) == answers(llama, session, requests, False)


def test_a_resumed_run_computes_the_same_bits(llama):
    """What is left to do does not decide how the prefix is cut."""
    session, requests = encoded(), requests_for([*DENSE, *POSITIONAL])
    everything = answers(llama, session, requests, True)
    for request in requests:
        assert answers(llama, session, [request], True)[request.label] == everything[request.label]


def test_costs_are_reported_as_if_alone(llama):
    session = encoded()
    for label, outputs in answers(llama, session, requests_for(METHODS), True).items():
        mode = label.split()[1]
        first = len(session[mode].first) + len(session[mode].queries[0])
        assert outputs[0].prompt_tokens == first
        # Chunks that are encoded alone are computed again in part: `tests/engines/test_chunks.py` counts how many.
        again = METHODS[label.split()[0]].assembles
        assert outputs[0].tokens_prefilled > first if again else outputs[0].tokens_prefilled == first


def test_the_window_may_lie_across_the_cut(llama):
    """SnapKV's last rows belong partly to the shared prefix, partly to the question."""
    first = tokens(120)
    method = make("snapkv", {"capacity": 40, "window": 16}, CONTEXT)
    for cut in (100, 110, 119, 120):
        stem = llama.start(make("full", {}, CONTEXT), cut, query_rows=20)
        stem.prefill(first[:cut])
        fork, whole = stem.fork(method, 120), llama.start(method, 120)
        fork.prefill(first[cut:])
        whole.prefill(first)
        for talk in (fork, whole):
            talk.seal()
        for layer in range(llama.shape.layers):
            for ours, theirs in zip(fork.store.rows(layer), whole.store.rows(layer), strict=True):
                assert torch.allclose(ours, theirs, atol=1e-4)
