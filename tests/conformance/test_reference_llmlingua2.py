"""LLMLingua-2's rule in the obvious way: words, their means, the percentile of each chunk, what is left of a text."""

import random
import re
import string

import pytest
import torch
from transformers import XLMRobertaConfig, XLMRobertaForTokenClassification, XLMRobertaTokenizer

from scbench.errors import UserError
from scbench.methods import make
from scbench.methods.generation import token_classifier
from scbench.methods.generation.kept_words import Word, chosen, forced_runs, kept_spans, words_of
from scbench.methods.generation.token_classifier import TokenClassifier, chunk_stops, tokens_of

FORCE = ("\n", "?")
TEXT = 'The quick brown fox: "jumps" over\nthe lazy dog. Who saw it? Nobody,  not even the cat-like\n\nowl of 42 trees.'


def save_xlm_roberta(directory, labels=2, rows=None, positions=514):
    """A random XLM-RoBERTa for two labels with a small SentencePiece-like vocabulary, as a checkpoint."""
    pieces = sorted({f"▁{word[:3]}" for word in re.findall(r"\w+", TEXT)} | {"▁", *string.printable.split()[0]})
    special = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    vocabulary = [*((token, 0.0) for token in special), *((piece, -2.0) for piece in pieces)]
    XLMRobertaTokenizer(vocab=vocabulary).save_pretrained(directory)
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=rows or len(vocabulary),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=positions,
        initializer_range=2.0,
        num_labels=labels,
    )
    XLMRobertaForTokenClassification(config).save_pretrained(directory)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    place = tmp_path_factory.mktemp("xlm_roberta")
    save_xlm_roberta(place)
    return place


@pytest.fixture(scope="module")
def classifier(directory):
    return TokenClassifier("llmlingua2.classifier", directory, "cpu")


def percentile(values, percent):
    """The value below which `percent` of `values` lie, linear between two of them."""
    values = sorted(values)
    place = (len(values) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


@pytest.mark.parametrize("rate", [1 / 2, 1 / 3, 1 / 4, 1 / 8, 1 / 32, 0.02])
@pytest.mark.parametrize("count", [1, 2, 7, 63, 111])
def test_kept_is_what_lies_above_the_percentile_of_all_tokens(rate, count):
    rng = random.Random(f"{rate} {count}")
    words = [Word(2 * n, 2 * n + 1, rng.randint(1, 4), rng.random()) for n in range(count)]
    threshold = percentile([word.probability for word in words for _ in range(word.tokens)], int(100 * (1 - rate) + 1))
    expected = [word.probability > threshold for word in words]
    if not any(expected):
        expected = [word == max(words, key=lambda other: other.probability) for word in words]
    assert chosen(words, rate) == expected
    kept = sum(word.tokens for word, stays in zip(words, expected, strict=True) if stays)
    assert kept <= rate * sum(word.tokens for word in words) or sum(expected) == 1


def test_forced_words_stay_though_they_fill_the_budget():
    words = [Word(n, n + 1, 1, 1.0 if n % 2 else 0.5 + n / 100, bool(n % 2)) for n in range(20)]
    assert chosen(words, 1 / 4) == [bool(n % 2) for n in range(20)]
    assert chosen([], 1 / 2) == []


def test_words_begin_at_the_underline_of_sentencepiece_and_at_marks(classifier):
    ids, spans = tokens_of(classifier._tokenizer, TEXT)
    tokens = classifier._tokenizer.convert_ids_to_tokens(ids)
    starts = [word.start for word in words_of(TEXT, spans, [0.5] * len(spans), [])]
    for token, (start, _), (_, end) in zip(tokens[1:], spans[1:], spans, strict=False):
        letters = TEXT[start].isalnum() and TEXT[end - 1].isalnum()
        assert (start in starts) is (token.startswith("▁") or not letters), token
    assert [TEXT[word.start : word.stop] for word in words_of(TEXT, spans, [0.5] * len(spans), [])][:5] == [
        "The",
        "quick",
        "brown",
        "fox",
        ":",
    ]


def test_a_word_is_as_probable_as_its_tokens_are_in_the_mean():
    text = "stream lining, it"
    spans = [(0, 3), (3, 6), (6, 10), (10, 13), (13, 14), (14, 17)]
    words = words_of(text, spans, [0.1, 0.2, 0.3, 0.6, 0.7, 0.9], [])
    assert [(text[w.start : w.stop], w.tokens, round(w.probability, 9)) for w in words] == [
        ("stream", 2, 0.15),
        (" lining", 2, 0.45),
        (",", 1, 0.7),
        (" it", 1, 0.9),
    ]


def test_ideographs_are_words_of_their_own_and_bytes_of_one_letter_are_not():
    words = words_of("周强住", [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)], [0.1, 0.2, 0.3, 0.4, 0.5], [])
    assert [(word.start, word.stop, word.tokens) for word in words] == [(0, 1, 1), (1, 2, 3), (2, 3, 1)]


def test_forced_strings_are_words_of_probability_one(classifier):
    words = [word for chunk in classifier.words(TEXT, FORCE) for word in chunk]
    forced = [(TEXT[word.start : word.stop], word.tokens, word.probability) for word in words if word.forced]
    assert forced == [("\n", 1, 1.0), ("?", 1, 1.0), ("\n\n", 1, 1.0)]
    assert not any(word.forced for chunk in classifier.words(TEXT, ()) for word in chunk)


def test_a_forced_string_within_a_token_counts_as_nothing():
    words = words_of("a.\nb", [(0, 1), (1, 3), (3, 4)], [0.1, 0.2, 0.3], forced_runs("a.\nb", FORCE))
    assert [(word.start, word.stop, word.tokens, word.forced) for word in words] == [
        (0, 1, 1, False),
        (1, 3, 1, False),
        (2, 3, 0, True),
        (3, 4, 1, False),
    ]


