"""How much of a natural task needs statements that stand far apart: else a window over the text would do."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator

import pytest
from tokenizers import Tokenizer

from scbench.places import ROOT
from scbench.sessions import Session, Span
from scbench.tasks import TASKS, Scale

FAR = 128  # tokens
SESSIONS = 50


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(ROOT / "resources" / "minilm" / "tokenizer.json"))


def sessions(name: str, tokenizer: Tokenizer) -> Iterator[tuple[Session, list[int]]]:
    """Evaluation sessions of 1,024 tokens, each with the characters at which its tokens end."""
    scale = Scale(tokens=1024, turns=TASKS[name].turns, count=lambda text: len(tokenizer.encode(text).ids))
    for index in range(SESSIONS):
        session = TASKS[name].build(scale, 0, index)
        yield session, [stop for _, stop in tokenizer.encode(session.context).offsets]


def stretch(spans: Iterable[Span], ends: list[int]) -> int:
    """The most tokens that stand between two of the spans."""
    places = sorted((bisect_right(ends, start), bisect_right(ends, stop - 1)) for start, stop in spans)
    return places[-1][0] - min(last for _, last in places) - 1


@pytest.mark.parametrize("name", ["en_qa", "zh_qa", "en_multichoice", "en_sum"])
def test_a_sixth_of_the_answers_rest_on_statements_more_than_128_tokens_apart(name, tokenizer):
    far = [stretch(turn.evidence, ends) > FAR for session, ends in sessions(name, tokenizer) for turn in session.turns]
    assert len(far) == SESSIONS * TASKS[name].turns
    assert sum(far) / len(far) > 1 / 6


def test_most_calls_in_a_repository_are_of_a_function_more_than_128_tokens_away(tokenizer):
    """One function in twenty has such a call. To repeat a function no other need be read: what stands far apart here is
    the question and its one answer.
    """
    functions, far = 0, []
    for session, ends in sessions("code_repoqa", tokenizer):
        places = {}
        for block in re.finditer(r"\S(?:(?!\n\n).)*", session.context, re.S):
            name, *callees = re.findall(r"[a-z]+_[a-z]+", block[0])
            places[name] = block.span()
            far += [stretch([places[callee], places[name]], ends) > FAR for callee in callees]
        functions += len(places)
    assert sum(far) / len(far) > 2 / 3
    assert sum(far) / functions > 1 / 30
