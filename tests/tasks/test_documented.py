"""Code.RepoQA, En.Sum and the two mixed tasks: what every session promises, recomputed from its text."""

import itertools
import re

import pytest

from scbench.errors import UserError
from scbench.sessions import check_session
from scbench.tasks import TASKS, Scale, functions, mix_sum_niah, papers
from tests.tasks.documented import NAMES, blocks_of, build, count_words, phrases_of, turns_of


@pytest.mark.parametrize("name", NAMES)
def test_the_same_arguments_give_the_same_session_and_any_other_give_another(name):
    session = build(name)
    assert session == build(name)
    others = [build(name, index=1), build(name, seed=1), build(name, split="train")]
    assert len({session.context, *(other.context for other in others)}) == 4


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [None, count_words], ids=["characters", "words"])
@pytest.mark.parametrize("tokens", [512, 777, 1024, 2048, 8192])
def test_the_context_fills_its_tokens(name, count, tokens):
    counting = {"count": count} if count else {}
    count = count or Scale().count
    for index, split in itertools.product(range(4), ("eval", "train")):
        used = count(build(name, index, tokens=tokens, split=split, **counting).context)
        assert 0.9 * tokens <= used <= tokens


@pytest.mark.parametrize("name", NAMES)
def test_the_shortest_context_holds_a_turn_and_any_length_is_respected(name):
    least = TASKS[name].min_tokens
    assert least <= 120
    for tokens, index in itertools.product((least, least + 1, least + 33, 300), range(25)):
        session = check_session(build(name, index, tokens=tokens, turns=1))
        assert len(session.turns) == 1
        assert Scale().count(session.context) <= tokens


@pytest.mark.parametrize("name", NAMES)
def test_everything_in_the_context_can_be_asked_and_one_question_more_is_refused(name):
    def fits(turns):
        try:
            session = check_session(build(name, tokens=512, turns=turns, order="balanced", split="train"))
        except UserError as error:
            assert name in str(error) and f"data.turns {turns}" in str(error) and "512" in str(error)
            return False
        assert len(session.turns) == turns
        return True

    turns = 1
    while fits(turns):
        turns += 1
    assert turns > 8
    assert not fits(turns + 10)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_changes_the_questions_and_nothing_else(name):
    published = build(name, tokens=2048, turns=10)
    balanced = [build(name, index, tokens=2048, turns=10, order="balanced") for index in range(6)]
    assert balanced[0].context == published.context
    assert {turn.query for turn in balanced[0].turns} == {turn.query for turn in published.turns}
    for subtask in TASKS[name].subtasks:
        starts = [turn.evidence[0][0] for turn in turns_of(published, subtask)]
        assert starts == sorted(starts)
        firsts = {
            [turn.evidence[0][0] for turn in turns_of(session, subtask)].index(
                min(turn.evidence[0][0] for turn in turns_of(session, subtask))
            )
            for session in balanced
        }
        assert len(firsts) > 1


@pytest.mark.parametrize("name", NAMES)
def test_no_session_can_be_asked_a_question_twice_nor_has_two_equal_blocks(name):
    for index in range(20):
        session = check_session(build(name, index, tokens=2048, turns=16))
        blocks = blocks_of(session)
        assert len(set(blocks)) == len(blocks)
        assert len({turn.golds for turn in session.turns}) == 16


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ({"name": "paper", "tokens": None}, r"data\.scale 'paper' .* set data\.scale to 'mini'"),
        ({"tokens": None}, r"data\.tokens None .* set data\.tokens to \d+ or more"),
        ({"tokens": 10}, r"data\.tokens 10 .* set data\.tokens to \d+ or more"),
        ({"turns": 0}, r"data\.turns 0 .* set data\.turns to 1 or more"),
        ({"turns": 400}, r"data\.turns 400 .* lower data\.turns"),
        ({"tokens": 10**6}, r"data\.tokens 1000000 .* lower data\.tokens"),
    ],
    ids=["paper", "no-length", "short", "no-turns", "many-turns", "long"],
)
def test_a_scale_that_cannot_be_built_is_refused_with_a_remedy(name, scale, message):
    with pytest.raises(UserError, match=message):
        build(name, **scale)


@pytest.mark.parametrize("name", NAMES)
def test_names_are_single_words_behind_a_space_after_the_phrases_are_cut_out(name):
    """Else the name in a question and the name in the context would be different tokens."""
    code = [functions.NOUNS, functions.VERBS]
    prose = [*papers.METHODS, *papers.PROBLEMS, *papers.DATA, *mix_sum_niah.NAMES]
    names = {word for group in (code if "repoqa" in name else prose) for word in group} - set(functions.OBJECTS)
    phrases = {phrase for other in NAMES for phrase in phrases_of(other)}
    pattern = "|".join(
        [*map(re.escape, sorted(phrases, key=len, reverse=True)), r"[a-z][0-9]", r" ?[A-Za-z]+", r", ", r"(?s:.)"]
    )
    for index in range(30):
        session = build(name, index)
        for text in [
            session.context,
            *(turn.query for turn in session.turns),
            *(turn.golds[0] for turn in session.turns),
        ]:
            pieces = re.findall(pattern, text)
            assert "".join(pieces) == text
            assert not names & set(pieces)


@pytest.mark.parametrize("name", NAMES)
def test_the_vocabulary_is_small_and_every_phrase_of_the_task_occurs(name):
    phrases = phrases_of(name)
    sessions = [build(name, index, tokens=2048, turns=16) for index in range(120)]
    parts = [[s.context, *(t.query for t in s.turns), *(t.golds[0] for t in s.turns)] for s in sessions]
    text = "\x00".join(itertools.chain(*parts))
    if name != "mix_repoqa_kv":  # whose phrases include those of the JSON object
        assert [phrase for phrase in phrases if phrase not in text] == []
    words = set(re.findall(r"[A-Za-z]+", re.sub(r"[a-z][0-9]", "", text)))
    assert len(words) <= 260
