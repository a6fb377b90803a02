"""The transformers engine: one forward pass of a causal language model over a KV store of ours."""

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from scbench.engines.agreement import check_agreement
from scbench.engines.chunks import ChunkCache
from scbench.engines.conversation import Conversation, EngineCounters
from scbench.engines.machine import DTYPES, Machine, check_checkpoint
from scbench.engines.rotary import Rotary, checked_rotary
from scbench.errors import UserError
from scbench.kv import KVShape, KVStore
from scbench.kv.envelope import check_model
from scbench.methods import Method


class TransformersEngine:
    """A model and its tokenizer on one device; `start` opens a conversation, `forward` computes its tokens."""

    def __init__(self, spec: Mapping[str, Any], *, threads: int, device: str, dtype: str) -> None:
        """Load the checkpoint in `spec["path"]`: safetensors only, no code from the checkpoint, no network."""
        self._machine = Machine.of(threads, device, dtype)
        self._machine.prepare()
        check_checkpoint(spec)
        # What is small first: a tokenizer that does not match should not be found after minutes of loading weights.
        self.tokenizer = _read(AutoTokenizer, spec)
        check_agreement(spec, _read(AutoConfig, spec), self.tokenizer)
        self.model = _load_model(spec, self._machine)
        self.counters = EngineCounters()
        self.shape = _shape(self.model)
        self.chunks = ChunkCache()
        self._name = spec["name"]
        self._positions = torch.arange(4096, device=self.model.device)[None]

    @property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end an answer by the model's own word, besides the tokenizer's (Llama-3.1 has three)."""
        stops = self.model.generation_config.eos_token_id
        return frozenset([stops] if isinstance(stops, int) else stops or ())

    def start(
        self, method: Method, total: int, capacity: int | None = None, query_rows: int | None = None
    ) -> Conversation:
        """A conversation whose first prompt has `total` tokens; the rest is explained at `KVStore`."""
        return Conversation(self, KVStore(self.shape, method, total, capacity, query_rows))

    @cached_property
    def rotary(self) -> Rotary:
        """Moves keys to other positions. Raises UserError where that cannot be done with this model."""
        return checked_rotary(self, self.model, self._name)

    @torch.inference_mode()
    def forward(
        self, store: KVStore, ids: Sequence[int], position: int | Sequence[int], rows: Sequence[int] | None = None
    ) -> Tensor:
        """Compute the announced tokens `ids`, the first at `position` or each at its own.

        Returns the logits of the tokens that `rows` numbers, [len(rows), vocabulary]; of the last one by default.
        """
        return self.model(
            torch.tensor([ids], device=self.model.device),
            position_ids=self._position_ids(position, len(ids)),
            use_cache=False,
            logits_to_keep=1 if rows is None else torch.tensor(rows, device=self.model.device),
            kv_store=store,
        ).logits[0]

    def _position_ids(self, position: int | Sequence[int], count: int) -> Tensor:
        if not isinstance(position, int):
            return torch.tensor([position], device=self.model.device)
        stop = position + count
        if stop > self._positions.shape[1]:
            self._positions = torch.arange(2 * stop, device=self.model.device)[None]
        return self._positions[:, position:stop]

    def clock(self) -> float:
        """Seconds, after the device has done what it was given."""
        if self._machine.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def _read(kind: type, spec: Mapping[str, Any], **options: Any) -> Any:
    """What transformers' class `kind` makes of the checkpoint. Raises UserError when it cannot be read."""
    try:
        return kind.from_pretrained(spec["path"], local_files_only=True, trust_remote_code=False, **options)
    except (OSError, ValueError, SafetensorError, StrictDataclassError) as error:
        problem = " ".join(str(error).split())
        raise UserError(
            f"models.{spec['name']}.path: {spec['path']} cannot be loaded ({problem}); fetch the model again"
        ) from error


def _load_model(spec: Mapping[str, Any], machine: Machine) -> PreTrainedModel:
    logging.disable_progress_bar()
    model, loading = _read(
        AutoModelForCausalLM, spec, dtype=DTYPES[machine.dtype], use_safetensors=True, output_loading_info=True
    )
    if absent := sorted(loading["missing_keys"]) or sorted(map(str, loading["mismatched_keys"])):
        raise UserError(
            f"models.{spec['name']}.path: {spec['path']} lacks weights such as {absent[0]}; fetch the model again"
        )
    model.eval().requires_grad_(False).to(machine.device)
    check_model(model, spec["name"])
    return model


def _shape(model: PreTrainedModel) -> KVShape:
    config = model.config
    return KVShape(
        layers=config.num_hidden_layers,
        query_heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        dtype=model.dtype,
        device=model.device,
    )
