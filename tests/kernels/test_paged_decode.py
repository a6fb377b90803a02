"""Pages: what is known of them bounds their keys, the kernels are their references, and they fit on Hopper."""

import pytest
import torch

from kernels.paged_decode import (
    extremes_reference,
    page_extremes,
    page_scores,
    paged_decode,
    reference,
    scores_reference,
)
from kernels.reference import TOLERANCE, attention, drawn
from tests.kernels.test_gather_decode import BF16, F16, F32, SCALING, assert_right

# Every pair of a length and a group, of a head_dim and a dtype (tests/kernels/test_coverage.py).
CASES = [
    # query heads, KV heads, lists, rows, keys, page, head_dim, dtype
    (1, 1, 1, 1, 1, 16, 64, F32),
    (4, 1, 1, 1, 1, 4, 128, F16),
    (8, 1, 8, 2, 63, 16, 64, F16),
    (4, 2, 2, 3, 63, 8, 128, F32),
    (8, 1, 1, 1, 111, 4, 128, F32),
    (1, 1, 1, 3, 111, 8, 64, F16),
    (4, 1, 4, 1, 257, 16, 64, F32),
    (8, 2, 2, 1, 257, 4, 128, F16),
    (8, 1, 8, 1, 1, 8, 64, F32),
    (1, 1, 1, 2, 63, 4, 128, F16),
    (4, 1, 1, 1, 63, 16, 64, F16),
    (4, 1, 4, 2, 111, 16, 128, F16),
    (1, 1, 1, 1, 257, 8, 64, F16),
    (8, 1, 1, 1, 257, 16, 64, F16),
]


def inputs(query_heads, kv_heads, lists, rows, keys, page, dim, dtype, device="cpu"):
    """q, k, v and an index of every second page, the last page among them."""
    q, k, v = drawn(query_heads, kv_heads, rows, keys, dim, dtype, device)
    pages = -(-keys // page)
    weights = torch.rand(lists, rows, pages, generator=torch.Generator().manual_seed(1))
    weights[..., -1] = 2
    index = weights.topk(-(-pages // 2)).indices
    return q, k, v, index.to(device)


def attended(*args):
    """Attention by the Triton kernel; runs in the interpreter's process, as the next do."""
    from kernels.gather_decode_triton import launch

    q, k, v, index, page = args
    return launch(q, k, v, index, SCALING, None, page, k.shape[2])


def extremes(k, page):
    from kernels.paged_decode_triton import launch_extremes

    return launch_extremes(k, page)


def scores(q, low, high):
    from kernels.paged_decode_triton import launch_scores

    return launch_scores(q, low, high)


def assert_scored(got, expected, q):
    # A score is a sum over head_dim of products whose error is that of their inputs' dtype.
    assert got.dtype == F32
    assert float((got.double() - expected).abs().max()) < TOLERANCE[q.dtype] * q.shape[3]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_they_are_their_references(case, interpreter):
    q, k, v, index = inputs(*case)
    page, dtype = case[5], case[7]
    assert index.max() == -(-k.shape[2] // page) - 1
    assert_right(interpreter(attended, q, k, v, index, page), reference(q, k, v, index, page, SCALING), dtype)
    low, high = extremes_reference(k, page)
    assert all(map(torch.equal, interpreter(extremes, k, page), (low, high)))
    assert_scored(interpreter(scores, q, low, high), scores_reference(q, low, high), q)


def test_many_rows_are_scored_in_several_tiles(interpreter):
    q, k, _, _ = inputs(4, 1, 1, 20, 111, 3, 64, F32)
    low, high = extremes_reference(k, 3)
    assert all(map(torch.equal, interpreter(extremes, k, 3), (low, high)))
    assert_scored(interpreter(scores, q, low, high), scores_reference(q, low, high), q)


def test_scores_bound_the_products_of_a_pages_keys():
    q, k, _, _ = inputs(4, 2, 2, 3, 63, 8, 64, F32)
    bounds = scores_reference(q, *extremes_reference(k, 8))
    products = q[0].double() @ k[0].double().repeat_interleave(2, 0).transpose(1, 2)
    assert (bounds.repeat_interleave(8, 2)[..., :63] >= products - 1e-9).all()


def test_the_reference_is_attention_to_the_keys_of_the_pages():
    q, k, v, index = inputs(4, 2, 4, 3, 63, 8, 64, F32)
    seen = torch.zeros(4, 3, 8, dtype=torch.bool).scatter_(2, index, True).repeat_interleave(8, 2)[..., :63]
    out, lse = attention(q, k, v, seen, SCALING)
    assert torch.allclose(reference(q, k, v, index, 8, SCALING)[0], out)
    assert torch.allclose(reference(q, k, v, index, 8, SCALING)[1][..., 0], lse)


@pytest.mark.parametrize("lists", [2, 8])
def test_on_a_gpu(lists, cuda):
    q, k, v, index = inputs(8, 2, lists, 3, 1111, 16, 128, BF16, cuda)
    assert_right(paged_decode(q, k, v, index, 16, SCALING), reference(q, k, v, index, 16, SCALING), BF16)
    low, high = extremes_reference(k, 16)
    assert all(map(torch.equal, page_extremes(k, 16), (low, high)))
    assert_scored(page_scores(q, low, high), scores_reference(q, low, high), q)


def test_on_a_cpu_the_dispatchers_take_the_references():
    q, k, v, index = inputs(8, 2, 8, 3, 111, 16, 128, BF16)
    assert_right(paged_decode(q, k, v, index, 16, SCALING), reference(q, k, v, index, 16, SCALING), BF16)
    low, high = page_extremes(k, 16)
    assert all(map(torch.equal, (low, high), extremes_reference(k, 16)))
    assert_scored(page_scores(q, low, high), scores_reference(q, low, high), q)


Q, K, V, INDEX = inputs(4, 2, 2, 3, 63, 16, 64, F32)

WRONG = {
    "page: 3 keys, expected one of": {"page": 3},
    r"index: holds 4, expected values in \[0, 4\)": {"index": INDEX + 1},
    "index: holds -4": {"index": INDEX - INDEX.max(-1, keepdim=True).values - 1},
    "index: int32, expected int64": {"index": INDEX.int()},
    "index: lists of 1 heads": {"index": INDEX[:1]},
    "v: shape": {"v": V[:, :1]},
    "scaling: -1": {"scaling": -1.0},
}


@pytest.mark.parametrize("message", WRONG)
def test_attention_that_does_not_fit_is_refused(message):
    with pytest.raises(ValueError, match=message):
        paged_decode(**{"q": Q, "k": K, "v": V, "index": INDEX, "page": 16, "scaling": SCALING} | WRONG[message])


def test_pages_that_do_not_fit_are_refused():
    low, high = extremes_reference(K, 16)
    with pytest.raises(ValueError, match="page: 0 keys"):
        page_extremes(K, 0)
    with pytest.raises(ValueError, match=r"k: shape \[2, 63, 64\]|q: shape \[2, 63, 64\]"):
        page_extremes(K[0], 16)
    with pytest.raises(ValueError, match=r"low: shape \[4, 64\]"):
        page_scores(Q, low[0], high[0])
    with pytest.raises(ValueError, match="high: shape"):
        page_scores(Q, low, high[:, 1:])
    with pytest.raises(ValueError, match="dtypes float16"):
        page_scores(Q.half(), low, high)
