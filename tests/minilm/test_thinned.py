"""The drills on texts: what they ask follows from what they show, and what they show is a text, thinned or whole."""

import json
import random
import re
from collections import Counter
from itertools import pairwise

import pytest

from scbench.minilm import thinned
from scbench.minilm.texts import share, thin
from scbench.minilm.thinned import TEXT_DRILLS
from scbench.tasks import functions, mix_sum_niah, papers, retr_kv
from scbench.tasks.base import belongs
from scbench.tasks.en_sum import EN_SUM
from scbench.tasks.mini import composed, fill

SEEDS = range(25)


def test_a_thinned_text_keeps_what_is_kept_where_it_stands_first_and_a_share_of_the_rest():
    ids = [7, 1, 2, 3, 1, 4, 2, 9]
    assert thin(random.Random(0), ids, [1, 2, 9, 100], 0.0) == [1, 2, 9]
    assert thin(random.Random(0), ids, [1, 2], 1.0) == ids
    lengths = [len(thin(random.Random(seed), range(1000), range(0, 1000, 2), 0.3)) for seed in range(20)]
    assert min(lengths) > 600 and max(lengths) < 700
    for seed in range(20):
        left = thin(random.Random(seed), ids, [1, 2], 0.5)
        rest = iter(ids)
        assert all(token in rest for token in left) and {1, 2} <= set(left)


@pytest.mark.parametrize("name", TEXT_DRILLS)
@pytest.mark.parametrize("length", [60, 120, 400])
@pytest.mark.parametrize("shown", [0.0, 0.5, 1.0])
def test_a_document_ends_with_an_answer_and_keeps_its_length(name, length, shown, drill):
    for seed in SEEDS:
        ids, asked, _ = drill(name, seed, shown, length=length)
        assert asked and (len(ids) <= length or len(asked) == 1)
        assert asked[-1].stop == len(ids) and all(len(answer) for answer in asked)
        assert all(first.stop < second.start for first, second in pairwise(asked))


@pytest.mark.parametrize("shown", [0.0, 0.5, 1.0])
def test_nouns_are_answered_with_the_name_of_the_function_that_takes_them(shown, texts, drill):
    for seed in SEEDS:
        rng = random.Random(seed)
        scale = texts().scale(rng)  # drawn first, so that they can be drawn again
        _, repository = functions.repository(rng, scale, scale.tokens)
        _, _, pairs = drill("naming", seed, shown)
        taken = {function.name: set(re.findall("[a-z]+", function.code)) for function in repository}
        for question, answer in pairs[1:]:
            nouns = {word for word in re.findall("[a-z]+", question) if word in functions.NOUNS}
            assert nouns and answer.startswith(" ")
            assert any(name.startswith(answer.strip()) and nouns <= taken[name] for name in taken)
        if shown == 1:
            assert max(Counter(answer for _, answer in pairs).values()) <= 2
            context = "".join(text for _, text in functions.units(repository))
            assert pairs[0][0].startswith(context) and all(answer.strip() in taken for _, answer in pairs)


def test_a_question_is_a_noun_alone_or_some_words_and_the_word_that_opens_a_definition():
    function = functions.Function("draw_layer", "long draw_layer(\n", "Adds the helmet and the saddle, then triples.")
    questions = {thinned._question(random.Random(seed), function, "saddle").removeprefix("\n\n") for seed in range(400)}
    opening = functions.GAP + "long"
    assert {" saddle", " saddle" + opening, f" {function.description}{opening}"} <= questions
    for question in questions:
        words = question.removesuffix(opening)
        assert "saddle" in words and (words in f" {function.description}" or words == " saddle")


def dictionaries(drill):
    """(strings, question, answer) of dictionaries: of those asked about as in the task, and of the others."""
    found = {True: [], False: []}
    for seed in range(120):
        _, _, pairs = drill("affixes", seed, None, tokens=64, length=160)
        text, first = re.fullmatch(r'(Dictionary = \[".+"\])(.+)', pairs[0][0], re.DOTALL).groups()
        strings = re.findall('"([^"]+)"', text)
        for question, answer in [(first, pairs[0][1]), *pairs[1:]]:
            found["Prefix" in question].append((strings, question.strip(), answer))
    return found


