"""The tokenizer: every text survives it, phrases are one token, and building it twice gives the same bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from scbench import prompts
from scbench.minilm import tokenizer as minilm
from scbench.minilm.tokenizer import build_tokenizer, phrases
from scbench.places import ROOT
from scbench.tasks import NAMES, TASKS, Scale


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> PreTrainedTokenizerFast:
    folder = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(folder, sessions=5)
    return PreTrainedTokenizerFast.from_pretrained(folder)


@given(st.text())
@settings(deadline=None)
def test_any_text_survives(tokenizer, text):
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


@pytest.mark.parametrize("name", NAMES)
def test_sessions_survive_and_are_compact(tokenizer, name):
    session = TASKS[name].build(Scale(tokens=1024), 1, 0)
    texts = [session.context]
    texts += [prompts.question_text(name, turn, "clean") for turn in session.turns]
    texts += [prompts.answer_text(turn, "clean") for turn in session.turns]
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text
    # Word-level: no session falls back to bytes for much of its text.
    assert len(session.context.encode()) > 1.9 * len(tokenizer(session.context)["input_ids"])


@pytest.fixture(scope="module")
def bundled() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(ROOT / "resources" / "minilm")


@pytest.mark.parametrize("split", ["eval", "train"])
@pytest.mark.parametrize("name", NAMES)
def test_a_whole_conversation_survives_the_bundled_tokenizer_and_nothing_in_it_is_unknown(bundled, name, split):
    """Decoding gives what the chat template shows, character by character, and no piece falls back to bytes."""
    known = set(bundled.get_vocab())
    cut = bundled.backend_tokenizer.pre_tokenizer.pre_tokenize_str
    for index in range(6):
        session = TASKS[name].build(Scale(tokens=1024, split=split), 1, index)
        encoded = prompts.encode(
            session, "multi_turn", bundled, profile="clean", max_prompt_tokens=None, scale_name="mini"
        )
        ids = list(encoded.first)
        for query, answer in zip(encoded.queries, encoded.answers, strict=True):
            ids += query + answer
        said = [
            (prompts.question_text(name, turn, "clean"), prompts.answer_text(turn, "clean")) for turn in session.turns
        ]
        instruction = f"{prompts.INSTRUCTIONS[name]}\n\n" if name in prompts.INSTRUCTIONS else ""
        said[0] = (f"{instruction}{session.context}\n\n{said[0][0]}", said[0][1])
        messages = [
            {"role": role, "content": text}
            for pair in said
            for role, text in zip(("user", "assistant"), pair, strict=True)
        ]
        shown = bundled.apply_chat_template(messages, tokenize=False)
        assert f"{bundled.decode(ids)}<|end|>" == shown
        assert {piece for message in messages for piece, _ in cut(message["content"])} <= known


def test_a_phrase_is_one_token(tokenizer):
    for phrase in phrases():
        assert len(tokenizer(phrase)["input_ids"]) == 1, phrase


def test_codes_and_numbers(tokenizer):
    def pieces(text: str) -> list[str]:
        return [tokenizer.decode([token]) for token in tokenizer(text)["input_ids"]]

    assert pieces("k7f2") == ["k7", "f2"]
    assert pieces("4821") == ["48", "21"]
    assert pieces('JSON data:\n{"k7f2": "a1b2"}') == ['JSON data:\n{"', "k7", "f2", '": "', "a1", "b2", '"}']


def test_the_chat_template(tokenizer):
    messages = [{"role": role, "content": text} for role, text in (("user", "a"), ("assistant", "b"), ("user", "c"))]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "<s><|user|>a<|assistant|>b<|end|><|user|>c<|assistant|>"
    assert tokenizer.eos_token == "<|end|>" and tokenizer.bos_token == "<s>"


def test_built_twice_it_is_the_same(tmp_path):
    for name in ("a", "b"):
        build_tokenizer(tmp_path / name, sessions=1)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_its_size_suits_the_matrices(tokenizer):
    assert len(tokenizer) % minilm.VOCABULARY_MULTIPLE == 0
    assert len(tokenizer) < 4096
