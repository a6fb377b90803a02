"""No evaluation session is ever trained on: what a session is about belongs to one half of the world.

What a session is about is read from its text here, not taken from its builder. Sentence frames, single words, places
and numbers are shared by both halves on purpose: a model that never saw them could not read an evaluation session.
"""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from scbench.errors import UserError
from scbench.minilm.recipe import read_recipe
from scbench.minilm.stream import DocumentStream
from scbench.minilm.tokenizer import count_pieces
from scbench.places import ROOT
from scbench.sessions import Session
from scbench.study import read_study
from scbench.tasks import NAMES, TASKS, Scale, functions, mini, retr_multihop, story_lexicon
from scbench.tasks.base import belongs
from scbench.tasks.stories_zh import CHINESE
from scripts import build_sessions

RECIPES = sorted((ROOT / "resources" / "recipes").glob("*.yaml"))
each_task = pytest.mark.parametrize("name", NAMES)


# --- What a session is about, by kind.


def reads(pattern: str) -> Callable[[Session], set[str]]:
    """A reader of context, questions and answers: what `pattern` captures, two captures joined by a space."""

    def read(session: Session) -> set[str]:
        texts = [session.context, *(text for turn in session.turns for text in (turn.query, *turn.golds))]
        return {" ".join(filter(None, found.groups())) for found in re.finditer(pattern, "\n".join(texts), re.M)}

    return read


def noun_pairs(session: Session) -> set[str]:
    """The two nouns of each function and of each description, in alphabetical order."""
    texts = [block for block in session.context.split("\n\n") if not block.startswith('"')]
    texts += [turn.query for turn in session.turns if turn.subtask == "code_repoqa"]
    return {" ".join(sorted(set(re.findall("[a-z]+", text)) & set(functions.NOUNS))) for text in texts}


def players(session: Session) -> set[str]:
    """Who has which letter: all of it as one text, since players are few."""
    known = set(re.findall(r"trades with (\w+) and is playing \(([A-G])\)$", session.context, re.M))
    return {str(sorted(known))} if known else set()


NAME = r"\b([A-Z][a-z]+ [A-Z][a-z]+)\b"
CODES = r"(?<![a-z0-9])((?:[a-z]\d){2,3})(?![a-z0-9])"
CODE = {"functions": reads(r"\b([a-z]+_[a-z]+)\b"), "nouns": noun_pairs}
PAPERS = {
    "methods": reads(NAME),
    "problems": reads(r" (?:targets|for) (\w+ \w+)(?:\.| with )"),
    "data": reads(r" (?:uses|with) (?!the same)(\w+ \w+) data\b"),
}
STORY = {"people": reads(NAME), "deeds": reads(r"\b(found|bought|hid|lost) the (\w+ \w+)")}
FAMILY, GIVEN = "".join(CHINESE.families), "".join(CHINESE.given)
QUALITY, NOUN = "".join(CHINESE.qualities), "".join(CHINESE.nouns)

READERS: dict[str, dict[str, Callable[[Session], set[str]]]] = {
    "retr_kv": {"keys and values": reads(CODES)},
    "retr_prefix_suffix": {"strings": reads(CODES)},
    "retr_multihop": {"values": reads(r" = (\d+)$|value (\d+) in the text")},
    "code_repoqa": CODE,
    "en_qa": STORY,
    "zh_qa": {
        "people": reads(f"([{FAMILY}][{GIVEN}])"),
        "deeds": reads(f"([买丢藏捡]了)([{QUALITY}][{NOUN}])"),
    },
    "en_multichoice": STORY,
    "icl_manyshot": {
        "players": players,
        "feasts": reads(r"Today is (\w+ \w+), so"),
        "translations": reads(r"translation of (\w+) contains"),
    },
    "math_find": {"lists": lambda session: {session.context}},
    "en_sum": PAPERS,
    "mix_sum_niah": {**PAPERS, "pass keys": reads(r"pass key of the (\w+ \w+)(?: is |\?)")},
    "mix_repoqa_kv": {**CODE, "keys and values": reads(CODES)},
}


def entities(session: Session) -> dict[str, set[str]]:
    found = {kind: read(session) for kind, read in READERS[session.task].items()}
    return {kind: some for kind, some in found.items() if some}


def strays(session: Session, split: str) -> dict[str, set[str]]:
    """The entities of a session that belong to the other half."""
    wrong = {kind: {one for one in some if not belongs(one, split)} for kind, some in entities(session).items()}
    return {kind: some for kind, some in wrong.items() if some}


def build(name: str, seed: int, index: int, turns: int, **scale) -> Session:
    """A session of at most `turns` turns: fewer where the context is too short for them."""
    while True:
        try:
            return TASKS[name].build(Scale(turns=turns, **scale), seed, index)
        except (UserError, ValueError):
            assert turns > 1
            turns = turns * 3 // 4


