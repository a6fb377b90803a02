"""CacheBlend against its steps written out in float64: each chunk alone, turned pair by pair, then the blend."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from scbench import engines
from scbench.methods import make
from tests.conformance.drive import naive_attention
from tests.conformance.models import FAMILIES, save_model, tokens

ROTATED = {"Llama": (8, False), "Qwen2": (8, False), "Glm": (4, True), "Glm4": (4, True)}
"""Channels of a head that turn, and whether the pairs are neighbours."""


class Plain:
    """A model's layers, one formula after another."""

    def __init__(self, model, family):
        self.layers, self.norm, self.head = model.model.layers, model.model.norm, model.lm_head
        self.embed = model.model.embed_tokens
        self.theta = model.config.rope_parameters["rope_theta"]
        self.channels, self.neighbours = ROTATED[family]

    def turned(self, x, positions):
        """x [heads, T, head_dim] with each pair of channels turned by its angle."""
        out, half = x.clone(), self.channels // 2
        for pair in range(half):
            a, b = (2 * pair, 2 * pair + 1) if self.neighbours else (pair, pair + half)
            angle = torch.as_tensor(positions, dtype=torch.float64) * self.theta ** (-pair / half)
            out[..., a] = x[..., a] * angle.cos() - x[..., b] * angle.sin()
            out[..., b] = x[..., b] * angle.cos() + x[..., a] * angle.sin()
        return out

    def projected(self, layer, hidden):
        """Queries, keys and values [heads, T, head_dim] before any rotation."""
        normed, attention = layer.input_layernorm(hidden), layer.self_attn
        parts = (attention.q_proj(normed), attention.k_proj(normed), attention.v_proj(normed))
        return [part.view(len(hidden), -1, 8).transpose(0, 1) for part in parts]

    def next(self, layer, hidden, seen):
        """Hidden states behind `layer`, whose attention gave `seen` [heads, T, head_dim]."""
        after = getattr(layer, "post_self_attn_layernorm", lambda x: x)
        last = getattr(layer, "post_mlp_layernorm", lambda x: x)
        hidden = hidden + after(layer.self_attn.o_proj(seen.transpose(0, 1).flatten(1)))
        return hidden + last(layer.mlp(layer.post_attention_layernorm(hidden)))

    def run(self, ids, positions, keys, values, until=None):
        """Compute `ids` at `positions` over keys and values, [kv_heads, n, head_dim] per layer, and replace theirs.

        Ends in layer `until`, once its rows are replaced. Returns the keys before rotation and the last row's logits.
        """
        hidden, unturned = self.embed(torch.tensor(ids)), []
        for number, layer in enumerate(self.layers):
            q, k, v = self.projected(layer, hidden)
            unturned.append(k)
            keys[number][:, positions], values[number][:, positions] = self.turned(k, positions), v
            if number == until:
                break
            allowed = torch.arange(keys[number].shape[1]) <= torch.tensor(positions)[:, None]
            q = self.turned(q, positions)[None]
            seen = naive_attention(q, keys[number][None], values[number][None], allowed, 8**-0.5)
            hidden = self.next(layer, hidden, seen[0])
        return unturned, self.head(self.norm(hidden))[-1]

    def empty(self, count):
        return [torch.zeros(2, count, 8, dtype=torch.float64) for _ in self.layers]


@torch.inference_mode()
def blended(plain, ids, context, chunk, recompute):
    """Keys, values and logits of the prompt `ids`, and how many of its tokens were computed in place."""
    reused, count = min(context // chunk * chunk, len(ids) - 1), len(ids)
    keys, values = plain.empty(count), plain.empty(count)
    for start in range(0, reused, chunk):
        alone = plain.empty(chunk), plain.empty(chunk)
        unturned, _ = plain.run(ids[start : start + chunk], list(range(chunk)), *alone)
        fits = min(chunk, reused - start)
        there = list(range(start, start + fits))
        for number, (k, v) in enumerate(zip(unturned, alone[1], strict=True)):
            keys[number][:, there], values[number][:, there] = plain.turned(k[:, :fits], there), v[:, :fits]
    chosen = []
    if wanted := round(recompute * reused):
        old = keys[1].clone(), values[1].clone()
        plain.run(ids[:reused], list(range(reused)), keys, values, until=1)
        apart = sum(((new - was) ** 2).sum((0, 2)) for new, was in zip((keys[1], values[1]), old, strict=True))
        chosen = sorted(apart[:reused].argsort(descending=True)[:wanted].tolist())
    positions = chosen + list(range(reused, count))
    _, logits = plain.run([ids[position] for position in positions], positions, keys, values)
    return keys, values, logits, len(positions)


@pytest.fixture(scope="module", params=FAMILIES)
def both(request, tmp_path_factory):
    spec = save_model(tmp_path_factory.mktemp(request.param), request.param)
    plain = AutoModelForCausalLM.from_pretrained(spec["path"], dtype=torch.float64).eval()
    return engines.load(spec, threads=1, device="cpu", dtype="float32"), Plain(plain, request.param)


@pytest.mark.parametrize(
    ("length", "question", "chunk", "recompute"),
    [
        (111, 9, 16, 0.15),
        (63, 0, 7, 0.5),
        (64, 0, 16, 0.15),  # no token is left behind the chunks
        (90, 5, 30, 0.0),
        (40, 40, 16, 0.15),  # no context
        (77, 3, 100, 0.15),  # no whole chunk
        (50, 1, 10, 1.0),
    ],
)
def test_stores_the_blend(both, length, question, chunk, recompute):
    engine, plain = both
    ids = tokens(length)
    talk = engine.start(make("cacheblend", {"chunk": chunk, "recompute": recompute}, 170), length)
    before = engine.counters.prefill_tokens
    talk.prefill(ids, question)
    keys, values, logits, computed = blended(plain, ids, length - question, chunk, recompute)
    assert engine.counters.prefill_tokens - before == computed
    assert torch.allclose(talk.logits.double(), logits, atol=1e-3)
    for layer in range(3):
        for ours, reference in zip(talk.store.rows(layer), (keys[layer], values[layer]), strict=True):
            assert torch.allclose(ours[0].double(), reference, atol=1e-4), layer


def test_passes_of_bounded_length_store_the_same(both, monkeypatch):
    engine, _ = both
    stored = []
    for step in (4096, 11):
        monkeypatch.setattr(engine, "prefill_chunk", step)
        monkeypatch.setattr(engine, "chunks", type(engine.chunks)())
        talk = engine.start(make("cacheblend", {"recompute": 0.3}, 170), 111)
        talk.prefill(tokens(111))
        stored.append(torch.cat([part for layer in range(3) for part in talk.store.rows(layer)]))
    assert torch.allclose(*stored, atol=1e-4)
