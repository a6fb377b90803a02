"""Which models the store can serve: plain causal attention in every layer, and nothing silently left out.

What a configuration does not tell, a forward pass of two tokens does: it shows what each layer hands to its attention
function.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from transformers import AttentionInterface, PreTrainedModel

from scbench.errors import UserError
from scbench.kv.attention import ATTENTION

_PROBE = "scbench_probe"
# Keywords that ask nothing of an attention function.
_HARMLESS = frozenset({"position_ids", "use_cache", "output_attentions"})


class _Calls(list[int]):
    """The layers that called, in order; goes through the forward pass in the store's place."""

    def __init__(self, ranks: int) -> None:
        super().__init__()
        self.ranks = ranks


class _Unsupported(Exception):
    """What the model asks for, in words."""


def check_model(model: PreTrainedModel, name: str, ranks: int = 1) -> None:
    """Raise UserError unless every layer of `model`, called `name` in messages, does plain causal attention.

    Refused are sliding windows, chunks, soft caps, attention sinks, biases, dropout, non-causal layers, layers without
    attention, and rotary frequencies that depend on the length. Leaves the model's attention set to ours.
    ranks: processes that share the model's heads.
    """
    calls = _Calls(ranks)
    try:
        _check_config(model.config)
        model.set_attn_implementation(_PROBE)
        ids = torch.zeros(1, 2, dtype=torch.long, device=model.device)
        with torch.inference_mode():
            model(
                ids,
                position_ids=torch.arange(2, device=model.device)[None],
                use_cache=False,
                kv_store=calls,
                logits_to_keep=1,
            )
        if calls != list(range(model.config.num_hidden_layers)):
            raise _Unsupported(f"attention in layers {calls} of {model.config.num_hidden_layers} only")
    except _Unsupported as unsupported:
        raise UserError(
            f"models.{name}: the model has {unsupported}, which the KV store does not implement; choose a model with "
            "plain causal attention in every layer"
        ) from unsupported
    model.set_attn_implementation(ATTENTION)


def _check_config(config: Any) -> None:
    other = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    if other:
        raise _Unsupported(f"layers of type {', '.join(sorted(other))}")
    if getattr(config, "attention_chunk_size", None):
        raise _Unsupported("attention in chunks")
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type")
    if rope in ("dynamic", "longrope"):
        raise _Unsupported(f"{rope} rotary frequencies, which depend on the length")


def _probe(
    module: Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    kv_store: Any = None,
    **rest: Any,
) -> tuple[Tensor, None]:
    asked = sorted(word for word in rest.keys() - _HARMLESS if rest[word] is not None and rest[word] is not False)
    if asked:
        raise _Unsupported(" and ".join(asked))
    if attention_mask is not None or dropout or not getattr(module, "is_causal", True):
        raise _Unsupported("a mask of its own, dropout or attention to later tokens")
    if not isinstance(kv_store, _Calls):
        raise _Unsupported("layers that do not pass keywords on to their attention function")
    if key.shape != value.shape or key.shape[1] * kv_store.ranks != module.config.num_key_value_heads:
        raise _Unsupported("keys and values of different shapes or repeated per query head")
    kv_store.append(module.layer_idx)
    return torch.zeros_like(query).transpose(1, 2), None


AttentionInterface.register(_PROBE, _probe)
