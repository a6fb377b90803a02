"""The laws of a method, for every registered one, on small random models of several families."""

import dataclasses
import gc

import pytest
import torch

from scbench.kv.arena import Arena
from scbench.methods import METHODS, find, make
from scbench.modes import run_session
from tests.conformance.asking import answers, requests_for, timeless
from tests.conformance.models import encoded, tokens


def conversation(engine, method, first, splits=()):
    """A conversation that has encoded `first` in chunks that end at `splits`; what is left of it by `shorten`."""
    if method.shortens:
        first = shortened(engine.tokenizer, method, first)
        splits = sorted({min(split, len(first)) for split in splits})
    talk = engine.start(method, len(first))
    for start, stop in zip((0, *splits), (*splits, len(first)), strict=True):
        talk.prefill(first[start:stop])
    return talk


def shortened(tokenizer, method, ids):
    """The tokens `ids` without those of the words that the method drops from their text."""
    text = " ".join(tokenizer.convert_ids_to_tokens(list(ids)))
    left = "".join(text[start:stop] for start, stop in method.shorten(text, "cpu"))
    return tuple(tokenizer.convert_tokens_to_ids(left.split()))


def logits_along(talk, later):
    """The logits after the first prompt, after a question and after each of four tokens."""
    seen = [talk.logits]
    talk.seal()
    talk.append(later)
    seen.append(talk.logits)
    for token in (9, 8, 7, 6):
        talk.append((token,))
        seen.append(talk.logits)
    return torch.stack(seen)


def stored(talk):
    return [rows.clone() for layer in range(talk.store.shape.layers) for rows in talk.store.rows(layer)]


@pytest.mark.parametrize("length", [1, 2, 63, 150])
def test_neutral_settings_equal_full_attention(engine, name, full, length):
    neutral = make(name, find(name).neutral(length), length)
    first, later = tokens(length), tokens(11, seed=1)
    ours = logits_along(conversation(engine, neutral, first), later)
    assert torch.allclose(ours, logits_along(conversation(engine, full, first), later), atol=1e-4)


def test_below_them_it_costs_less(engine, lossy, full):
    session = encoded()
    for ours, base in zip(requests_for([lossy.name]), requests_for(["full"]), strict=True):
        talk, dense = (conversation(engine, m, session[ours.mode].first) for m in (lossy, full))
        if lossy.stage in ("generation", "retrieval"):
            assert talk.store.counters.keys_attended < dense.store.counters.keys_attended
        elif lossy.stage == "loading":
            for each in (talk, dense):
                logits_along(each, tokens(11, seed=1))
            assert talk.store.counters.keys_attended < dense.store.counters.keys_attended
        else:
            answered = answers(engine, session, [ours, base])
            pairs = zip(answered[ours.label], answered[base.label], strict=True)
            assert all(a.kv_bytes < b.kv_bytes for a, b in pairs)


def test_its_output_differs_from_full_attention(engine, lossy, full):
    """Otherwise the other laws hold for nothing."""
    first, later = tokens(150), tokens(11, seed=1)
    ours = logits_along(conversation(engine, lossy, first), later)
    assert not torch.allclose(ours, logits_along(conversation(engine, full, first), later), atol=1e-2)


@pytest.mark.parametrize("splits", [(1,), (149,), (7, 8, 90), (50, 100)])
def test_chunked_prefill_equals_whole(engine, method, splits):
    """Or is refused, by a method that decides by the whole prompt."""
    first, later = tokens(150), tokens(11, seed=1)
    if method.whole_prompt:
        with pytest.raises(RuntimeError, match="in one chunk"):
            conversation(engine, method, first, splits)
        return
    whole, chunked = conversation(engine, method, first), conversation(engine, method, first, splits)
    assert whole.store.counters == chunked.store.counters
    assert torch.allclose(whole.logits, chunked.logits, atol=1e-4)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(stored(whole), stored(chunked), strict=True))
    after = logits_along(whole, later), logits_along(chunked, later)
    apart = torch.cat([((a - b).abs() > 1e-4).flatten() for a, b in zip(stored(whole), stored(chunked), strict=True)])
    # A rank or a rounding that lies on the edge may fall the other way; that must be rare, and all else equal.
    assert apart.float().mean() < 0.005
    assert apart.any() or torch.allclose(*after, atol=1e-4)


