"""Keys that move: from the positions they were encoded at to others, by the model's own rotary embedding.

A rotary embedding turns pairs of channels by an angle proportional to the position. A key at position a therefore
becomes the key at b by a turn by the difference of the two angles; which channels are pairs (halves of a head or
neighbours) and how many of them turn is known to the model's own code, which does the turning here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import PreTrainedModel

from scbench.errors import UserError
from scbench.kv import KVStore
from scbench.methods.full import Full

if TYPE_CHECKING:
    from scbench.engines.conversation import Engine

PROBED = 101
"""Position that the check of a model moves a token to."""


class Rotary:
    """Moves the keys of one model."""

    def __init__(self, model: PreTrainedModel, name: str) -> None:
        """Raises UserError, which calls the model `name`, where its code offers no rotary embedding."""
        self._angles: Callable[..., tuple[Tensor, Tensor]] | None = getattr(model.base_model, "rotary_emb", None)
        self._turn = getattr(sys.modules[type(model).__module__], "apply_rotary_pos_emb", None)
        if self._angles is None or self._turn is None:
            raise _immovable(name, "its code offers no rotary embedding to turn them by")

    def moved(self, keys: Tensor, by: int) -> Tensor:
        """Keys [layers, kv_heads, T, head_dim] of positions 0 .. T - 1 as they are at by .. by + T - 1."""
        if by == 0:
            return keys
        old = torch.arange(keys.shape[2], device=keys.device)[None]
        like = torch.empty(0, dtype=torch.float32, device=keys.device)
        (cos_old, sin_old), (cos_new, sin_new) = self._angles(like, old), self._angles(like, old + by)
        # Some models (YaRN) scale cosine and sine by a factor, which the keys already have.
        scale = cos_old.square() + sin_old.square()
        cos = (cos_new * cos_old + sin_new * sin_old) / scale
        sin = (sin_new * cos_old - cos_new * sin_old) / scale
        # The models' functions turn queries and keys in one call; one head stands in for what is not needed.
        return self._turn(keys.float(), keys[:, :1].float(), cos, sin)[0].to(keys.dtype)


def checked_rotary(engine: Engine, model: PreTrainedModel, name: str) -> Rotary:
    """The `Rotary` of `model`, which `engine` runs and messages call `name`, proved on one token in every layer.

    A token that sees only itself has the same hidden states wherever it stands, so that its keys must differ by the
    turn alone, and its values not at all. Raises UserError where they do otherwise.
    """
    rotary = Rotary(model, name)
    (keys, values), (keys_there, values_there) = _token_at(engine, 0), _token_at(engine, PROBED)
    moved = rotary.moved(keys, PROBED)
    for layer in range(len(keys)):
        if not _close(moved[layer], keys_there[layer]):
            raise _immovable(name, f"the keys of layer {layer} do not follow its rotary embedding")
        if not _close(values[layer], values_there[layer]):
            raise _immovable(name, f"the values of layer {layer} depend on the position")
    return rotary


def _immovable(name: str, reason: str) -> UserError:
    return UserError(
        f"models.{name}: the model's keys cannot be moved to other positions ({reason}), as the reuse of chunks takes; "
        "leave cacheblend out of studies of this model"
    )


def _token_at(engine: Engine, position: int) -> tuple[Tensor, Tensor]:
    """Keys and values [layers, kv_heads, 1, head_dim] of one token that stands alone at `position`."""
    store = KVStore(engine.shape, Full(budget=1.0), 1, capacity=1)
    store.prefill(1)
    engine.forward(store, (engine.tokenizer.eos_token_id,), position)
    keys, values = zip(*(store.rows(layer) for layer in range(engine.shape.layers)), strict=True)
    return torch.cat(keys), torch.cat(values)


def _close(a: Tensor, b: Tensor) -> bool:
    """Whether they differ by roundings of their number format; a wrong turn is off by about a key's own size."""
    return bool((a.float() - b.float()).norm() < torch.finfo(a.dtype).eps ** 0.5 * b.float().norm())
