"""A tokenizer of a few hundred entries, a model of a few thousand weights; the bundled tokenizer, for drills."""

import random

import pytest
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from scbench import prompts
from scbench.minilm import retold, thinned
from scbench.minilm.model import Size
from scbench.minilm.recipe import Recipe, Stage
from scbench.minilm.stream import token_counter
from scbench.minilm.texts import Texts
from scbench.minilm.thinned import TEXT_DRILLS
from scbench.minilm.tokenizer import CHAT_TEMPLATE, SPECIAL
from scbench.models import read_models
from scbench.tasks import retr_kv


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes, letter+digit codes and the phrases of the prompts and of retr_kv."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    codes = [f"{letter}{digit}" for letter in "abcdefghijklmnopqrstuvwxyz" for digit in range(10)]
    phrases = sorted({*prompts.PHRASES, *retr_kv.PHRASES}, key=len, reverse=True)
    bytelevel = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    pieces = ["".join(part for part, _ in bytelevel.pre_tokenize_str(phrase)) for phrase in phrases]
    names = list(dict.fromkeys([*SPECIAL, *letters, *codes, *pieces]))
    core = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[], ignore_merges=True))
    escaped = ["".join(f"\\x{{{ord(letter):x}}}" for letter in phrase) for phrase in phrases]
    pattern = "|".join([*escaped, "[a-z][0-9]", "[^\n]", "\n"])
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), bytelevel])
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(name, special=True) for name in SPECIAL])
    built = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="<|end|>",
        pad_token="<pad>",
        additional_special_tokens=["<|user|>", "<|assistant|>"],
    )
    built.chat_template = CHAT_TEMPLATE
    return built


@pytest.fixture(scope="session")
def size() -> Size:
    return Size(
        num_hidden_layers=2,
        hidden_size=64,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        intermediate_size=96,
        rope_theta=1e5,
    )


@pytest.fixture
def recipe(size) -> Recipe:
    """Two stages, so that a resumed run may cross from one into the next."""
    stages = (
        Stage("first", 64, 128, 4, (4e-3, 4e-3), 10, {"retr_kv": 1, "repeat": 1}),
        Stage("second", 96, 160, 26, (2e-3, 2e-4), 10, {"retr_kv": 1}, {"retr_kv": 0.99}),
    )
    return Recipe("tiny", 0, size, 512, 0.65, 5, 2, stages)


@pytest.fixture(scope="session")
def words() -> PreTrainedTokenizerFast:
    """The bundled tokenizer: a word, a name or a frame of a sentence is a token."""
    return PreTrainedTokenizerFast.from_pretrained(read_models()["minilm"].directory)


@pytest.fixture(scope="session")
def texts(words):
    """What makes drills of texts of `tokens` tokens, of `length` with their questions."""

    def encode(text):
        return words.backend_tokenizer.encode(text, add_special_tokens=False).ids

    return lambda tokens=96, length=400: Texts(encode, token_counter(words), tokens, length)


@pytest.fixture
def drill(words, texts, monkeypatch):
    """Token ids of a document, what is asked in it, and its (question, answer) in words; the first has the text too.

    A text that is thinned shows the share `shown` of the rest; None: as drawn, of what is never thinned.
    """

    def build(name, seed, shown, tokens=96, length=400):
        with monkeypatch.context() as patch:
            for module in (retold, thinned) if shown is not None else ():
                patch.setattr(module, "share", lambda rng: shown)
            ids, asked = TEXT_DRILLS[name](random.Random(seed), texts(tokens, length))
        ends = [0, *(answer.stop for answer in asked)]
        pairs = [
            (words.decode(ids[end : answer.start]), words.decode(ids[answer.start : answer.stop]))
            for end, answer in zip(ends, asked, strict=False)
        ]
        return ids, asked, pairs

    return build