def test_the_first_token_comes_from_before_the_seal(engine, starts_dense, full):
    first = tokens(150)
    ours, base = conversation(engine, starts_dense, first), conversation(engine, full, first)
    ours.seal()
    assert torch.equal(ours.logits, base.logits)


def test_a_query_leaves_the_store_bit_identical(engine, method):
    talk = conversation(engine, method, tokens(150))
    talk.seal()
    mark, before, size = talk.mark(), stored(talk), talk.store.resident_bytes
    logits = talk.logits
    talk.append(tokens(12, seed=3))
    first = talk.answer(5, ())
    talk.rollback(mark)
    assert all(torch.equal(a, b) for a, b in zip(stored(talk), before, strict=True))
    assert talk.store.resident_bytes == size
    assert talk.logits is logits
    talk.append(tokens(12, seed=3))
    assert timeless(talk.answer(5, ())).token_ids == first.token_ids


def test_queries_do_not_see_each_other(llama, method):
    session, requests = encoded()["multi_request"], requests_for([method.name], ["multi_request"])
    swapped = dataclasses.replace(session, queries=session.queries[::-1])
    [asked] = answers(llama, {"multi_request": session}, requests).values()
    [reversed_] = answers(llama, {"multi_request": swapped}, requests).values()
    assert [output.token_ids for output in asked] == [output.token_ids for output in reversed_[::-1]]


def test_golden_answers_do_not_depend_on_generated_text(engine, method):
    requests = requests_for([method.name], ["multi_turn"])
    [long] = answers(engine, encoded(limits=(9, 9, 9), stop=frozenset()), requests).values()
    [short] = answers(engine, encoded(limits=(1, 2, 9), stop=frozenset()), requests).values()
    assert long[2] == short[2]
    assert short[1].token_ids == long[1].token_ids[:2]


def test_generated_history_is_what_was_generated(llama, method):
    requests, session = requests_for([method.name], ["multi_turn"]), {"multi_turn": encoded()["multi_turn"]}
    [generated] = answers(llama, session, requests, history="generated").values()
    retold = dataclasses.replace(session["multi_turn"], answers=tuple(output.token_ids for output in generated))
    assert answers(llama, {"multi_turn": retold}, requests)[requests[0].label] == generated


def test_the_order_of_requests_does_not_matter(engine):
    requests = requests_for(METHODS)
    assert answers(engine, encoded(), requests) == answers(engine, encoded(), requests[::-1])


def test_a_request_alone_answers_as_among_others(llama, method):
    together = answers(llama, encoded(), requests_for(METHODS))
    for request in requests_for([method.name]):
        assert answers(llama, encoded(), [request])[request.label] == together[request.label]


def test_nothing_leaks_into_the_next_session(llama):
    requests = requests_for(METHODS)
    alone = answers(llama, encoded(seed=50), requests)
    answers(llama, encoded(context=99, seed=7), requests)
    assert answers(llama, encoded(seed=50), requests) == alone


@pytest.mark.parametrize("share_prefill", [True, False])
def test_nothing_stays_in_memory(llama, share_prefill):
    requests = requests_for(METHODS)
    for number, _ in enumerate(run_session(llama, encoded(), requests, share_prefill=share_prefill, history="golden")):
        if number == 6:
            break
    gc.collect()
    assert not [thing for thing in gc.get_objects() if type(thing) is Arena and thing.keys]


def test_kv_is_stored_once_per_kv_head(engine, full):
    shape = engine.shape
    assert shape.query_heads == 3 * shape.kv_heads
    talk = conversation(engine, full, tokens(150))
    talk.seal()
    assert talk.store.resident_bytes == 150 * 2 * shape.layers * shape.kv_heads * shape.head_dim * 4


def test_no_method_stores_more_than_unrepeated_dense_kv(engine, method, full):
    ours, base = (conversation(engine, m, tokens(150)) for m in (method, full))
    ours.seal()
    base.seal()
    rows = ours.store.resident_bytes
    if method.stage == "loading":  # what chooses among the rows is counted, and comes on top of them
        assert rows >= base.store.resident_bytes
        rows = ours.store._arena.bytes(ours.store.tail)
    assert rows <= base.store.resident_bytes


def test_the_same_run_gives_the_same_answers(engine):
    requests = requests_for(METHODS)
    assert answers(engine, encoded(), requests) == answers(engine, encoded(), requests)
