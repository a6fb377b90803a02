"""The vLLM engine: full attention of one model, by vLLM's own kernels, prefix cache and tensor parallelism.

vLLM is no part of the lock: its pins of torch and transformers are its own. Written for vllm 0.32.0 and run there on a
CPU; never run on a GPU.

A dialogue begins with an empty prefix cache, so that what a session costs does not depend on what ran before it; within
the dialogue each answer finds whole blocks of what was computed before (`tokens_prefilled` counts the rest). kv_bytes
are vLLM's blocks; keys_attended and bytes_read follow from lengths, as vLLM reports neither.
"""

import os
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from transformers import AutoTokenizer, GenerationConfig, PretrainedConfig

from scbench.engines import check_method
from scbench.engines.agreement import check_agreement
from scbench.engines.checkpoint import read, read_config
from scbench.engines.conversation import EngineCounters
from scbench.engines.machine import DTYPES, Machine, check_checkpoint
from scbench.engines.transcript import Completion, Dialogue
from scbench.errors import UserError
from scbench.kv import KVShape
from scbench.methods import Method

INSTALL = "pip install vllm==0.32.0 in an environment of its own, or set execution.engine: transformers"
LONGEST = 262_144
"""Tokens that room is made for at most, whatever longer context a model has: twice the paper's."""
MARGIN = 8192
"""Tokens of follow-ups and answers that prompts as published do not count when they fill the context."""
EXTENSIBLE = ("default", "llama3")
"""Kinds of rotary frequencies that vllm tabulates for any number of positions; others end where they stretch to."""


