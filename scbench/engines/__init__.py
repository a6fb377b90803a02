"""Engines: what runs a model. An engine is loaded once and answers many sessions.

transformers runs every method, over a KV store of ours. recurrent runs models that have no plain KV cache, as they are.
vllm runs full attention; it was never run on a GPU.
Importing this package costs no deep-learning library; `load` imports what it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scbench.errors import UserError

if TYPE_CHECKING:
    from scbench.engines.recurrent import RecurrentEngine
    from scbench.engines.transformers import TransformersEngine
    from scbench.engines.vllm import VllmEngine
    from scbench.methods import Method

CORE_MODULES: tuple[str, ...] = (
    "scbench.prompts",
    "scbench.modes",
    "scbench.compute",
    "scbench.engines.alike",
    "scbench.engines.checkpoint",
    "scbench.engines.conversation",
    "scbench.engines.machine",
    "scbench.engines.together",
    "scbench.engines.transformers",
    "scbench.kv.arena",
    "scbench.kv.attention",
    "scbench.kv.branches",
    "scbench.kv.dense",
    "scbench.kv.hooks",
    "scbench.kv.partial",
    "scbench.kv.store",
    "scbench.methods.base",
    "kernels.flash",
)
"""Modules that decide the results of every method; `Method.modules` come on top."""

ENGINE_MODULES: dict[str, tuple[str, ...]] = {
    "recurrent": ("scbench.engines.recurrent", "scbench.engines.transcript"),
    "vllm": ("scbench.engines.vllm", "scbench.engines.transcript"),
}
"""Modules that decide the results of an engine besides those."""

PARALLEL_MODULES: tuple[str, ...] = ("scbench.engines.parallel",)
"""Modules that decide the results of models that several processes share."""

ENGINE_LIBRARIES: dict[str, tuple[str, ...]] = {"recurrent": ("mamba-ssm", "causal-conv1d"), "vllm": ("vllm",)}
"""Libraries that an engine computes with besides, where they are installed."""

UNTOUCHED: dict[str, str] = {
    "recurrent": "runs a model as it is, whose state no method can act on",
    "vllm": "keeps that cache to itself",
}
"""Engines that run no method which acts on the KV cache, and why."""

HOOKS = ("assemble", "encode", "index", "compress", "load")
"""Where a method acts on the KV cache (`scbench.methods.base.Method`)."""


def load(
    spec: Mapping[str, Any], *, threads: int, device: str, dtype: str, ranks: int = 1
) -> TransformersEngine | RecurrentEngine | VllmEngine:
    """The engine of the model `spec`: an entry of models.lock.yaml with its `name` and its files in directory `path`.

    spec["engine"]: which engine, transformers where it is not said. device: auto (CUDA where there is one), cpu, cuda.
    dtype: auto (float32 on a CPU, bfloat16 on CUDA), float32, bfloat16, float16. ranks: processes that share the model,
    this one among them (`scbench.engines.parallel`). Raises UserError where the files, the device or the model's kind
    of attention cannot be used.
    """
    how = {"threads": threads, "device": device, "dtype": dtype, "ranks": ranks}
    if spec.get("engine") == "recurrent":
        from scbench.engines.recurrent import RecurrentEngine

        return RecurrentEngine(spec, **how)
    if spec.get("engine") == "vllm":
        from scbench.engines.vllm import VllmEngine

        return VllmEngine(spec, threads=threads, device=device, dtype=dtype)
    from scbench.engines.transformers import TransformersEngine

    return TransformersEngine(spec, **how)


def check_method(engine: str, method: Method) -> None:
    """Raise UserError where `engine` cannot run `method`."""
    from scbench.methods.base import Method

    acts = [hook for hook in HOOKS if getattr(type(method), hook) is not getattr(Method, hook)]
    if engine in UNTOUCHED and acts:
        raise UserError(
            f"{method.name} acts on the KV cache ({', '.join(acts)}), and the engine {engine} {UNTOUCHED[engine]}; "
            "take the method out, or set execution.engine: transformers"
        )