def test_both_affixes_lead_to_one_string_of_the_training_half(drill):
    found = dictionaries(drill)
    for strings, question, answer in found[True]:
        prefix, suffix = re.fullmatch(r"Prefix: (..); Suffix: (..)\. The word .* is", question).groups()
        assert [one for one in strings if one.startswith(prefix) and one.endswith(suffix)] == [answer]
        assert all(belongs(one, "train") for one in strings)
    for strings, question, answer in found[False]:
        prefix, suffix = question[:2], question[-2:]  # one code where both are the same
        assert question in (prefix + suffix, prefix) and prefix + answer + suffix in strings
        assert sum(one.startswith(prefix) and one.endswith(suffix) for one in strings) == 1
    assert min(map(len, found.values())) > 300


def test_the_suffix_alone_tells_some_strings_apart_and_neither_affix_others(drill):
    prefixes = [len({one[:2] for one in strings}) / len(strings) for strings, _, _ in dictionaries(drill)[True]]
    assert 0.4 < sum(share < 0.1 for share in prefixes) / len(prefixes) < 0.6
    assert sum(0.1 < share < 0.6 for share in prefixes) / len(prefixes) > 0.2


def test_a_long_dictionary_takes_as_many_prefixes_as_it_needs(drill):
    for seed in range(8):
        ids, asked, pairs = drill("affixes", seed, None, tokens=2048, length=2400)
        strings = re.findall('"([^"]+)"', pairs[0][0])
        assert len(strings) > 400 and len({one[:2] + one[-2:] for one in strings}) == len(strings)
        assert len(ids) <= 2400 and len(asked) > 5


def test_on_a_shelf_without_its_frames_a_claim_stands_right_behind_what_it_is_asked_with(drill):
    kinds = Counter()
    known = {"method": papers.METHODS[0], "data": papers.DATA[0], "problem": papers.PROBLEMS[0]}
    for seed in range(80):
        _, _, pairs = drill("claims", seed, 0.0)
        for question, answer in pairs[1:]:
            first = answer.split()[0]
            kind = next((kind for kind, words in known.items() if first in words), "finding")
            kinds[kind] += 1
            assert first in papers.EFFECTS or kind != "finding"
            assert question.isdigit() == (kind not in thinned.BY_METHOD)
            assert question + answer in pairs[0][0] and pairs[0][0].count(question) == 1, (pairs, question)
            if kind != "finding":
                assert belongs(answer.strip(), "train")
    assert set(kinds) == {*known, "finding"} and min(kinds.values()) > 20


@pytest.mark.parametrize("tokens", [96, 256])
def test_a_claim_of_a_whole_shelf_goes_on_from_its_summary_as_the_task_writes_it(tokens, texts, drill):
    referring = 0
    for seed in SEEDS:
        rng = random.Random(seed)
        scale = texts(tokens).scale(rng)  # drawn first, so that they can be drawn again
        shelf = papers.shelf(rng, scale, 1, max(scale.tokens, EN_SUM.min_tokens))
        _, _, pairs = drill("claims", seed, 1.0, tokens=tokens, length=2 * tokens)
        assert pairs[0][0].startswith("".join(document.text for document in shelf))
        known = {papers.GAP + document.query + document.summary: document for document in shelf}
        for question, answer in [(papers.GAP + pairs[0][0].rpartition(papers.GAP)[2], pairs[0][1]), *pairs[1:]]:
            (asked,) = [document for text, document in known.items() if text.startswith(question + answer)]
            referring += bool(asked.refers_to) and answer.split()[0] in papers.DATA[0]
    assert referring > 3 or tokens == 96


def test_only_both_pieces_of_its_name_lead_to_a_pass_key_of_the_training_half(drill):
    shared = 0
    for seed in range(60):
        _, _, pairs = drill("pass_keys", seed, 0.0)
        text = pairs[0][0]  # with the first question, which is a name without a number
        known = dict(re.findall(r" ([a-z]+ [a-z]+)(\d{4})", text))
        asked = [(question.strip(), answer) for question, answer in pairs[1:]]
        assert asked and all(known[name] == answer for name, answer in asked)
        assert set(known) <= set(composed(*mix_sum_niah.NAMES, " ", "train"))
        for piece in (0, 1):
            taken = Counter(name.split()[piece] for name in known)
            shared += sum(taken[name.split()[piece]] > 1 for name, _ in asked) / len(asked) / 2
    assert shared / 60 > 0.75


