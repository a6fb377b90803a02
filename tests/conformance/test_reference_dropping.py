"""Methods that drop tokens against the positions they should keep, computed one by one in float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scbench.methods import make
from scbench.methods.compression.window_scores import window_scores
from tests.conformance.drive import Drive, naive_attention


def sealed(name, settings, total, chunks=None, **how):
    run = Drive(make(name, settings, 1024), total, **how)
    run.prefill(chunks or [total])
    run.store.seal()
    return run


def kept_rows(run, layer, positions):
    """Keys and values of `layer` at `positions` of each head, in order."""
    kv_heads, heads = run.k.shape[2], len(positions)
    return tuple(
        torch.stack([x[layer][0, head * kv_heads // heads, kept] for head, kept in enumerate(positions)])[None]
        for x in (run.k, run.v)
    )


def check_kept(run, positions):
    """The last layer holds exactly `positions` of each head, in order, and later rows attend to those alone."""
    last, kv_heads, heads = run.layers - 1, run.k.shape[2], len(positions)
    count = run.store.total
    keys, values = kept_rows(run, last, positions)
    assert torch.equal(run.store.rows(last)[0], keys)
    assert torch.equal(run.store.rows(last)[1], values)
    out = run.feed(5)
    new_k, new_v = (x[last][:, :, count : count + 5].repeat_interleave(heads // kv_heads, 1) for x in (run.k, run.v))
    k, v = torch.cat([keys, new_k], dim=2), torch.cat([values, new_v], dim=2)
    mask = torch.ones(5, k.shape[2], dtype=torch.bool).tril(k.shape[2] - 5)
    q = run.q[last][:, :, count : count + 5]
    assert torch.allclose(out.double(), naive_attention(q, k, v, mask, run.scaling), atol=1e-5)


@pytest.mark.parametrize("total", [0, 1, 11, 12, 13, 63, 257])
def test_streaming_llm_keeps_sink_and_window(total):
    run = sealed("streaming_llm", {"sink": 4, "local": 8}, total)
    check_kept(run, [[j for j in range(total) if j < 4 or j >= total - 8]] * 2)


@pytest.mark.parametrize("total", [0, 1, 8, 9, 63, 111])
def test_knorm_keeps_the_shortest_keys(total):
    run = sealed("knorm", {"capacity": 9}, total, kv_heads=3, group=2, layers=2)
    norms = [[math.hypot(*map(float, run.k[1][0, head, j])) for j in range(total)] for head in range(3)]
    check_kept(run, [sorted(sorted(range(total), key=lambda j: norms[head][j])[:9]) for head in range(3)])


def naive_scores(run, total, window, kernel, layer=0):
    """Per query head, the published score of every position before the window."""
    q, k = run.q[layer][0].double(), run.k[layer][0].double()
    group = q.shape[0] // k.shape[0]
    scores = []
    for head in range(q.shape[0]):
        received = [0.0] * (total - window)
        for row in range(total - window, total):
            logits = [float(q[head, row] @ k[head // group, j]) * run.scaling for j in range(row + 1)]
            top = max(logits)
            weights = [math.exp(logit - top) for logit in logits]
            for j in range(total - window):
                received[j] += weights[j] / sum(weights)
        half = kernel // 2
        padded = [0.0] * half + received + [0.0] * half
        scores.append([sum(padded[j : j + kernel]) / kernel for j in range(total - window)])
    return torch.tensor(scores, dtype=torch.float64)


def naive_selection(scores, heads, count, total, window):
    """The `count` best positions of each head and the window, ascending."""
    group = scores.shape[0] // heads
    kept = []
    for head in range(heads):
        mean = scores[head * group : (head + 1) * group].mean(0)
        best = sorted(range(len(mean)), key=lambda j: -mean[j])[:count]
        kept.append([*sorted(best), *range(total - window, total)])
    return kept


@pytest.mark.parametrize(("selection", "heads"), [("kv_head", 2), ("query_head", 6)])
@pytest.mark.parametrize("total", [25, 33, 63, 111])
@pytest.mark.parametrize("kernel", [1, 5, 7])
def test_snapkv_keeps_what_the_window_attends_to(selection, heads, total, kernel):
    settings = dict(capacity=24, window=7, kernel=kernel, selection=selection)
    run = sealed("snapkv", settings, total, [3, total - 5, 2], kv_heads=2, group=3)
    scores = naive_scores(run, total, 7, kernel)
    check_kept(run, naive_selection(scores, heads, 17, total, 7))


@pytest.mark.parametrize("total", [0, 1, 5, 23, 24])
def test_snapkv_keeps_prompts_within_its_capacity(total):
    run = sealed("snapkv", dict(capacity=24, window=7), total)
    check_kept(run, [list(range(total))] * 2)


def test_snapkv_scores_equal_the_definition():
    run = Drive(make("full", {}, 1024), 91, kv_heads=2, group=3)
    q, k = run.q[0][:, :, 80:91], run.k[0][:, :, :91]
    scores = window_scores(q, k, run.scaling, 5)
    assert torch.allclose(scores.double(), naive_scores(run, 91, 11, 5), atol=1e-6)


def test_snapkv_frees_what_it_drops():
    run = sealed("snapkv", dict(capacity=24, window=7), 500)
    assert run.store.resident_bytes == 2 * 24 * 2 * 16 * 4
    per_query_head = sealed("snapkv", dict(capacity=24, window=7, selection="query_head"), 500)
    assert per_query_head.store.resident_bytes == 2 * run.store.resident_bytes


def test_positions_are_chosen_layer_by_layer():
    run = sealed("snapkv", dict(capacity=24, window=7), 100, layers=2)
    kept = [{tuple(row.tolist()) for row in run.store.rows(layer)[0][0, 0]} for layer in range(2)]
    where = [[j for j in range(100) if tuple(run.k[layer][0, 0, j].tolist()) in kept[layer]] for layer in range(2)]
    assert len(where[0]) == len(where[1]) == 24
    assert where[0] != where[1]


def shares(capacity, window, layers, tokens, beta=20):
    method = make("pyramidkv", dict(capacity=capacity, window=window, beta=beta), 10**6)
    return [method.share(tokens, layer, layers) for layer in range(layers)]


def test_pyramidkv_shares_are_the_published_ones():
    """Worked out by hand: c = 48, c // 20 = 2, 2 * 48 - 2 = 94."""
    assert shares(64, 16, 5, 1000) == [94, 71, 48, 25, 2]
    assert shares(64, 16, 4, 1000) == [94, 64, 34, 4], "a step of 92 / 3 is 30"
    assert shares(64, 16, 5, 111) == [94, 71, 48, 25, 2], "95 tokens before the window are enough"
    assert shares(64, 16, 5, 100) == [84, 66, 48, 30, 12], "84 tokens are all there are"
    assert shares(64, 16, 5, 96) == [80, 64, 48, 32, 16]
    assert shares(64, 16, 5, 95) == [48] * 5, "below 2 c"
    assert shares(64, 16, 5, 65) == [48] * 5
    assert shares(64, 16, 1, 1000) == [48]
    assert shares(64, 64, 3, 1000) == [0] * 3
    assert shares(4096, 32, 32, 131_072)[::31] == [7925, 206]


