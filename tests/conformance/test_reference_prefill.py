"""A-shape, Tri-shape and TriangleMix against their masks, row by row in float64, at any length and in any chunks."""

import pytest
import torch

from scbench.methods import make
from tests.conformance.drive import Drive, naive_attention


def a_shape_mask(tokens, sink, local, last=0):
    """The published rule, pair by pair."""
    mask = torch.zeros(tokens, tokens, dtype=torch.bool)
    for i in range(tokens):
        for j in range(i + 1):
            mask[i, j] = j < sink or i - j < local or i >= tokens - last
    return mask


def splits_of(total, sizes):
    """Chunks of `sizes`, repeated, that add up to `total`."""
    chunks = []
    while sum(chunks) < total:
        chunks.append(min(sizes[len(chunks) % len(sizes)], total - sum(chunks)))
    return chunks


LENGTHS = [1, 2, 15, 63, 111, 200]
SETTINGS = [dict(sink=4, local=8), dict(sink=0, local=1), dict(sink=16, local=112), dict(sink=3, local=70)]


@pytest.mark.parametrize("total", LENGTHS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("sizes", [(1000,), (1, 64, 7)], ids=["whole", "chunked"])
@pytest.mark.parametrize(("name", "last"), [("a_shape", 0), ("tri_shape", 1), ("tri_shape", 40)])
def test_equals_its_mask(name, last, settings, total, sizes):
    more = {"last": last} if name == "tri_shape" else {}
    run = Drive(make(name, settings | more, 1024), total, kv_heads=2, group=3)
    out = run.prefill(splits_of(total, sizes))
    mask = a_shape_mask(total, **settings, last=last)
    q, k, v = (x[0][:, :, :total] for x in (run.q, run.k, run.v))
    assert torch.allclose(out.double(), naive_attention(q, k, v, mask, run.scaling), atol=1e-5)
    assert run.store.counters.keys_attended == int(mask.sum())


@pytest.mark.parametrize("name", ["a_shape", "tri_shape"])
def test_all_keys_are_stored_and_later_rows_see_them_all(name):
    run = Drive(make(name, {"sink": 2, "local": 5}, 1024), 90)
    run.prefill([90])
    run.store.seal()
    out = run.feed(7)
    q, k, v = run.q[0][:, :, 90:97], run.k[0][:, :, :97], run.v[0][:, :, :97]
    dense = torch.ones(7, 97, dtype=torch.bool).tril(90)
    assert torch.allclose(out.double(), naive_attention(q, k, v, dense, run.scaling), atol=1e-5)
    assert torch.equal(run.store.rows(0)[0], k)


@pytest.mark.parametrize("total", [63, 200])
@pytest.mark.parametrize(("share", "exact"), [(0, 0), (0.4, 2), (0.5, 2), (0.7, 3), (0.75, 4), (1, 5)])
def test_trianglemix_is_exact_in_its_lower_layers_and_tri_shape_above(share, exact, total):
    shape = dict(sink=3, local=9, last=5)
    run = Drive(make("trianglemix", shape | {"dense_share": share}, 1024), total, kv_heads=2, group=3, layers=5)
    run.store.prefill(total)
    for layer in range(5):
        q, k, v = (x[layer][:, :, :total] for x in (run.q, run.k, run.v))
        out = run.store.attend(layer, q, k, v, run.scaling)
        mask = torch.ones(total, total, dtype=torch.bool).tril() if layer < exact else a_shape_mask(total, **shape)
        assert torch.allclose(out.double(), naive_attention(q, k, v, mask, run.scaling), atol=1e-5)
