"""Asymmetric quantisation in groups, really bit-packed: codes of 2, 4 or 8 bits with a 16-bit scale and zero point."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from kernels.quantized_decode import packed_rows, unpacked_rows


@dataclass(frozen=True, slots=True)
class Quantised:
    """A tensor x as codes round((x - zero) / scale), scale = (max - min) / (2^bits - 1), zero = min, per group.

    packed uint8: 8 / bits codes a byte; byte j of P holds codes j, j + P, j + 2P, ... of the flat tensor, so that a bit
    plane unpacks to consecutive codes. scale, zero float16, shaped as `grouped` with 1 in the group's dimension. run:
    where not the whole tensor is packed so but every `run` codes by themselves, a multiple of 8 / bits.
    """

    packed: Tensor
    scale: Tensor
    zero: Tensor
    bits: int
    grouped: tuple[int, ...]
    run: int | None = None

    @classmethod
    def of(cls, x: Tensor, bits: int, dim: int) -> Self:
        """Quantise `x`, whose dimension `dim` is one group."""
        x = x.float()
        low, high = x.amin(dim, keepdim=True), x.amax(dim, keepdim=True)
        top = 2**bits - 1
        # Codes are taken against the scale and zero that are stored, so that rounding these costs no more than a clamp.
        scale, zero = ((high - low) / top).half(), low.half()
        step = torch.where(scale > 0, scale, 1).float()
        codes = ((x - zero.float()) / step).round_().clamp_(0, top).to(torch.uint8)
        return cls(_packed(codes, bits), scale, zero, bits, tuple(x.shape))

    def restore(self, dtype: torch.dtype) -> Tensor:
        """The tensor code * scale + zero, of the shape that was quantised."""
        return torch.addcmul(self.zero.to(dtype), self._codes().to(dtype), self.scale.to(dtype))

    def followed_by(self, other: Self) -> Self:
        """Both as one, `other` behind this along dimension 1: the same codes, scales and zero points."""
        codes = torch.cat([self._codes(), other._codes()], dim=1)
        scale, zero = torch.cat([self.scale, other.scale], dim=1), torch.cat([self.zero, other.zero], dim=1)
        packed = packed_rows(codes.view(-1, self.run), self.bits) if self.run else _packed(codes, self.bits)
        return type(self)(packed.flatten(), scale, zero, self.bits, tuple(codes.shape), self.run)

    @property
    def bytes(self) -> int:
        return self.packed.nbytes + self.scale.nbytes + self.zero.nbytes

    def _codes(self) -> Tensor:
        if self.run:
            return unpacked_rows(self.packed.view(-1, self.run * self.bits // 8), self.bits).view(self.grouped)
        codes = self.packed
        if self.bits < 8:
            shifts = torch.arange(0, 8, self.bits, dtype=torch.uint8, device=codes.device)
            codes = (codes >> shifts[:, None]) & (2**self.bits - 1)
        return codes.view(-1)[: torch.Size(self.grouped).numel()].view(self.grouped)


def _packed(codes: Tensor, bits: int) -> Tensor:
    per_byte = 8 // bits
    flat = codes.flatten()
    planes = torch.nn.functional.pad(flat, (0, -flat.numel() % per_byte)).view(per_byte, -1)
    packed = planes[0].clone()
    for plane in range(1, per_byte):
        packed |= planes[plane] << (bits * plane)
    return packed
