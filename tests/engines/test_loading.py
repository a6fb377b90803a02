"""What is loaded, what is refused, and that it computes the same bits again."""

import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from scbench import engines
from scbench.engines.machine import Machine
from scbench.errors import UserError
from scbench.methods import METHODS, make
from tests.conformance.models import BEGIN, END, SIZES, VOCABULARY, save_model

CPU = dict(threads=1, device="cpu", dtype="float32")


@pytest.fixture
def copied(spec, tmp_path):
    """The checkpoint, in a directory of the test's own."""
    path = tmp_path / "model"
    shutil.copytree(spec["path"], path)
    return {"name": "llama", "path": str(path)}


def test_two_engines_of_one_checkpoint_compute_the_same_bits(spec, engine):
    again = engines.load(spec, **CPU)
    talks = [loaded.start(make("full", {}, 170), 50) for loaded in (engine, again)]
    for talk in talks:
        talk.prefill(tuple(range(3, 53)))
    assert torch.equal(talks[0].logits, talks[1].logits)


def test_the_threads_asked_for_are_used():
    try:
        Machine.of(2, "cpu", "float32").prepare()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_auto_is_resolved():
    here = Machine.of(1, "auto", "auto")
    assert (here.device.type, here.dtype) == (("cuda", "bfloat16") if torch.cuda.is_available() else ("cpu", "float32"))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"device": "tpu"}, "execution.device: 'tpu' is not one of auto, cpu, cuda"),
        ({"dtype": "int4"}, "execution.dtype: 'int4' is not one of"),
        ({"threads": 0}, "execution.threads: 0 is below 1"),
    ],
)
def test_machines_that_do_not_exist_are_refused(spec, how, words):
    with pytest.raises(UserError, match=words):
        engines.load(spec, **CPU | how)


def test_a_device_that_is_not_there_is_refused(spec, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="no usable CUDA device"):
        engines.load(spec, **CPU | {"device": "cuda"})


def test_a_missing_directory_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"models\.m\.path: .*nowhere is not a directory"):
        engines.load({"name": "m", "path": str(tmp_path / "nowhere")}, **CPU)


def test_pickled_weights_are_refused(copied):
    (weights,) = Path(copied["path"]).glob("*.safetensors")
    torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
    weights.unlink()
    with pytest.raises(UserError, match="other formats can run code"):
        engines.load(copied, **CPU)


def test_weights_cut_short_are_refused(copied):
    (weights,) = Path(copied["path"]).glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"models\.llama\.path: .*cannot be loaded"):
        engines.load(copied, **CPU)


def test_weights_that_lack_a_tensor_are_refused(copied):
    (weights,) = Path(copied["path"]).glob("*.safetensors")
    tensors = load_file(weights)
    del tensors["model.layers.1.self_attn.k_proj.weight"]
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks weights such as model\.layers\.1\.self_attn\.k_proj\.weight"):
        engines.load(copied, **CPU)


def test_code_of_a_checkpoint_is_never_run(copied):
    directory = Path(copied["path"])
    config = json.loads((directory / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "own.py").write_text(f"open({str(directory / 'ran')!r}, 'w')")
    with pytest.raises(UserError, match="cannot be loaded"):
        engines.load(copied, **CPU)
    assert not (directory / "ran").exists()


def test_a_model_with_another_kind_of_attention_is_refused(tmp_path):
    spec = save_model(tmp_path, "Mistral", sliding_window=16)
    with pytest.raises(UserError, match=r"models\.mistral: .*sliding"):
        engines.load(spec, **CPU)


def rewrite(spec: Mapping[str, str], name: str, **changes: object) -> None:
    """Change keys of a JSON file of the checkpoint; None takes a key out."""
    path = Path(spec["path"]) / name
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))


def add_tokens(spec: Mapping[str, str], *tokens: str, special: bool = False) -> None:
    """Give the checkpoint's tokenizer more tokens; a special one that it knows as a word becomes special."""
    tokenizer = AutoTokenizer.from_pretrained(spec["path"])
    tokenizer.add_tokens(list(tokens), special_tokens=special)
    tokenizer.save_pretrained(spec["path"])


def test_a_tokenizer_with_more_tokens_than_the_model_knows_is_refused(copied):
    add_tokens(copied, "one_too_many")
    with pytest.raises(
        UserError, match=rf"models\.llama\.path: .*'one_too_many' of id {VOCABULARY}.*{VOCABULARY}.*fetch"
    ):
        engines.load(copied, **CPU)


