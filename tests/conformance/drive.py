"""Attention in float64, written as loops over the definition; a store driven without a model; the memory it holds."""

import gc
import math
from types import FunctionType, ModuleType
from weakref import WeakSet

import torch

from scbench.kv import KVShape, KVStore


def naive_attention(q, k, v, allowed, scaling):
    """float64 attention; q [1, Hq, T, D], k, v [1, H, S, D], allowed [T, S] boolean: [1, Hq, T, D]."""
    out = torch.empty(q.shape, dtype=torch.float64)
    group = q.shape[1] // k.shape[1]
    for head in range(q.shape[1]):
        scores = q[0, head].double() @ k[0, head // group].double().T * scaling
        weights = scores.masked_fill(~allowed, -math.inf).softmax(-1)
        out[0, head] = weights @ v[0, head // group].double()
    return out


def held_bytes(*things):
    """Bytes of the memory that the tensors below `things` keep alive, each block of it once."""
    blocks, seen, waiting = {}, set(), list(things)
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, type | ModuleType | FunctionType | WeakSet):
            continue
        seen.add(id(thing))
        if isinstance(thing, torch.Tensor):
            blocks[thing.untyped_storage().data_ptr()] = thing.untyped_storage().nbytes()
        else:
            waiting += gc.get_referents(thing)
    return sum(blocks.values())


class Drive:
    """Random queries, keys and values fed to a store of `layers` layers, as a model would."""

    def __init__(self, method, total, *, kv_heads=2, group=2, dim=16, layers=1, capacity=None, seed=0, later=64):
        generator = torch.Generator().manual_seed(seed)
        shape = KVShape(layers, kv_heads * group, kv_heads, dim, torch.float32, torch.device("cpu"))
        self.store = KVStore(shape, method, total, capacity)
        self.scaling = dim**-0.5

        def draw(heads):
            return 2 * torch.randn(layers, 1, heads, total + later, dim, generator=generator)

        self.q, self.k, self.v = draw(kv_heads * group), draw(kv_heads), draw(kv_heads)
        self.layers = layers

    def feed(self, count, store=None):
        """Feed `count` tokens; the last layer's output [1, Hq, count, D]."""
        store = store or self.store
        announce = store.append if store.sealed else store.prefill
        start = announce(count)
        rows = slice(start, start + count)
        for layer in range(self.layers):
            out = store.attend(
                layer, self.q[layer][:, :, rows], self.k[layer][:, :, rows], self.v[layer][:, :, rows], self.scaling
            )
        return out

    def prefill(self, chunks):
        """Feed the first prompt in `chunks`, empty ones left out; its output, None for an empty prompt."""
        parts = [self.feed(count) for count in chunks if count]
        return torch.cat(parts, dim=2) if parts else None
