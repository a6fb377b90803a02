import dataclasses

import pytest
import torch
import torch.nn.functional as F

from scbench.minilm.model import IGNORE, MiniLlama, insert_layers, rotate
from scbench.minilm.optimizer import make_optimizers, set_learning_rate

LARGE = {"num_hidden_layers": 4, "hidden_size": 128, "intermediate_size": 256}


def layer_0_attention(model, ids):
    """Attention weights [heads, length, length] of the first layer, in float64."""
    layer = model.model.layers[0]
    with torch.no_grad():
        q, k, _ = layer.self_attn.project(
            layer.input_layernorm(model.model.embed_tokens(ids)), *model.rotation(ids.shape[1])
        )
    k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
    scores = (q[0].double() @ k[0].double().mT) / model.size.head_dim**0.5
    future = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(dim=-1)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("vocab_size", [700, 2880])
def test_each_head_of_layer_0_starts_on_its_own_offset(size, vocab_size, seed):
    model = MiniLlama(dataclasses.replace(size, **LARGE), vocab_size, seed)
    weights = layer_0_attention(model, torch.randint(vocab_size, (1, 1024)))
    for head in range(4):
        on_offset = weights[head].diagonal(-(head + 1))[8:]
        assert on_offset.mean() > 0.5, f"head {head} gives offset -{head + 1} only {on_offset.mean():.2f}"


def test_without_the_initialisation_no_head_prefers_a_neighbour(size, monkeypatch):
    monkeypatch.setattr("scbench.minilm.model.OFFSET_LOGIT", 0.0)
    weights = layer_0_attention(MiniLlama(size, 700), torch.randint(700, (1, 256)))
    assert all(weights[head].diagonal(-(head + 1))[64:].mean() < 0.1 for head in range(4))


def test_rotation_makes_scores_depend_on_distance_alone(size):
    model = MiniLlama(size, 300)
    q, k = torch.randn(2, 1, 1, 1, size.head_dim)
    cos, sin = model.rotation(40)
    at = lambda x, position: rotate(x, cos[position : position + 1], sin[position : position + 1])  # noqa: E731
    assert torch.allclose((at(q, 7) * at(k, 3)).sum(), (at(q, 39) * at(k, 35)).sum(), atol=1e-4)


def test_later_tokens_and_padding_do_not_change_earlier_positions(size):
    model = MiniLlama(size, 300)
    ids = torch.randint(300, (2, 33))
    changed = ids.clone()
    changed[:, 20:] = 0
    assert torch.allclose(model.hidden(ids)[:, :20], model.hidden(changed)[:, :20], atol=1e-6)


def test_logits_and_gradients_are_those_of_the_labelled_positions_of_a_whole_pass(size):
    model = MiniLlama(size, 300)
    ids = torch.randint(300, (3, 17))
    labels = torch.full_like(ids, IGNORE)
    labels[0, 4], labels[0, 9], labels[1, 16] = 7, 8, 9
    logits, wanted = model(ids, labels)
    full = F.linear(model.hidden(ids), model.model.embed_tokens.weight)
    expected = torch.stack([full[0, 4], full[0, 9], full[1, 16]])
    assert wanted.tolist() == [7, 8, 9]
    assert torch.allclose(logits, expected, atol=1e-5)
    parameters = list(model.parameters())
    found, right = (torch.autograd.grad(F.cross_entropy(out, wanted), parameters) for out in (logits, expected))
    for gradient, reference in zip(found, right, strict=True):
        assert (gradient - reference).norm() <= 1e-5 * reference.norm()


def test_the_seed_decides_the_weights(size):
    first, again, other = (MiniLlama(size, 300, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


@pytest.mark.parametrize("places", [(0,), (1,), (0, 1), (1, 1)])
def test_inserted_layers_change_nothing_until_they_are_trained(size, places):
    shallow = MiniLlama(size, 50, seed=0)
    ids = torch.randint(50, (2, 17), generator=torch.Generator().manual_seed(1))
    before, _ = shallow(ids, ids)
    deeper = insert_layers(shallow, places, seed=3)
    assert deeper.size.num_hidden_layers == len(deeper.model.layers) == size.num_hidden_layers + len(places)
    after, _ = deeper(ids, ids)
    assert torch.equal(before, after)
    optimizers = make_optimizers(deeper)
    set_learning_rate(optimizers, 1e-3)
    for _ in range(2):  # what a new layer writes moves in the first step, what it reads in the second
        logits, labels = deeper(ids, ids)
        F.cross_entropy(logits, labels).backward()
        for optimizer in optimizers.values():
            optimizer.step()
            optimizer.zero_grad()
    fresh = insert_layers(MiniLlama(size, 50, seed=0), places, seed=3).state_dict()
    moved = {name for name, tensor in deeper.state_dict().items() if not torch.equal(tensor, fresh[name])}
    new = places[0]
    assert {f"model.layers.{new}.self_attn.{part}_proj.weight" for part in "qkvo"} <= moved