def test_a_tokenizer_that_does_not_match_is_refused_before_the_weights_are_read(copied):
    add_tokens(copied, "one_too_many")
    (weights,) = Path(copied["path"]).glob("*.safetensors")
    weights.write_bytes(b"")
    with pytest.raises(UserError, match="one_too_many"):
        engines.load(copied, **CPU)


def test_a_configuration_that_transformers_refuses_is_one_sentence(copied):
    rewrite(copied, "config.json", hidden_size="many")
    with pytest.raises(UserError, match=r"models\.llama\.path: .*cannot be loaded .*hidden_size") as caught:
        engines.load(copied, **CPU)
    assert "\n" not in str(caught.value)


def test_a_vocabulary_padded_beyond_the_tokenizer_is_accepted(tmp_path):
    """As Qwen2.5's: 152,064 rows, 151,665 tokens."""
    engines.load(save_model(tmp_path, vocab_size=128) | {"context": 512}, **CPU)


@pytest.mark.parametrize(("kind", "own", "stated"), [("bos", BEGIN, 50), ("eos", END, 50), ("eos", END, [50, 51])])
def test_special_tokens_of_another_model_are_refused(copied, kind, own, stated):
    rewrite(copied, "config.json", **{f"{kind}_token_id": stated})
    with pytest.raises(UserError) as caught:
        engines.load(copied, **CPU)
    words = (copied["path"], f"{kind}_token 'w{own}' of id {own}", f"{kind}_token_id {stated}", "another model's")
    assert all(word in str(caught.value) for word in words), caught.value


PUBLISHED = {
    "a list that has the tokenizer's, as Llama-3.1's": {"eos_token_id": [50, END, 51]},
    "another special token, as Llama-3-Instruct's and the Qwen2.5 base models'": {"eos_token_id": 60},
    "no begin token in the tokenizer, as Qwen2.5's": {"bos_token_id": 50},
    "nothing in the configuration, whose class has a default": {"bos_token_id": None, "eos_token_id": None},
}


@pytest.mark.parametrize("changes", PUBLISHED.values(), ids=PUBLISHED)
def test_special_tokens_as_published_models_have_them_are_accepted(copied, changes):
    add_tokens(copied, "w60", special=True)
    if changes.get("bos_token_id"):
        rewrite(copied, "tokenizer_config.json", bos_token=None)
    rewrite(copied, "config.json", **changes)
    engines.load(copied, **CPU)


TRAINED = SIZES["max_position_embeddings"]
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": TRAINED}


def test_a_context_beyond_the_positions_of_the_model_is_refused(copied):
    engines.load(copied | {"context": TRAINED}, **CPU)
    words = rf"models\.llama\.context: {TRAINED + 1}, but .*max_position_embeddings {TRAINED}: .*lower the context"
    with pytest.raises(UserError, match=words):
        engines.load(copied | {"context": TRAINED + 1}, **CPU)


def test_a_context_that_yarn_reaches_is_accepted_and_one_beyond_it_gets_a_warning(copied):
    rewrite(copied, "config.json", rope_parameters=YARN)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        engines.load(copied | {"context": 4 * TRAINED}, **CPU)
    with pytest.warns(UserWarning, match=rf"max_position_embeddings {TRAINED}, stretched to {4 * TRAINED}"):
        engines.load(copied | {"context": 4 * TRAINED + 1}, **CPU)


def test_a_context_that_the_tokenizer_states_gets_a_warning(copied):
    """As of Qwen2.5 without its YaRN: config.json has 32,768 positions, tokenizer_config.json 131,072 tokens."""
    rewrite(copied, "tokenizer_config.json", model_max_length=4 * TRAINED)
    with pytest.warns(UserWarning, match="answers about longer prompts"):
        engines.load(copied | {"context": 4 * TRAINED}, **CPU)
    with pytest.raises(UserError, match="lower the context"):
        engines.load(copied | {"context": 4 * TRAINED + 1}, **CPU)


def test_other_number_formats_answer_too(spec):
    half = engines.load(spec, threads=1, device="cpu", dtype="bfloat16")
    for name in METHODS:
        talk = half.start(make(name, {}, 170), 150)
        talk.prefill(tuple(range(3, 78)) * 2)
        talk.seal()
        talk.append((5, 6, 7))
        assert talk.store.rows(0)[0].dtype == torch.bfloat16
        assert talk.answer(3, ()).new_tokens == 3