def test_pass_keys_whose_names_are_all_kept_for_evaluation_are_drawn_again(texts):
    class Held(random.Random):
        """Draws one name at first, of the half that is kept for evaluation."""

        waiting = next(name.split() for name in composed(*mix_sum_niah.NAMES, " ", "eval"))

        def sample(self, population, k):
            return [self.waiting.pop(0)] if self.waiting else super().sample(population, k)

    rng = Held(0)
    ids, asked = TEXT_DRILLS["pass_keys"](rng, texts())
    assert ids and asked and not rng.waiting


def test_whole_pass_keys_are_hidden_and_asked_for_as_in_the_task(drill):
    sentence = re.compile(re.sub("<.+?>", ".+?", re.escape(mix_sum_niah.SENTENCES["mini"])))
    for seed in SEEDS:
        _, _, pairs = drill("pass_keys", seed, 1.0)
        text = pairs[0][0].partition(papers.GAP)[0]
        assert re.fullmatch(f"(?:{sentence.pattern})+", text)
        for question, answer in [(papers.GAP + pairs[0][0].rpartition(papers.GAP)[2], pairs[0][1]), *pairs[1:]]:
            name = re.fullmatch(re.escape(papers.GAP + mix_sum_niah.QUERY).replace("<name>", "(.+)"), question)[1]
            assert fill(mix_sum_niah.SENTENCES["mini"], name=name, number=answer) in text


@pytest.mark.parametrize("seed", range(6))
def test_a_claim_is_one_of_the_summarys_four_whole(seed, texts):
    shelf = papers.shelf(random.Random(seed), texts().scale(random.Random(0), 6), 1, 600)
    for document in shelf:
        claim = thinned.CLAIM.fullmatch(document.summary).groupdict()
        assert fill(papers.SUMMARY, **claim) == document.summary
        assert claim["method"] in document.title and [len(claim[role].split()) for role in claim] == [2, 2, 2, 3]


def test_only_both_codes_of_a_key_of_the_training_half_lead_to_its_value(drill):
    wholes = Counter()
    shared = [0, 0]
    for seed in range(80):
        _, _, pairs = drill("keys", seed, None, tokens=64, length=160)
        text, first = re.fullmatch(r"(JSON data:\n\{.+\})(.+)", pairs[0][0], re.DOTALL).groups()
        values = json.loads(text.removeprefix("JSON data:\n"))
        asked = [(first, pairs[0][1]), *pairs[1:]]
        wholes[first.startswith("\n" + retr_kv.QUESTION)] += 1
        for question, answer in asked:
            key = question.strip(' "') if not question.startswith("\n") else question.split('"')[1]
            assert values[key] == answer and belongs(key, "train") and belongs(answer, "train")
            assert question in ("\n" + retr_kv.query(key), f'"{key}')
            for part in (0, 1):
                shared[part] += sum(one[2 * part :][:2] == key[2 * part :][:2] for one in values) > 1
        assert len({key for key, _ in asked}) == len(asked)
    assert min(wholes[True], wholes[False]) > 20 and min(shared) > 400


def test_a_long_object_of_pairs_fills_its_context(drill):
    for seed in range(6):
        ids, asked, pairs = drill("keys", seed, None, tokens=2048, length=2400)
        values = json.loads(pairs[0][0].removeprefix("JSON data:\n").partition("}")[0] + "}")
        assert len(values) > 200 and len(ids) <= 2400 and len(asked) > 5


@pytest.mark.parametrize("name", TEXT_DRILLS)
def test_the_same_random_numbers_give_the_same_document(name, drill):
    assert drill(name, 5, 0.4) == drill(name, 5, 0.4) != drill(name, 6, 0.4)


def test_a_quarter_of_texts_shows_nothing_of_the_rest_and_a_quarter_all():
    shares = [share(random.Random(seed)) for seed in range(2000)]
    assert 0.2 < sum(share == 0 for share in shares) / 2000 < 0.3
    assert 0.2 < sum(share == 1 for share in shares) / 2000 < 0.3
