"""KIVI that goes on quantising behind the first prompt: what it holds at any length, and that no verb shows in it."""

import gc
import itertools
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scbench.kv.arena import Arena
from scbench.methods import make
from scbench.modes import MODES, Request
from tests.conformance import test_laws as laws
from tests.conformance.asking import answers
from tests.conformance.drive import Drive, held_bytes, naive_attention
from tests.conformance.models import encoded

SMALL = dict(bits=4, group=4, residual=8)
GROW = SMALL | {"grow": True}
LONGEST = 400


def sealed(settings, total, **how):
    """As many rows are drawn whatever the first prompt takes of them, so that they are the same rows."""
    run = Drive(make("kivi", settings, 1024), total, later=LONGEST - total, layers=2, **how)
    run.prefill([total])
    run.store.seal()
    return run


def state(store):
    return [rows.clone() for layer in range(store.shape.layers) for rows in store.rows(layer)]


def same(a, b):
    return len(a) == len(b) and all(map(torch.equal, a, b))


@pytest.mark.parametrize("total", [0, 3, 8, 11, 23])
@pytest.mark.parametrize("passes", [(1,), (5,), (8,), (13, 1, 1), (40,)], ids=str)
def test_keys_are_packed_to_the_last_window_and_values_to_the_one_before(total, passes):
    """Each as in a first prompt of that length, all others exact; before the first window is full, nothing changes."""
    run, alone = sealed(GROW, total), sealed(SMALL, total)
    for count in itertools.islice(itertools.cycle(passes), 9):
        run.feed(count)
        alone.feed(count)
        length = run.store.length
        edge = length - length % 8
        if edge == total - total % 8:
            assert same(state(run.store), state(alone.store))
            continue
        whole = sealed(SMALL, length)
        for layer in range(2):
            (k, v), (packed_k, packed_v) = run.store.rows(layer), whole.store.rows(layer)
            assert torch.equal(k, packed_k)
            assert torch.equal(v[:, :, : edge - 8], packed_v[:, :, : edge - 8])
            assert torch.equal(v[:, :, edge - 8 :], run.v[layer][:, :, edge - 8 : length])
            assert not torch.equal(k[:, :, :edge], run.k[layer][:, :, :edge])


def test_a_pass_sees_its_own_rows_exact_and_those_before_as_they_are_held():
    run = sealed(GROW, 19)
    for count in (9, 1, 30, 1):
        k, v = run.store.rows(1)
        start = run.store.length
        new = slice(start, start + count)
        out = run.feed(count)
        k, v = torch.cat([k, run.k[1][:, :, new]], dim=2), torch.cat([v, run.v[1][:, :, new]], dim=2)
        mask = torch.ones(count, start + count, dtype=torch.bool).tril(start)
        expected = naive_attention(run.q[1][:, :, new], k, v, mask, run.scaling)
        assert torch.allclose(out.double(), expected, atol=1e-5)


@pytest.mark.parametrize(("bits", "cost"), [(2, 3 / 16), (4, 5 / 16), (8, 9 / 16)])
def test_bytes_are_freed(bits, cost):
    """Every token costs its codes, a scale and a zero point, but for at most two windows of values and one of keys."""
    run = sealed(dict(bits=bits, grow=True), 64, dim=32)
    dense = run.store.shape.dense_bytes_per_token
    for count in (100, 1, 1, 90):
        run.feed(count)
        exact = run.store.length * cost * dense
        assert exact <= run.store.resident_bytes <= exact + 1.5 * 32 * 2 * dense
    assert run.store.resident_bytes < sealed(dict(bits=bits), 64, dim=32).store.resident_bytes + 192 * 2 * dense


def test_what_is_counted_is_what_is_held():
    run = sealed(GROW, 50)
    for count in (3, 77, 1, 1, 20):
        run.feed(count)
    assert run.store.tail == 0
    assert held_bytes(run.store._packed) == run.store.resident_bytes


