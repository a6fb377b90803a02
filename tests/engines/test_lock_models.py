"""The lock's models are of kinds that the engines compute as transformers does, shown on small random weights."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from scbench import engines
from scbench.methods import make
from scbench.models import read_models
from tests.conformance.models import save_model, tokens

CPU = dict(threads=1, device="cpu", dtype="float32")
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
# Architectures that tests/engines/test_against_transformers.py does not have.
KINDS = {
    "Llama-3.1 and 3.3: rotary frequencies stretched once and for all": ("Llama", {"rope_parameters": LLAMA3}),
    "Qwen3: normalised queries and keys": ("Qwen3", {}),
}
PAPER = {
    "llama_3_1_8b",
    "llama_3_1_70b",
    "qwen2_5_72b",
    "qwen2_5_32b",
    "llama_3_8b_262k",
    "glm_4_9b_1m",
    "codestral_mamba",
    "jamba",
}


def said(engine, ids):
    talk = engine.start(make("full", {}, 128), len(ids))
    talk.prefill(ids)
    talk.seal()
    return talk.answer(12, ()).token_ids


def generated(path, ids):
    plain = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.inference_mode():
        whole = plain.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False, eos_token_id=None)
    return tuple(whole[0, len(ids) :].tolist())


@pytest.mark.parametrize(("family", "settings"), KINDS.values(), ids=KINDS)
def test_they_say_what_transformers_says(tmp_path, family, settings):
    spec = save_model(tmp_path, family, **settings)
    assert said(engines.load(spec, **CPU), tokens(100)) == generated(spec["path"], tokens(100))


def test_rotary_settings_of_the_lock_replace_those_of_the_checkpoint(tmp_path):
    """As the publisher of Qwen2.5 has users write them into config.json."""
    spec = save_model(tmp_path, "Qwen2", max_position_embeddings=32)
    ours = said(engines.load(spec | {"rope": YARN, "context": 128}, **CPU), tokens(100))
    assert ours != generated(spec["path"], tokens(100))
    config = json.loads((tmp_path / "config.json").read_text())
    config["rope_parameters"] |= YARN
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert ours == generated(spec["path"], tokens(100))


def test_the_lock_has_the_papers_models_and_says_what_is_known_of_them():
    known = read_models()
    assert set(known) >= PAPER
    assert {name for name in PAPER if known[name].engine == "recurrent"} == {"codestral_mamba", "jamba"}
    assert {name for name, model in known.items() if model.gated} == {
        name for name, model in known.items() if (model.hub or "").startswith("meta-llama/")
    }
    for name in ("qwen2_5_72b", "qwen2_5_32b"):
        rope = known[name].rope
        assert rope["factor"] * rope["original_max_position_embeddings"] == known[name].context
    for model in known.values():
        assert bool(model.files) == (model.revision is not None or model.hub is None)