@given(
    capacity=st.integers(1, 300),
    window=st.integers(1, 300),
    layers=st.integers(1, 40),
    more=st.integers(1, 900),
    beta=st.integers(1, 30),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_pyramidkv_shares_fall_and_average_to_the_budget(capacity, window, layers, more, beta):
    window, tokens = min(window, capacity), capacity + more
    kept = shares(capacity, window, layers, tokens, beta)
    assert kept == sorted(kept, reverse=True)
    assert 0 <= kept[-1] <= kept[0] <= tokens - window
    assert 0 <= sum(kept) / layers - (capacity - window) <= layers / 2


@pytest.mark.parametrize(("selection", "heads"), [("kv_head", 2), ("query_head", 6)])
@pytest.mark.parametrize("total", [25, 33, 37, 41, 63, 111])
def test_pyramidkv_keeps_what_the_window_attends_to(selection, heads, total):
    chosen = dict(capacity=24, window=7, kernel=3, selection=selection)
    run = sealed("pyramidkv", chosen, total, [3, total - 5, 2], kv_heads=2, group=3, layers=3)
    for layer, count in enumerate(shares(24, 7, 3, total)):
        positions = naive_selection(naive_scores(run, total, 7, 3, layer), heads, count, total, 7)
        assert all(map(torch.equal, run.store.rows(layer), kept_rows(run, layer, positions)))
    check_kept(run, positions)


def test_pyramidkv_with_beta_one_is_snapkv():
    chosen = dict(capacity=24, window=7)
    pyramid, snap = sealed("pyramidkv", chosen | {"beta": 1}, 90, layers=3), sealed("snapkv", chosen, 90, layers=3)
    assert all(
        torch.equal(a, b) for n in range(3) for a, b in zip(pyramid.store.rows(n), snap.store.rows(n), strict=True)
    )


@pytest.mark.parametrize("total", [0, 1, 23, 24])
def test_pyramidkv_keeps_prompts_within_its_capacity(total):
    run = sealed("pyramidkv", dict(capacity=24, window=7), total, layers=2)
    assert all(run.store.rows(layer)[0].shape[2] == total for layer in range(2))
