"""XAttention against its estimate and its rule of choice, pair by pair in float64."""

import pytest
import torch

from scbench.errors import UserError
from scbench.kv.banded import banded_keys
from scbench.kv.sparse_prefill import block_pairs
from scbench.methods import make
from scbench.methods.generation.antidiagonal import block_shares, choose_blocks
from tests.conformance.drive import Drive, naive_attention
from tests.conformance.test_reference_minference import heads_of

LENGTHS = [1, 2, 63, 111, 200]
GROUP = 3


def shares_of(q, k, size, stride, scaling):
    """The estimate of one head, tile by tile; q, k [n, D]."""
    tokens, dim = q.shape
    count = -(-tokens // size)
    per_block = size // stride
    q, k = (torch.cat([x.double(), torch.zeros(count * size - tokens, dim, dtype=torch.float64)]) for x in (q, k))
    shares = torch.zeros(count, count, dtype=torch.float64)
    for row in range(-(-tokens // stride)):
        logits = [
            sum(float(q[(row + 1) * stride - 1 - s] @ k[tile * stride + s]) for s in range(stride)) * scaling / stride
            for tile in range(row + 1)
        ]
        for tile, weight in enumerate(torch.tensor(logits, dtype=torch.float64).softmax(0)):
            shares[row // per_block, tile // per_block] += weight
    return shares / shares.sum(1, keepdim=True)


def chosen_of(shares, size, tokens, kept, threshold):
    """The choice of one head: blocks in the order in which a falling need admits them, while they are affordable."""
    count = len(shares)
    rows = [min(size, tokens - block * size) for block in range(count)]
    pairs = {
        (row, column): rows[row] * (rows[row] + 1) // 2 if row == column else rows[row] * size
        for row in range(count)
        for column in range(row + 1)
    }
    needs = []
    for row in range(count):
        forced = {0, row}
        held = sum(float(shares[row, column]) for column in forced)
        for column in sorted(set(range(row + 1)) - forced, key=lambda column: -float(shares[row, column])):
            needs.append((held, row, column))
            held += float(shares[row, column])
    taken = {(row, column) for row in range(count) for column in (0, row)}
    left = sum(min(i + 1, kept) for i in range(tokens)) - sum(pairs[block] for block in taken)
    for held, row, column in sorted(needs):
        left -= pairs[row, column]
        if left < 0 or (threshold < 1 and held >= threshold):
            break
        taken.add((row, column))
    return taken


SETTINGS = [
    {"budget": 40},
    {"budget": 40, "block": 16, "stride": 4},
    {"budget": 90, "block": 8, "stride": 8},
    {"budget": 1.0},
    {"budget": 1.0, "threshold": 0.6, "block": 8, "stride": 2},
]


@pytest.mark.parametrize("total", LENGTHS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_equals_its_mask(settings, total):
    method = make("xattention", settings, 200)
    run = Drive(method, total, kv_heads=2, group=GROUP)
    out = run.prefill([total])
    seen = 0
    for head in range(2 * GROUP):
        q, group = run.q[0][:, head : head + 1, :total], slice(head // GROUP, head // GROUP + 1)
        k, v = run.k[0][:, group, :total], run.v[0][:, group, :total]
        shares = shares_of(q[0, 0], k[0, 0], method.block, method.stride, run.scaling)
        mask = torch.zeros(total, total, dtype=torch.bool)
        for row, column in chosen_of(shares, method.block, total, method.kept, method.threshold):
            block = slice(column * method.block, (column + 1) * method.block)
            mask[row * method.block : (row + 1) * method.block, block] = True
        mask = mask.tril()
        expected = naive_attention(q, k, v, mask, run.scaling)
        assert torch.allclose(out[:, head : head + 1].double(), expected, atol=1e-5)
        seen += int(mask.sum())
    assert run.store.counters.keys_attended == round(seen / (2 * GROUP))


@pytest.mark.parametrize("shape", ["random", "structured"])
@pytest.mark.parametrize("budget", [1 / 32, 1 / 8, 1 / 2])
@pytest.mark.parametrize("tokens", [1024, 4096])
def test_the_measured_density_is_that_of_rows_that_keep_the_budget(tokens, budget, shape):
    q, k = heads_of(shape, tokens)
    method = make("xattention", {"budget": budget}, tokens)
    nominal = banded_keys(0, tokens, 0, method.kept)
    shares = block_shares(q, k, method.block, method.stride, 0.25)
    chosen = choose_blocks(shares, method.block, tokens, nominal, 1.0)
    pairs = (chosen * block_pairs(tokens, method.block)).sum((1, 2))
    assert pairs.tolist() == pytest.approx([nominal, nominal], rel=0.02)


def test_a_long_prompt_is_judged_in_parts(monkeypatch):
    q, k = heads_of("random", 500)
    whole = block_shares(q, k, 16, 8, 0.25)
    monkeypatch.setattr("scbench.methods.generation.antidiagonal.ESTIMATED_ELEMENTS", 1)
    assert torch.allclose(block_shares(q, k, 16, 8, 0.25), whole, atol=1e-6)


def test_the_published_sizes():
    method = make("xattention", {"budget": 1, "threshold": 0.9}, 131_072)
    assert (method.block, method.stride, method.kept) == (128, 8, 131_072)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"threshold": 0}, r"xattention\.threshold: 0 is not a share"),
        ({"threshold": "most"}, r"xattention\.threshold: 'most' is not a share"),
        ({"block": 10, "stride": 4}, r"xattention\.stride: 4 does not divide the block of 10"),
        ({"stride": 0}, r"xattention\.stride: 0 is below 1"),
        ({"kept": 2000}, r"xattention\.kept: 2000 is above the context"),
    ],
)
def test_what_cannot_be_is_refused(settings, words):
    with pytest.raises(UserError, match=words):
        make("xattention", settings, 1024)
