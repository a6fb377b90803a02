"""Branches of a store: what their rows see, where they stand, what they hold and cost."""

import pytest
import torch

from scbench.kv import Counters
from scbench.kv.branches import Branches
from scbench.methods import make
from tests.conformance.drive import Drive, naive_attention

CPU = torch.device("cpu")


def shown(sight):
    return ["".join(".x"[seen] for seen in row) for row in sight.visible.tolist()]


def test_branches_that_are_not_chained_see_their_own_rows():
    branches = Branches(10, (2, 0, 3), chained=False, room=4, device=CPU)
    positions, sight = branches.prompts()
    assert positions == [10, 11, 10, 11, 12]
    assert shown(sight) == ["x....", "xx...", "..x..", "..xx.", "..xxx"]
    assert sight.seen == [1, 2, 1, 2, 3]
    positions, sight = branches.grow([0, 1, 2])
    assert positions == [12, 10, 13]
    assert shown(sight) == ["xx...x..", "......x.", "..xxx..x"]
    positions, sight = branches.grow([2])
    assert (positions, shown(sight), sight.seen) == ([14], ["..xxx..xx"], [5])
    assert branches.lengths == [13, 11, 15]
    assert [branches.visible_rows(branch) for branch in range(3)] == [3, 1, 5]


def test_chained_branches_see_the_prompts_before_their_own():
    branches = Branches(10, (0, 2, 1), chained=True, room=6, device=CPU)
    positions, sight = branches.prompts()
    assert positions == [10, 11, 12]
    assert shown(sight) == ["x..", "xx.", "xxx"]
    positions, sight = branches.grow([0, 1, 2])
    assert positions == [10, 12, 13]
    assert shown(sight) == ["...x..", "xx..x.", "xxx..x"]


@pytest.fixture
def run():
    run = Drive(make("full", {}, 64), 20, layers=2)
    run.prefill([20])
    run.store.seal()
    return run


def attend(run, rows):
    """Feed the announced rows of `run`, drawn at `rows`, to each layer; the last layer's output."""
    for layer in range(run.layers):
        q, k, v = (x[layer][:, :, rows] for x in (run.q, run.k, run.v))
        out = run.store.attend(layer, q, k, v, run.scaling)
    return out


@pytest.mark.parametrize("chained", [True, False])
def test_rows_attend_to_what_their_branch_holds(run, chained, monkeypatch):
    monkeypatch.setattr("scbench.kv.dense.MASK_ELEMENTS", 100)  # several blocks
    run.store.mark()
    run.feed(3)
    branches, _ = run.store.branch((2, 4, 1), chained, room=3)
    own = [range(23, 25), range(25, 29), range(29, 30)]
    held = [[*range(23), *(range(23, rows.stop) if chained else rows)] for rows in own]
    out = [attend(run, list(range(23, 30))), None]
    run.store.grow([0, 2])
    out[1] = attend(run, [30, 31])
    allowed = torch.zeros(9, 32, dtype=torch.bool)
    for branch, rows in enumerate(own):
        for row in rows:
            allowed[row - 23, [key for key in held[branch] if key <= row]] = True
    allowed[7, [*held[0], 30]] = allowed[8, [*held[2], 31]] = True
    last = slice(23, 32)
    expected = naive_attention(run.q[1][:, :, last], run.k[1][:, :, :32], run.v[1][:, :, :32], allowed, run.scaling)
    assert torch.allclose(torch.cat(out, dim=2).double(), expected, atol=1e-5)
    row = 2 * 2 * 16 * 4
    keys = [len(held[0]) + 1, 0, len(held[2]) + 1]
    assert branches.counters == [Counters(2 * count, 2 * count * row) for count in keys]
    for branch, count in enumerate((len(held[0]) + 1, len(held[1]), len(held[2]) + 1)):
        assert run.store.branch_bytes(branch) == (2 * count * row, count * run.store.shape.dense_bytes_per_token)


def test_a_rollback_ends_the_branches_and_counts_them(run):
    mark, counted = run.store.mark(), run.store.counters.keys_attended
    run.store.branch((1,), False, room=2)
    attend(run, [20])
    run.store.grow([0])
    attend(run, [21])
    run.store.rollback(mark)
    assert (run.store.length, run.store.counters.keys_attended - counted) == (20, 2 * (21 + 22))
    assert run.store.counters.tokens_prefilled == 21
    run.feed(2)
    assert run.store.length == 22


def test_verbs_at_the_wrong_time_are_refused(run):
    for verb in (lambda: run.store.grow([0]), lambda: run.store.branch_bytes(0)):
        with pytest.raises(RuntimeError, match="without branches"):
            verb()
    run.store.branch((1, 2), False, room=0)
    for verb in (
        lambda: run.store.append(1),
        run.store.mark,
        run.store.fork,
        lambda: run.store.branch((1,), False, room=0),
    ):
        with pytest.raises(RuntimeError, match="in branches"):
            verb()
    with pytest.raises(RuntimeError, match="before seal"):
        Drive(make("full", {}, 64), 20).store.branch((1,), False, room=0)
