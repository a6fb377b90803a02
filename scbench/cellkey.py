"""The key of a cell: sha256 of everything that decides its results, so that equal keys mean equal results.

The exception is a session that a GPU's memory did not suffice for, computed in smaller passes than the key says
(`scbench.compute.Computer`). Session digests are not in the key: the store holds one entry a (key, session). Nothing
here loads a model or imports a deep-learning library, so that a job knows what is missing before it loads weights.
"""

import platform
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from scbench import codedigest, trainkey
from scbench.canonical import digest_value
from scbench.engines import CORE_MODULES, ENGINE_LIBRARIES, ENGINE_MODULES, PARALLEL_MODULES
from scbench.methods import find
from scbench.models import Model
from scbench.places import OWN_METHODS
from scbench.plan import Cell
from scbench.store import LAYOUT
from scbench.study import PAPER_CONTEXT, Row, Study, resolve
from scbench.tasks import TASKS
from scbench.versions import version

LIBRARIES = ("torch", "transformers", "tokenizers", "faiss-cpu")
QUIRK_MODULES = ("scbench.quirked", "scbench.quirks")  # decide the prompts `clean+<quirk>` alone
SIXTEEN_BIT = {"amx_bf16", "amx_fp16", "avx512_bf16", "avx512_fp16", "avx_ne_convert"}
"""Instructions for numbers of 16 bits, as Linux names them in /proc/cpuinfo."""


def fields(study: Study, cell: Cell) -> dict[str, Any]:
    """What decides the results of `cell` on any machine."""
    scale = study.data.scale
    return {
        "layout": LAYOUT,
        "model": trainkey.planned(cell.model),
        "max_prompt_tokens": prompt_limit(study, cell.model),
        "method": {"method": cell.row.method} | resolve(study, cell.row),
        "with_context": cell.row.with_context,
        "scale": scale,
        "mode": cell.mode,
        "prompts": study.prompts,
        # Requests do not see each other, so that history means nothing to them; how much turns see is always the same.
        "history": study.history if cell.mode == "multi_turn" else None,
        "query_aware": study.query_aware if cell.mode == "multi_request" else None,
        "new_tokens": {name: TASKS[name].max_new_tokens[scale] for name in TASKS[cell.task].subtasks if name in TASKS},
        "dtype": study.execution.dtype,
        "prefill_chunk": study.execution.prefill_chunk,
        "libraries": dict(_versions()),
        "code": {"core": _core_digest(), "method": _method_digest(cell.row)},
        **_engine_fields(study.engine_of(cell.model), cell.model),
        **({"quirks": {"code": codedigest.digest(QUIRK_MODULES)}} if "+" in study.prompts else {}),
    }


def key(study: Study, cell: Cell, machine: Mapping[str, Any]) -> str:
    """The store key of `cell` on `machine`, 64 hexadecimal digits.

    Raises ValueError while the model's files are not known: two trainings of one recipe may end in other bits.
    """
    if cell.model.awaited:
        raise ValueError(f"{cell.model.name}: its results have no key before its files are known (Model.found)")
    return digest_value(fields(study, cell) | {"machine": dict(machine)})


def machine(study: Study) -> dict[str, Any]:
    """The kind of machine that computes here: a CPU's vector instructions and threads, or a GPU's name, Triton, and
    what dense attention runs with.

    These count where they compute: on a CPU neither Triton nor flash-attn decides anything.
    """
    if device_name(study.execution.device) == "cpu":
        instructions = _vector_instructions(study.execution.dtype)
        return {"device": f"{platform.machine()} {instructions}", "threads": study.execution.threads}
    import torch

    from kernels import flash

    attention = flash.backend(getattr(torch, study.execution.dtype), torch.device("cuda"))
    return {"device": torch.cuda.get_device_name(), "triton": version("triton"), "attention": attention}


def device_name(wanted: str) -> str:
    """`auto` as the device it means here: cuda where the driver shows a GPU that torch can use, else cpu."""
    if wanted != "auto":
        return wanted
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return "cpu"  # known without importing torch
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _vector_instructions(dtype: str) -> str:
    """What PyTorch's CPU kernels are chosen by: the widest set, and of 16 bits those that multiply them, decide the
    order of sums."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text().split()) if cpuinfo.is_file() else set()
    own = " ".join(["", *sorted(flags & SIXTEEN_BIT)]) if dtype != "float32" else ""
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl", "fma"} <= flags:
        return f"avx512{own}"
    return f"avx2{own}" if {"avx2", "fma"} <= flags else "baseline"


def prompt_limit(study: Study, model: Model) -> int:
    """The longest session in tokens, answers included: the model's context, at paper scale at most the paper's."""
    return min(model.context, PAPER_CONTEXT) if study.data.scale == "paper" else model.context


@lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str | None], ...]:
    return tuple((name, version(name)) for name in LIBRARIES)


@lru_cache(maxsize=1)
def _core_digest() -> str:
    return codedigest.digest(CORE_MODULES)


def _engine_fields(name: str, model: Model) -> dict[str, Any]:
    """What is not of all models: another engine with its code and libraries, rotary settings, the parts of a model."""
    fields: dict[str, Any] = {"rope": dict(model.rope)} if model.rope else {}
    if name != "transformers":
        libraries = {library: version(library) for library in ENGINE_LIBRARIES[name]}
        fields["engine"] = {"name": name, "code": _modules_digest(ENGINE_MODULES[name]), "libraries": libraries}
    if model.gpus > 1:
        fields["parts"] = {"gpus": model.gpus, "code": _modules_digest(PARALLEL_MODULES)}
    return fields


def _method_digest(row: Row) -> str | None:
    if (method := find(row.method)) is None:
        return None
    # Its own file counts, declared or not: a method that began as a copy may still declare its original's.
    return _modules_digest(tuple(dict.fromkeys((*method.modules, method.__module__))))


@lru_cache(maxsize=64)
def _modules_digest(modules: tuple[str, ...]) -> str:
    # What a user's own file imports counts too: no test of ours watches what it declares.
    own = codedigest.closure(module for module in modules if module.startswith(f"{OWN_METHODS.name}."))
    reached = [module for module in own if module.startswith((f"{OWN_METHODS.name}.", "scbench.methods."))]
    return codedigest.digest((*modules, *reached))
