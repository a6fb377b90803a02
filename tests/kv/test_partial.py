"""Attention in parts against attention over everything, and what the parts count."""

import math

import pytest
import torch

from scbench.kv import partial
from scbench.kv.partial import chosen_products, keys_read, keys_seen, merge, over_all, over_chosen


@pytest.fixture
def qkv():
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(1, heads, rows, 16, generator=generator) for heads, rows in ((6, 5), (2, 63), (2, 63)))


def choices(heads, rows, count, keys, seed=1):
    """`count` of the first `keys` positions for each head and row."""
    weights = torch.rand(heads * rows, keys, generator=torch.Generator().manual_seed(seed))
    return weights.topk(count).indices.view(heads, rows, count)


def naive(q, k, v, positions, bias, scaling):
    """Outputs and log-sum-exp of every row of every query head, one by one in float64."""
    out = torch.zeros(q.shape, dtype=torch.float64)
    lse = torch.full((*q.shape[:3], 1), -math.inf, dtype=torch.float64)
    for head in range(q.shape[1]):
        choice, source = head * len(positions) // q.shape[1], head * k.shape[1] // q.shape[1]
        for row in range(q.shape[2]):
            seen = [n for n in range(positions.shape[2]) if bias[choice, row, n] > -math.inf]
            if not seen:
                continue
            at = positions[choice, row, seen]
            logits = k[0, source, at].double() @ q[0, head, row].double() * scaling + bias[choice, row, seen].double()
            out[0, head, row] = logits.softmax(0) @ v[0, source, at].double()
            lse[0, head, row] = logits.logsumexp(0)
    return out, lse


@pytest.mark.parametrize("heads", [2, 6])
@pytest.mark.parametrize("elements", [2**24, 1, 6 * 7 * 16 * 2])
def test_attention_to_chosen_keys_equals_the_definition(qkv, heads, elements, monkeypatch):
    monkeypatch.setattr(partial, "GATHERED_ELEMENTS", elements)
    q, k, v = qkv
    positions = choices(heads, 5, 7, 63)
    bias = torch.randn(positions.shape, generator=torch.Generator().manual_seed(2))
    bias[0, 1, 3] = bias[1, 4, :] = -math.inf
    part = over_chosen(q, k, v, positions, 0.3, bias)
    out, lse = naive(q, k, v, positions, bias, 0.3)
    assert torch.allclose(part.out.double(), out, atol=1e-5)
    assert torch.allclose(part.lse.double(), lse, atol=1e-5)
    unweighted = over_chosen(q, k, v, positions, 0.3)
    assert torch.allclose(unweighted.out.double(), naive(q, k, v, positions, 0 * positions, 0.3)[0], atol=1e-5)


@pytest.mark.parametrize("heads", [2, 6])
@pytest.mark.parametrize("count", [0, 1, 30, 50])
def test_disjoint_parts_merge_to_the_whole(qkv, heads, count):
    """What is chosen of the first 50 keys, what is left of them, and the other 13 rows, causal."""
    q, k, v = qkv
    order = choices(heads, 5, 50, 50)
    parts = [over_chosen(q, k, v, chosen, 0.3) for chosen in (order[:, :, :count], order[:, :, count:])]
    parts.append(over_all(q, k[:, :, 50:], v[:, :, 50:], 0.3))
    assert torch.allclose(merge(parts), over_all(q, k, v, 0.3).out, atol=1e-5)


def test_rows_of_a_strided_query_are_the_same(qkv):
    q, k, v = qkv
    strided = q.transpose(1, 2).contiguous().transpose(1, 2)
    positions = choices(6, 5, 7, 63)
    assert torch.equal(over_all(strided, k, v, 0.3).out, over_all(q, k, v, 0.3).out)
    assert torch.equal(over_chosen(strided, k, v, positions, 0.3).out, over_chosen(q, k, v, positions, 0.3).out)


def test_products_are_those_of_the_chosen_keys(qkv):
    q, k, _ = qkv
    positions = choices(2, 5, 7, 63)
    products = chosen_products(q, k, positions)
    assert products.shape == (2, 5, 3, 7)
    assert products[1, 4, 2, 6] == pytest.approx(float(q[0, 5, 4] @ k[0, 1, positions[1, 4, 6]]), rel=1e-5)


def test_keys_are_counted_once_a_pass_and_kv_head():
    positions = torch.tensor([[[0, 1], [1, 2]], [[2, 3], [2, 3]], [[5, 5], [5, 5]], [[5, 6], [5, 6]]])
    assert keys_read(positions, None, 4, 7, apart=False) == [3 + 2 + 1 + 2]
    assert keys_read(positions, None, 2, 7, apart=False) == [4 + 2], "two query heads a KV head"
    assert keys_seen(positions, None, apart=False) == [4], "two rows of two keys"
    bias = torch.zeros(positions.shape)
    bias[2, :, 1] = bias[3, :, 1] = bias[0, 1, 1] = -math.inf
    assert keys_read(positions, bias, 4, 7, apart=False) == [2 + 2 + 1 + 1]
    assert keys_seen(positions, bias, apart=False) == [3], "11 of 16 over four heads, rounded up"


@pytest.mark.parametrize("hidden", [False, True])
def test_rows_counted_apart_cost_what_each_costs_alone(hidden):
    positions = torch.randint(30, (4, 5, 9), generator=torch.Generator().manual_seed(0)).unique(dim=2)
    bias = None
    if hidden:
        bias = torch.zeros(positions.shape).masked_fill_(positions % 3 == 0, -math.inf)
    alone = [(positions[:, row : row + 1], None if bias is None else bias[:, row : row + 1]) for row in range(5)]
    for kv_heads in (4, 2):
        read = [keys_read(*one, kv_heads, 30, apart=False)[0] for one in alone]
        assert keys_read(positions, bias, kv_heads, 30, apart=True) == read
    assert keys_seen(positions, bias, apart=True) == [keys_seen(*one, apart=False)[0] for one in alone]
