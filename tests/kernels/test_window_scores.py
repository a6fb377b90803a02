"""Scores of the last rows' attention: the kernels are their float64 reference, and they fit on Hopper."""

import pytest
import torch

from kernels.reference import TOLERANCE, drawn
from kernels.window_scores import reference, window_scores

SCALING = 0.1
F16, F32, BF16 = torch.float16, torch.float32, torch.bfloat16


def by_triton(q, k, kernel):
    """What the Triton kernels make of it; runs in the interpreter's process."""
    from kernels.window_scores import pooled
    from kernels.window_scores_triton import launch

    return pooled(launch(q, k, SCALING), kernel)


def assert_right(got, q, k, kernel):
    expected = reference(q, k, SCALING, kernel)
    assert got.dtype == F32
    assert float((got.double() - expected).abs().max()) < TOLERANCE[q.dtype]  # a NaN is no less


# Every pair of a length and a group, of a head_dim and a dtype (tests/kernels/test_coverage.py).
CASES = [
    # query heads, KV heads, rows, keys, head_dim, dtype, kernel
    (1, 1, 1, 2, 64, F32, 1),
    (4, 1, 1, 63, 128, F16, 5),
    (8, 1, 8, 63, 64, F32, 7),
    (1, 1, 32, 111, 128, F16, 5),
    (4, 2, 40, 111, 64, F32, 3),
    (8, 1, 32, 111, 64, F16, 5),
    (4, 1, 8, 257, 64, F16, 5),
    (8, 2, 1, 257, 128, F32, 1),
    (4, 1, 1, 2, 128, F16, 1),
    (8, 1, 1, 2, 64, F16, 3),
    (1, 1, 7, 63, 64, F16, 5),
    (4, 1, 16, 111, 128, F16, 5),
    (1, 1, 32, 257, 64, F32, 5),
    (8, 1, 16, 257, 128, F16, 7),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_they_are_the_reference(case, interpreter):
    *shape, dtype, kernel = case
    q, k, _ = drawn(*shape, dtype)
    assert_right(interpreter(by_triton, q, k, kernel), q, k, kernel)


def test_keys_are_split_over_programs(interpreter):
    q, k, _ = drawn(1, 1, 3, 2060, 64, F32)
    assert_right(interpreter(by_triton, q, k, 5), q, k, 5)


def test_what_a_row_pays_sums_to_one_with_the_windows_own_share():
    q, k, _ = drawn(2, 1, 3, 63, 64, F32)
    received = reference(q, k, SCALING, 1)
    logits = SCALING * q[0].double() @ k[0].double().transpose(1, 2)
    seen = torch.ones(3, 63, dtype=torch.bool).tril(60)
    weights = logits.masked_fill(~seen, -torch.inf).softmax(-1)
    assert torch.allclose(received, weights[..., :60].sum(1))
    assert torch.allclose(reference(q, k, SCALING, 3)[:, 0], (received[:, 0] + received[:, 1]) / 3)


def test_on_a_gpu(cuda):
    q, k, _ = drawn(8, 2, 32, 3333, 128, BF16, cuda)
    assert_right(window_scores(q, k, SCALING, 5), q, k, 5)


def test_on_a_cpu_the_dispatcher_takes_the_reference():
    q, k, _ = drawn(8, 2, 32, 111, 128, BF16)
    assert_right(window_scores(q, k, SCALING, 5), q, k, 5)


Q, K, _ = drawn(4, 2, 3, 63, 64, F32)

WRONG = {
    r"q: shape \[4, 3, 64\]": {"q": Q[0]},
    "q: 3 rows over as many keys": {"k": K[:, :, :3]},
    "q: 3 rows over 2 keys": {"k": K[:, :, :2]},
    "head_dim is 64 in q and 32 in k": {"k": K[..., :32]},
    "dtypes float16, float32": {"q": Q.half()},
    "k: strides": {"k": K.transpose(2, 3).contiguous().transpose(2, 3)},
    "kernel: 4, expected an odd number": {"kernel": 4},
    "kernel: -1, expected an odd number": {"kernel": -1},
    "scaling: 0": {"scaling": 0.0},
}


@pytest.mark.parametrize("message", WRONG)
def test_what_does_not_fit_is_refused(message):
    with pytest.raises(ValueError, match=message):
        window_scores(**{"q": Q, "k": K, "scaling": SCALING, "kernel": 5} | WRONG[message])
