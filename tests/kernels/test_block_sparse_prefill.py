"""Prefill over listed blocks: the lists are their mask, the kernel is its float64 reference, and it fits on Hopper."""

from dataclasses import replace

import pytest
import torch

from kernels import block_sparse_prefill as module
from kernels.block_sparse_prefill import band, block_sparse_prefill, chosen_blocks, listed_blocks, reference
from kernels.reference import TOLERANCE, drawn

SCALING = 0.1
CPU = torch.device("cpu")
F16, F32, BF16 = torch.float16, torch.float32, torch.bfloat16

BANDS = {
    # rows from, to; sink, local, dense from
    "one row": (0, 1, 4, 8, 1),
    "A-shape of one block": (0, 63, 4, 9, 63),
    "A-shape": (0, 257, 70, 40, 257),
    "A-shape without a sink": (0, 111, 0, 1, 111),
    "wider than the prompt": (0, 111, 9, 500, 111),
    "Tri-shape": (0, 257, 16, 40, 200),
    "Tri-shape whose last rows begin a block": (0, 257, 3, 65, 128),
    "a chunk": (146, 257, 5, 33, 257),
    "a chunk that is dense from its middle on": (194, 257, 5, 33, 220),
    "dense": (0, 63, 0, 1, 0),
}


@pytest.mark.parametrize("case", BANDS)
def test_the_lists_of_a_band_are_its_mask(case):
    start, stop, sink, local, dense_from = BANDS[case]
    i, j = torch.arange(start, stop)[:, None], torch.arange(stop)
    expected = (j <= i) & ((j < sink) | (i - j < local) | (i >= dense_from))
    assert torch.equal(band(*BANDS[case], CPU).seen()[0], expected)


