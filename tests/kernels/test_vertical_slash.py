"""Columns and diagonals: the kernel and the estimate are their float64 references, and fit on Hopper."""

import pytest
import torch

from kernels import line_scores as estimate
from kernels import vertical_slash_prefill as module
from kernels.line_scores import line_scores
from kernels.reference import TOLERANCE, drawn
from kernels.vertical_slash_prefill import line_index, reference, seen, vertical_slash_prefill

SCALING = 0.1
F16, F32, BF16 = torch.float16, torch.float32, torch.bfloat16

SHARES = {
    # columns, diagonals, nearest diagonals
    "few": (0.05, 0.03, 1),
    "scattered": (0.3, 0.1, 1),
    "a band": (0.1, 0.0, 150),
    "diagonals alone": (0.0, 0.2, 1),
    "every column": (1.0, 0.0, 1),
    "everything": (1.0, 1.0, 1),
}


def lines(case, heads, tokens, device="cpu"):
    """Random columns and diagonals, [heads, tokens] each, by the shares of `case`."""
    upright, slanted, nearest = SHARES[case]
    columns, diagonals = torch.rand(2, heads, tokens, generator=torch.Generator().manual_seed(0))
    diagonals[:, :nearest] = 0
    return (columns < upright).to(device), ((diagonals < slanted) | (diagonals == 0)).to(device)


def test_a_row_sees_its_columns_and_its_diagonals():
    columns, diagonals = torch.zeros(2, 1, 6, dtype=torch.bool)
    columns[0, 1] = diagonals[0, 0] = diagonals[0, 3] = True
    rows = seen(columns, diagonals, 3)[0].int().tolist()
    assert rows == [[1, 1, 0, 1, 0, 0], [0, 1, 0, 0, 1, 0], [0, 1, 1, 0, 0, 1]]


def by_triton(q, k, v, columns, diagonals, heads):
    """What the Triton kernel makes of it; runs in the interpreter's process."""
    from kernels import vertical_slash_prefill_triton as kernel

    heads = module.check(q, k, v, columns, diagonals, SCALING, heads)
    return kernel.launch(q, k, v, columns, diagonals, SCALING, heads)


def assert_right(out, q, k, v, columns, diagonals, heads=None):
    everyone = torch.arange(q.shape[1], device=q.device) if heads is None else heads
    expected = reference(q, k, v, columns, diagonals, SCALING, everyone)
    assert out.dtype == q.dtype
    assert float((out.double() - expected).abs().max()) < TOLERANCE[q.dtype]  # a NaN is no less


# Every pair of a length, a group, a head_dim and a dtype; 257 tokens in groups of 8 follow.
CASES = [
    ("few", 1, 1, 1, 64, F32),
    ("few", 1, 4, 1, 128, F16),
    ("few", 1, 8, 1, 64, F16),
    ("scattered", 63, 1, 1, 128, F32),
    ("diagonals alone", 63, 4, 1, 64, F32),
    ("every column", 63, 8, 1, 128, F16),
    ("everything", 111, 1, 1, 64, F16),
    ("scattered", 111, 4, 1, 128, F16),
    ("a band", 111, 8, 1, 64, F32),
    ("a band", 257, 1, 1, 128, F16),
    ("scattered", 257, 4, 1, 64, F16),
    ("a band", 257, 1, 1, 64, F32),
]


@pytest.mark.parametrize(("case", "tokens", "query_heads", "kv_heads", "dim", "dtype"), CASES)
def test_lines(case, tokens, query_heads, kv_heads, dim, dtype, interpreter):
    q, k, v = drawn(query_heads, kv_heads, tokens, tokens, dim, dtype)
    chosen = lines(case, query_heads, tokens)
    assert_right(interpreter(by_triton, q, k, v, *chosen, None), q, k, v, *chosen)


def test_heads_of_a_group_of_eight_share_their_keys(interpreter):
    (q, k, v), chosen, heads = drawn(16, 2, 257, 257, 64, F32), lines("scattered", 2, 257), torch.tensor([15, 0])
    assert_right(interpreter(by_triton, q, k, v, *chosen, heads), q, k, v, *chosen, heads)


@pytest.mark.parametrize("rows", [1, 111])
def test_rows_may_be_the_last_ones_of_a_longer_prompt(rows, interpreter):
    (q, k, v), chosen = drawn(2, 1, rows, 257, 64, F32), lines("a band", 2, 257)
    assert_right(interpreter(by_triton, q, k, v, *chosen, None), q, k, v, *chosen)


def test_tiles_without_a_mask_stand_apart_and_tiles_without_a_line_are_left_out():
    columns, diagonals = torch.zeros(2, 1, 4096, dtype=torch.bool)
    diagonals[0, :512] = diagonals[0, 2000] = True
    index = line_index(columns, diagonals, rows=128, keys=64)
    # 512 nearest diagonals: of 10 key tiles 2 are cut by the diagonal, 2 by the band's end; another crosses 3 or 4.
    assert int(index.n_full[0, -1]) == 6
    assert int(index.n_masked[0, -1]) == 4 + 3
    assert int(index.met[0, -1]) == 0


def scores_by_triton(q, k, heads):
    """What the Triton kernels make of it; runs in the interpreter's process."""
    from kernels import line_scores_triton as kernel

    return kernel.launch(q, k, SCALING, estimate.check(q, k, SCALING, heads))


