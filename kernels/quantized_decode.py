"""Attention to keys and values in 2, 4 or 8 bits, restored on the chip: KIVI.

    out[h, t] = sum_j p[t, j] v'[g, j],  p[t, :] = softmax over all j of scaling * q[h, t] . k'[g, j]

k' and v' are the restored x' = code * scale + zero, the exact rows behind them included; g is the KV head of query head
h. scale = (max - min) / (2^bits - 1), zero = min and code = round((x - zero) / scale), keys per channel over `group`
tokens, values per token over `channels` channels. KIVI (Liu et al., 2024), section 3.2.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.dense_decode import check_rows_and_keys
from kernels.dispatch import (
    DTYPES,
    check_contiguous,
    check_device,
    check_dtype,
    check_rows,
    check_scaling,
    check_shape,
    use_triton,
)
from kernels.reference import attention

BITS = (2, 4, 8)
HEAD_DIMS = (64, 128)
GROUPS = (32, 64, 128)
"""Tokens or channels that share a scale, as far as there are kernels for them."""


@dataclass(frozen=True, eq=False, slots=True)
class PackedKV:
    """Keys and values of whole rows, in `bits` bits: byte c of a row of head_dim codes holds the codes c, c + B,
    c + 2B, ... from its lowest bits on, B = head_dim * bits / 8 being the row's bytes.

    keys uint8 [kv_heads, K, B], key_scale, key_zero float16 [kv_heads, K / group, head_dim]; values uint8 [kv_heads, n,
    B], value_scale, value_zero float16 [kv_heads, n, head_dim / channels]; n <= K: of the keys the first n are attended
    to. Raises ValueError where a shape, a dtype or a number does not fit, before any kernel reads by it.
    """

    keys: Tensor
    key_scale: Tensor
    key_zero: Tensor
    values: Tensor
    value_scale: Tensor
    value_zero: Tensor
    bits: int
    group: int
    channels: int

    def __post_init__(self) -> None:
        check_sizes(self.bits, self.group, self.channels, self.head_dim)
        check_shape("keys", self.keys, (None, None, None))
        heads, keys, row = self.keys.shape
        check_shape("values", self.values, (heads, None, row))
        if keys % self.group or self.tokens > keys or not self.tokens:
            raise ValueError(
                f"keys, values: {keys} keys in groups of {self.group} and {self.tokens} values, expected whole groups "
                "of keys, and at least one value and as many as keys at most"
            )
        scales = {"key": (heads, keys // self.group, self.head_dim)}
        scales["value"] = (heads, self.tokens, self.head_dim // self.channels)
        for name in ("keys", "values"):
            check_dtype(name, getattr(self, name), torch.uint8)
        for kind, shape in scales.items():
            for name in (f"{kind}_scale", f"{kind}_zero"):
                check_shape(name, getattr(self, name), shape)
                check_dtype(name, getattr(self, name), torch.float16)
        for name in ("keys", "key_scale", "key_zero", "values", "value_scale", "value_zero"):
            check_device(name, getattr(self, name), self.keys.device)
            check_contiguous(name, getattr(self, name))

    @property
    def tokens(self) -> int:
        """How many are attended to."""
        return self.values.shape[1]

    @property
    def head_dim(self) -> int:
        return self.keys.shape[-1] * 8 // self.bits

    def restored(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The keys and values attended to, [1, kv_heads, n, head_dim] each."""
        values = unpacked_rows(self.values, self.bits).to(dtype).unflatten(2, (-1, self.channels))
        values = values * self.value_scale[..., None].to(dtype) + self.value_zero[..., None].to(dtype)
        return self._keys_from(0, dtype)[:, :, : self.tokens], values.flatten(2)[None]

    def keys_beyond(self, dtype: torch.dtype) -> Tensor:
        """The keys behind those attended to, restored: [1, kv_heads, K - n, head_dim]."""
        first = self.tokens // self.group
        return self._keys_from(first, dtype)[:, :, self.tokens - first * self.group :]

    def _keys_from(self, first: int, dtype: torch.dtype) -> Tensor:
        """The keys of the groups from `first` on, restored."""
        codes = unpacked_rows(self.keys[:, first * self.group :], self.bits).to(dtype).unflatten(1, (-1, self.group))
        keys = codes * self.key_scale[:, first:, None].to(dtype) + self.key_zero[:, first:, None].to(dtype)
        return keys.flatten(1, 2)[None]


def unpacked_rows(rows: Tensor, bits: int) -> Tensor:
    """The codes [..., n] of what `packed_rows` made of them."""
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=rows.device)
    return ((rows[..., None, :] >> shifts[:, None]) & (2**bits - 1)).flatten(-2)


