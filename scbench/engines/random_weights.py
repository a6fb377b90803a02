"""A model of a known shape with random weights, made where it runs: what it costs is known without its checkpoint."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from scbench.engines.checkpoint import LoadedModel
from scbench.engines.conversation import EngineCounters
from scbench.engines.machine import DTYPES, Machine
from scbench.engines.transformers import TransformersEngine

SEED = 0


class Wordless:
    """Stands where an engine has its tokenizer: tokens that were drawn at random say nothing."""

    eos_token_id = 0

    def decode(self, ids: Sequence[int], **_: Any) -> str:
        return ""


class DrawnModel(LoadedModel):
    """What a loaded model is, of weights that are drawn in place of being read."""

    def __init__(self, spec: Mapping[str, Any], *, threads: int, device: str, dtype: str, ranks: int = 1) -> None:
        """Draw a model of the configuration `spec["shape"]` on its device, as transformers initialises it."""
        if ranks > 1:
            raise ValueError(f"ranks: {ranks}, but every process would draw other weights; give 1")
        self.ranks = ranks
        self._machine = Machine.of(threads, device, dtype)
        self._machine.prepare()
        self.tokenizer = Wordless()
        self.model = _drawn(spec["shape"], self._machine)
        self.counters = EngineCounters()


class RandomWeightsEngine(TransformersEngine, DrawnModel):
    """The transformers engine over a drawn model: everything but the loading is that engine's."""


def _drawn(shape: Mapping[str, Any], machine: Machine) -> PreTrainedModel:
    torch.manual_seed(SEED)
    with machine.device:
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**shape), dtype=DTYPES[machine.dtype])
    return model.eval().requires_grad_(False)