class VllmEngine:
    """A model in vLLM, and its tokenizer."""

    def __init__(self, spec: Mapping[str, Any], *, threads: int, device: str, dtype: str) -> None:
        """Load the checkpoint in `spec["path"]`, on `spec["gpus"]` GPUs where it runs on GPUs.

        Raises UserError where vLLM is not installed or computes elsewhere than on `device`, or for a checkpoint that
        cannot be read.
        """
        machine = Machine.of(threads, device, dtype)
        # Read by vllm. One process and one request at a time compute the same bits again; lengths above what a
        # tokenizer states are MARGIN's.
        os.environ |= {
            "HF_HUB_OFFLINE": "1",
            "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        }
        self._vllm = _import_vllm(machine.device.type)
        check_checkpoint(spec)
        self.tokenizer = read(AutoTokenizer, spec)
        config = read_config(spec)
        check_agreement(spec, config, self.tokenizer)
        self.shape = _shape(config, machine)
        self.counters = EngineCounters()
        self.stop_ids = _stop_ids(spec)
        self._llm = self._vllm.LLM(**llm_options(spec, machine, config))
        self._block = self._llm.llm_engine.vllm_config.cache_config.block_size

    def start(self, method: Method, total: int, capacity: int | None = None, query_rows: int | None = None) -> Dialogue:
        """A conversation whose first prompt has `total` tokens. Raises UserError for a method that acts on KV."""
        check_method("vllm", method)
        return Dialogue(self, method)

    def complete(self, ids: Sequence[int], limit: int, stop_ids: Collection[int], *, first: bool) -> Completion:
        """Answer the prompt `ids`. Raises UserError where it does not fit into the room that was made."""
        longest = self._llm.llm_engine.vllm_config.model_config.max_model_len
        if len(ids) + limit > longest:
            raise UserError(
                f"a prompt of {len(ids)} tokens with {limit} to answer is above the {longest} that the engine vllm has "
                "room for; set execution.engine: transformers, or prompts: clean, which cuts sessions to the context"
            )
        if first and not self._llm.reset_prefix_cache():
            raise RuntimeError("vllm did not empty its prefix cache")
        sampling = self._vllm.SamplingParams(**sampling_options(limit, stop_ids))
        began = time.perf_counter()
        [done] = self._llm.generate([{"prompt_token_ids": list(ids)}], sampling, use_tqdm=False)
        seconds = time.perf_counter() - began
        answer = tuple(done.outputs[0].token_ids)
        if answer and answer[-1] in stop_ids:
            answer = answer[:-1]
        cached = done.num_cached_tokens or 0
        passed = len(answer) - (len(answer) == limit)
        keys = self.shape.layers * sum(range(len(ids) + 1, len(ids) + passed + 1))
        until_first = done.metrics.first_token_latency
        return Completion(
            token_ids=answer,
            tokens_prefilled=len(ids) - cached,
            kv_bytes=-(-len(ids) // self._block) * self._block * self.shape.layers * self._row,
            kv_bytes_dense=len(ids) * self.shape.dense_bytes_per_token,
            keys_attended=keys,
            bytes_read=keys * self._row,
            prompt_seconds=until_first,
            decode_seconds=seconds - until_first,
        )

    @property
    def _row(self) -> int:
        """Bytes of one token's keys and values in one layer."""
        return 2 * self.shape.kv_heads * self.shape.head_dim * self.shape.dtype.itemsize


def llm_options(spec: Mapping[str, Any], machine: Machine, config: PretrainedConfig) -> dict[str, Any]:
    """How vllm's `LLM` is made: no code and no generation settings of the checkpoint, one request at a time."""
    room, overrides = _room(spec, config)
    if spec.get("rope"):
        overrides["rope_parameters"] = config.rope_parameters
    options = {
        "model": str(spec["path"]),
        "skip_tokenizer_init": True,
        "trust_remote_code": False,
        "load_format": "safetensors",
        "generation_config": "vllm",
        "dtype": machine.dtype,
        "seed": 0,
        "tensor_parallel_size": max(1, spec.get("gpus", 1)) if machine.device.type == "cuda" else 1,
        "max_model_len": room,
        "max_num_seqs": 1,
        "enable_prefix_caching": True,
        "disable_log_stats": False,  # else no time of a first token is known
    }
    if overrides:
        options["hf_overrides"] = overrides
    return options


def _room(spec: Mapping[str, Any], config: PretrainedConfig) -> tuple[int, dict[str, Any]]:
    """Tokens to make room for, and what of the configuration that takes: at positions beyond its table of rotary
    frequencies, vllm computes NaN or reads what lies there."""
    reach, rope = config.max_position_embeddings, getattr(config, "rope_parameters", None) or {}
    room = min(spec.get("context", reach), LONGEST) + MARGIN
    if rope.get("rope_type", "default") in EXTENSIBLE:
        return room, {"max_position_embeddings": room} if room > reach else {}
    if rope["rope_type"] == "yarn":
        reach = int(rope["factor"] * rope["original_max_position_embeddings"])
    return min(room, reach), {}


def sampling_options(limit: int, stop_ids: Collection[int]) -> dict[str, Any]:
    """How an answer is decoded: greedily, to its end or to one of `stop_ids` and no other token."""
    return {
        "temperature": 0.0,
        "max_tokens": limit,
        "stop_token_ids": sorted(stop_ids),
        "ignore_eos": True,
        "detokenize": False,
    }


def _import_vllm(device: str) -> ModuleType:
    try:
        import vllm
        from vllm.platforms import current_platform
    except ImportError as error:
        raise UserError(f"execution.engine: vllm, which cannot be imported here ({error}); {INSTALL}") from error
    if current_platform.device_type != device:
        raise UserError(
            f"execution.device: {device}, but the vllm that is installed computes on {current_platform.device_type!r}; "
            "set execution.device to that, or install the build of vllm for this machine"
        )
    return vllm


def _shape(config: PretrainedConfig, machine: Machine) -> KVShape:
    heads = config.num_attention_heads
    return KVShape(
        layers=config.num_hidden_layers,
        query_heads=heads,
        kv_heads=config.num_key_value_heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        dtype=DTYPES[machine.dtype],
        device=machine.device,
    )


def _stop_ids(spec: Mapping[str, Any]) -> frozenset[int]:
    """Tokens that end an answer by the model's own word, besides the tokenizer's."""
    if not (Path(spec["path"]) / "generation_config.json").is_file():
        return frozenset()
    stops = read(GenerationConfig, spec).eos_token_id
    return frozenset([stops] if isinstance(stops, int) else stops or ())
