"""The recurrent engine: state-space models and hybrids, over the cache that transformers keeps for them.

Such a model has no plain KV cache that a method could act on, so it runs as it is, a row of its own. Its state is not
carried across turns: each answer begins with the whole dialogue, in one pass from an empty state, as in the paper's
authors' code; `tokens_prefilled` of a turn says so. (A state cannot be rolled back to where a question began, and
transformers' Mamba-1 layers, which Jamba has, go on wrongly from one when given more than one token.)

Costs: kv_bytes is the library's cache, the states and the attention layers' keys and values; kv_bytes_dense is what the
same numbers take in 16 bits; keys_attended counts the attention layers' keys alone; bytes_read is the whole cache, once
for each generated token that was passed.
"""

import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PretrainedConfig

from scbench.engines import check_method
from scbench.engines.checkpoint import LoadedModel
from scbench.engines.machine import Machine
from scbench.engines.transcript import Completion, Dialogue
from scbench.errors import UserError
from scbench.methods import Method

KERNELS = {"mamba_ssm": "mamba-ssm", "causal_conv1d": "causal-conv1d"}
"""Packages, by the name of their module, that transformers runs in place of its reference code where installed."""


@dataclass(frozen=True)
class StateShape:
    """What of a model's cache grows with the dialogue: 16-bit bytes of a token's keys and values, all layers."""

    dense_bytes_per_token: int


class RecurrentEngine(LoadedModel):
    """A model with recurrent layers, and its tokenizer, on one device."""

    def __init__(self, spec: Mapping[str, Any], *, threads: int, device: str, dtype: str, ranks: int = 1) -> None:
        """Load the checkpoint in `spec["path"]`.

        Raises UserError for a model that has no recurrent layer, or on a GPU without the kernels it needs there.
        """
        if Machine.of(threads, device, dtype).device.type == "cuda":
            _check_kernels(spec["name"])
        super().__init__(spec, threads=threads, device=device, dtype=dtype, ranks=ranks)
        config = self.model.config
        self._attention_layers = _recurrent(config).count(False)
        heads = getattr(config, "num_key_value_heads", 0)
        width = config.hidden_size // config.num_attention_heads if self._attention_layers else 0
        self.shape = StateShape(2 * 2 * self._attention_layers * heads * width)
        names = inspect.signature(self.model.forward).parameters
        self._cache_keyword = "past_key_values" if "past_key_values" in names else "cache_params"

    def start(self, method: Method, total: int, capacity: int | None = None, query_rows: int | None = None) -> Dialogue:
        """A conversation whose first prompt has `total` tokens. Raises UserError for a method that acts on KV."""
        check_method("recurrent", method)
        return Dialogue(self, method)

    @torch.inference_mode()
    def complete(self, ids: Sequence[int], limit: int, stop_ids: Collection[int], *, first: bool = True) -> Completion:
        """Encode `ids` from an empty state, in the first answer of a dialogue as in any other, and decode greedily."""
        began = self.clock()
        cache = DynamicCache(config=self.model.config)
        logits = self._forward(ids, cache)
        encoded = self.clock()
        self.counters.dense_prefills += 1
        self.counters.dense_prefill_tokens += len(ids)
        held = list(_tensors(cache))
        kv_bytes, elements = sum(part.nbytes for part in held), sum(part.numel() for part in held)
        answer: list[int] = []
        keys_attended = bytes_read = 0
        while (token := int(logits.argmax())) not in stop_ids:
            answer.append(token)
            if len(answer) == limit:
                break
            logits = self._forward([token], cache)
            keys_attended += self._attention_layers * (len(ids) + len(answer))
            bytes_read += sum(part.nbytes for part in _tensors(cache))
        return Completion(
            token_ids=tuple(answer),
            tokens_prefilled=len(ids),
            kv_bytes=kv_bytes,
            kv_bytes_dense=2 * elements,
            keys_attended=keys_attended,
            bytes_read=bytes_read,
            prompt_seconds=encoded - began,
            decode_seconds=self.clock() - encoded,
        )

    def _forward(self, ids: Sequence[int], cache: DynamicCache) -> Tensor:
        """Logits after the tokens `ids`, which follow what is in `cache`: [vocabulary]."""
        fed = torch.tensor([ids], device=self.model.device)
        logits = self.model(fed, use_cache=True, logits_to_keep=1, **{self._cache_keyword: cache}).logits[0, -1]
        return self.in_step(logits)

    def _check_config(self, config: PretrainedConfig, name: str) -> None:
        if not any(_recurrent(config)):
            raise UserError(
                f"models.{name}.engine: recurrent, but {config.model_type} has attention in every layer; set "
                "engine: transformers in the lock"
            )


def _recurrent(config: PretrainedConfig) -> list[bool]:
    """Whether each layer is recurrent; the others have attention."""
    return [hasattr(layer, "recurrent_states") for layer in DynamicCache(config=config).layers]


def _check_kernels(name: str) -> None:
    missing = [package for module, package in KERNELS.items() if find_spec(module) is None]
    if missing:
        raise UserError(
            f"models.{name}: recurrent layers on a GPU need {' and '.join(missing)}: without them one layer of a long "
            f"prompt takes more memory than a GPU has; pip install --no-build-isolation {' '.join(missing)}, or set "
            "execution.device: cpu for small contexts"
        )


def _tensors(cache: DynamicCache) -> Iterator[Tensor]:
    """Everything that `cache` holds: per layer states, or keys and values."""
    for layer in cache.layers:
        if hasattr(layer, "recurrent_states"):
            yield from (*layer.conv_states.values(), *layer.recurrent_states.values())
        if hasattr(layer, "keys"):
            yield from (layer.keys, layer.values)