def test_rows_that_no_mark_leads_back_to_are_freed():
    run = sealed(GROW, 20)
    arenas = [weakref.ref(run.store._arena)]
    mark = run.store.mark()
    for _ in range(5):
        run.feed(8)
        arenas.append(weakref.ref(run.store._arena))
    gc.collect()
    alive = [arena() is not None for arena in arenas]
    assert alive == [True, False, False, False, False, True]
    run.store.rollback(mark)
    gc.collect()
    assert [arena() is not None for arena in arenas] == [True] + 5 * [False]
    run.feed(8)
    run.store.close()
    gc.collect()
    assert not any(arena() for arena in arenas)


def test_a_fork_does_not_write_over_what_a_rollback_brings_back():
    run = sealed(GROW, 3)
    twin = run.store.fork()
    run.feed(2)
    mark, before = run.store.mark(), state(run.store)
    run.feed(9)
    feed(run, twin, 4, 1)
    run.store.rollback(mark)
    assert same(state(run.store), before)


OFTEN = "feed feed feed feed mark mark rollback rollback fork other close".split()
VERBS = st.lists(st.tuples(st.sampled_from(OFTEN), st.integers(1, 20)), min_size=10, max_size=25)


class Told:
    """A store and the passes that made it what it should be."""

    def __init__(self, store, passes=(), marks=()):
        self.store, self.passes, self.marks = store, list(passes), list(marks)


def feed(run, store, count, salt):
    """As `run.feed`, with keys and values that no other pass has."""
    k, v = run.k, run.v
    run.k, run.v = k + salt, v - salt
    out = run.feed(count, store)
    run.k, run.v = k, v
    return out


@given(total=st.integers(0, 20), verbs=VERBS)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_verbs_leave_what_the_surviving_passes_alone_would(total, verbs):
    run = sealed(GROW, total)
    stores, salts = [Told(run.store)], itertools.count(1)
    for verb, number in verbs:
        told = stores[0]
        if verb == "feed" and told.store.length + number < LONGEST - 9:
            told.passes.append((number, next(salts)))
            feed(run, told.store, *told.passes[-1])
        elif verb == "mark":
            told.marks.append((told.store.mark(), len(told.passes)))
        elif verb == "rollback" and told.marks:
            told.marks = told.marks[: number % len(told.marks) + 1]
            mark, kept = told.marks[-1]
            told.store.rollback(mark)
            told.passes = told.passes[:kept]
        elif verb == "fork":
            stores.append(Told(told.store.fork(), told.passes, told.marks))
        elif verb == "other":
            stores = stores[number % len(stores) :] + stores[: number % len(stores)]
        elif verb == "close" and len(stores) > 1:
            stores.pop(0).store.close()
    for told in stores:
        fresh = sealed(GROW, total)
        for count, salt in told.passes:
            feed(fresh, fresh.store, count, salt)
        assert same(state(told.store), state(fresh.store))
        assert told.store.resident_bytes == fresh.store.resident_bytes
        assert torch.equal(feed(run, told.store, 9, 0), feed(fresh, fresh.store, 9, 0))


@pytest.fixture
def grow():
    return make("kivi", GROW, 170)


def test_the_laws_of_a_method_hold(llama, grow):
    laws.test_a_query_leaves_the_store_bit_identical(llama, grow)
    laws.test_no_method_stores_more_than_unrepeated_dense_kv(llama, grow, make("full", {}, 170))
    for splits in ((1,), (149,), (7, 8, 90)):
        laws.test_chunked_prefill_equals_whole(llama, grow, splits)


def test_sessions_are_answered_alike_shared_or_not_and_in_any_order(llama, grow):
    session = encoded(questions=(21, 17, 13), answers=(30, 5, 2), limits=(12, 12, 12), stop=frozenset())
    requests = [Request(grow, mode, mode) for mode in MODES]
    asked = answers(llama, session, requests)
    assert asked == answers(llama, session, requests[::-1], share_prefill=False)
    exact = answers(llama, session, [Request(make("kivi", SMALL, 170), mode, mode) for mode in MODES])
    assert asked["multi_turn"][0].kv_bytes == exact["multi_turn"][0].kv_bytes
    assert asked["multi_turn"][2].kv_bytes < exact["multi_turn"][2].kv_bytes
    assert asked["multi_request"][2].kv_bytes < exact["multi_request"][2].kv_bytes
    assert not [thing for thing in gc.get_objects() if type(thing) is Arena and thing.keys]
