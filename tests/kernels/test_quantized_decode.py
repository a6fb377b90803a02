"""Attention to packed keys and values: packing and attention are their references, and the kernels fit on Hopper."""

from dataclasses import replace

import pytest
import torch

from kernels.quantized_decode import (
    PackedKV,
    pack_reference,
    packed_rows,
    quantized_decode,
    quantized_pack,
    reference,
    unpacked_rows,
)
from kernels.reference import attention, drawn
from tests.kernels.test_gather_decode import BF16, F16, F32, SCALING, assert_right

TENSORS = ("keys", "key_scale", "key_zero", "values", "value_scale", "value_zero")


def packed_by_triton(*args):
    """What the Triton kernels make of it; runs in the interpreter's process, as the next does."""
    from kernels.quantized_decode_triton import launch_pack

    return launch_pack(*args)


def attended(*args):
    from kernels.quantized_decode_triton import launch

    return launch(*args)


def inputs(query_heads, kv_heads, rows, tokens, recent, bits, group, channels, dim, dtype, device="cpu"):
    """q; keys in whole groups and `tokens` values to pack; `recent` exact rows."""
    q, k, v = drawn(query_heads, kv_heads, rows, -(-tokens // group) * group, dim, dtype, device)
    _, recent_k, recent_v = drawn(1, kv_heads, 1, recent, dim, dtype, device, seed=1)
    return q, (k, v[:, :, :tokens], bits, group, channels), (recent_k, recent_v)


# Every pair of a length and a group, of a head_dim and a dtype (tests/kernels/test_coverage.py).
CASES = [
    # query heads, KV heads, rows, tokens, recent rows, bits, tokens and channels of a group, head_dim, dtype
    (1, 1, 1, 1, 0, 2, 32, 32, 64, F32),
    (4, 1, 1, 1, 5, 4, 32, 32, 128, F16),
    (8, 1, 2, 63, 33, 8, 32, 32, 64, F16),
    (4, 1, 1, 63, 0, 2, 64, 64, 128, F32),
    (8, 1, 1, 111, 63, 4, 32, 32, 64, F32),
    (2, 2, 3, 111, 1, 2, 32, 32, 128, F16),
    (1, 1, 20, 111, 40, 8, 32, 128, 128, F32),
    (4, 1, 1, 257, 20, 2, 32, 32, 64, F16),
    (8, 2, 1, 257, 0, 4, 128, 64, 128, F16),
    (8, 1, 1, 1, 3, 8, 32, 32, 128, F16),
    (1, 1, 2, 63, 7, 4, 32, 32, 64, F16),
    (4, 1, 1, 111, 20, 8, 32, 32, 64, F16),
    (1, 1, 1, 257, 5, 4, 32, 32, 128, F16),
    (8, 1, 1, 257, 9, 2, 64, 32, 64, F16),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_they_are_their_references(case, interpreter):
    q, what, recent = inputs(*case)
    packed = pack_reference(*what)
    by_kernel = interpreter(packed_by_triton, *what)
    for name in TENSORS:
        assert torch.equal(getattr(by_kernel, name), getattr(packed, name)), name
    got = interpreter(attended, q, packed, *recent, SCALING)
    assert_right(got, reference(q, packed, *recent, SCALING), case[-1])


def test_packed_keys_are_split_over_programs_and_merged_with_the_exact_ones(interpreter):
    q, what, recent = inputs(1, 1, 1, 1030, 300, 2, 32, 32, 64, F32)
    packed = pack_reference(*what)
    got = interpreter(attended, q, packed, *recent, SCALING)
    assert_right(got, reference(q, packed, *recent, SCALING), F32)


def test_a_constant_group_and_one_whose_scale_rounds_to_nothing(interpreter):
    _, (k, v, *sizes), _ = inputs(2, 1, 1, 64, 3, 2, 32, 32, 64, F32)
    k[:, :, :32, 3] = 0.5
    v[:, :, 5] = -1.0
    k[:, :, 32:, 7] *= 1e-9
    packed = pack_reference(k, v, *sizes)
    by_kernel = interpreter(packed_by_triton, k, v, *sizes)
    for name in TENSORS:
        assert torch.equal(getattr(by_kernel, name), getattr(packed, name)), name
    restored_k, restored_v = packed.restored(F32)
    assert (restored_k[:, :, :32, 3] == 0.5).all()
    assert (restored_v[:, :, 5] == -1.0).all()


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_what_is_packed_is_restored_within_half_a_step(bits):
    _, (k, v, *sizes), _ = inputs(1, 2, 1, 111, 1, bits, 32, 32, 64, F32)
    packed = pack_reference(k, v, *sizes)
    restored_k, restored_v = packed.restored(F32)
    assert restored_k.shape == restored_v.shape == (1, 2, 111, 64)
    step = 1 / (2**bits - 1)
    groups = k[0].unflatten(1, (-1, 32))
    spread = (groups.amax(2) - groups.amin(2)).repeat_interleave(32, 1)[None, :, :111]
    assert ((restored_k - k[:, :, :111]).abs() <= (step / 2 + 3e-3) * spread).all()
    spread = v.unflatten(3, (-1, 32)).aminmax(dim=4)
    spread = (spread.max - spread.min).repeat_interleave(32, 3)
    assert ((restored_v - v).abs() <= (step / 2 + 3e-3) * spread).all()
    rest = packed.keys_beyond(F32)
    assert ((rest - k[:, :, 111:]).abs() <= (step / 2 + 3e-3) * (groups.amax(2) - groups.amin(2))[None, :, -1:]).all()


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_byte_holds_codes_that_lie_a_row_of_bytes_apart(bits):
    codes = torch.arange(64).remainder(2**bits).to(torch.uint8).flip(0)[None]
    packed = packed_rows(codes, bits)
    row = 64 * bits // 8
    assert packed.shape == (1, row)
    assert [int(packed[0, 3]) >> bits * plane & 2**bits - 1 for plane in range(8 // bits)] == codes[0, 3::row].tolist()
    assert torch.equal(unpacked_rows(packed, bits), codes)


def test_the_reference_is_attention_to_what_is_restored():
    q, what, (recent_k, recent_v) = inputs(4, 2, 3, 63, 5, 4, 32, 32, 64, F32)
    packed = pack_reference(*what)
    k, v = packed.restored(torch.float64)
    k, v = torch.cat([k, recent_k.double()], 2), torch.cat([v, recent_v.double()], 2)
    out, lse = attention(q, k, v, torch.ones(68, dtype=torch.bool), SCALING)
    assert torch.allclose(reference(q, packed, recent_k, recent_v, SCALING)[0], out)
    assert torch.allclose(reference(q, packed, recent_k, recent_v, SCALING)[1][..., 0], lse)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_on_a_gpu(bits, cuda):
    q, what, recent = inputs(8, 2, 3, 1111, 70, bits, 32, 32, 128, BF16, cuda)
    packed, by_kernel = pack_reference(*what), quantized_pack(*what)
    for name in TENSORS:
        assert torch.equal(getattr(by_kernel, name), getattr(packed, name)), name
    got = quantized_decode(q, packed, *recent, SCALING)
    assert_right(got, reference(q, packed, *recent, SCALING), BF16)


def test_on_a_cpu_the_dispatchers_take_the_references():
    q, what, recent = inputs(8, 2, 3, 111, 7, 2, 32, 32, 128, BF16)
    packed = quantized_pack(*what)
    assert torch.equal(packed.keys, pack_reference(*what).keys)
    got = quantized_decode(q, packed, *recent, SCALING)
    assert_right(got, reference(q, packed, *recent, SCALING), BF16)


Q, WHAT, (RECENT_K, RECENT_V) = inputs(4, 2, 3, 63, 5, 2, 32, 32, 64, F32)
PACKED = pack_reference(*WHAT)
K, V = WHAT[:2]

WRONG_PACKED = {
    "bits, group, channels, head_dim: 3, 32, 32": {"bits": 3},
    "bits, group, channels, head_dim: 2, 16, 32, 64": {"group": 16},
    "bits, group, channels, head_dim: 2, 32, 128, 64": {"channels": 128},
    "values: shape": {"values": PACKED.values[:1]},
    "keys, values: 32 keys in groups of 32 and 63 values": {"keys": PACKED.keys[:, :32].contiguous()},
    "keys, values: 48 keys": {"keys": PACKED.keys[:, :48].contiguous()},
    "key_scale: shape": {"key_scale": PACKED.key_scale[:, 1:]},
    "value_zero: float32, expected float16": {"value_zero": PACKED.value_zero.float()},
    "keys: int32, expected uint8": {"keys": PACKED.keys.int()},
    "keys: strides": {"keys": PACKED.keys.transpose(0, 1).contiguous().transpose(0, 1)},
}


@pytest.mark.parametrize("message", WRONG_PACKED)
def test_packed_rows_that_do_not_fit_are_refused(message):
    with pytest.raises(ValueError, match=message):
        replace(PACKED, **WRONG_PACKED[message])
    assert isinstance(PACKED, PackedKV)


WRONG = {
    r"q: shape \[4, 3, 64\]": {"q": Q[0]},
    "3 query heads are not whole groups over 2": {"q": Q[:, :3]},
    r"recent_k: shape \[1, 1, 5, 64\], expected \[1, 2, any, 64\]": {"recent_k": RECENT_K[:, :1]},
    "recent_v: shape": {"recent_v": RECENT_V[:, :, 1:]},
    "dtypes float16": {"q": Q.half()},
    "scaling: inf": {"scaling": float("inf")},
}


@pytest.mark.parametrize("message", WRONG)
def test_attention_that_does_not_fit_is_refused(message):
    good = {"q": Q, "packed": PACKED, "recent_k": RECENT_K, "recent_v": RECENT_V, "scaling": SCALING}
    with pytest.raises(ValueError, match=message):
        quantized_decode(**good | WRONG[message])


def test_what_cannot_be_packed_is_refused():
    with pytest.raises(ValueError, match="k: 63 keys, expected whole groups of 32"):
        quantized_pack(K[:, :, :63], V, 2, 32, 32)
    with pytest.raises(ValueError, match=r"v: shape .* tokens >= 1"):
        quantized_pack(K, V[:, :, :0], 2, 32, 32)
    with pytest.raises(ValueError, match="k: float64, expected float16, bfloat16, float32"):
        quantized_pack(K.double(), V.double(), 2, 32, 32)
    with pytest.raises(ValueError, match="v: float16, expected float32"):
        quantized_pack(K, V.half(), 2, 32, 32)
