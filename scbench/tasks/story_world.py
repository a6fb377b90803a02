"""The people of a made-up story and what is true of them; where they come from is a lexicon, one a language.

A fact is stated either outright ("Mara Lund lives in Harrow.") or by reference to another person's fact ("Tom Reed
lives where Mara Lund lives."), which takes one more look-up, possibly far away in the story, to resolve.
"""

import math
import random
from collections import Counter, defaultdict
from dataclasses import dataclass

from scbench.tasks.base import Split
from scbench.tasks.story_lexicon import Lexicon, Verb, deeds, people

HOME, JOB = "home", "job"
# The first facts give four people four different towns: a referent for others, and four options for a question.
FOUNDERS = 4
# A reference may be to a fact that is itself stated by reference.
MAX_HOPS = 2
# The highest answer to "how many"; a lexicon has a number for each.
MAX_COUNT = 4
# Chances. The rest of the facts, after deeds and jobs, are homes.
DEED_SHARE = 0.45
JOB_SHARE = 0.25
NEWCOMER_SHARE = 0.4
# Facts stated by reference are the hardest to read; training stories have more of them than evaluated ones.
REFERENCE_SHARE = {"eval": 0.3, "train": 0.5}
ARRIVAL_SHARE = 0.5
# That a place or job is one that somebody has, and a deed by somebody who did the like before: so counts exceed one.
REUSE_SHARE = 0.55
AGAIN_SHARE = 0.3


@dataclass(frozen=True)
class Fact:
    """`person` lives in the place, has the job, or did the deed with the thing `value`; `relation` says which.

    relation: `HOME`, `JOB` or a verb. place: of a deed. like: the person by whose fact this one is stated, else "";
    hops: how many statements that takes to resolve. pronoun: of a deed told as an arrival and a pronoun sentence.
    """

    relation: str | Verb
    person: str
    value: str
    place: str = ""
    like: str = ""
    hops: int = 0
    pronoun: str = ""


def sentences(lexicon: Lexicon, fact: Fact) -> tuple[str, ...]:
    """The sentences that state `fact`: one, or an arrival and what was done there."""
    frames = lexicon.sentences
    reference = "_like" if fact.like else ""
    held = {"person": fact.person, "value": fact.value, "like": fact.like, "place": fact.place}
    if not isinstance(fact.relation, Verb):
        return (frames[fact.relation + reference].format(**held),)
    if not fact.pronoun:
        return (frames["deed" + reference].format(past=fact.relation.past, **held),)
    deed = frames["then"].format(pronoun=fact.pronoun, past=fact.relation.past, value=fact.value)
    return frames["came" + reference].format(**held), deed


class World:
    """Facts added one by one. A person has one home, one job and up to `MAX_COUNT` deeds of each verb.

    A deed (a verb and a thing) is done once. Three in four places and jobs are shared by at most `MAX_COUNT` people, so
    that these can be counted.
    """

    def __init__(self, lexicon: Lexicon, split: Split, rng: random.Random) -> None:
        self.facts: list[Fact] = []
        self._lexicon = lexicon
        self._rng = rng
        self._references = REFERENCE_SHARE[split]
        self._pronouns = people(lexicon, split)
        self._strangers = rng.sample(list(self._pronouns), len(self._pronouns))
        self._deeds = rng.sample(deeds(lexicon, split), len(deeds(lexicon, split)))
        self._people: list[str] = []
        self._known: dict[str | Verb, dict[str, Fact]] = defaultdict(dict)
        self._done: Counter[tuple[Verb, str]] = Counter()
        self._visited: list[str] = []
        self._room = {HOME: self._rooms(lexicon.places), JOB: self._rooms(lexicon.jobs)}
        self._taken: dict[str, Counter[str]] = {HOME: Counter(), JOB: Counter()}

    def _rooms(self, values: tuple[str, ...]) -> dict[str, float]:
        crowded = set(self._rng.sample(values, len(values) // 4))
        return {value: math.inf if value in crowded else self._rng.randint(1, MAX_COUNT) for value in values}

    def draft(self) -> Fact | None:
        """A fact that could come next, or None when the lexicon is used up; it is not in the world before `add`."""
        if len(self.facts) < FOUNDERS:
            return self._held(HOME)
        draws: list[str | Verb] = [HOME, JOB]
        if self._deeds:
            draws.append(self._deeds[-1][0])
        shares = {HOME: 1 - DEED_SHARE - JOB_SHARE, JOB: JOB_SHARE}
        # Weighted order: the first relation that still has a person to take it.
        draws.sort(key=lambda relation: -(self._rng.random() ** (1 / shares.get(relation, DEED_SHARE))))
        for relation in draws:
            fact = self._deed() if isinstance(relation, Verb) else self._held(relation)
            if fact:
                return fact
        return None

    def add(self, fact: Fact) -> None:
        self.facts.append(fact)
        if self._strangers and fact.person == self._strangers[-1]:
            self._people.append(self._strangers.pop())
        self._known[fact.relation][fact.person] = fact
        if isinstance(fact.relation, Verb):
            self._deeds.pop()
            self._done[fact.relation, fact.person] += 1
            self._visited.append(fact.place)
        else:
            self._taken[fact.relation][fact.value] += 1

    def _person(self, relation: str | Verb) -> str | None:
        if isinstance(relation, Verb) and self._rng.random() < AGAIN_SHARE:
            again = [person for person in self._known[relation] if self._done[relation, person] < MAX_COUNT]
            if again:
                return self._rng.choice(again)
        lacking = [person for person in self._people if person not in self._known[relation]]
        newcomer = len(self.facts) < FOUNDERS or not lacking or self._rng.random() < NEWCOMER_SHARE
        if newcomer and self._strangers:
            return self._strangers[-1]
        return self._rng.choice(lacking) if lacking else None

    def _held(self, relation: str) -> Fact | None:
        """A home or a job, for the first `FOUNDERS` values one that nobody has."""
        person = self._person(relation)
        if person is None:
            return None
        taken, room = self._taken[relation], self._room[relation]
        free = [value for value in room if taken[value] < room[value]]
        shared = [value for value in free if taken[value]] if len(taken) >= FOUNDERS else []
        if shared and self._rng.random() < self._references:
            open_values = set(shared)
            known = [f for f in self._known[relation].values() if f.value in open_values and f.hops < MAX_HOPS]
            if known:
                other = self._rng.choice(known)
                return Fact(relation, person, other.value, like=other.person, hops=other.hops + 1)
        fresh = [value for value in free if not taken[value]]
        choices = shared if shared and (not fresh or self._rng.random() < REUSE_SHARE) else fresh
        return Fact(relation, person, self._rng.choice(choices)) if choices else None

    def _deed(self) -> Fact | None:
        verb, thing = self._deeds[-1]
        person = self._person(verb)
        if person is None:
            return None
        pronoun = self._pronouns[person] if self._rng.random() < ARRIVAL_SHARE else ""
        if self._rng.random() < self._references:
            # The host's pronoun differs, so that "She" after "came to the home of Tom Reed" can only be the guest.
            hosts = [
                home
                for home in self._known[HOME].values()
                if home.hops < MAX_HOPS and self._pronouns[home.person] != self._pronouns[person]
            ]
            if hosts:
                host = self._rng.choice(hosts)
                return Fact(verb, person, thing, host.value, host.person, host.hops + 1, pronoun)
        known_place = self._visited and self._rng.random() < REUSE_SHARE
        place = self._rng.choice(self._visited if known_place else self._lexicon.places)
        return Fact(verb, person, thing, place, pronoun=pronoun)
