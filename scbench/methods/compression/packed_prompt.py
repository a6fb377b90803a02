"""A prompt whose older positions are quantised and whose newest stay exact (KIVI, section 3.2)."""

import dataclasses
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from kernels.dispatch import serves
from kernels.quantized_decode import PackedKV, quantized_decode, quantized_pack, serves_sizes
from scbench.kv.partial import Part
from scbench.methods.compression.affine import Quantised


@dataclass(frozen=True, slots=True)
class PackedPrompt:
    """Keys quantised per channel in groups of tokens, values per token in groups of channels; then exact rows of each.

    Each `old_*` is what was quantised of the first prompt and, once there is any, what was quantised after it. Each
    `recent_*` is [1, kv_heads, r, head_dim]; keys and values may differ in r. window: tokens after which appended rows
    are quantised too, a multiple of the keys' group; 0 for never. fused: what was quantised, as `attend` takes it: it
    shares the codes of `old_keys` and `old_values`, each of one part; None where there is no kernel for them.
    """

    old_keys: tuple[Quantised, ...]
    old_values: tuple[Quantised, ...]
    recent_keys: Tensor
    recent_values: Tensor
    window: int = 0
    fused: PackedKV | None = None

    @classmethod
    def of(
        cls, k: Tensor, v: Tensor, bits: int, group: int, key_tokens: int, value_tokens: int, window: int = 0
    ) -> Self:
        """Quantise the first `key_tokens` (a multiple of `group`) keys and the first `value_tokens` values.

        k, v [1, kv_heads, n, head_dim]; a value's groups are of min(group, head_dim) channels, which divide head_dim.
        """
        _, heads, _, dim = k.shape
        channels = min(group, dim)
        if serves(k, k, v) and serves_sizes(bits, group, channels, dim) and 0 < value_tokens <= key_tokens:
            fused = quantized_pack(k[:, :, :key_tokens], v[:, :, :value_tokens], bits, group, channels)
            recent = k[:, :, key_tokens:].clone(), v[:, :, value_tokens:].clone()
            return cls(*_parts(fused), *recent, window, fused)
        return cls(
            (Quantised.of(k[:, :, :key_tokens].reshape(heads, key_tokens // group, group, dim), bits, dim=2),),
            (
                Quantised.of(
                    v[:, :, :value_tokens].reshape(heads, value_tokens, dim // channels, channels), bits, dim=3
                ),
            ),
            k[:, :, key_tokens:].clone(),
            v[:, :, value_tokens:].clone(),
            window,
        )

    @property
    def bytes(self) -> int:
        """Bytes held: codes, scales, zero points and exact rows."""
        old = sum(part.bytes for part in (*self.old_keys, *self.old_values))
        return old + self.recent_keys.nbytes + self.recent_values.nbytes

    @property
    def tokens(self) -> int:
        """Positions held."""
        _, groups, group, _ = self.old_keys[0].grouped
        later = sum(part.grouped[1] for part in self.old_keys[1:])
        return (groups + later) * group + self.recent_keys.shape[2]

    def attend(self, q: Tensor, scaling: float) -> Part:
        """Attention of every row q [1, query_heads, T, head_dim] to all positions, where they are `fused`."""
        # Of some tokens keys are packed and values exact: these keys are few, and are restored.
        keys = torch.cat([self.fused.keys_beyond(q.dtype), self.recent_keys], dim=2)
        return Part(*quantized_decode(q, self.fused, keys, self.recent_values, scaling))

    def before(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The prompt restored, and `keys`, `values` [1, kv_heads, m, head_dim] behind it."""
        _, heads, _, dim = keys.shape
        old_keys = [part.restore(keys.dtype).view(1, heads, -1, dim) for part in self.old_keys]
        old_values = [part.restore(values.dtype).view(1, heads, -1, dim) for part in self.old_values]
        return (
            torch.cat([*old_keys, self.recent_keys, keys], dim=2),
            torch.cat([*old_values, self.recent_values, values], dim=2),
        )

    def absorb(self, keys: Tensor, values: Tensor) -> Self | None:
        """All of it with `keys`, `values` [1, kv_heads, m, head_dim] behind it, once these complete a window.

        Keys are then quantised up to the end of the last complete window, values up to its beginning. Recent keys begin
        where a window does. None before that.
        """
        exact = self.recent_keys.shape[2] + keys.shape[2]
        if not self.window or exact < self.window:
            return None
        beyond = exact % self.window
        keys, values = torch.cat([self.recent_keys, keys], dim=2), torch.cat([self.recent_values, values], dim=2)
        bits, group = self.old_keys[0].bits, self.old_keys[0].grouped[2]
        more = self.of(keys, values, bits, group, exact - beyond, values.shape[2] - beyond - self.window)
        return dataclasses.replace(
            self,
            old_keys=_longer(self.old_keys, *more.old_keys),
            old_values=_longer(self.old_values, *more.old_values),
            recent_keys=more.recent_keys,
            recent_values=more.recent_values,
            fused=None,
        )


def _longer(old: tuple[Quantised, ...], new: Quantised) -> tuple[Quantised, ...]:
    """The first prompt's part as it is, shared by every state that follows, and one part for everything after it."""
    first, *later = old
    return first, later[0].followed_by(new) if later else new


def _parts(fused: PackedKV) -> tuple[tuple[Quantised, ...], tuple[Quantised, ...]]:
    """The keys and the values of `fused`, each as one part that shares its codes."""
    heads, keys, _ = fused.keys.shape
    dim, group, channels = fused.head_dim, fused.group, fused.channels
    of_keys = fused.key_scale[:, :, None], fused.key_zero[:, :, None], fused.bits
    of_values = fused.value_scale[..., None], fused.value_zero[..., None], fused.bits
    return (
        (Quantised(fused.keys.flatten(), *of_keys, (heads, keys // group, group, dim), dim),),
        (Quantised(fused.values.flatten(), *of_values, (heads, fused.tokens, dim // channels, channels), dim),),
    )