def test_full_blocks_stand_apart_from_masked_ones_and_nothing_else_is_listed():
    lists = band(0, 4096, 128, 1024, 4096, CPU)
    # Behind the first rows: 2 blocks of the sink; the window's whole ones, and 2 at its edge and 2 on the diagonal.
    assert lists.full[0, 20:].unique().tolist() == [2 + (1024 - module.BAND_ROWS) // module.BAND_KEYS]
    assert (lists.listed - lists.full)[0, 20:].unique().tolist() == [4]


def random_blocks(heads, size, tokens):
    count = -(-tokens // size)
    chosen = torch.rand(heads, count, count, generator=torch.Generator().manual_seed(0)) < 0.4
    chosen[:, :, 0] = True
    return chosen


@pytest.mark.parametrize("size", [16, 128])
@pytest.mark.parametrize("tokens", [1, 63, 257])
def test_the_lists_of_chosen_blocks_are_their_mask(size, tokens):
    chosen = random_blocks(3, size, tokens)
    i, j = torch.arange(tokens)[:, None], torch.arange(tokens)
    expected = (j <= i) & chosen[:, i // size, j // size]
    assert torch.equal(chosen_blocks(chosen, size, tokens).seen(), expected)


def test_the_reference_is_attention_in_float64():
    q, k, v = drawn(4, 2, 63, 63, 16, F32)
    lists = chosen_blocks(random_blocks(2, 16, 63), 16, 63)
    out = reference(q, k, v, lists, SCALING, torch.tensor([3, 0]))
    for place, (head, group) in enumerate([(3, 1), (0, 0)]):
        logits = (SCALING * q[0, head].double() @ k[0, group].double().T).masked_fill(~lists.seen()[place], -torch.inf)
        assert torch.allclose(out[0, place], logits.softmax(-1) @ v[0, group].double())


def by_triton(q, k, v, lists, heads, split_keys=None):
    """What the Triton kernel makes of it; runs in the interpreter's process."""
    from kernels import block_sparse_prefill_triton as kernel

    before, kernel.SPLIT_KEYS = kernel.SPLIT_KEYS, split_keys or kernel.SPLIT_KEYS
    try:
        return kernel.launch(q, k, v, lists, SCALING, module.check(q, k, v, lists, SCALING, heads))
    finally:
        kernel.SPLIT_KEYS = before


def tensors(lists, query_heads, kv_heads, dim, dtype, device="cpu"):
    return drawn(query_heads, kv_heads, lists.stop - lists.start, lists.stop, dim, dtype, device)


def assert_right(out, q, k, v, lists, heads=None):
    everyone = torch.arange(q.shape[1], device=q.device) if heads is None else heads
    expected = reference(q, k, v, lists, SCALING, everyone)
    assert out.dtype == q.dtype
    assert float((out.double() - expected).abs().max()) < TOLERANCE[q.dtype]  # a NaN is no less


# Every pair of a length, a group, a head_dim and a dtype; 257 tokens in groups of 8 follow.
CASES = [
    ("one row", 1, 1, 64, F32),
    ("one row", 4, 1, 128, F16),
    ("one row", 8, 1, 64, F16),
    ("A-shape of one block", 1, 1, 128, F32),
    ("A-shape of one block", 4, 1, 64, F32),
    ("A-shape of one block", 8, 1, 128, F16),
    ("A-shape without a sink", 1, 1, 64, F16),
    ("wider than the prompt", 4, 1, 128, F16),
    ("A-shape without a sink", 8, 1, 64, F32),
    ("A-shape", 1, 1, 128, F16),
    ("A-shape", 4, 1, 64, F16),
    ("Tri-shape", 2, 2, 64, F16),
    ("Tri-shape whose last rows begin a block", 1, 1, 128, F16),
    ("a chunk", 1, 1, 64, F32),
    ("a chunk that is dense from its middle on", 1, 1, 64, F16),
    ("dense", 1, 1, 64, F32),
]


@pytest.mark.parametrize(("case", "query_heads", "kv_heads", "dim", "dtype"), CASES)
def test_bands(case, query_heads, kv_heads, dim, dtype, interpreter):
    lists = band(*BANDS[case], CPU)
    q, k, v = tensors(lists, query_heads, kv_heads, dim, dtype)
    assert_right(interpreter(by_triton, q, k, v, lists, None), q, k, v, lists)


def test_heads_of_a_group_of_eight_share_their_keys(interpreter):
    lists, heads = band(*BANDS["A-shape"], CPU), torch.tensor([15, 0])
    q, k, v = tensors(lists, 16, 2, 64, F32)
    assert_right(interpreter(by_triton, q, k, v, lists, heads), q, k, v, lists, heads)


@pytest.mark.parametrize("case", ["Tri-shape", "a chunk that is dense from its middle on"])
@pytest.mark.parametrize("split_keys", [64, 200])  # 5 parts, 2 parts
def test_rows_that_see_every_key_may_be_split_over_programs(case, split_keys, interpreter):
    lists = band(*BANDS[case], CPU)
    q, k, v = tensors(lists, 1, 1, 64, F16)
    assert_right(interpreter(by_triton, q, k, v, lists, None, split_keys), q, k, v, lists)


def test_tiles_are_split_while_they_are_few():
    from kernels.block_sparse_prefill_triton import SPLIT_PROGRAMS, shares

    assert shares(2 * 32, 131072) == 16
    assert shares(2 * 32, 4096) == 1
    assert shares(SPLIT_PROGRAMS, 131072) == 1
    assert all(tiles * shares(tiles, 131072) <= SPLIT_PROGRAMS for tiles in (33, 500, 3000))


@pytest.mark.parametrize(
    ("size", "tokens", "dim", "dtype"), [(16, 63, 64, F32), (64, 257, 64, F16), (128, 257, 128, F16)]
)
def test_chosen_blocks(size, tokens, dim, dtype, interpreter):
    heads = torch.tensor([3, 0])
    lists = chosen_blocks(random_blocks(2, size, tokens), size, tokens)
    q, k, v = tensors(lists, 4, 2, dim, dtype)
    assert_right(interpreter(by_triton, q, k, v, lists, heads), q, k, v, lists, heads)


def test_a_row_that_sees_nothing_is_zero(interpreter):
    full = torch.zeros(1, 4, 4, dtype=torch.bool)
    full[0, 1, 0] = True  # the second block of rows sees the first of keys, the others nothing
    lists = module.BlockLists(*listed_blocks(full, torch.zeros_like(full)), 16, 16, 0, 63, 0, 63, 63)
    q, k, v = tensors(lists, 1, 1, 64, F32)
    out = interpreter(by_triton, q, k, v, lists, None)
    assert_right(out, q, k, v, lists)
    assert not out[0, 0, :16].any()


def test_tensors_need_not_be_contiguous_between_rows(interpreter):
    lists = band(*BANDS["A-shape of one block"], CPU)
    q, k, v = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in tensors(lists, 4, 2, 64, F32))
    assert_right(interpreter(by_triton, q, k, v, lists, None), q, k, v, lists)


@pytest.mark.parametrize("case", ["A-shape", "Tri-shape", "a chunk"])
def test_on_a_gpu(case, cuda):
    lists = band(*BANDS[case], cuda)
    q, k, v = tensors(lists, 8, 2, 128, BF16, cuda)
    assert_right(block_sparse_prefill(q, k, v, lists, SCALING), q, k, v, lists)


def test_on_a_cpu_the_dispatcher_takes_the_reference():
    lists = band(*BANDS["Tri-shape"], CPU)
    q, k, v = tensors(lists, 8, 2, 128, BF16)
    assert_right(block_sparse_prefill(q, k, v, lists, SCALING), q, k, v, lists)


LISTS = band(0, 257, 16, 40, 257, CPU)

WRONG_LISTS = {
    "rows: blocks of 48": {"rows": 48},
    "keys: blocks of 8": {"keys": 8},
    "start, stop: rows \\[7, 7\\)": {"start": 7, "stop": 7},
    "sink, local: 16 and 0": {"local": 0},
    "index: shape \\[1, 3, 5\\], expected \\[any, 2, any\\]": {"start": 128},
    "full: int64": {"full": LISTS.full.long()},
    "listed: shape": {"listed": LISTS.listed[:, 1:]},
    "index: strides": {"index": LISTS.index.transpose(1, 2).contiguous().transpose(1, 2)},
    "index: holds 5": {"index": LISTS.index + 1},
    "index: holds -1": {"index": LISTS.index - 1},
    "listed: holds 6": {"listed": LISTS.listed + LISTS.index.shape[2] - LISTS.listed.max() + 1},
    "listed - full: holds -": {"full": LISTS.listed + 1},
    "index: a block after a row": {"full": LISTS.listed},
    "full: holds -1": {"full": LISTS.full * 0 - 1},
}


@pytest.mark.parametrize("message", WRONG_LISTS)
def test_lists_that_would_be_read_out_of_bounds_are_refused(message):
    with pytest.raises(ValueError, match=message):
        replace(LISTS, **WRONG_LISTS[message])


def test_chosen_blocks_must_be_square_and_boolean():
    with pytest.raises(ValueError, match=r"chosen: shape \[2, 5, 5\], expected \[any, 17, 17\]"):
        chosen_blocks(random_blocks(2, 64, 257), 16, 257)
    with pytest.raises(ValueError, match="chosen: int64, expected bool"):
        chosen_blocks(random_blocks(2, 64, 257).long(), 64, 257)


Q, K, V = tensors(LISTS, 4, 2, 64, F32)

WRONG_TENSORS = {
    r"q: shape \[4, 257, 64\]": (Q[0], K, V),
    "v: shape": (Q, K, V[:, :1]),
    "q, k, v: dtypes float16, float32, float32": (Q.half(), K, V),
    "float64 is not supported": (Q.double(), K.double(), V.double()),
    "head_dim is 64 in q and 32 in k": (Q, K[..., :32], V[..., :32]),
    "head_dim 48 is not supported; give one of 16, 32, 64, 128": (Q[..., :48], K[..., :48], V[..., :48]),
    "3 query heads are not whole groups over 2": (Q[:, :3], K, V),
    "k: strides": (Q, K.transpose(2, 3).contiguous().transpose(2, 3), V),
    "q: 257 rows over 256 keys": (Q, K[:, :, 1:], V[:, :, 1:]),
    r"lists: for rows \[0, 257\)": (Q[:, :, 1:], K, V),
}


@pytest.mark.parametrize("message", WRONG_TENSORS)
def test_tensors_that_do_not_fit_are_refused(message):
    with pytest.raises(ValueError, match=message):
        block_sparse_prefill(*WRONG_TENSORS[message], LISTS, SCALING)


@pytest.mark.parametrize(
    ("message", "changed"),
    [
        ("heads: holds 4, expected values in \\[0, 4\\)", {"heads": torch.tensor([0, 4])}),
        ("heads: int32, expected int64", {"heads": torch.arange(4, dtype=torch.int32)}),
        ("scaling: 0", {"scaling": 0}),
        (
            "lists.index: shape \\[2, 5, 5\\], expected \\[4",
            {"lists": chosen_blocks(random_blocks(2, 64, 257), 64, 257)},
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused(message, changed):
    with pytest.raises(ValueError, match=message):
        block_sparse_prefill(**{"q": Q, "k": K, "v": V, "lists": LISTS, "scaling": SCALING} | changed)