def packed_rows(codes: Tensor, bits: int) -> Tensor:
    """The bytes [..., n * bits / 8] of rows of n codes [..., n], n a multiple of 8 / bits."""
    planes = codes.unflatten(-1, (8 // bits, -1))
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=codes.device)
    return (planes << shifts[:, None]).sum(dim=-2, dtype=torch.uint8)


def quantized_pack(k: Tensor, v: Tensor, bits: int, group: int, channels: int) -> PackedKV:
    """Quantise and pack k [1, kv_heads, K, head_dim] and v [1, kv_heads, n, head_dim], n <= K, K a multiple of `group`.

    Scales and zero points are rounded to float16 first, and codes taken against these. Triton on CUDA, else the
    reference. Raises ValueError for what does not fit.
    """
    for name, x in (("k", k), ("v", v)):
        if x.dim() != 4 or x.shape[0] != 1 or not x.shape[2]:
            raise ValueError(f"{name}: shape {list(x.shape)}, expected [1, kv_heads, tokens, head_dim], tokens >= 1")
        check_dtype(name, x, *DTYPES)
        check_rows(name, x)
    check_shape("v", v, (1, k.shape[1], None, k.shape[3]))
    check_dtype("v", v, k.dtype)
    check_device("v", v, k.device)
    check_sizes(bits, group, channels, k.shape[3])
    if k.shape[2] % group:
        raise ValueError(f"k: {k.shape[2]} keys, expected whole groups of {group}")
    if use_triton(k, v):
        from kernels.quantized_decode_triton import launch_pack

        return launch_pack(k, v, bits, group, channels)
    return pack_reference(k, v, bits, group, channels)


def pack_reference(k: Tensor, v: Tensor, bits: int, group: int, channels: int) -> PackedKV:
    """`quantized_pack` in PyTorch."""
    keys, *of_keys = _quantised(k[0].unflatten(1, (-1, group)), bits, dim=2)
    values, *of_values = _quantised(v[0].unflatten(2, (-1, channels)), bits, dim=3)
    return PackedKV(
        packed_rows(keys.flatten(1, 2), bits),
        *of_keys,
        packed_rows(values.flatten(2), bits),
        *of_values,
        bits,
        group,
        channels,
    )


def _quantised(x: Tensor, bits: int, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    x = x.float()
    low, high = x.aminmax(dim=dim, keepdim=True)
    scale, zero = ((high - low) / (2**bits - 1)).half(), low.half()
    step = torch.where(scale > 0, scale, 1).float()
    codes = ((x - zero.float()) / step).round_().clamp_(0, 2**bits - 1).to(torch.uint8)
    return codes, scale.squeeze(dim), zero.squeeze(dim)


def quantized_decode(
    q: Tensor, packed: PackedKV, recent_k: Tensor, recent_v: Tensor, scaling: float
) -> tuple[Tensor, Tensor]:
    """The formula above, [1, query_heads, T, head_dim], and the log-sum-exp of its logits [1, query_heads, T, 1].

    q [1, query_heads, T, head_dim]; recent_k, recent_v [1, kv_heads, r, head_dim], exact rows behind the packed ones,
    r >= 0. Every row of q sees everything. The log-sum-exp is natural and in float32. Triton on CUDA, else the
    reference. Raises ValueError for what does not fit.
    """
    check(q, packed, recent_k, recent_v, scaling)
    if use_triton(q, packed.keys, recent_k, recent_v):
        from kernels.quantized_decode_triton import launch

        return launch(q, packed, recent_k, recent_v, scaling)
    out, lse = reference(q, packed, recent_k, recent_v, scaling)
    return out.to(q.dtype), lse.float()


def reference(q: Tensor, packed: PackedKV, recent_k: Tensor, recent_v: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    """`quantized_decode` in float64, over everything restored."""
    old_k, old_v = packed.restored(torch.float64)
    k, v = torch.cat([old_k, recent_k.double()], dim=2), torch.cat([old_v, recent_v.double()], dim=2)
    out, lse = attention(q, k, v, torch.ones(1, dtype=torch.bool, device=q.device), scaling)
    return out, lse[..., None]


def check_sizes(bits: int, group: int, channels: int, dim: int) -> None:
    """Raise ValueError unless there is a kernel for these."""
    if not serves_sizes(bits, group, channels, dim):
        raise ValueError(
            f"bits, group, channels, head_dim: {bits}, {group}, {channels}, {dim}; expected bits of {BITS}, a group "
            f"and channels of {GROUPS}, channels no more than head_dim, and a head_dim of {HEAD_DIMS}"
        )


def serves_sizes(bits: int, group: int, channels: int, dim: int) -> bool:
    """Whether there is a kernel for these."""
    return bits in BITS and group in GROUPS and channels in GROUPS and dim in HEAD_DIMS and channels <= dim


def check(q: Tensor, packed: PackedKV, recent_k: Tensor, recent_v: Tensor, scaling: float) -> None:
    """Raise ValueError unless `quantized_decode` can be computed."""
    heads, dim = packed.keys.shape[0], packed.head_dim
    check_shape("recent_k", recent_k, (1, heads, None, dim))
    check_shape("recent_v", recent_v, recent_k.shape)
    one = q.new_empty(1, heads, 1, dim)
    recent = (recent_k, recent_v) if recent_k.shape[2] else (one, one)
    check_rows_and_keys(q, *recent, ("q", "recent_k", "recent_v"))
    check_device("packed", packed.keys, q.device)
    check_scaling(scaling)
