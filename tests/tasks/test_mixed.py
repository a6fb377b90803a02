"""The two mixed tasks: turns that alternate, what is inserted and where; and the means that builders share."""

import itertools
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scbench.errors import UserError
from scbench.tasks import TASKS, Scale, mix_repoqa_kv, mix_sum_niah, retr_kv
from scbench.tasks.mini import constants
from scbench.tasks.mixing import alternate, insert_evenly, write
from tests.tasks.documented import build, slot, texts, turns_of


@pytest.mark.parametrize("name", ("mix_sum_niah", "mix_repoqa_kv"))
@pytest.mark.parametrize("turns", [1, 2, 5, 8])
def test_the_two_subtasks_alternate(name, turns):
    first, second = TASKS[name].subtasks
    kinds = [turn.subtask for turn in build(name, turns=turns).turns]
    assert kinds == [first, second, first, second, first, second, first, second][:turns]


@pytest.mark.parametrize(("turns", "hidden"), [(1, 1), (5, 3), (8, 5), (20, 11)])
def test_each_pass_key_is_hidden_once_and_its_question_has_one_answer(turns, hidden):
    for index in range(15):
        session = build("mix_sum_niah", index, tokens=2048, turns=turns)
        found = re.findall(r"The pass key of the (\w+ \w+) is (\d+)\. Remember it\.", session.context)
        numbers = dict(found)
        assert len(found) == len(numbers) == len(set(numbers.values())) == hidden
        assert session.context.count("pass key") == hidden
        for turn in turns_of(session, "needle"):
            name = re.fullmatch(r"What is the pass key of the (\w+ \w+)\?", turn.query)[1]
            assert turn.golds == (numbers[name],)
            assert re.fullmatch(r"[1-9]\d{3}", turn.golds[0])
            assert len(re.findall(rf"\b{turn.golds[0]}\b", session.context)) == 1
            assert texts(session, turn) == [f"The pass key of the {name} is {turn.golds[0]}. Remember it."]


def test_pass_keys_lie_evenly_between_sentences():
    for index in range(15):
        session = build("mix_sum_niah", index, turns=8)
        text = re.sub(r" The pass key of the [a-z ]+ is \d+\. Remember it\.", "#", session.context)
        # The head of a document counts as a sentence: it ends in "Abstract."
        ends = [text[: match.start()].count(".") for match in re.finditer("#", text)]
        assert [slot(end - 1, text.count("."), 5) for end in ends] == [0, 1, 2, 3, 4]


def test_each_inserted_pair_stands_once_on_a_line_and_is_asked_unambiguously():
    for index in range(15):
        session = build("mix_repoqa_kv", index, turns=8)
        found = re.findall(r'^"([a-z0-9]{4})": "([a-z0-9]{4})"$', session.context, flags=re.M)
        values = dict(found)
        assert len(found) == len(values) == len(set(values.values())) == session.context.count('": "') >= 5
        assert not set(values) & set(values.values())
        order = []
        for turn in turns_of(session, "retr_kv"):
            (key,) = re.findall('"([^"]+)"', turn.query)
            order.append(slot(list(values).index(key), len(values), 4))
            assert turn.query == retr_kv.query(key)
            assert turn.golds == (values[key],)
            assert texts(session, turn) == [f'"{key}": "{values[key]}"']
        assert order == [0, 1, 2, 3]
        for turn in turns_of(session, "code_repoqa"):
            assert turn.query.startswith(mix_repoqa_kv.OPENING)


def test_pass_keys_of_the_paper_can_be_hidden_in_any_number_of_paragraphs():
    needles = mix_sum_niah.needles(random.Random(0), 5, Scale("paper", None, 8))
    paragraphs = [(("paragraph", number), f"\n\nParagraph {number}. " + "word " * 200) for number in range(4001)]
    units = mix_sum_niah.with_needles(paragraphs, needles)
    text, spans = write(units)
    assert [unit for unit in units if unit[0][0] == "paragraph"] == paragraphs
    places = [place for place, (key, _) in enumerate(units) if key[0] == "needle"]
    assert [slot(place - number - 1, 4001, 5) for number, place in enumerate(places)] == [0, 1, 2, 3, 4]
    for number, needle in enumerate(needles):
        name = re.fullmatch(r"What is the pass key of the (\w+ \w+)\?", needle.query)[1]
        start, stop = spans["needle", number]
        assert text[start:stop] == (
            f"The pass key of the {name} is {needle.number}. Remember it. "
            f"{needle.number} is the pass key of the {name}."
        )
        assert len(needle.number) == 5
        assert text.count(name) == 2
    assert text.count("pass key") == 10


def test_the_hundred_pairs_of_the_paper_can_be_inserted_into_any_number_of_functions():
    pairs = retr_kv.pairs(random.Random(0), mix_repoqa_kv.PAPER_PAIRS, Scale("paper", None, 8))
    codes = [(number, ("\n\n" if number else "") + f"def f{number}():\n    return {number}") for number in range(3000)]
    units = mix_repoqa_kv.with_pairs(codes, pairs)
    text, spans = write(units)
    assert [unit for unit in units if isinstance(unit[0], int)] == codes
    places = [place for place, (key, _) in enumerate(units) if not isinstance(key, int)]
    assert {later - earlier for earlier, later in itertools.pairwise(places)} == {31}
    for number, (key, value) in enumerate(pairs):
        start, stop = spans["pair", number]
        assert text[start - 2 : stop + 2] == f'\n\n"{key}": "{value}"\n\n'
        assert len(key) == len(value) == 36


def test_more_pass_keys_than_names_are_refused():
    with pytest.raises(UserError, match=r"mix_sum_niah: data\.turns 5000 .* lower data\.turns"):
        mix_sum_niah.needles(random.Random(0), 2501, Scale(turns=5000))


@given(st.integers(1, 60), st.integers(0, 90))
def test_inserts_stand_in_the_middle_of_equal_stretches(units, inserts):
    merged = insert_evenly([(number, "") for number in range(units)], [(f"i{j}", "") for j in range(inserts)])
    keys = [key for key, _ in merged]
    assert [key for key in keys if isinstance(key, int)] == list(range(units))
    assert [key for key in keys if not isinstance(key, int)] == [f"i{j}" for j in range(inserts)]
    assert keys[0] == 0
    for j in range(inserts):
        behind = sum(isinstance(key, int) for key in keys[: keys.index(f"i{j}")])
        middle = (j + 0.5) * units / inserts
        assert middle < behind <= middle + 1


def test_inserts_without_units_are_refused():
    with pytest.raises(ValueError, match="at least one unit"):
        insert_evenly([], [("a", "x")])


@given(st.integers(0, 30))
def test_alternate_takes_from_each_in_turn(turns):
    merged = alternate(list(range(0, turns, 2)), list(range(1, turns, 2)))
    assert merged == list(range(turns))


def test_spans_leave_out_the_white_space_around_a_unit():
    text, spans = write([("a", "one"), ("b", "\n\ntwo \n"), ("c", " three")])
    assert {key: text[start:stop] for key, (start, stop) in spans.items()} == {"a": "one", "b": "two", "c": "three"}


def test_constants_are_texts_that_cut_no_other_word_apart():
    found = constants(["Please add the<a> by the<b>, then by 3.", "<a> +<b>;\n}", "<a> is <b>"])
    assert found == ("Please add the", ", then by 3.", ";\n}")
