"""Chunks kept from prompt to prompt: the same bits as computed ones, found wherever they stand, within a bound."""

from dataclasses import dataclass

import pytest
import torch

from scbench.engines.chunks import ChunkCache, Encoded
from scbench.engines.conversation import EngineCounters
from scbench.engines.reuse import reuse_in
from scbench.kv import Counters
from scbench.methods import make
from scbench.methods.retrieval.cacheblend import CacheBlend
from tests.conformance.models import tokens

CHUNK = 16
METHOD = make("cacheblend", {"chunk": CHUNK}, 170)


@pytest.fixture(autouse=True)
def nothing_kept(engine, monkeypatch):
    monkeypatch.setattr(engine, "chunks", ChunkCache())
    monkeypatch.setattr(engine, "counters", EngineCounters())


def encoded(engine, ids, method=METHOD, question=0):
    talk = engine.start(method, len(ids))
    talk.prefill(ids, question)
    return talk


def state(talk):
    return torch.cat([part for layer in range(3) for part in talk.store.rows(layer)]), talk.logits


def chunk(tokens_kept):
    rows = torch.zeros(1, 1, tokens_kept, 4)
    return Encoded(rows, rows, Counters())  # 32 bytes a token


def permuted(ids, order):
    return sum((ids[CHUNK * number : CHUNK * (number + 1)] for number in order), ())


class TestCache:
    def test_finds_a_chunk_by_its_tokens_alone(self):
        cache, kept = ChunkCache(1000), chunk(2)
        cache.put((5, 6), kept)
        assert cache.get([5, 6]) is kept
        assert cache.get((6, 5)) is cache.get((5,)) is cache.get((5, 6, 0)) is None

    def test_lets_go_of_what_was_used_longest_ago(self):
        cache = ChunkCache(96)
        for name in (1, 2, 3):
            cache.put((name,), chunk(1))
        cache.get((1,))
        cache.put((4,), chunk(1))
        assert [cache.get((name,)) is not None for name in (1, 2, 3, 4)] == [True, False, True, True]
        assert cache.bytes == 96

    def test_keeps_nothing_larger_than_itself(self):
        cache = ChunkCache(96)
        cache.put((1,), chunk(1))
        cache.put((2,), chunk(4))
        assert (len(cache), cache.bytes) == (1, 32)


def test_kept_chunks_change_no_bit(engine):
    ids = tokens(150)
    cold, warm = encoded(engine, ids), encoded(engine, ids)
    assert engine.chunks.bytes > 0
    assert all(torch.equal(a, b) for a, b in zip(state(cold), state(warm), strict=True))
    assert cold.store.counters == warm.store.counters


def test_chunks_that_were_let_go_change_no_bit(engine):
    ids = tokens(150)
    cold = encoded(engine, ids)
    engine.chunks = ChunkCache(3 * engine.chunks.bytes // 9)
    for _ in range(2):
        assert all(torch.equal(a, b) for a, b in zip(state(cold), state(encoded(engine, ids)), strict=True))
    assert len(engine.chunks) == 3


def test_chunks_that_stood_elsewhere_change_no_bit(engine):
    ids = tokens(160)
    cold = encoded(engine, ids)
    engine.chunks = ChunkCache()
    encoded(engine, permuted(ids, range(9, -1, -1)))
    assert all(torch.equal(a, b) for a, b in zip(state(cold), state(encoded(engine, ids)), strict=True))


def test_costs_are_counted_as_if_nothing_had_been_kept(engine):
    once = tokens(CHUNK)
    ids = once + tokens(CHUNK, 1) + once + tokens(7, 2)
    talk = encoded(engine, ids, question=4)
    reused, recomputed, behind = 3 * CHUNK, round(0.15 * 3 * CHUNK), 7
    layers_below = -(-reused // 3)  # one of three layers
    assert talk.store.counters.tokens_prefilled == 2 * CHUNK + layers_below + recomputed + behind
    assert (engine.counters.chunk_tokens, engine.counters.chunk_tokens_reused) == (2 * CHUNK, CHUNK)
    alone = 3 * 2 * CHUNK * (CHUNK + 1) // 2
    looked = reused * (reused + 1) // 2
    last = 3 * sum(range(reused + 1, reused + behind + 1))
    chosen = talk.store.counters.keys_attended - alone - looked - last
    assert 3 * sum(range(1, recomputed + 1)) <= chosen <= 3 * sum(range(reused - recomputed + 1, reused + 1))


def test_the_question_is_never_reused(engine):
    ids = tokens(5 * CHUNK)
    encoded(engine, ids, question=1)
    assert engine.counters.chunk_tokens == 4 * CHUNK


def test_the_first_chunk_keeps_its_own_encoding(engine):
    """Nothing stands before it: it is what a cache of prefixes would hold."""
    ids = tokens(150)
    none = make("cacheblend", {"chunk": CHUNK, "recompute": 0.0}, 170)
    ours, alone = encoded(engine, ids, none), encoded(engine, ids[:CHUNK], make("full", {}, 170))
    for layer in range(3):
        for part, first in zip(ours.store.rows(layer), alone.store.rows(layer), strict=True):
            assert torch.equal(part[:, :, :CHUNK], first)


def test_chunks_in_another_order_are_found_where_a_prefix_is_not(engine):
    ids = tokens(10 * CHUNK)
    first, second = reuse_in(engine, METHOD, [ids, permuted(ids, [3, 0, 9, 1, 8, 2, 7, 6, 5, 4])])
    assert (first.chunk_tokens, first.chunk_tokens_reused) == (len(ids), 0)
    assert (second.chunk_tokens, second.chunk_tokens_reused, second.prefix_tokens) == (0, len(ids), 0)
    assert second.recomputed_tokens == round(0.15 * (len(ids) - 1)) + 1


def test_more_recomputed_tokens_bring_the_blend_nearer_to_the_exact_encoding(engine):
    ids = tokens(10 * CHUNK)
    prompts = [ids, permuted(ids, [3, 0, 9, 1, 8, 2, 7, 6, 5, 4])]
    errors = []
    for share in (0.0, 0.05, 0.15, 0.3, 0.6, 1.0):
        method = make("cacheblend", {"chunk": CHUNK, "recompute": share}, 170)
        errors.append(reuse_in(engine, method, prompts)[1].error)
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < 0.8 * errors[0]
    assert errors[-1] < 1e-5


def test_the_farthest_tokens_are_better_chosen_than_others(engine):
    """Deviations earn their cost: the same number of tokens at random leaves a larger error."""

    @dataclass(frozen=True, kw_only=True)
    class AtRandom(CacheBlend):
        def assemble(self, prompt):
            reused = prompt.reuse(range(self.chunk, prompt.context + 1, self.chunk))
            prompt.deviation(1)
            generator = torch.Generator().manual_seed(0)
            chosen = torch.randperm(reused, generator=generator)[: round(self.recompute * reused)]
            prompt.recompute(chosen.sort().values.tolist())

    ids = tokens(10 * CHUNK)
    [ours] = reuse_in(engine, METHOD, [ids])
    [others] = reuse_in(engine, AtRandom(budget=1.0, chunk=CHUNK, recompute=0.15), [ids])
    assert ours.recomputed_tokens == others.recomputed_tokens
    assert ours.error < others.error
