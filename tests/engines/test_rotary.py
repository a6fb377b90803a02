"""Keys that are moved are the keys that the model computes there, or the model is refused."""

from functools import partial

import pytest
import torch

from scbench import engines
from scbench.engines.rotary import Rotary, checked_rotary
from scbench.errors import UserError
from scbench.kv import KVStore
from scbench.methods import make
from tests.conformance.models import FAMILIES, save_model, tokens

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128, "rope_theta": 10_000.0}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
    "rope_theta": 500_000.0,
}
MODELS = [
    *(pytest.param(family, {}, id=family) for family in FAMILIES),
    pytest.param("Llama", {"rope_parameters": YARN}, id="yarn"),
    pytest.param("Llama", {"rope_parameters": LLAMA3}, id="llama3"),
]


def load(directory, family, dtype="float32", **more):
    return engines.load(save_model(directory, family, **more), threads=1, device="cpu", dtype=dtype)


def rows(engine, ids, position):
    """Keys and values of all layers of `ids`, encoded alone with the first at `position`."""
    store = KVStore(engine.shape, make("full", {}, 170), len(ids))
    store.prefill(len(ids))
    engine.forward(store, ids, position)
    keys, values = zip(*(store.rows(layer) for layer in range(engine.shape.layers)), strict=True)
    return torch.cat(keys), torch.cat(values)


@pytest.mark.parametrize(("family", "more"), MODELS)
def test_moved_keys_are_those_encoded_there(tmp_path, family, more):
    """Attention within a chunk depends on distances alone, so that this holds in every layer."""
    engine = load(tmp_path, family, **more)
    ids = tokens(23)
    keys, values = rows(engine, ids, 0)
    for position in (1, 64, 401):
        keys_there, values_there = rows(engine, ids, position)
        assert torch.allclose(engine.rotary.moved(keys, position), keys_there, atol=1e-3)
        assert torch.allclose(values, values_there, atol=1e-3)
        assert not torch.allclose(keys, keys_there, atol=1e-1)


def test_keys_that_stay_keep_their_bits(engine):
    keys = torch.randn(3, 2, 5, 8)
    assert torch.equal(engine.rotary.moved(keys, 0), keys)


def test_half_precision_moves_to_its_own_rounding(tmp_path):
    engine = load(tmp_path, "Glm4", dtype="bfloat16")
    keys, _ = rows(engine, tokens(9), 0)
    there, _ = rows(engine, tokens(9), 200)
    moved = engine.rotary.moved(keys[:1], 200)
    assert moved.dtype == torch.bfloat16
    assert (moved.float() - there[:1].float()).norm() < 0.01 * there[:1].float().norm()


MISTAKES = {
    "other pairs": lambda turn, q, k, cos, sin: [x.roll(1, -1) for x in turn(q.roll(-1, -1), k.roll(-1, -1), cos, sin)],
    "the other way round": lambda turn, q, k, cos, sin: turn(q, k, cos, -sin),
    "not at all": lambda turn, q, k, cos, sin: (q, k),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("family", ["Llama", "Glm4"])
def test_a_wrong_turn_is_found(tmp_path, family, mistake, monkeypatch):
    class Mistaken(Rotary):
        def __init__(self, *how):
            super().__init__(*how)
            self._turn = partial(MISTAKES[mistake], self._turn)

    engine = load(tmp_path, family)
    monkeypatch.setattr("scbench.engines.rotary.Rotary", Mistaken)
    words = rf"models\.{family.lower()}: .*keys of layer 0 do not follow .*leave cacheblend out"
    with pytest.raises(UserError, match=words):
        checked_rotary(engine, engine.model, family.lower())


def test_a_model_whose_layers_do_not_all_turn_is_refused(tmp_path):
    engine = load(tmp_path, "SmolLM3", no_rope_layers=[1, 0, 1])
    talk = engine.start(make("cacheblend", {}, 170), 40)
    with pytest.raises(UserError, match=r"models\.smollm3: .*keys of layer 1 do not follow its rotary embedding"):
        talk.prefill(tokens(40))


def test_a_model_without_a_rotary_embedding_is_refused(engine, monkeypatch):
    monkeypatch.delattr(engine.model.base_model, "rotary_emb")
    with pytest.raises(UserError, match=r"models\.llama: .*offers no rotary embedding"):
        checked_rotary(engine, engine.model, "llama")
