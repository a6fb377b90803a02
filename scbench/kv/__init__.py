"""The KV cache of one session, and the one attention function that every method runs through."""

from scbench.kv.hooks import Assembly, Chunk, Counters, Index, Kept, LayerKV, Packed, Step
from scbench.kv.store import Ended, KVShape, KVStore, Mark

__all__ = [
    "Assembly",
    "Chunk",
    "Counters",
    "Ended",
    "Index",
    "KVShape",
    "KVStore",
    "Kept",
    "LayerKV",
    "Mark",
    "Packed",
    "Step",
]
