"""A checkpoint as transformers reads it: safetensors only, no code of the checkpoint, no network, nothing missing."""

import time
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PretrainedConfig, PreTrainedModel
from transformers.distributed import DistributedConfig
from transformers.utils import logging

from scbench.engines.agreement import check_agreement
from scbench.engines.conversation import EngineCounters
from scbench.engines.machine import DTYPES, Machine, check_checkpoint
from scbench.errors import UserError


class LoadedModel:
    """What engines that run a model of transformers have in common: a model and its tokenizer on one device.

    prefill_chunk: tokens of one forward pass over a first prompt, at most: bounds the activations of long ones.
    ranks: processes that each hold a part of the weights (`scbench.engines.parallel`); all make the same calls.
    """

    prefill_chunk = 4096

    def __init__(self, spec: Mapping[str, Any], *, threads: int, device: str, dtype: str, ranks: int = 1) -> None:
        """Load the checkpoint in `spec["path"]`, or of several ranks this one's part of it."""
        self.ranks = ranks
        self._machine = Machine.of(threads, device, dtype)
        self._machine.prepare()
        check_checkpoint(spec)
        # What is small first: a tokenizer that does not match should not be found after minutes of loading weights.
        self.tokenizer = read(AutoTokenizer, spec)
        config = read_config(spec)
        check_agreement(spec, config, self.tokenizer)
        self._check_config(config, spec["name"])
        options = {} if ranks == 1 else {"distributed_config": DistributedConfig(tp_size=ranks, tp_plan=_ends(config))}
        self.model = _load_model(spec, self._machine, config=config, **options)
        self.counters = EngineCounters()

    @property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end an answer by the model's own word, besides the tokenizer's (Llama-3.1 has three)."""
        stops = self.model.generation_config.eos_token_id
        return frozenset([stops] if isinstance(stops, int) else stops or ())

    def in_step(self, logits: Tensor) -> Tensor:
        """The same logits on all ranks, so that no rounding can part them: [..., vocabulary].

        logits: [..., a rank's share of the vocabulary] where the head is shared out, of the whole vocabulary elsewhere.
        """
        if self.ranks == 1:
            return logits
        vocabulary = self.model.get_output_embeddings().out_features
        if logits.shape[-1] == vocabulary:
            logits = logits.contiguous()
            dist.broadcast(logits, 0)
            return logits
        share = -(-vocabulary // self.ranks)  # the last ranks have less where it cannot be shared out evenly
        own = functional.pad(logits, (0, share - logits.shape[-1])).contiguous()
        shares = [torch.empty_like(own) for _ in range(self.ranks)]
        dist.all_gather(shares, own)
        return torch.cat(shares, dim=-1)[..., :vocabulary]

    def _check_config(self, config: PretrainedConfig, name: str) -> None:
        """Raise UserError, before weights are read, where the engine cannot run the model called `name`."""

    def clock(self) -> float:
        """Seconds, after the device has done what it was given."""
        if self._machine.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def read(kind: type, spec: Mapping[str, Any], **options: Any) -> Any:
    """What transformers' class `kind` makes of the checkpoint. Raises UserError when it cannot be read."""
    try:
        return kind.from_pretrained(spec["path"], local_files_only=True, trust_remote_code=False, **options)
    except (OSError, ValueError, SafetensorError, StrictDataclassError) as error:
        problem = " ".join(str(error).split())
        raise UserError(
            f"models.{spec['name']}.path: {spec['path']} cannot be loaded ({problem}); fetch the model again"
        ) from error


def read_config(spec: Mapping[str, Any]) -> PretrainedConfig:
    """The checkpoint's configuration, rotary settings replaced by those that the lock gives."""
    config = read(AutoConfig, spec)
    if rope := spec.get("rope"):
        config.rope_parameters = (config.rope_parameters or {}) | rope
    return config


def _ends(config: PretrainedConfig) -> dict[str, str] | None:
    """How ranks share the first and the last weights, in place of transformers' own plan; None where it has no plan.

    Each rank looks up embeddings by itself, and logits are put together by `in_step`. In transformers' plan both are
    distributed tensors, whose collectives go on in threads of their own; here every call waits for its result.
    """
    if not config.get_text_config().base_model_tp_plan:
        return None
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    names = {module: name for name, module in model.named_modules()}
    head = "replicate" if config.get_text_config().tie_word_embeddings else "colwise"
    return {names[model.get_input_embeddings()]: "replicate", names[model.get_output_embeddings()]: head}


def _load_model(spec: Mapping[str, Any], machine: Machine, **options: Any) -> PreTrainedModel:
    logging.disable_progress_bar()
    options |= {"dtype": DTYPES[machine.dtype], "use_safetensors": True, "output_loading_info": True}
    model, loading = read(AutoModelForCausalLM, spec, **options)
    if absent := sorted(loading["missing_keys"]) or sorted(map(str, loading["mismatched_keys"])):
        raise UserError(
            f"models.{spec['name']}.path: {spec['path']} lacks weights such as {absent[0]}; fetch the model again"
        )
    return model.eval().requires_grad_(False).to(machine.device)
