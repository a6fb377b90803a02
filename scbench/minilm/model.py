"""A Llama in plain torch, with the parameter names of transformers, and an initialisation that learns look-ups quickly.

Training needs nothing of a serving stack; a module of this size is faster without it. `scbench.minilm.export` proves
that the weights mean the same to transformers.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RMS_EPS = 1e-5
IGNORE = -100


@dataclass(frozen=True)
class Size:
    """Sizes of the network; field names follow `LlamaConfig`."""

    num_hidden_layers: int
    hidden_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    intermediate_size: int
    rope_theta: float


def inverse_frequencies(size: Size) -> Tensor:
    """Angle per position of every rotary pair, [head_dim / 2] (RoFormer, section 3.2.2)."""
    exponents = torch.arange(0, size.head_dim, 2, dtype=torch.float32) / size.head_dim
    return 1.0 / size.rope_theta**exponents


class RMSNorm(nn.Module):
    def __init__(self, hidden_size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, RMS_EPS)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of x [batch, heads, length, head_dim]; cos and sin are [length, head_dim]."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class Attention(nn.Module):
    """Causal grouped-query attention over rotated queries and keys."""

    def __init__(self, size: Size):
        super().__init__()
        self.size = size
        self.q_proj = nn.Linear(size.hidden_size, size.num_attention_heads * size.head_dim, bias=False)
        self.k_proj = nn.Linear(size.hidden_size, size.num_key_value_heads * size.head_dim, bias=False)
        self.v_proj = nn.Linear(size.hidden_size, size.num_key_value_heads * size.head_dim, bias=False)
        self.o_proj = nn.Linear(size.num_attention_heads * size.head_dim, size.hidden_size, bias=False)

    def project(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [batch, heads, length, head_dim], keys and values [batch, kv_heads, length, head_dim]."""
        batch, length, _ = x.shape
        shape = (batch, length, -1, self.size.head_dim)
        q, k, v = (proj(x).view(shape).transpose(1, 2) for proj in (self.q_proj, self.k_proj, self.v_proj))
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, at: Tensor | None = None) -> Tensor:
        """Output [batch, n, hidden] at the positions `at` [batch, n] of x [batch, length, hidden]; at all without."""
        q, k, v = self.project(x, cos, sin)
        group = self.size.num_attention_heads // self.size.num_key_value_heads
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        if at is None:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            asking = torch.take_along_dim(q, at[:, None, :, None], dim=2)
            seen = torch.arange(k.shape[2], device=at.device) <= at[:, None, :, None]
            mixed = F.scaled_dot_product_attention(asking, k, v, attn_mask=seen)
        return self.o_proj(mixed.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, size: Size):
        super().__init__()
        self.gate_proj = nn.Linear(size.hidden_size, size.intermediate_size, bias=False)
        self.up_proj = nn.Linear(size.hidden_size, size.intermediate_size, bias=False)
        self.down_proj = nn.Linear(size.intermediate_size, size.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, size: Size):
        super().__init__()
        self.self_attn = Attention(size)
        self.mlp = MLP(size)
        self.input_layernorm = RMSNorm(size.hidden_size)
        self.post_attention_layernorm = RMSNorm(size.hidden_size)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, at: Tensor | None = None) -> Tensor:
        """As `Attention.forward`: of the positions `at` alone, or of all."""
        mixed = self.self_attn(self.input_layernorm(x), cos, sin, at)
        x = mixed + (x if at is None else torch.take_along_dim(x, at[:, :, None], dim=1))
        return x + self.mlp(self.post_attention_layernorm(x))


class Backbone(nn.Module):
    def __init__(self, size: Size, vocab_size: int):
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab_size, size.hidden_size)
        self.layers = nn.ModuleList(Block(size) for _ in range(size.num_hidden_layers))
        self.norm = RMSNorm(size.hidden_size)


