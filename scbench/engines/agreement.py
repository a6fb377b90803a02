"""Whether the parts of a checkpoint belong together: its tokenizer, its configuration, the context that the lock gives.

Only what cannot be right is refused. Published models differ from themselves where it does no harm: more rows than
tokens (Qwen2.5: 152,064 for 151,665), a list of end tokens (Llama-3.1), one end token in config.json and another in the
tokenizer (Llama-3-Instruct and the Qwen2.5 base models), no begin token in the tokenizer (Qwen2.5).
"""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from scbench.errors import UserError

UNSTATED = 10**12  # transformers' `model_max_length` where a tokenizer states none is above this


def check_agreement(spec: Mapping[str, Any], config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise UserError for a tokenizer that cannot be the model's, or a context that the model was not trained for.

    spec: as for `engines.load`. Of a context that the tokenizer states, or that stretched rotary frequencies may reach,
    a warning is given.
    """
    config = config.get_text_config()
    _check_vocabulary(spec, config, tokenizer)
    for kind in ("bos", "eos"):
        _check_special(spec, kind, tokenizer)
    if "context" in spec:
        _check_context(spec, config, tokenizer)


def _check_vocabulary(spec: Mapping[str, Any], config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    token, largest = max(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    if largest >= config.vocab_size:
        raise _another_models(
            spec, f"knows a token {token!r} of id {largest}, but config.json has vocab_size {config.vocab_size}"
        )


def _check_special(spec: Mapping[str, Any], kind: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """The begin or end token of config.json is the tokenizer's, or at least a special token of it."""
    own = getattr(tokenizer, f"{kind}_token_id")
    # As written: where config.json is silent, a configuration object shows its class's default.
    stated = json.loads((Path(spec["path"]) / "config.json").read_text(encoding="utf-8")).get(f"{kind}_token_id")
    ids = {stated} if isinstance(stated, int) else set(stated or ())
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    if own is not None and ids and own not in ids and not ids & special:
        token = getattr(tokenizer, f"{kind}_token")
        raise _another_models(
            spec,
            f"has {kind}_token {token!r} of id {own}, but config.json has {kind}_token_id {stated}, no special token "
            "of the tokenizer",
        )


def _another_models(spec: Mapping[str, Any], problem: str) -> UserError:
    return UserError(
        f"models.{spec['name']}.path: the tokenizer in {spec['path']} {problem}: it is another model's; fetch both of "
        "one revision, or train both together"
    )


def _check_context(spec: Mapping[str, Any], config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """The context of the lock is within the positions the model was trained for, or those it is stretched to."""
    positions = getattr(config, "max_position_embeddings", None)
    rope = getattr(config, "rope_parameters", None) or {}
    stretched = rope.get("rope_type", "default") != "default"
    if positions is None:
        return
    # YaRN: config.json keeps the trained length, `factor` says what becomes of it.
    reach = max(positions, int((rope.get("factor") or 1) * (rope.get("original_max_position_embeddings") or positions)))
    if (context := spec["context"]) <= (reach if stretched else positions):
        return
    problem = (
        f"models.{spec['name']}.context: {context}, but the config.json in {spec['path']} has max_position_embeddings "
        f"{positions}" + (f", stretched to {reach}" if stretched else "")
    )
    if stretched or context <= tokenizer.model_max_length < UNSTATED:
        warnings.warn(f"{problem}: answers about longer prompts may be worthless", stacklevel=2)
        return
    raise UserError(
        f"{problem}: the model was not trained for more; lower the context in the lock, or give config.json the "
        "rope_parameters that the publisher documents for it"
    )
