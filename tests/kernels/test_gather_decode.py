"""Attention to listed keys: the kernel is its float64 reference, and it fits on Hopper."""

import pytest
import torch

from kernels import gather_decode as module
from kernels.gather_decode import gather_decode, reference
from kernels.reference import TOLERANCE, drawn

SCALING = 0.1
F16, F32, BF16 = torch.float16, torch.float32, torch.bfloat16


def by_triton(*args):
    """What the Triton kernel makes of it; runs in the interpreter's process."""
    from kernels.gather_decode_triton import launch

    return launch(*args)


def inputs(query_heads, kv_heads, lists, rows, keys, dim, dtype, device="cpu"):
    """q, k, v, an index of every second key, and a bias that hides some keys, and all from the last row of list 0."""
    q, k, v = drawn(query_heads, kv_heads, rows, keys, dim, dtype, device)
    generator = torch.Generator().manual_seed(1)
    order = torch.rand(lists, rows, keys, generator=generator).argsort(dim=-1)
    index = order[..., : -(-keys // 2)]
    bias = torch.randn(index.shape, generator=generator)
    bias[torch.rand(index.shape, generator=generator) < 0.2] = -torch.inf
    bias[0, -1] = -torch.inf
    return q, k, v, index.to(device), bias.to(device)


def assert_right(got, expected, dtype):
    """Output and log-sum-exp are those of float64; a NaN is no less than a tolerance."""
    (out, lse), (right, right_lse) = got, expected
    assert out.dtype == dtype
    assert lse.dtype == F32
    assert float((out.double() - right).abs().max()) < TOLERANCE[dtype]
    nothing = right_lse == -torch.inf
    assert torch.equal(lse == -torch.inf, nothing)
    assert float((lse.double() - right_lse).masked_fill(nothing, 0).abs().max()) < TOLERANCE[dtype]


# Every pair of a length and a group, of a head_dim and a dtype (tests/kernels/test_coverage.py).
CASES = [
    # query heads, KV heads, lists, rows, keys, head_dim, dtype
    (1, 1, 1, 1, 1, 64, F32),
    (4, 1, 1, 2, 63, 128, F32),
    (8, 1, 8, 1, 63, 64, F16),
    (8, 1, 1, 3, 111, 64, F32),
    (4, 1, 4, 1, 111, 128, F16),
    (2, 2, 2, 2, 257, 128, F16),
    (8, 2, 8, 1, 257, 64, F32),
    (8, 1, 1, 1, 1, 128, F16),
    (4, 1, 4, 3, 1, 64, F16),
    (1, 1, 1, 2, 63, 64, F16),
    (1, 1, 1, 1, 111, 64, F16),
    (8, 1, 8, 1, 257, 128, F16),
]


@pytest.mark.parametrize("biased", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_the_reference(case, biased, interpreter):
    q, k, v, index, bias = inputs(*case)
    bias = bias if biased else None
    got = interpreter(by_triton, q, k, v, index, SCALING, bias)
    assert_right(got, reference(q, k, v, index, SCALING, bias), case[-1])


def test_a_long_list_is_split_over_programs_and_merged(interpreter):
    q, k, v, index, bias = inputs(2, 1, 1, 1, 1030, 64, F32)
    assert_right(interpreter(by_triton, q, k, v, index, SCALING, bias), reference(q, k, v, index, SCALING, bias), F32)


def test_a_row_that_sees_no_key_is_zero(interpreter):
    q, k, v, index, bias = inputs(2, 1, 2, 2, 63, 64, F32)
    out, lse = interpreter(by_triton, q, k, v, index, SCALING, bias)
    assert not out[0, 0, -1].any()
    assert lse[0, 0, -1] == -torch.inf


def test_the_reference_is_attention_in_float64():
    q, k, v, index, bias = inputs(4, 2, 2, 3, 63, 64, F32)
    out, lse = reference(q, k, v, index, SCALING, bias)
    for head, row in ((3, 0), (1, 1)):
        at = index[head // 2, row]
        logits = SCALING * k[0, head // 2, at].double() @ q[0, head, row].double() + bias[head // 2, row]
        assert torch.allclose(out[0, head, row], logits.softmax(0) @ v[0, head // 2, at].double())
        assert torch.allclose(lse[0, head, row, 0], logits.logsumexp(0))


def test_tensors_need_not_be_contiguous_between_rows(interpreter):
    q, k, v, index, bias = inputs(4, 2, 2, 3, 63, 64, F32)
    q, k, v = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v))
    got = interpreter(by_triton, q, k, v, index, SCALING, bias)
    assert_right(got, reference(q, k, v, index, SCALING, bias), F32)


@pytest.mark.parametrize("lists", [2, 8])
def test_on_a_gpu(lists, cuda):
    q, k, v, index, bias = inputs(8, 2, lists, 3, 1111, 128, BF16, cuda)
    assert_right(gather_decode(q, k, v, index, SCALING, bias), reference(q, k, v, index, SCALING, bias), BF16)


def test_on_a_cpu_the_dispatcher_takes_the_reference():
    q, k, v, index, bias = inputs(8, 2, 8, 3, 111, 128, BF16)
    assert_right(gather_decode(q, k, v, index, SCALING, bias), reference(q, k, v, index, SCALING, bias), BF16)


Q, K, V, INDEX, BIAS = inputs(4, 2, 2, 3, 63, 64, F32)

WRONG = {
    r"q: shape \[4, 3, 64\]": {"q": Q[0]},
    "q: shape .* at least one row": {"q": Q[:, :, :0]},
    "v: shape": {"v": V[:, :1]},
    "dtypes float16, float32, float32": {"q": Q.half()},
    "head_dim 48 is not supported": {"q": Q[..., :48], "k": K[..., :48], "v": V[..., :48]},
    "k: strides": {"k": K.transpose(2, 3).contiguous().transpose(2, 3)},
    r"index: shape \[2, 3, 32\], expected \[any, 2, any\]": {"q": Q[:, :, :2]},
    "index: lists of 1 heads, expected 2": {"index": INDEX[:1], "bias": BIAS[:1]},
    "index: int32, expected int64": {"index": INDEX.int()},
    r"index: holds 63, expected values in \[0, 63\)": {"index": INDEX + 1},
    r"index: holds -1": {"index": INDEX - 1},
    "bias: shape": {"bias": BIAS[:, :, 1:]},
    "bias: float64, expected float32": {"bias": BIAS.double()},
    "scaling: 0": {"scaling": 0.0},
}


@pytest.mark.parametrize("message", WRONG)
def test_what_does_not_fit_is_refused(message):
    good = {"q": Q, "k": K, "v": V, "index": INDEX, "scaling": SCALING, "bias": BIAS}
    with pytest.raises(ValueError, match=message):
        gather_decode(**good | WRONG[message])
    module.check(**good, in_range=False)