def assert_scores_right(scores, q, k, heads=None):
    everyone = torch.arange(q.shape[1], device=q.device) if heads is None else heads
    for found, expected in zip(scores, estimate.reference(q, k, SCALING, everyone), strict=True):
        assert found.dtype == torch.float32
        assert float((found - expected).abs().max()) < 1e-4  # a NaN is no less


SCORES = [
    (1, 1, 1, 1, 64, F32),
    (1, 63, 4, 1, 128, F16),
    (63, 63, 1, 1, 128, F32),
    (33, 111, 8, 1, 64, F16),
    (64, 111, 4, 2, 64, F16),
    (64, 257, 1, 1, 64, F16),
    (63, 257, 2, 1, 128, F16),
    (64, 1100, 1, 1, 64, F32),
    (1, 1, 4, 1, 128, F16),
    (1, 1, 8, 1, 64, F32),
    (33, 63, 8, 1, 128, F16),
    (64, 111, 1, 1, 64, F32),
    (20, 111, 4, 1, 64, F16),
    (64, 257, 4, 1, 64, F16),
    (63, 257, 8, 1, 64, F16),
]


@pytest.mark.parametrize(("rows", "tokens", "query_heads", "kv_heads", "dim", "dtype"), SCORES)
def test_the_estimate(rows, tokens, query_heads, kv_heads, dim, dtype, interpreter):
    q, k, _ = drawn(query_heads, kv_heads, rows, tokens, dim, dtype)
    assert_scores_right(interpreter(scores_by_triton, q, k, None), q, k)


def test_the_estimate_of_some_heads(interpreter):
    (q, k, _), heads = drawn(16, 2, 64, 111, 64, F32), torch.tensor([15, 0])
    assert_scores_right(interpreter(scores_by_triton, q, k, heads), q, k, heads)


def test_the_reference_of_the_estimate_sums_a_softmax():
    q, k, _ = drawn(2, 1, 3, 5, 16, F32)
    weights = torch.full((2, 3, 5), -torch.inf, dtype=torch.float64)
    for a in range(3):
        weights[:, a, : a + 3] = SCALING * q[0, :, a].double() @ k[0, 0, : a + 3].double().T
    weights = weights.softmax(-1)
    columns, diagonals = estimate.reference(q, k, SCALING, torch.arange(2))
    assert torch.allclose(columns, weights.sum(1))
    by_hand = [sum(weights[:, a, a + 2 - o] for a in range(3) if a + 2 >= o) for o in range(5)]
    assert torch.allclose(diagonals, torch.stack(by_hand, dim=1))


@pytest.mark.parametrize("case", SHARES)
def test_on_a_gpu(case, cuda):
    (q, k, v), chosen = drawn(8, 2, 777, 777, 128, BF16, cuda), lines(case, 8, 777, cuda)
    assert_right(vertical_slash_prefill(q, k, v, *chosen, SCALING), q, k, v, *chosen)


def test_the_estimate_on_a_gpu(cuda):
    q, k, _ = drawn(8, 2, 64, 1777, 128, BF16, cuda)
    assert_scores_right(line_scores(q, k, SCALING), q, k)


def test_on_a_cpu_the_dispatchers_take_the_references():
    (q, k, v), chosen = drawn(8, 2, 64, 111, 128, BF16), lines("few", 8, 111)
    assert_right(vertical_slash_prefill(q, k, v, *chosen, SCALING), q, k, v, *chosen)
    assert_scores_right(line_scores(q, k, SCALING), q, k)


Q, K, V = drawn(4, 2, 111, 111, 64, F32)
COLUMNS, DIAGONALS = lines("few", 4, 111)

WRONG = {
    r"columns: shape \[4, 110\], expected \[4, 111\]": {"columns": COLUMNS[:, 1:]},
    "diagonals: int64, expected bool": {"diagonals": DIAGONALS.long()},
    "diagonals: a head without diagonal 0": {"diagonals": DIAGONALS & False},
    "heads: holds 9": {"heads": torch.tensor([0, 1, 2, 9])},
    "scaling: -1": {"scaling": -1},
    "head_dim 24 is not supported": {"q": Q[..., :24], "k": K[..., :24], "v": V[..., :24]},
    "q: strides": {"q": Q.transpose(2, 3).contiguous().transpose(2, 3)},
}


@pytest.mark.parametrize("message", WRONG)
def test_arguments_that_do_not_fit_are_refused(message):
    given = {"q": Q, "k": K, "v": V, "columns": COLUMNS, "diagonals": DIAGONALS, "scaling": SCALING}
    with pytest.raises(ValueError, match=message):
        vertical_slash_prefill(**given | WRONG[message])


@pytest.mark.parametrize(
    ("message", "changed"),
    [
        ("q: 65 rows, expected at most 64", {"q": Q[:, :, :65]}),
        ("heads: holds 4", {"heads": torch.tensor([4])}),
        ("scaling: 0", {"scaling": 0}),
        ("float64 is not supported", {"q": Q[:, :, :64].double(), "k": K.double()}),
    ],
)
def test_an_estimate_that_cannot_be_made_is_refused(message, changed):
    with pytest.raises(ValueError, match=message):
        line_scores(**{"q": Q[:, :, :64], "k": K, "scaling": SCALING} | changed)
