"""Triton kernels of `kernels.quantized_decode`.

Codes become floats without a conversion instruction: they are put into the mantissa of a power of two, which is taken
off again. A bit plane is a run of channels, so that each byte is loaded once and unpacked by one shift and one mask a
code. Scales and zero points of values are folded into the weights, those of keys into the restored tile.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels import dense_decode_triton as dense
from kernels.quantized_decode import PackedKV
from kernels.softmax_triton import LOG2_E, precision
from kernels.split_triton import Parts, Split, block_rows, group_rows, warps

VALUES_TOGETHER = 32
"""Tokens that a program of `pack_values` takes."""


def launch_pack(k: Tensor, v: Tensor, bits: int, group: int, channels: int) -> PackedKV:
    """`kernels.quantized_decode.quantized_pack`, of arguments that were checked."""
    _, heads, keys, dim = k.shape
    values = v.shape[2]

    def room(*shape: int, dtype: torch.dtype = torch.float16) -> Tensor:
        return torch.empty(heads, *shape, dtype=dtype, device=k.device)

    row = dim * bits // 8
    of_keys = room(keys, row, dtype=torch.uint8), room(keys // group, dim), room(keys // group, dim)
    of_values = (
        room(values, row, dtype=torch.uint8),
        room(values, dim // channels),
        room(values, dim // channels),
    )
    pack_keys[(keys // group, heads)](
        k, *of_keys, k.stride(1), k.stride(2), keys, BITS=bits, GROUP=group, D=dim, num_warps=4
    )
    pack_values[(-(-values // VALUES_TOGETHER), heads)](
        v,
        *of_values,
        v.stride(1),
        v.stride(2),
        values,
        BITS=bits,
        CHANNELS=channels,
        VALUES_TOGETHER=VALUES_TOGETHER,
        D=dim,
        num_warps=4,
    )
    return PackedKV(*of_keys, *of_values, bits, group, channels)


def launch(q: Tensor, packed: PackedKV, recent_k: Tensor, recent_v: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    """`kernels.quantized_decode.quantized_decode`, of arguments that were checked."""
    rows, dim = q.shape[2:]
    kv_heads, keys, _ = packed.keys.shape
    group = q.shape[1] // kv_heads
    block = block_rows(group * rows)
    blocks = -(-group * rows // block)
    tile = max(packed.group, 64 if q.element_size() == 2 else 32)
    split = Split.of(packed.tokens, blocks * kv_heads, tile)
    # Four warps would take a stack frame on sm_90a.
    crowded = (packed.bits, dim, q.dtype) == (2, 128, torch.float16)
    exact = dense.split_of(q, recent_k) if recent_k.shape[2] else None
    parts = Parts.like(q, split.count + (exact.count if exact else 0))
    attend[(blocks, kv_heads, split.count)](
        q,
        packed.keys,
        packed.key_scale,
        packed.key_zero,
        packed.values,
        packed.value_scale,
        packed.value_zero,
        parts.out,
        parts.lse,
        scaling * LOG2_E,
        q.stride(1),
        q.stride(2),
        group,
        rows,
        keys,
        packed.tokens,
        split.length,
        parts.lse.shape[1],
        BITS=packed.bits,
        GROUP=packed.group,
        CHANNELS=packed.channels,
        BLOCK_M=block,
        BLOCK_N=tile,
        D=dim,
        PRECISION=precision(q.dtype),
        num_warps=8 if crowded else warps(block),
        num_stages=3,
    )
    if exact:
        seen_by_all = torch.empty(rows, 0, dtype=torch.bool, device=q.device)
        dense.launch_into(parts, split.count, exact, q, recent_k, recent_v, scaling, seen_by_all)
    return parts.merged(q)


@triton.jit
def codes_of(b_bytes, PLANE: tl.constexpr, BITS: tl.constexpr, dtype: tl.constexpr):
    """The codes in bit plane PLANE of b_bytes, as `dtype`: exact, as they are below 2^8."""
    b_codes = (b_bytes >> (PLANE * BITS)) & ((1 << BITS) - 1)
    if dtype == tl.float16:
        return (b_codes.to(tl.uint16) | 0x6400).to(tl.float16, bitcast=True) - 1024.0
    elif dtype == tl.bfloat16 and BITS < 8:
        return (b_codes.to(tl.uint16) | 0x4300).to(tl.bfloat16, bitcast=True) - 128.0
    else:
        return b_codes.to(tl.float32).to(dtype)


@triton.jit
def attend(
    p_q,
    p_keys,
    p_key_scale,
    p_key_zero,
    p_values,
    p_value_scale,
    p_value_zero,
    p_part_out,
    p_part_lse,
    scale,
    s_q_head,
    s_q_row,
    n_group,
    n_rows,
    n_keys,
    n_tokens,
    n_length,
    n_parts,
    BITS: tl.constexpr,
    GROUP: tl.constexpr,
    CHANNELS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    PLANES: tl.constexpr = 8 // BITS
    ROW: tl.constexpr = D // PLANES  # bytes of a row, and channels of a plane
    GROUPS: tl.constexpr = BLOCK_N // GROUP
    # Channels of one plane that share the scale of a value.
    WIDTH: tl.constexpr = min(ROW, CHANNELS)
    RUNS: tl.constexpr = ROW // WIDTH
    dtype: tl.constexpr = p_q.dtype.element_ty

    i_head = tl.program_id(1).to(tl.int64)
    i_part = tl.program_id(2)
    o_r = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    o_n = tl.arange(0, BLOCK_N)
    o_g = tl.arange(0, GROUPS)
    o_c = tl.arange(0, ROW)
    o_w = tl.arange(0, WIDTH)
    m_r, o_head, o_t = group_rows(i_head, o_r, n_group, n_rows)
    p_row = p_q + o_head[:, None] * s_q_head + o_t.to(tl.int64)[:, None] * s_q_row
    # A tuple of [BLOCK_M, ROW], one a plane, and one of [BLOCK_M, WIDTH], one a run of a plane.
    b_q = ()
    for plane in tl.static_range(PLANES):
        b_q += (tl.load(p_row + plane * ROW + o_c[None, :], mask=m_r[:, None], other=0.0),)
    b_out = ()
    for _ in tl.static_range(PLANES * RUNS):
        b_out += (tl.zeros([BLOCK_M, WIDTH], tl.float32),)
    b_max = tl.full([BLOCK_M], -float("inf"), tl.float32)
    b_sum = tl.zeros([BLOCK_M], tl.float32)

    p_keys += i_head * n_keys * ROW
    p_key_scale += i_head * (n_keys // GROUP) * D
    p_key_zero += i_head * (n_keys // GROUP) * D
    p_values += i_head * n_tokens * ROW
    p_value_scale += i_head * n_tokens * (D // CHANNELS)
    p_value_zero += i_head * n_tokens * (D // CHANNELS)
    low = i_part * n_length
    for first in range(low, tl.minimum(low + n_length, n_tokens), BLOCK_N):
        o_j = (first + o_n).to(tl.int64)
        m_j = o_j < n_tokens
        o_group = (first // GROUP + o_g).to(tl.int64)
        m_g = o_group < n_keys // GROUP
        # [BLOCK_N, ROW] bytes
        b_bytes = tl.load(p_keys + o_j[:, None] * ROW + o_c[None, :], mask=m_j[:, None], other=0)
        b_logits = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
        for plane in tl.static_range(PLANES):
            # [GROUPS, ROW]
            o_scale = o_group[:, None] * D + plane * ROW + o_c[None, :]
            b_scale = tl.load(p_key_scale + o_scale, mask=m_g[:, None], other=0.0).to(dtype)
            b_zero = tl.load(p_key_zero + o_scale, mask=m_g[:, None], other=0.0).to(dtype)
            b_codes = tl.reshape(codes_of(b_bytes, plane, BITS, dtype), [GROUPS, GROUP, ROW])
            b_k = tl.reshape(b_codes * b_scale[:, None, :] + b_zero[:, None, :], [BLOCK_N, ROW])
            b_logits = tl.dot(b_q[plane], tl.trans(b_k), b_logits, input_precision=PRECISION)
        b_logits = tl.where(m_j[None, :], b_logits * scale, -float("inf"))
        b_next = tl.maximum(b_max, tl.max(b_logits, 1))  # finite: a tile has a token
        b_weights = tl.exp2(b_logits - b_next[:, None])
        b_faded = tl.exp2(b_max - b_next)
        b_sum = b_sum * b_faded + tl.sum(b_weights, 1)
        b_max = b_next
        b_more = ()
        for part in tl.static_range(PLANES * RUNS):
            # [BLOCK_N, WIDTH] bytes
            p_byte = p_values + o_j[:, None] * ROW + part % RUNS * WIDTH + o_w[None, :]
            b_codes = codes_of(tl.load(p_byte, mask=m_j[:, None], other=0), part // RUNS, BITS, dtype)
            o_scale = o_j * (D // CHANNELS) + part * WIDTH // CHANNELS
            b_scale = tl.load(p_value_scale + o_scale, mask=m_j, other=0.0).to(tl.float32)
            b_zero = tl.load(p_value_zero + o_scale, mask=m_j, other=0.0).to(tl.float32)
            b_base = b_out[part] * b_faded[:, None] + tl.sum(b_weights * b_zero[None, :], 1)[:, None]
            b_scaled = (b_weights * b_scale[None, :]).to(dtype)
            b_more += (tl.dot(b_scaled, b_codes, b_base, input_precision=PRECISION),)
        b_out = b_more

    o_part = (o_head * n_rows + o_t) * n_parts + i_part
    tl.store(p_part_lse + o_part, b_max + tl.log2(b_sum), mask=m_r)
    for part in tl.static_range(PLANES * RUNS):
        p_out = p_part_out + o_part[:, None] * D + part * WIDTH + o_w[None, :]
        tl.store(p_out, b_out[part] / b_sum[:, None], mask=m_r[:, None])


@triton.jit
def quantised(b_x, b_low, b_high, TOP: tl.constexpr):
    """Scale and zero point in float16 of values in [b_low, b_high], and the codes of b_x: all broadcast alike."""
    b_scale = tl.div_rn(b_high - b_low, tl.full([1], TOP, tl.float32)).to(tl.float16)
    b_zero = b_low.to(tl.float16)
    b_step = tl.where(b_scale > 0, b_scale, 1.0).to(tl.float32)
    b_codes = tl.div_rn(b_x - b_zero.to(tl.float32), b_step)
    b_codes = tl.minimum(tl.maximum(b_codes, 0.0), TOP)
    # To the nearest integer, ties to even: beyond 2^23 float32 has no fractions.
    return b_scale, b_zero, ((b_codes + 8388608.0) - 8388608.0).to(tl.uint8)


@triton.jit
def packed(b_codes, N: tl.constexpr, BITS: tl.constexpr, D: tl.constexpr):
    """The bytes [N, D * BITS / 8] of codes [N, D]."""
    PLANES: tl.constexpr = 8 // BITS
    b_planes = tl.reshape(b_codes, [N, PLANES, D // PLANES]).to(tl.int32)
    o_shift = tl.arange(0, PLANES) * BITS
    return tl.sum(b_planes << o_shift[None, :, None], 1).to(tl.uint8)


@triton.jit
def pack_keys(
    p_k,
    p_keys,
    p_scale,
    p_zero,
    s_k_head,
    s_k_row,
    n_keys,
    BITS: tl.constexpr,
    GROUP: tl.constexpr,
    D: tl.constexpr,
):
    ROW: tl.constexpr = D * BITS // 8
    i_group = tl.program_id(0).to(tl.int64)
    i_head = tl.program_id(1).to(tl.int64)
    o_j = i_group * GROUP + tl.arange(0, GROUP)
    o_d = tl.arange(0, D)
    o_c = tl.arange(0, ROW)
    # [GROUP, D]
    b_k = tl.load(p_k + i_head * s_k_head + o_j[:, None] * s_k_row + o_d[None, :]).to(tl.float32)
    b_low, b_high = tl.min(b_k, 0)[None, :], tl.max(b_k, 0)[None, :]
    b_scale, b_zero, b_codes = quantised(b_k, b_low, b_high, (1 << BITS) - 1)
    o_scale = (i_head * (n_keys // GROUP) + i_group) * D + o_d[None, :] + tl.arange(0, 1)[:, None]
    tl.store(p_scale + o_scale, b_scale)
    tl.store(p_zero + o_scale, b_zero)
    o_byte = (i_head * n_keys + o_j)[:, None] * ROW + o_c[None, :]
    tl.store(p_keys + o_byte, packed(b_codes, GROUP, BITS, D))


@triton.jit
def pack_values(
    p_v,
    p_values,
    p_scale,
    p_zero,
    s_v_head,
    s_v_row,
    n_values,
    BITS: tl.constexpr,
    CHANNELS: tl.constexpr,
    VALUES_TOGETHER: tl.constexpr,
    D: tl.constexpr,
):
    ROW: tl.constexpr = D * BITS // 8
    GROUPS: tl.constexpr = D // CHANNELS
    i_head = tl.program_id(1).to(tl.int64)
    o_j = (tl.program_id(0) * VALUES_TOGETHER + tl.arange(0, VALUES_TOGETHER)).to(tl.int64)
    o_d = tl.arange(0, D)
    o_c = tl.arange(0, ROW)
    m_j = (o_j < n_values)[:, None]
    # [VALUES_TOGETHER, GROUPS, CHANNELS]
    b_v = tl.load(p_v + i_head * s_v_head + o_j[:, None] * s_v_row + o_d[None, :], mask=m_j, other=0.0)
    b_v = tl.reshape(b_v.to(tl.float32), [VALUES_TOGETHER, GROUPS, CHANNELS])
    b_low, b_high = tl.min(b_v, 2)[:, :, None], tl.max(b_v, 2)[:, :, None]
    b_scale, b_zero, b_codes = quantised(b_v, b_low, b_high, (1 << BITS) - 1)
    o_scale = (i_head * n_values + o_j)[:, None] * GROUPS + tl.arange(0, GROUPS)[None, :]
    tl.store(p_scale + o_scale, tl.reshape(b_scale, [VALUES_TOGETHER, GROUPS]), mask=m_j)
    tl.store(p_zero + o_scale, tl.reshape(b_zero, [VALUES_TOGETHER, GROUPS]), mask=m_j)
    o_byte = (i_head * n_values + o_j)[:, None] * ROW + o_c[None, :]
    b_codes = tl.reshape(b_codes, [VALUES_TOGETHER, D])
    tl.store(p_values + o_byte, packed(b_codes, VALUES_TOGETHER, BITS, D), mask=m_j)
