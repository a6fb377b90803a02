"""The transformers engine: one forward pass of a causal language model over a KV store of ours."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from scbench.engines.alike import PARAMETERS, rows_alike
from scbench.engines.checkpoint import LoadedModel
from scbench.engines.chunks import ChunkCache
from scbench.engines.conversation import Conversation
from scbench.engines.rotary import Rotary, checked_rotary
from scbench.engines.together import Together
from scbench.errors import UserError
from scbench.kv import KVShape, KVStore
from scbench.kv.envelope import check_model
from scbench.methods import Method


class TransformersEngine(LoadedModel):
    """A model and its tokenizer on one device; `start` opens a conversation, `forward` computes its tokens."""

    def __init__(self, spec: Mapping[str, Any], *, threads: int, device: str, dtype: str, ranks: int = 1) -> None:
        """Load the checkpoint in `spec["path"]`: safetensors only, no code from the checkpoint, no network."""
        super().__init__(spec, threads=threads, device=device, dtype=dtype, ranks=ranks)
        check_model(self.model, spec["name"], ranks)
        self.shape = _shape(self.model, ranks)
        self.chunks = ChunkCache()
        self._name = spec["name"]
        self._positions = torch.arange(4096, device=self.model.device)[None]

    def start(
        self, method: Method, total: int, capacity: int | None = None, query_rows: int | None = None
    ) -> Conversation:
        """A conversation whose first prompt has `total` tokens; the rest is explained at `KVStore`."""
        return Conversation(self, KVStore(self.shape, method, total, capacity, query_rows))

    @cached_property
    def rotary(self) -> Rotary:
        """Moves keys to other positions. Raises UserError where that cannot be done with this model."""
        return checked_rotary(self, self.model, self._name)

    @cached_property
    def rows_alike(self) -> int:
        """Up to how many rows of a pass are computed alike whatever stands beside them, of passes of `alike.STEP` rows
        or a multiple; 0 where that is not so or not known: on a GPU, in several processes, for models not small."""
        if self.model.device.type != "cpu" or self.ranks > 1 or self.model.num_parameters() > PARAMETERS:
            return 0
        return rows_alike(self.forward, self.model.config.vocab_size)

    @torch.inference_mode()
    def forward(
        self,
        store: KVStore | Together,
        ids: Sequence[int],
        position: int | Sequence[int],
        rows: Sequence[int] | None = None,
    ) -> Tensor:
        """Compute the announced tokens `ids`, the first at `position` or each at its own.

        Returns the logits of the tokens that `rows` numbers, [len(rows), vocabulary]; of the last one by default.
        """
        logits = self.model(
            torch.tensor([ids], device=self.model.device),
            position_ids=self._position_ids(position, len(ids)),
            use_cache=False,
            logits_to_keep=1 if rows is None else torch.tensor(rows, device=self.model.device),
            kv_store=store,
        ).logits[0]
        return self.in_step(logits)

    def over_heads(self, sums: Tensor) -> Tensor:
        """`sums` over the heads of this process's store, as sums over all heads of the model."""
        if self.ranks > 1:
            dist.all_reduce(sums)
        return sums

    def _check_config(self, config: PretrainedConfig, name: str) -> None:
        heads = config.get_text_config().num_key_value_heads
        if heads % self.ranks:
            raise UserError(
                f"models.{name}.gpus: {self.ranks}, but the {heads} KV heads of the model cannot be shared out evenly; "
                "set it in the lock to a number that divides them"
            )

    def _position_ids(self, position: int | Sequence[int], count: int) -> Tensor:
        if not isinstance(position, int):
            return torch.tensor([position], device=self.model.device)
        stop = position + count
        if stop > self._positions.shape[1]:
            self._positions = torch.arange(2 * stop, device=self.model.device)[None]
        return self._positions[:, position:stop]


def _shape(model: PreTrainedModel, ranks: int) -> KVShape:
    """What the store of one of `ranks` processes holds."""
    config = model.config
    return KVShape(
        layers=config.num_hidden_layers,
        query_heads=config.num_attention_heads // ranks,
        kv_heads=config.num_key_value_heads // ranks,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        dtype=model.dtype,
        device=model.device,
    )