# --- The laws.


@each_task
@pytest.mark.parametrize("split", ["eval", "train"])
@given(
    seed=st.integers(-2, 10**6),
    index=st.integers(0, 10**6),
    tokens=st.integers(128, 1024),
    turns=st.integers(1, 16),
    order=st.sampled_from(["published", "balanced"]),
)
@settings(deadline=None, max_examples=25)
def test_every_entity_of_a_session_belongs_to_its_half_and_there_is_one(name, split, seed, index, tokens, turns, order):
    session = build(name, seed, index, turns, tokens=tokens, order=order, split=split)
    assert entities(session)
    assert not strays(session, split)


@each_task
def test_the_halves_share_no_entity_and_no_session(name):
    seen = {}
    for split in ("eval", "train"):
        sessions = [build(name, 0, index, 5, tokens=512, split=split) for index in range(12)]
        kinds = {kind: set().union(*(entities(one).get(kind, ()) for one in sessions)) for kind in READERS[name]}
        seen[split] = kinds, {one.context for one in sessions}
    (evaluated, contexts), (trained, others) = seen["eval"], seen["train"]
    for kind in READERS[name]:
        assert evaluated[kind] and trained[kind] and not evaluated[kind] & trained[kind]
    assert not contexts & others


@pytest.fixture
def both_halves(monkeypatch):
    """Every builder draws from the whole world, whatever half it is asked for."""
    caches = (
        mini.composed,
        functions._noun_pairs,
        story_lexicon.people,
        story_lexicon.deeds,
        retr_multihop._mini_values,
    )
    for name in ("retr_kv", "retr_prefix_suffix", "math_find", "icl_manyshot"):
        monkeypatch.setattr(f"scbench.tasks.{name}.belongs", lambda entity, split: True)
    for module in (mini, functions, story_lexicon, retr_multihop):
        monkeypatch.setattr(module, "belongs", lambda entity, split: True)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@each_task
@pytest.mark.parametrize("split", ["eval", "train"])
def test_a_builder_that_ignores_its_half_would_be_caught_by_every_kind_of_entity(name, split, both_halves):
    sessions = [build(name, 0, index, 5, tokens=512, split=split) for index in range(36)]
    assert set().union(*(strays(session, split) for session in sessions)) == set(READERS[name])


@pytest.fixture(scope="module")
def bundled() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(ROOT / "resources" / "minilm")


@pytest.fixture
def asked(monkeypatch) -> list[tuple[str, Scale, int, int]]:
    """All that any builder is asked for while the test runs: task, scale, seed, index."""
    calls = []

    def watch(kind):
        build = kind.build

        def watched(self, scale, seed, index):
            calls.append((self.name, scale, seed, index))
            return build(self, scale, seed, index)

        monkeypatch.setattr(kind, "build", watched)

    for kind in {type(task) for task in TASKS.values()}:
        watch(kind)
    return calls


def looks_and_documents(stream: DocumentStream, asked: list, steps: int) -> tuple[set, set]:
    """Seeds of the sessions that are looked at during training, and of those that are trained on, over all stages."""
    looked, trained = set(), set()
    for number, stage in enumerate(stream.recipe.stages):
        start = len(asked)
        for name in stream.tasks(stage):
            stream.held_out(number, name)
        looked |= {seed for *_, seed, _ in asked[start:]}
        for place in range(steps):
            start = len(asked)
            stream.training(stage, place)
            # What is built before the document itself only measures how many questions fit.
            trained |= {seed for *_, seed, _ in asked[start:][-1:]}
    return looked, trained


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_training_asks_for_its_own_half_alone_and_looks_at_sessions_it_never_trains_on(recipe, bundled, asked):
    recipe = replace(read_recipe(recipe), evaluation_sessions=1)
    looked, trained = looks_and_documents(DocumentStream(recipe, bundled), asked, steps=30)
    assert {name for name, *_ in asked} == set(NAMES)
    assert {scale.split for _, scale, *_ in asked} == {"train"}
    assert len(trained) == len(recipe.stages) and looked and not looked & trained


def test_the_vocabulary_is_counted_on_the_training_half_alone(asked):
    count_pieces([], sessions=1, seed=0)
    assert {name for name, *_ in asked} == set(NAMES) and {scale.split for _, scale, *_ in asked} == {"train"}


def test_what_a_study_evaluates_is_built_from_the_other_half(asked, tmp_path):
    study = read_study(ROOT / "studies" / "smoke.yaml")
    for name in NAMES:
        build_sessions.build(study, name, tmp_path / f"{name}.parquet")
    assert {name for name, *_ in asked} == set(NAMES) and {scale.split for _, scale, *_ in asked} == {"eval"}
