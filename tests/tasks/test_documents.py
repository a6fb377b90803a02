"""Sessions of books and papers that somebody wrote: the whole text, the questions and references as they were given."""

import itertools

import pytest

from scbench.errors import UserError
from scbench.sessions import check_session
from scbench.tasks import TASKS, Scale
from scbench.tasks.documents import Book, Paper, Question, groups
from scbench.tasks.shelves import PAPERS, shelves

BOOK = Book("a.txt", "Ann has a red cup. Bob has a blue cup.", (
    Question("Who has red?", ("Ann", "ann")),
    Question("Who has blue?", ("Bob",), ("Ann", "Bob", "Cid", "Dan"), ((19, 38),)),
    Question("What has Ann?", ("a cup",), ("a cup", "a hat", "a dog", "a map")),
))  # fmt: skip


def papers(count, summarised):
    return [
        Paper(f"p{n}", f"Paper {n} says\n\nthis and\n \nthat {n}.", f"It says {n}." if n < summarised else None)
        for n in range(count)
    ]


def build(task, documents, index=0, **scale):
    return check_session(TASKS[task].build(Scale(**({"name": "paper", "tokens": None} | scale)), 0, index, documents))


def test_a_book_is_shown_whole_with_its_questions_in_their_order():
    session = build("en_qa", [BOOK])
    assert session.context == BOOK.text
    assert [(turn.query, turn.golds, turn.evidence) for turn in session.turns] == [
        (question.text, question.answers, question.evidence) for question in BOOK.questions
    ]


def test_a_multiple_choice_has_its_letter_beside_the_answer():
    book = Book("b", BOOK.text, BOOK.questions[1:])
    session = build("en_multichoice", [book])
    assert [turn.golds for turn in session.turns] == [("Bob", "B"), ("a cup", "A")]
    assert session.turns[0].options == ("Ann", "Bob", "Cid", "Dan")


def test_turns_cut_the_questions_and_balanced_orders_draw_them():
    assert [turn.query for turn in build("zh_qa", [BOOK], turns=2).turns] == ["Who has red?", "Who has blue?"]
    orders = {
        tuple(turn.query for turn in build("en_qa", [BOOK] * 20, index, order="balanced").turns) for index in range(20)
    }
    assert len(orders) > 3


def test_a_session_beyond_the_books_is_refused():
    with pytest.raises(UserError, match=r"en_qa: data\.sessions: session 2 .* make 1; set data\.sessions to 1"):
        build("en_qa", [BOOK], index=1)


def test_a_book_without_questions_is_refused():
    with pytest.raises(UserError, match=r"b\.txt: there is no question about it"):
        build("en_qa", [Book("b.txt", "text", ())])


@pytest.mark.parametrize("count", [1, 5, 8, 9, 20])
def test_every_paper_with_a_reference_stands_in_one_of_the_contexts(count):
    known = max(1, count - 2)
    number = shelves(count, known)
    seen = []
    for index in range(number):
        session = build("en_sum", papers(count, known), index, turns=8)
        blocks = session.context.split("\n\nDoc ")
        assert len(blocks) <= PAPERS
        for turn in session.turns:
            ((start, stop),) = turn.evidence
            number_asked = turn.query.split()[-1].rstrip(".")
            text = session.context[start:stop]
            assert text.startswith(f"Doc {number_asked}\n\nPaper ")
            assert turn.golds == (f"It says {text.split()[3]}.",)
        seen += [turn.golds[0] for turn in session.turns]
    assert sorted(seen) == sorted(f"It says {n}." for n in range(known))


def test_further_sessions_of_papers_are_drawn_anew():
    contexts = {build("en_sum", papers(12, 12), index).context for index in range(12)}
    assert len(contexts) == 12


def test_targets_of_summaries_are_spread_over_the_shelf():
    session = build("en_sum", papers(8, 8), turns=4)
    asked = [int(turn.query.split()[-1].rstrip(".")) for turn in session.turns]
    assert [(number - 1) // 2 for number in asked] == [0, 1, 2, 3]


def test_pass_keys_hide_between_paragraphs_and_are_asked_in_turn_with_summaries():
    session = build("mix_sum_niah", papers(8, 8), turns=8)
    assert [turn.subtask for turn in session.turns] == ["en_sum", "needle"] * 4
    assert session.context.count("Remember it.") == 5
    for turn in session.turns[1::2]:
        ((start, stop),) = turn.evidence
        assert turn.golds[0] in session.context[start:stop]
        assert len(turn.golds[0]) == 5


def test_a_shelf_with_few_references_asks_fewer_questions():
    assert len(build("en_sum", papers(8, 2)).turns) == 2
    assert len(build("mix_sum_niah", papers(8, 2), turns=8).turns) == 4


def test_papers_without_any_reference_are_refused():
    with pytest.raises(UserError, match="none of the 3 papers has a reference summary"):
        build("en_sum", papers(3, 0))


def test_groups_are_few_even_and_complete():
    for count, most in itertools.product(range(1, 23), range(1, 7)):
        runs = groups(count, most)
        assert [place for run in runs for place in run] == list(range(count))
        assert len(runs) == -(-count // most)
        assert max(map(len, runs)) - min(map(len, runs)) <= 1
