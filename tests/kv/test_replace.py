"""Rows taken over from elsewhere, and rows computed once more in the place where they stand."""

import pytest
import torch

from scbench.kv import Counters, Ended
from scbench.kv.dense import dense_at


def placed(run, count, cost=None):
    """Take over the first `count` tokens of `run`, each row 7 off what it should be."""
    rows = [(run.k[layer][:, :, :count] + 7, run.v[layer][:, :, :count] + 7) for layer in range(run.layers)]
    run.store.place(rows, cost or Counters())


def compute(run, positions, layers=None):
    """The outputs per layer of a pass over `positions`."""
    at = list(positions)
    return [
        run.store.attend(layer, run.q[layer][:, :, at], run.k[layer][:, :, at], run.v[layer][:, :, at], run.scaling)
        for layer in range(layers or run.layers)
    ]


def test_taken_over_rows_are_stored_and_attended_to(drive, naive):
    run = drive("full", 50, layers=2)
    placed(run, 41)
    out = run.feed(9)
    assert torch.equal(run.store.rows(1)[0][:, :, :41], run.k[1][:, :, :41] + 7)
    k, v = (torch.cat([x[1][:, :, :41] + 7, x[1][:, :, 41:50]], dim=2) for x in (run.k, run.v))
    expected = naive(run.q[1][:, :, 41:50], k, v, torch.ones(9, 50, dtype=torch.bool).tril(41), run.scaling)
    assert torch.allclose(out.double(), expected, atol=1e-5)


@pytest.mark.parametrize(
    "positions",
    [[0], [40], [0, 40], [3, 4, 5], list(range(41)), [1, 2, 17, 18, 19, 33], list(range(0, 41, 2))],
    ids=lambda positions: f"{len(positions)} from {positions[0]}",
)
def test_replaced_rows_see_what_is_stored_up_to_their_own(drive, naive, positions):
    run = drive("full", 50, layers=2, kv_heads=2, group=3)
    placed(run, 41)
    run.store.replace(positions)
    outs = compute(run, positions)
    for layer in range(2):
        k, v = (x[layer][:, :, :41] + 7 for x in (run.k, run.v))
        k[:, :, positions], v[:, :, positions] = run.k[layer][:, :, positions], run.v[layer][:, :, positions]
        assert torch.equal(run.store.rows(layer)[0], k)
        assert torch.equal(run.store.rows(layer)[1], v)
        allowed = torch.arange(41) <= torch.tensor(positions)[:, None]
        expected = naive(run.q[layer][:, :, positions], k, v, allowed, run.scaling)
        assert torch.allclose(outs[layer].double(), expected, atol=1e-5)


def test_rows_are_attended_in_blocks_of_bounded_masks(drive, naive, monkeypatch):
    monkeypatch.setattr("scbench.kv.dense.MASK_ELEMENTS", 150)
    run, positions = drive("full", 41), [1, 2, 17, 18, 19, 33]
    q, k, v = run.q[0][:, :, positions], run.k[0][:, :, :41], run.v[0][:, :, :41]
    allowed = torch.arange(41) <= torch.tensor(positions)[:, None]
    out = dense_at(q, k, v, positions, run.scaling)
    assert torch.allclose(out.double(), naive(q, k, v, allowed, run.scaling), atol=1e-5)


def test_a_pass_ends_in_the_layer_it_was_announced_to(drive):
    run = drive("full", 50, layers=3)
    placed(run, 41)
    run.store.replace(range(41), until=1)
    with pytest.raises(Ended):
        compute(run, range(41))
    for layer, off in ((0, 0), (1, 0), (2, 7)):
        assert torch.equal(run.store.rows(layer)[0], run.k[layer][:, :, :41] + off)
    assert torch.isfinite(run.feed(9)).all()


def test_what_was_done_is_counted(drive):
    run = drive("full", 50, layers=3)
    placed(run, 41, Counters(keys_attended=1000, tokens_prefilled=41))
    assert (run.store.counters.keys_attended, run.store.counters.tokens_prefilled) == (1000, 41)
    run.store.replace([4, 20])
    compute(run, [4, 20])
    assert run.store.counters.keys_attended == 1000 + 3 * (5 + 21)
    assert run.store.counters.tokens_prefilled == 43
    run.store.replace(range(41), until=1)
    with pytest.raises(Ended):
        compute(run, range(41))
    assert run.store.counters.keys_attended == 1000 + 3 * (5 + 21) + 41 * 42 // 2
    assert run.store.counters.tokens_prefilled == 43 + 14, "41 tokens through one of three layers"


def test_what_a_fork_sees_is_not_replaced(drive):
    run = drive("full", 50)
    placed(run, 41)
    twin = run.store.fork()
    seen = [part.clone() for part in twin.rows(0)]
    run.store.replace([3])
    compute(run, [3])
    assert all(torch.equal(a, b) for a, b in zip(twin.rows(0), seen, strict=True))
    assert not torch.equal(run.store.rows(0)[0], seen[0])


def test_only_a_first_prompt_in_the_making_is_put_together(drive):
    run = drive("full", 50)
    placed(run, 41)
    with pytest.raises(RuntimeError, match="place of 10 tokens at 41 of 50"):
        placed(run, 10)
    for positions in ([], [41]):
        with pytest.raises(RuntimeError, match="replace among 41 tokens"):
            run.store.replace(positions)
    with pytest.raises(RuntimeError, match="41 tokens reached layer 0, 0 were announced"):
        compute(run, range(41))
    run.feed(9)
    run.store.seal()
    with pytest.raises(RuntimeError, match="sealed: True"):
        run.store.replace([3])
    with pytest.raises(RuntimeError, match="sealed: True"):
        placed(run, 0)
