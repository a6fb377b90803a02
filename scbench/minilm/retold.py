"""Drills on stories: the facts of a told one, and deeds drawn for the drill alone; questions about each.

Why some are thinned: `scbench.minilm.texts`.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import product

from scbench.minilm.drills import Drill
from scbench.minilm.texts import Ids, Texts, share, thin
from scbench.tasks import story_lexicon
from scbench.tasks.stories import tell
from scbench.tasks.stories_en import ENGLISH
from scbench.tasks.stories_zh import CHINESE
from scbench.tasks.story_lexicon import Lexicon, Verb
from scbench.tasks.story_questions import PERSON, questions_about
from scbench.tasks.story_world import ARRIVAL_SHARE, Fact, sentences

ASKED_THING, ASKED_TOWN = "thing", "town"  # questions of a lexicon about a deed
LINES = ("", "\n")  # a question follows at once, or on a line of its own
KINDS = 3  # of facts: homes, jobs, deeds
BACKWARDS_SHARE = 0.6  # of stories: ask for people alone
DEED_TOKENS = 5  # of a thinned deed, about; a text holds no more deeds than this allows
THING_SHARE = 0.65  # of deeds: are asked for the thing; the others for the town


def facts(rng: random.Random, texts: Texts) -> Drill:
    """The facts of a story; asked: about each once, without what surrounds a question in the tasks.

    A thinned story holds facts of one kind, stated outright, no two of which fit what one of them is asked with. Of its
    people the first names alone may be left, right in front of what is said of them. Most stories ask for people alone:
    to read back to them is the harder direction.
    """
    shown = share(rng)
    whole = rng.random() < shown
    lexicon = rng.choice((ENGLISH, CHINESE))
    story = tell(lexicon, texts.scale(rng, 1 if shown == 1 else KINDS), rng)

    def shown_of(person: str) -> Ids:
        return texts.encode(person)[: None if whole else 1]

    chosen = story.facts if shown == 1 else _of_one_kind(rng, story.facts, shown_of)
    able = {fact: [one for one in questions_about(story, fact) if not one.aggregate] for fact in chosen}
    backwards = {fact: [one for one in ones if one.kind == PERSON] for fact, ones in able.items()}
    # Of a thinned deed, what is asked with leads to a thing and to a place alike.
    of_deeds = shown < 1 and isinstance(chosen[0].relation, Verb)
    if any(backwards.values()) and (rng.random() < BACKWARDS_SHARE or of_deeds):
        able = backwards
    text: list[int] = []
    questions = []
    for fact in chosen:
        person = shown_of(fact.person)
        kept = [*person, *texts.encode(fact.value), *texts.encode(fact.place)]
        stated = texts.encode(lexicon.gap.join(sentences(lexicon, fact)) + lexicon.end)
        fact_shown = thin(rng, stated, kept, shown)
        if questions and len(text) + len(fact_shown) > texts.tokens:
            break
        text += fact_shown
        if able[fact]:
            question = rng.choice(able[fact])
            cue = texts.encode(rng.choice(LINES) + question.text)
            answer = person if question.kind == PERSON else texts.encode(question.answer)
            questions.append((thin(rng, cue, kept, shown), answer))
    return texts.drill(text, rng.sample(questions, len(questions)))


def _of_one_kind(rng: random.Random, told: Sequence[Fact], shown_of: Callable[[str], Ids]) -> list[Fact]:
    """Homes, jobs or deeds alone, none by reference; one for a person as shown, or for a thing that was done to."""
    outright = [fact for fact in told if not fact.like]
    kinds = ["deed" if isinstance(fact.relation, Verb) else fact.relation for fact in outright]
    kind = rng.choice(sorted(set(kinds)))
    found: dict[str | tuple[int, ...], Fact] = {}
    for fact, own in zip(outright, kinds, strict=True):
        if own == kind:
            found.setdefault(fact.value if kind == "deed" else tuple(shown_of(fact.person)), fact)
    return [*found.values()]


def deeds(rng: random.Random, texts: Texts) -> Drill:
    """Deeds; asked: what somebody did a deed to, or where it was done.

    Who did it and what was done lead to the thing only together: a person did at most one deed of a verb, and mostly
    several in all. In the stories most people did one, and a run that had learned all homes and jobs found one such
    thing in ten. Of a thinned deed two names are left, what it is asked with and the answer, each with the token in
    front of it, if there is one. A person asked with may be left by the first token, which no other person has.
    """
    shown = share(rng)
    lexicon = rng.choice((ENGLISH, CHINESE))
    room = texts.scale(rng).tokens
    whole = rng.random() < shown
    most = room // DEED_TOKENS
    known = story_lexicon.people(lexicon, "train")

    def shown_of(name: str) -> Ids:
        ids = texts.encode(name)
        return ids if whole or name not in known else ids[:1]

    wanted = max(2, round(most ** rng.uniform(0.4, 0.9)))
    if whole:
        doers = _namesakes(rng, lexicon, wanted)
    else:
        doers = [*{(*shown_of(name),): name for name in rng.sample([*known], len(known))}.values()][:wanted]
    told: list[tuple[str, str, str, list[int]]] = []
    for fact, kind in _some_deeds(rng, lexicon, doers, most):
        about, answer = (fact.person, fact.value) if kind == ASKED_THING else (fact.value, fact.place)
        question = lexicon.questions[kind].format(person=fact.person, value=fact.value, **asdict(fact.relation))
        stated = lexicon.gap.join(sentences(lexicon, fact)) + lexicon.end
        part = _thinned(rng, texts, stated, {about: shown_of(about), answer: texts.encode(answer)}, shown)
        room -= len(part)
        if told and room < 0:
            break
        told.append((question, about, answer, part))
    text = [token for *_, part in rng.sample(told, len(told)) for token in part]
    questions = []
    for question, about, answer, _ in rng.sample(told, len(told)):
        before, _, after = f"{rng.choice(LINES)}{question}".partition(about)
        cue = [*texts.encode(before), *shown_of(about), *texts.encode(after)]
        questions.append((cue, texts.encode(answer)))
    return texts.drill(text, questions)


def _thinned(rng: random.Random, texts: Texts, stated: str, names: Mapping[str, Ids], shown: float) -> list[int]:
    """A statement of which `names` are left, by these ids, each with the token in front, and a share of the rest."""
    found: list[int] = []
    for name in sorted(names, key=stated.index):
        before, _, stated = stated.partition(name)
        ids = texts.encode(before)
        found += [*thin(rng, ids[:-1], (), shown), *ids[-1:], *names[name]]
    return found + thin(rng, texts.encode(stated), (), shown)


def _namesakes(rng: random.Random, lexicon: Lexicon, wanted: int) -> list[str]:
    """Up to `wanted` people of the training half; their given names are few, or their family names are."""
    known = story_lexicon.people(lexicon, "train")
    found: list[str] = []
    while not found:  # of a few small grids, all are kept for evaluation
        firsts = min(len(lexicon.given), max(2, round(wanted ** rng.uniform(0.25, 0.75))))
        families = min(len(lexicon.families), math.ceil(2 * wanted / firsts))
        grid = product(rng.sample([*lexicon.given], firsts), rng.sample(lexicon.families, families))
        names = [lexicon.name.format(given=given, family=family) for given, family in grid]
        found = [name for name in names if name in known]
    return rng.sample(found, min(wanted, len(found)))


def _some_deeds(rng: random.Random, lexicon: Lexicon, doers: Sequence[str], most: int) -> list[tuple[Fact, str]]:
    """Deeds of the training half, at most one of a verb by one person, each with what it is asked for."""
    pronouns = story_lexicon.people(lexicon, "train")
    able = story_lexicon.deeds(lexicon, "train")
    done: dict[tuple[str, Verb], Fact] = {}
    for verb, thing in rng.sample(able, min(most, len(able))):
        person = rng.choice(doers)
        pronoun = pronouns[person] if rng.random() < ARRIVAL_SHARE else ""
        done.setdefault((person, verb), Fact(verb, person, thing, rng.choice(lexicon.places), pronoun=pronoun))
    return [(fact, ASKED_THING if rng.random() < THING_SHARE else ASKED_TOWN) for fact in done.values()]
