"""Hash tables over the keys of one layer, and the weighted sample that queries draw from them (MagicPIG, 4.3)."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from scbench.kv import LayerKV
from scbench.kv.partial import chosen_products
from scbench.methods.loading.collisions import chance

ELEMENTS = 2**26
"""Bound on the elements of hashing or of looking up at once; more is done in blocks."""
LEAST_CHANCE = 1e-12
"""Bound on a sampled key's chance, below which float64 no longer tells it from 0."""


@dataclass(frozen=True, slots=True)
class HashTables:
    """Tables of the keys at positions [first, first + m), less their mean `centre` [kv_heads, 1, head_dim].

    planes [head_dim, tables * bits]; members [kv_heads, tables, m], keys ordered by bucket; starts
    [kv_heads, tables, 2^bits + 1], where each bucket begins among them; norms [kv_heads, m] of the centred keys.
    """

    planes: Tensor
    centre: Tensor
    norms: Tensor
    members: Tensor
    starts: Tensor
    first: int
    bits: int

    @classmethod
    def of(cls, layer: LayerKV, first: int, last: int, bits: int, tables: int, seed: int) -> Self:
        """Hash the keys at positions [first, last) of `layer`, first < last."""
        keys = layer.k[0, :, first:last].float()
        # Drawn on the CPU, so that every device has the same ones.
        generator = torch.Generator().manual_seed((seed << 16) + layer.layer)
        planes = torch.randn(keys.shape[2], tables * bits, generator=generator).to(keys.device)
        centre = keys.mean(dim=1, keepdim=True)
        centred = keys - centre
        buckets = torch.arange(2**bits + 1, dtype=torch.int32, device=keys.device).expand(tables, -1).contiguous()
        members, starts = [], []
        for head in centred:
            codes, order = _codes(head, planes, bits).T.contiguous().sort(dim=-1, stable=True)
            members.append(order.int())
            starts.append(torch.searchsorted(codes, buckets, out_int32=True))
        return cls(planes, centre, centred.norm(dim=2), torch.stack(members), torch.stack(starts), first, bits)

    @property
    def bytes(self) -> int:
        """Bytes of everything held."""
        return sum(part.nbytes for part in (self.planes, self.centre, self.norms, self.members, self.starts))

    def sample(self, q: Tensor, k: Tensor, prompt: int, apart: bool) -> tuple[Tensor, Tensor, list[int]]:
        """What rows q [1, query_heads, T, head_dim] attend to among k [1, kv_heads, S, head_dim], S >= prompt.

        Returns positions and bias [query_heads, T, m], as `Step.chosen` takes them, and the bytes read to find them:
        every position in [0, prompt) that is not hashed, with a bias of 0, and the sampled ones with -log of their
        chance. A bucket is read once, however many rows look into it; `apart`: once for each row, whose bytes are then
        told by themselves.
        """
        _, heads, rows, _ = q.shape
        buckets = self._buckets(q)
        sampled, bias = _padded(*self._collided(buckets))
        sampled, bias = sampled.view(heads, rows, -1), bias.view(heads, rows, -1)
        bias -= self._log_chance(q, k, sampled)
        rest = torch.arange(prompt, device=q.device)
        rest = torch.cat([rest[: self.first], rest[self.first + self.members.shape[2] :]]).expand(heads, rows, -1)
        positions = torch.cat([rest, sampled + self.first], dim=2)
        bias = torch.cat([torch.zeros(rest.shape, device=q.device), bias], dim=2)
        together = buckets.view(heads, rows, -1).transpose(0, 1) if apart else buckets[None]
        return positions, bias, self._read(together.flatten(1))

    def _buckets(self, q: Tensor) -> Tensor:
        """The bucket of every row in every table of its KV head, numbered through: [query_heads * T, tables]."""
        kv_heads, tables, _ = self.members.shape
        codes = _codes(q[0].float().flatten(0, 1), self.planes, self.bits).view(kv_heads, -1, tables)
        table = torch.arange(kv_heads * tables, device=q.device).view(kv_heads, 1, tables)
        return (table * 2**self.bits + codes).flatten(0, 1)

    def _bounds(self, buckets: Tensor) -> tuple[Tensor, Tensor]:
        """Where each of `buckets` begins and ends among the members of all tables, numbered through."""
        table = buckets >> self.bits
        begin = buckets + table  # a table has one more start than buckets
        starts, before = self.starts.flatten(), table * self.members.shape[2]
        return starts[begin] + before, starts[begin + 1] + before

    def _collided(self, buckets: Tensor) -> tuple[Tensor, Tensor]:
        """How many keys share two buckets or more with each row of `buckets` [R, tables], and those keys, by row."""
        keys = self.members.shape[2]
        begin, end = self._bounds(buckets)
        sizes = end - begin
        block = max(1, ELEMENTS // max(keys, int(sizes.sum(dim=1).max())))
        counts, found = [], []
        for low in range(0, len(buckets), block):
            size = sizes[low : low + block]
            rows, flat = len(size), size.flatten()
            within = torch.arange(int(flat.sum()), device=flat.device)
            place = (begin[low : low + block].flatten() - flat.cumsum(0) + flat).repeat_interleave(flat) + within
            row = torch.arange(rows, device=flat.device).repeat_interleave(size.sum(dim=1))
            key = self.members.flatten().index_select(0, place)
            often = (row * keys + key).bincount(minlength=rows * keys).view(rows, keys) > 1
            counts.append(often.sum(dim=1))
            found.append(often.nonzero()[:, 1])
        return torch.cat(counts), torch.cat(found)

    def _log_chance(self, q: Tensor, k: Tensor, sampled: Tensor) -> Tensor:
        """log of the chance that each row had of sampling the keys `sampled` [query_heads, T, m]."""
        heads, kv_heads = q.shape[1], len(self.norms)
        head = torch.arange(heads, device=q.device) * kv_heads // heads
        asked = q[0].float()
        products = chosen_products(q, k, sampled + self.first)[:, :, 0] - asked @ self.centre[head].transpose(1, 2)
        norms = self.norms[head, None].expand(-1, q.shape[2], -1).gather(2, sampled)
        lengths = asked.norm(dim=2, keepdim=True) * norms
        # A key at the centre is at no angle to anything; hashing takes it for an unrelated one, and so does this.
        cosine = products / lengths.clamp(min=torch.finfo(torch.float32).tiny)
        same = 1 - cosine.double().clamp(-1, 1).arccos() / torch.pi
        return chance(same, self.bits, self.members.shape[1]).clamp(min=LEAST_CHANCE).log().float()

    def _read(self, buckets: Tensor) -> list[int]:
        """Bytes read to look into each row of `buckets` [R, n], every bucket in it once: hyperplanes, where the buckets
        lie, and their members."""
        buckets = buckets.sort(dim=1).values
        first = torch.ones_like(buckets, dtype=torch.bool)
        first[:, 1:] = buckets[:, 1:] != buckets[:, :-1]
        begin, end = self._bounds(buckets)
        looked = 2 * first.sum(dim=1) * self.starts.element_size()
        members = ((end - begin) * first).sum(dim=1) * self.members.element_size()
        return (self.planes.nbytes + looked + members).tolist()


def _codes(x: Tensor, planes: Tensor, bits: int) -> Tensor:
    """The bucket of each row of x [R, head_dim] in each table, from the sides of `bits` planes: [R, tables], int32."""
    powers = 2 ** torch.arange(bits, dtype=torch.int32, device=x.device)
    block = max(1, ELEMENTS // planes.shape[1])
    sides = ((x[low : low + block] @ planes > 0).unflatten(1, (-1, bits)) for low in range(0, len(x), block))
    return torch.cat([(side * powers).sum(dim=2, dtype=torch.int32) for side in sides])


def _padded(counts: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
    """`found`, counts[r] of them for row r, as a table [R, m], and a bias: 0, -inf beyond a row's last."""
    beyond = torch.arange(int(counts.max()), device=counts.device) >= counts[:, None]
    table = torch.zeros(beyond.shape, dtype=torch.long, device=counts.device).masked_scatter_(~beyond, found)
    return table, torch.zeros(beyond.shape, device=counts.device).masked_fill_(beyond, float("-inf"))
