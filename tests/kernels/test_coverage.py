"""What the kernels are compared with float64 on: every length with every group, every head_dim with every dtype."""

from itertools import product

import pytest

from tests.kernels import test_block_sparse_prefill as block_sparse
from tests.kernels import test_dense_decode as dense
from tests.kernels import test_gather_decode as gather
from tests.kernels import test_paged_decode as paged
from tests.kernels import test_quantized_decode as quantized
from tests.kernels import test_vertical_slash as vertical_slash
from tests.kernels import test_window_scores as window
from tests.kernels.test_gather_decode import F16, F32

LENGTHS, GROUPS = (1, 63, 111, 257), (1, 4, 8)
EIGHT_HEADS = (257, 8, 64, F32)
"""`test_heads_of_a_group_of_eight_share_their_keys`."""

CASES = {
    # kernel: (keys, query heads a KV head, head_dim, dtype) of each case
    "block_sparse_prefill": [
        EIGHT_HEADS,
        *((block_sparse.BANDS[name][1], heads // kv, dim, dtype) for name, heads, kv, dim, dtype in block_sparse.CASES),
    ],
    "vertical_slash_prefill": [
        EIGHT_HEADS,
        *((keys, heads // kv, dim, dtype) for _, keys, heads, kv, dim, dtype in vertical_slash.CASES),
    ],
    "line_scores": [(keys, heads // kv, dim, dtype) for _, keys, heads, kv, dim, dtype in vertical_slash.SCORES],
    "dense_decode": [(keys, heads // kv, dim, dtype) for heads, kv, _, keys, dim, dtype, _ in dense.CASES],
    "gather_decode": [(keys, heads // kv, dim, dtype) for heads, kv, _, _, keys, dim, dtype in gather.CASES],
    "paged_decode": [(keys, heads // kv, dim, dtype) for heads, kv, _, _, keys, _, dim, dtype in paged.CASES],
    "quantized_decode": [(case[3], case[0] // case[1], *case[-2:]) for case in quantized.CASES],
    # The keys before the window: there is at least one.
    "window_scores": [(keys - (keys == 2), heads // kv, *how[:2]) for heads, kv, _, keys, *how in window.CASES],
}


@pytest.mark.parametrize("kernel", CASES)
def test_every_length_meets_every_group_and_every_head_dim_every_dtype(kernel):
    cases = CASES[kernel]
    assert set(product(LENGTHS, GROUPS)) <= {case[:2] for case in cases}
    assert set(product((64, 128), (F16, F32))) <= {case[2:] for case in cases}
