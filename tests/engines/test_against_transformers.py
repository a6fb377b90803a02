"""The engine computes what transformers computes by itself, with the same masks spelled out."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from scbench import engines
from scbench.methods import make
from tests.conformance.models import FAMILIES, save_model, tokens


@pytest.fixture(scope="module", params=FAMILIES)
def both(request, tmp_path_factory):
    """An engine, and the same checkpoint as plain transformers loads it."""
    spec = save_model(tmp_path_factory.mktemp(request.param), request.param)
    plain = AutoModelForCausalLM.from_pretrained(spec["path"], dtype=torch.float32, attn_implementation="eager").eval()
    return engines.load(spec, threads=1, device="cpu", dtype="float32"), plain


def expected(plain, ids, allowed):
    """Logits of every row of `ids` under the boolean mask `allowed` [T, T]."""
    bias = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)
    with torch.inference_mode():
        return plain(torch.tensor([ids]), attention_mask=bias[None, None], use_cache=False).logits[0]


def ours(engine, method, ids, first):
    """Logits after the first prompt and after each later piece: 9 tokens, then one by one."""
    talk = engine.start(method, first)
    talk.prefill(ids[:first])
    seen = [talk.logits]
    talk.seal()
    for start, stop in [(first, first + 9), *((n, n + 1) for n in range(first + 9, len(ids)))]:
        talk.append(ids[start:stop])
        seen.append(talk.logits)
    return torch.stack(seen)


def causal(total):
    return torch.ones(total, total, dtype=torch.bool).tril()


def agree(both, method, first, allowed):
    """Whether the engine under `method` computes what plain transformers does under the mask `allowed`."""
    engine, plain = both
    ids, rows = tokens(first + 14), [first - 1, *range(first + 8, first + 14)]
    logits = expected(plain, ids, allowed & causal(first + 14))
    return torch.allclose(ours(engine, method, ids, first), logits[rows], atol=1e-4)


@pytest.mark.parametrize("first", [1, 64, 101])
def test_full_attention(both, first):
    assert agree(both, make("full", {}, 128), first, causal(first + 14))


@pytest.mark.parametrize(
    ("name", "settings", "last"),
    [("a_shape", {"sink": 5, "local": 20}, 0), ("tri_shape", {"sink": 5, "local": 20, "last": 9}, 9)],
)
def test_sparse_prefill(both, name, settings, last):
    i, j = torch.arange(115)[:, None], torch.arange(115)
    assert agree(both, make(name, settings, 128), 101, (i >= 101 - last) | (j < 5) | (i - j < 20))


def test_dropped_keys_and_positions_that_keep_counting(both):
    i, j = torch.arange(115)[:, None], torch.arange(115)
    method = make("streaming_llm", {"sink": 5, "local": 20}, 128)
    assert agree(both, method, 101, (i < 101) | (j < 5) | (j >= 101 - 20))


def test_greedy_decoding(both):
    engine, plain = both
    ids = tokens(40)
    with torch.inference_mode():
        whole = plain.generate(torch.tensor([ids]), max_new_tokens=20, do_sample=False, eos_token_id=None)[0, 40:]
    talk = engine.start(make("full", {}, 128), 40)
    talk.prefill(ids)
    talk.seal()
    assert talk.answer(20, ()).token_ids == tuple(whole.tolist())


def test_passes_of_bounded_length(both, monkeypatch):
    engine, plain = both
    monkeypatch.setattr(engine, "prefill_chunk", 17)
    ids = tokens(115)
    logits = expected(plain, ids, causal(115))
    assert torch.allclose(ours(engine, make("full", {}, 128), ids, 101)[0], logits[100], atol=1e-4)


def test_positions_beyond_the_prepared_table(both):
    engine, _ = both
    engine._positions = torch.arange(8)[None]
    talk = engine.start(make("full", {}, 128), 20)
    talk.prefill(tokens(20))
    assert engine._positions.shape[1] >= 20
    assert torch.equal(engine._positions[0], torch.arange(engine._positions.shape[1]))