class MiniLlama(nn.Module):
    """The language model; the output projection is the embedding itself (tied), as in `tie_word_embeddings`."""

    def __init__(self, size: Size, vocab_size: int, seed: int = 0):
        super().__init__()
        self.size = size
        self.vocab_size = vocab_size
        self.model = Backbone(size, vocab_size)
        self.register_buffer("inv_freq", inverse_frequencies(size), persistent=False)
        initialise(self, seed)

    def rotation(self, length: int) -> tuple[Tensor, Tensor]:
        """cos and sin [length, head_dim] of positions 0 .. length - 1."""
        angles = torch.outer(torch.arange(length, device=self.inv_freq.device, dtype=torch.float32), self.inv_freq)
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos(), angles.sin()

    def hidden(self, ids: Tensor, at: Tensor | None = None) -> Tensor:
        """Final hidden states [batch, n, hidden] at the positions `at` [batch, n] of ids [batch, length]; or at all."""
        cos, sin = self.rotation(ids.shape[1])
        x = self.model.embed_tokens(ids)
        *layers, last = self.model.layers
        for layer in layers:
            x = layer(x, cos, sin)
        return self.model.norm(last(x, cos, sin, at))

    def forward(self, ids: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [n, vocab] at the n positions whose label [batch, length] is not `IGNORE`, and those labels [n].

        Padding on the right needs no mask: attention is causal, so no position with a label sees it. Logits exist for
        labelled positions only, because the projection onto the vocabulary would otherwise dominate the cost; the last
        layer computes those alone too, as nothing attends to what it puts out, which saves about a tenth of a step.
        """
        keep = labels != IGNORE
        # The labelled positions of each row in their order; where a row has fewer than another, some without a label.
        at = keep.byte().argsort(dim=1, descending=True, stable=True)[:, : int(keep.sum(dim=1).max())]
        labelled = keep.gather(1, at)
        return F.linear(self.hidden(ids, at)[labelled], self.model.embed_tokens.weight), labels[keep]


# Attention logit that a layer-0 head gives the offset it is initialised for, per rotary pair that takes part. Large
# enough that the head puts most of its attention there (a test holds it to that), small enough that it can still move.
OFFSET_LOGIT = 3.0
# A rotary pair takes part if it turns at least this far per position: slower pairs cannot tell neighbours apart.
SLOWEST_ANGLE = 0.02


def _scale(name: str, parameter: Tensor, layers: int) -> float:
    """Standard deviation of a matrix at the start; what writes into the residual stream is divided by its depth."""
    std = 1 / math.sqrt(parameter.shape[1])
    return std / math.sqrt(2 * layers) if name.endswith(("o_proj.weight", "down_proj.weight")) else std


@torch.no_grad()
def insert_layers(model: MiniLlama, places: Sequence[int], seed: int) -> MiniLlama:
    """A deeper model that computes the same: a new layer, which adds nothing yet, before each layer in `places`.

    `places` number the layers of `model` and ascend. What a new layer would write into the residual stream is zero;
    its other matrices start as in `initialise`.
    """
    size = dataclasses.replace(model.size, num_hidden_layers=model.size.num_hidden_layers + len(places))
    deeper = MiniLlama(size, model.vocab_size, seed).to(model.inv_freq.device)
    generator = torch.Generator().manual_seed(seed)
    layers: list[Block] = []
    for number, layer in enumerate(model.model.layers):
        for _ in range(places.count(number)):
            new = Block(size)
            for name, parameter in new.named_parameters():
                if name.endswith(("o_proj.weight", "down_proj.weight")):
                    parameter.zero_()
                elif parameter.dim() == 2:
                    parameter.normal_(0.0, _scale(name, parameter, size.num_hidden_layers), generator=generator)
            layers.append(new.to(model.inv_freq.device))
        layers.append(layer)
    deeper.model.layers = nn.ModuleList(layers)
    deeper.model.embed_tokens, deeper.model.norm = model.model.embed_tokens, model.model.norm
    return deeper


@torch.no_grad()
def initialise(model: MiniLlama, seed: int) -> None:
    """Scaled normal weights; layer-0 heads start by attending to offsets -1, -2, ... -num_attention_heads.

    Retrieval is a look-up: find the earlier occurrence of a key and read what stands beside it. The circuit for it
    needs a first layer that tells every token its neighbours; from a random start it takes millions of tokens to form,
    which is most of the budget of a model this small. So it is given:

    - every embedding gets the same component along the all-ones direction u, as long as its random part; after the
      first norm, projecting on u then gives 1 at every token, whatever the token is;
    - keys of layer 0 carry a constant vector along that projection, queries of head h the same vector turned by
      h + 1 positions, so that the rotary product peaks where key position = query position - (h + 1).

    The rest of those projections stays random, at a third of its usual scale. Everything remains trainable.
    """
    size = model.size
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.dim() != 2:
            continue
        parameter.normal_(0.0, _scale(name, parameter, size.num_hidden_layers), generator=generator)

    embedding = model.model.embed_tokens.weight
    embedding.sub_(embedding.mean(dim=1, keepdim=True)).add_(1 / math.sqrt(size.hidden_size))
    # x = norm(embedding) has |x| = sqrt(hidden), half of its energy along ones: x . read = 1.
    read = torch.full((size.hidden_size,), math.sqrt(2) / size.hidden_size)

    attention = model.model.layers[0].self_attn
    taking_part = (model.inv_freq > SLOWEST_ANGLE).float() * math.sqrt(OFFSET_LOGIT * math.sqrt(size.head_dim))
    key = torch.cat([taking_part, torch.zeros_like(taking_part)])
    for head in range(size.num_key_value_heads):
        rows = slice(head * size.head_dim, (head + 1) * size.head_dim)
        attention.k_proj.weight[rows] = attention.k_proj.weight[rows] * 0.3 + torch.outer(key, read)
    for head in range(size.num_attention_heads):
        rows = slice(head * size.head_dim, (head + 1) * size.head_dim)
        turn = -(head + 1) * model.inv_freq
        query = torch.cat([taking_part * turn.cos(), taking_part * turn.sin()])
        attention.q_proj.weight[rows] = attention.q_proj.weight[rows] * 0.3 + torch.outer(query, read)
