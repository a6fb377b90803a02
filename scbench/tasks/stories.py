"""The three story tasks: En.QA, Zh.QA and En.MultiChoice ask about a made-up story or about a book, one a session."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from scbench.errors import UserError
from scbench.sessions import Session, Span, Turn
from scbench.tasks import books
from scbench.tasks.base import Scale, Writer, spread, stream
from scbench.tasks.documents import Book
from scbench.tasks.story_lexicon import Lexicon
from scbench.tasks.story_questions import OPTIONS, Question, Story, distractors, draw_options, questions_about
from scbench.tasks.story_world import FOUNDERS, Fact, World, sentences

MOOD_SHARE = 0.15
# Not every fact supports an aggregate question: this makes about 22 % of the questions aggregate at 1,024 tokens.
AGGREGATE_SHARE = 0.26


@lru_cache(maxsize=8)
def _adds_up(lexicon: Lexicon, count: Callable[[str], int]) -> bool:
    """Whether sentences take as many tokens together as one by one (words do, four characters a token do not)."""
    lines = [line + lexicon.end for mood in lexicon.moods for line in (lexicon.opener, mood)]
    return count("".join(lines)) == sum(count(line) for line in lines)


def tell(lexicon: Lexicon, scale: Scale, rng: random.Random) -> Story:
    """A story of at most `scale.tokens` tokens, as close to it as its short sentences come.

    The order of the text is the order of events, and is drawn at random: a reference may stand before its referent.
    """
    world = World(lexicon, scale.split, rng)
    moods: list[str] = []
    left = scale.tokens - scale.count(lexicon.opener + lexicon.end)
    while True:
        more = _fill(world, moods, lexicon, scale, rng, left)
        pieces = [*world.facts, *moods]
        rng.shuffle(pieces)
        story = _write(lexicon, pieces)
        if not more or _adds_up(lexicon, scale.count):
            return story
        left = scale.tokens - scale.count(story.text)


def _fill(world: World, moods: list[str], lexicon: Lexicon, scale: Scale, rng: random.Random, left: int) -> bool:
    """Add facts and moods worth up to `left` tokens; whether any fitted."""
    before = len(world.facts) + len(moods)
    fact = world.draft()
    while True:
        if fact and (len(world.facts) < max(FOUNDERS, scale.turns) or rng.random() >= MOOD_SHARE):
            cost = scale.count(lexicon.gap.join(sentences(lexicon, fact)) + lexicon.end)
            if cost > left:
                fact = None
                continue
            world.add(fact)
            fact = world.draft()
        else:
            mood = rng.choice(lexicon.moods) + lexicon.end
            cost = scale.count(mood)
            if cost > left:
                return len(world.facts) + len(moods) > before
            moods.append(mood)
        left -= cost


def _write(lexicon: Lexicon, pieces: list[Fact | str]) -> Story:
    text = Writer()
    text.add(lexicon.opener + lexicon.end)
    spans: dict[Fact, tuple[Span, ...]] = {}
    for piece in pieces:
        if isinstance(piece, str):
            text.add(piece)
            continue
        stated = []
        for sentence in sentences(lexicon, piece):
            if stated:
                text.add(lexicon.gap)
            stated.append(text.add(sentence))
        text.add(lexicon.end)
        spans[piece] = tuple(stated)
    return Story(lexicon, text.text, tuple(spans), spans)


@dataclass(frozen=True)
class StoryTask:
    """A story task. turns: the published mean, rounded (its books have different numbers of questions)."""

    name: str
    title: str
    description: str
    capability: str
    turns: int
    lexicon: Lexicon
    multiple_choice: bool = False
    category: str = "semantic"
    min_tokens: int = 48

    @property
    def subtasks(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def max_new_tokens(self) -> dict[str, int]:
        return {"mini": 8, "paper": 40}

    def build(self, scale: Scale, seed: int, index: int, documents: Sequence[Book] = ()) -> Session:
        """A story and `scale.turns` questions about as many facts, one fact from each equal slot of the story.

        Of `documents`, a book and its questions instead. Raises UserError at paper scale without a book, and when the
        story is too short for the questions.
        """
        if documents:
            return books.session(self.name, documents, scale, seed, index, self.multiple_choice)
        self._check(scale)
        rng = stream(self.name, scale, seed, index)
        story = tell(self.lexicon, scale, rng)
        if len(story.facts) < max(FOUNDERS, scale.turns):
            raise UserError(
                f"{self.name}: data.turns {scale.turns} needs a story of {max(FOUNDERS, scale.turns)} facts, but "
                f"data.tokens {scale.tokens} holds {len(story.facts)}; raise data.tokens or lower data.turns"
            )
        turns: dict[str, Turn] = {}
        for place in spread(rng, len(story.facts), scale.turns, scale.order):
            question = self._choose(rng, story, story.facts[place], asked=turns)
            turns[question.text] = self._turn(rng, story, question)
        return Session(self.name, f"{self.name}-{index:05d}", story.text, tuple(turns.values()))

    def _check(self, scale: Scale) -> None:
        if scale.name == "paper":
            raise UserError(
                f"{self.name}: data.scale paper is made from books, and none are given; name yours (docs/corpus.md), "
                "or set data.scale to mini"
            )
        if scale.tokens is None or scale.tokens < self.min_tokens:
            raise UserError(
                f"{self.name}: data.tokens {scale.tokens} is too short for a story; set it to {self.min_tokens} or more"
            )
        if scale.turns < 1:
            raise UserError(f"{self.name}: data.turns {scale.turns} asks nothing; set it to 1 or more")

    def _choose(self, rng: random.Random, story: Story, fact: Fact, asked: dict[str, Turn]) -> Question:
        options = [question for question in questions_about(story, fact) if question.text not in asked]
        if self.multiple_choice:
            options = [question for question in options if len(distractors(story, question)) >= OPTIONS - 1]
        wanted = rng.random() < AGGREGATE_SHARE
        return rng.choice([question for question in options if question.aggregate == wanted] or options)

    def _turn(self, rng: random.Random, story: Story, question: Question) -> Turn:
        if not self.multiple_choice:
            return Turn(question.text, (question.answer,), self.name, question.evidence)
        options = draw_options(story, question, rng)
        letter = books.LETTERS[options.index(question.answer)]
        return Turn(question.text, (question.answer, letter), self.name, question.evidence, options)