def left(text, spans, stays):
    """What is left of `text` when of the words at `spans` those stay; forced strings always do."""
    runs = forced_runs(text, FORCE)
    words = words_of(text, spans, [0.5] * len(spans), runs)
    stays = iter(stays)
    return "".join(
        text[start:stop] for start, stop in kept_spans(text, words, [word.forced or next(stays) for word in words])
    )


def test_what_is_left_keeps_words_apart_and_lines_without_words_away():
    text = "one two\nthree four\nfive six"
    spans = [(0, 3), (4, 7), (8, 13), (14, 18), (19, 23), (24, 27)]
    assert left(text, spans, [True] * 6) == text
    assert left(text, spans, [False, True, False, True, False, True]) == " two\n four\n six"
    assert left(text, spans, [True, False, False, False, True, False]) == "one\nfive"
    text = "at the home of Ada"  # the white space is the first token's
    assert left(text, [(0, 15), (15, 18)], [False, True]) == "Ada"
    assert left("x at Ada", [(0, 1), (1, 5), (5, 8)], [True, False, True]) == "x Ada"


def test_a_text_without_a_word_leaves_nothing(classifier):
    assert classifier.words("", FORCE) == classifier.words(" \n", FORCE) == []
    assert kept_spans(" \n", [], []) == []


def test_a_run_between_two_chunks_is_found_once(classifier, monkeypatch):
    monkeypatch.setattr(token_classifier, "CHUNK", 5)
    runs = [word[:2] for chunk in classifier.words(TEXT, FORCE) for word in chunk if word.forced]
    assert runs == forced_runs(TEXT, FORCE)
    text = "? Who ? it ?"
    assert sum(word.forced for chunk in classifier.words(text, FORCE) for word in chunk) == 3


def test_the_mark_between_documents_is_dropped(classifier):
    text = "one<|endoftext|>two"
    words = [word for chunk in classifier.words(text, FORCE) for word in chunk]
    spans = kept_spans(text, words, [True] * len(words))
    assert "".join(text[start:stop] for start, stop in spans) == "onetwo"


@pytest.mark.parametrize("room", [1, 5, 8, 100])
def test_chunks_end_with_a_sentence_where_one_ends(room):
    rng = random.Random(room)
    ends = [rng.random() < 0.2 for _ in range(97)]
    stops, start = chunk_stops(ends, room), 0
    for stop in stops:
        assert 0 < stop - start <= room
        if stop < len(ends):
            last = [place for place in range(start, start + room) if ends[place]]
            assert stop == (last[-1] + 1 if last else start + room)
        start = stop
    assert start == len(ends)


def test_tokens_are_judged_within_their_chunk_alone(classifier, monkeypatch):
    """Each chunk between the special tokens, padding aside, as the model alone would see it."""
    monkeypatch.setattr(token_classifier, "CHUNK", 12)
    tokenizer, model = classifier._tokenizer, classifier._model
    ids, spans = tokens_of(tokenizer, TEXT)
    found = [word for chunk in classifier.words(TEXT, ()) for word in chunk]
    stops = chunk_stops([token_classifier.ends_chunk(TEXT[start:stop]) for start, stop in spans], 10)
    expected, start = [], 0
    for stop in stops:
        logits = model(torch.tensor([[0, *ids[start:stop], 2]])).logits[0, 1:-1].double()
        probabilities = (logits[:, 1].exp() / logits.exp().sum(-1)).tolist()
        expected += words_of(TEXT, spans[start:stop], probabilities, [])
        start = stop
    assert len(stops) > 3
    assert [word[:3] for word in found] == [word[:3] for word in expected]
    assert all(abs(a.probability - b.probability) < 1e-5 for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("budget", ["1/2", "1/4"])
def test_the_published_kind_of_classifier_runs_by_the_same_code(directory, budget):
    """A random XLM-RoBERTa in a directory: whole words, in their order, about the share that the budget says."""
    text = " ".join(TEXT.replace("\n", " ").split() * 40)
    method = make("llmlingua2", {"budget": budget, "classifier": f"{directory}"}, 4096)
    spans = method.shorten(text, "cpu")
    kept = "".join(text[start:stop] for start, stop in spans)
    assert 0.5 * method.budget < len(kept) / len(text) < 1.5 * method.budget
    for start, stop in spans:
        assert not (text[start].isalnum() and start and text[start - 1].isalnum())
        assert stop == len(text) or not (text[stop - 1].isalnum() and text[stop].isalnum())
    assert method.shorten(text, "cpu") == spans


def test_a_classifier_that_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"llmlingua2\.classifier: .* cannot be loaded .*fetch the classifier again"):
        TokenClassifier("llmlingua2.classifier", tmp_path, "cpu")
    save_xlm_roberta(tmp_path / "three", labels=3)
    with pytest.raises(UserError, match=r"tells 3 labels apart, not kept from dropped"):
        TokenClassifier("llmlingua2.classifier", tmp_path / "three", "cpu")
    save_xlm_roberta(tmp_path / "short", positions=130)
    with pytest.raises(UserError, match=r"reads 130 tokens at once, fewer than the 512 of a chunk"):
        TokenClassifier("llmlingua2.classifier", tmp_path / "short", "cpu")
    save_xlm_roberta(tmp_path / "rows", rows=20)
    with pytest.raises(UserError, match=r"knows a token .* has vocab_size 20: it is another model's"):
        TokenClassifier("llmlingua2.classifier", tmp_path / "rows", "cpu")
