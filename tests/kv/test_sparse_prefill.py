"""Sparse prefill: lines and blocks are their masks, cost what they hold, and count what they let through."""

import pytest
import torch

from scbench.kv import sparse_prefill as module
from scbench.kv.hooks import Chunk, Counters
from scbench.kv.sparse_prefill import Blocks, Lines, attend
from tests.conformance.drive import naive_attention

LENGTHS = [1, 2, 63, 64, 333]
SHARES = [(0.0, 0.0), (0.02, 0.02), (0.3, 0.05), (1.0, 0.0), (0.0, 1.0)]


def drawn(tokens, heads, kv_heads=2, dim=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    q = 2 * torch.randn(1, heads, tokens, dim, generator=generator)
    k, v = 2 * torch.randn(2, 1, kv_heads, tokens, dim, generator=generator)
    return q, k, v


def lines(tokens, heads, columns, diagonals, seed=0):
    """Random lines of these shares for `heads`."""
    generator = torch.Generator().manual_seed(seed)
    upright, slanted = torch.rand(2, len(heads), tokens, generator=generator)
    slanted = slanted < diagonals
    slanted[:, 0] = True
    return Lines(torch.tensor(heads), upright < columns, slanted)


def lines_mask(mask, head):
    i, j = torch.arange(mask.columns.shape[1])[:, None], torch.arange(mask.columns.shape[1])
    return (j <= i) & (mask.columns[head, j] | mask.diagonals[head, (i - j).clamp(min=0)])


def blocks(tokens, heads, size, share, seed=0):
    """Random blocks, some of them behind their rows, where they stand for nothing; the first one always."""
    count = -(-tokens // size)
    chosen = torch.rand(len(heads), count, count, generator=torch.Generator().manual_seed(seed)) < share
    chosen[:, :, 0] = True
    return Blocks(torch.tensor(heads), chosen, size, tokens)


def blocks_mask(mask, head):
    i, j = torch.arange(mask.tokens)[:, None], torch.arange(mask.tokens)
    return (j <= i) & mask.chosen[head, i // mask.size, j // mask.size]


def assert_equals(mask, allowed_of, tokens, heads):
    q, k, v = drawn(tokens, heads)
    out = attend(q, k, v, mask, 0.3)
    for number, head in enumerate(mask.heads.tolist()):
        allowed = allowed_of(mask, number)
        group = head * 2 // heads
        expected = naive_attention(
            q[:, head : head + 1], k[:, group : group + 1], v[:, group : group + 1], allowed, 0.3
        )
        assert torch.allclose(out[:, number : number + 1].double(), expected, atol=1e-5)
        assert int(mask.pairs[number]) == int(allowed.sum())


@pytest.mark.parametrize("tokens", LENGTHS)
@pytest.mark.parametrize("shares", SHARES, ids=str)
@pytest.mark.parametrize(("heads", "of"), [([0, 1], 2), ([5, 0, 2], 6)], ids=["heads", "groups"])
def test_lines_equal_their_mask(tokens, shares, heads, of):
    assert_equals(lines(tokens, heads, *shares), lines_mask, tokens, of)


@pytest.mark.parametrize("tokens", LENGTHS)
@pytest.mark.parametrize("size", [1, 4, 64])
@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_blocks_equal_their_mask(tokens, size, share):
    assert_equals(blocks(tokens, [5, 0, 2], size, share), blocks_mask, tokens, 6)


def test_few_heads_are_gathered_at_once(monkeypatch):
    mask, (q, k, v) = lines(200, [0, 1, 2, 3, 4, 5], 0.05, 0.05), drawn(200, 6)
    together = attend(q, k, v, mask, 0.3)
    monkeypatch.setattr(module, "GATHERED_ELEMENTS", 1)
    assert torch.allclose(attend(q, k, v, mask, 0.3), together, atol=1e-6)


def computed(monkeypatch, mask, tokens):
    """Scores computed for one head."""
    sizes, attention = [], module.scaled_dot_product_attention

    def spy(q, k, *how, **more):
        sizes.append(q.shape[1] * q.shape[2] * k.shape[2])
        return attention(q, k, *how, **more)

    monkeypatch.setattr(module, "scaled_dot_product_attention", spy)
    attend(*drawn(tokens, 2), mask, 0.3)
    return sum(sizes)


def test_lines_never_compute_the_dense_scores(monkeypatch):
    columns, diagonals = torch.zeros(2, 1, 4096, dtype=torch.bool)
    columns[:, ::64] = True
    diagonals[:, :128] = diagonals[:, 2000:2100] = True
    mask = Lines(torch.tensor([0]), columns, diagonals)
    # Each of the two bands is met by `ROWS` rows more than it is wide.
    assert computed(monkeypatch, mask, 4096) <= 4096 * (64 + 128 + 100 + 2 * module.ROWS)


def test_blocks_compute_what_they_hold(monkeypatch):
    mask = blocks(4096, [0], 64, 0.05)
    assert computed(monkeypatch, mask, 4096) == 64 * 64 * int(mask.chosen.tril().sum())


def chunk(tokens, total, before=0):
    q, k, v = drawn(tokens, 4)
    return Chunk(q[:, :, before:], k, v, 0, 1, total, 0.3, Counters())


def test_the_verb_gives_each_head_its_mask_and_counts_their_mean():
    some = chunk(200, 200)
    first, second = lines(200, [3, 0], 0.05, 0.05), blocks(200, [1, 2], 16, 0.2)
    out = some.sparse([first, second])
    for mask in (first, second):
        assert torch.equal(out[:, mask.heads], attend(some.q, some.k, some.v, mask, 0.3))
    assert some.counters.keys_attended == round(int(first.pairs.sum() + second.pairs.sum()) / 4)


@pytest.mark.parametrize(("tokens", "before"), [(199, 0), (200, 1)], ids=["not to the end", "not from the start"])
def test_the_verb_refuses_a_part_of_the_prompt(tokens, before):
    with pytest.raises(RuntimeError, match="in one chunk"):
        chunk(tokens, 200, before).sparse([lines(tokens, [0, 1, 2, 3], 0.1, 0.1)])
