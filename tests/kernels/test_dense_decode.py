"""Attention of few rows to every key that they see: the kernel is its float64 reference, and it fits on Hopper."""

import pytest
import torch

from kernels.dense_decode import dense_decode, reference
from kernels.reference import drawn
from tests.kernels.test_gather_decode import BF16, F16, F32, SCALING, assert_right


def by_triton(*args):
    """What the Triton kernel makes of it; runs in the interpreter's process."""
    from kernels.dense_decode_triton import launch

    return launch(*args)


def seeing(rows, last):
    """What each of `rows` rows sees of the last `last` keys: the first row nothing."""
    visible = torch.rand(rows, last, generator=torch.Generator().manual_seed(2)) < 0.5
    visible[0] = False
    return visible


# Every pair of a length and a group, of a head_dim and a dtype (tests/kernels/test_coverage.py).
CASES = [
    # query heads, KV heads, rows, keys, head_dim, dtype, last keys that are not seen by all (None: causal)
    (1, 1, 1, 1, 64, F32, None),
    (4, 1, 1, 1, 128, F16, 1),
    (8, 1, 5, 63, 64, F16, None),
    (4, 2, 20, 63, 128, F32, 30),
    (8, 1, 3, 111, 128, F32, None),
    (1, 1, 4, 111, 64, F16, 111),
    (4, 1, 5, 257, 64, F32, 0),
    (8, 2, 1, 257, 128, F16, None),
    (2, 2, 70, 257, 64, F16, 90),
    (8, 1, 1, 1, 128, F16, None),
    (1, 1, 3, 63, 128, F16, 10),
    (4, 1, 2, 63, 64, F16, None),
    (4, 1, 1, 111, 64, F32, 0),
    (8, 1, 2, 257, 64, F16, 20),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_the_reference(case, interpreter):
    *shape, dtype, last = case
    q, k, v = drawn(*shape, dtype)
    visible = None if last is None else seeing(shape[2], last)
    got = interpreter(by_triton, q, k, v, SCALING, visible)
    assert_right(got, reference(q, k, v, SCALING, visible), dtype)


def test_keys_are_split_over_programs_and_merged(interpreter):
    q, k, v = drawn(1, 1, 2, 1030, 64, F32)
    assert_right(interpreter(by_triton, q, k, v, SCALING, None), reference(q, k, v, SCALING), F32)


def test_the_reference_is_attention_in_float64():
    q, k, v = drawn(2, 1, 3, 63, 64, F32)
    visible = seeing(3, 20)
    seen = torch.cat([torch.ones(3, 43, dtype=torch.bool), visible], dim=1)
    logits = (SCALING * q[0].double() @ k[0].double().transpose(1, 2)).masked_fill(~seen, -torch.inf)
    out, lse = reference(q, k, v, SCALING, visible)
    assert torch.allclose(out[0], logits.softmax(-1) @ v[0].double())
    assert torch.allclose(lse[0, ..., 0], logits.logsumexp(-1))
    causal = reference(q, k, v, SCALING)[0]
    assert torch.allclose(causal, reference(q, k, v, SCALING, torch.ones(3, 3, dtype=torch.bool).tril())[0])


@pytest.mark.parametrize("last", [None, 400])
def test_on_a_gpu(last, cuda):
    q, k, v = drawn(8, 2, 30, 1111, 128, BF16, cuda)
    visible = None if last is None else seeing(30, last).to(cuda)
    assert_right(dense_decode(q, k, v, SCALING, visible), reference(q, k, v, SCALING, visible), BF16)


def test_on_a_cpu_the_dispatcher_takes_the_reference():
    q, k, v = drawn(8, 2, 3, 111, 128, BF16)
    assert_right(dense_decode(q, k, v, SCALING), reference(q, k, v, SCALING), BF16)


Q, K, V = drawn(4, 2, 3, 63, 64, F32)

WRONG = {
    "q: shape .* at least one row": {"q": Q[:, :, :0], "visible": seeing(3, 5)[:0]},
    "q: 3 rows over 2 keys": {"k": K[:, :, :2], "v": V[:, :, :2]},
    "v: shape": {"v": V[:, :1]},
    "float64 is not supported": {"q": Q.double(), "k": K.double(), "v": V.double()},
    r"visible: shape \[2, 5\], expected \[3, any\]": {"visible": seeing(2, 5)},
    "visible: float32, expected bool": {"visible": torch.ones(3, 5)},
    "visible: tells of the last 64 keys, but there are 63": {"visible": seeing(3, 64)},
    "scaling: nan": {"scaling": float("nan")},
}


@pytest.mark.parametrize("message", WRONG)
def test_what_does_not_fit_is_refused(message):
    with pytest.raises(ValueError, match=message):
        dense_decode(**{"q": Q, "k": K, "v": V, "scaling": SCALING} | WRONG[message])
