"""En.QA, Zh.QA and En.MultiChoice about a book that somebody wrote: the whole book, and questions in their order."""

from collections.abc import Sequence

from scbench.errors import UserError
from scbench.sessions import Session, Turn
from scbench.tasks.base import Scale, stream
from scbench.tasks.documents import Book, Question, pick

LETTERS = "ABCD"


def session(task: str, books: Sequence[Book], scale: Scale, seed: int, index: int, multiple_choice: bool) -> Session:
    """The session about book number `index`, with at most `scale.turns` questions: its first, or some in random order.

    Raises UserError when there are fewer books, or when the book has no question that can be asked.
    """
    book = pick(task, books, index)
    questions = list(book.questions)
    if not questions:
        raise UserError(f"{task}: {book.name}: there is no question about it; add one, or take the book out")
    if scale.order == "balanced":
        stream(task, scale, seed, index).shuffle(questions)
    turns = tuple(_turn(task, question, multiple_choice) for question in questions[: scale.turns])
    return Session(task, f"{task}-{index:05d}", book.text, turns, {"document": book.name})


def _turn(task: str, question: Question, multiple_choice: bool) -> Turn:
    if not multiple_choice:
        return Turn(question.text, question.answers, task, question.evidence)
    answer = question.answers[0]
    letter = LETTERS[question.options.index(answer)]
    return Turn(question.text, (answer, letter), task, question.evidence, question.options)
