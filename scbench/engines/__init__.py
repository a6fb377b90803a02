"""Engines: what runs a model. An engine is loaded once and answers many sessions.

Importing this package costs no deep-learning library; `load` imports what it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scbench.engines.transformers import TransformersEngine

CORE_MODULES: tuple[str, ...] = (
    "scbench.prompts",
    "scbench.modes",
    "scbench.compute",
    "scbench.engines.conversation",
    "scbench.engines.machine",
    "scbench.engines.transformers",
    "scbench.kv.arena",
    "scbench.kv.attention",
    "scbench.kv.branches",
    "scbench.kv.dense",
    "scbench.kv.hooks",
    "scbench.kv.partial",
    "scbench.kv.store",
    "scbench.methods.base",
)
"""Modules that decide the results of every method; `Method.modules` come on top."""


def load(spec: Mapping[str, Any], *, threads: int, device: str, dtype: str) -> TransformersEngine:
    """The engine of the model `spec`: an entry of models.lock.yaml with its `name` and its files in directory `path`.

    device: auto (CUDA where there is one), cpu, cuda. dtype: auto (float32 on a CPU, bfloat16 on CUDA), float32,
    bfloat16, float16. Raises UserError where the files, the device or the model's kind of attention cannot be used.
    """
    from scbench.engines.transformers import TransformersEngine

    return TransformersEngine(spec, threads=threads, device=device, dtype=dtype)
