"""The story tasks, checked by a reader that knows the text alone: it parses the story and answers the questions.

The reader shares no code with the builder; a question whose answer it finds to differ, or finds twice, is a defect.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, lru_cache

import pytest

from scbench.errors import UserError
from scbench.sessions import Session, Span, check_session
from scbench.tasks import en_multichoice, en_qa, zh_qa
from scbench.tasks.base import Scale

TASKS = {"en_qa": en_qa.EN_QA, "zh_qa": zh_qa.ZH_QA, "en_multichoice": en_multichoice.EN_MULTICHOICE}
PHRASES = sorted({*en_qa.PHRASES, *zh_qa.PHRASES}, key=lambda phrase: -len(phrase))
PIECE = re.compile("|".join([*map(re.escape, PHRASES), " ?[A-Za-z]+", "[^\n]", "\n+"]))
each_task = pytest.mark.parametrize("name", TASKS)


@lru_cache(maxsize=50_000)
def pieces(text: str) -> tuple[str, ...]:
    """`text` as the bundled models' tokenizer cuts it: phrases, words, characters."""
    return tuple(PIECE.findall(text))


def count(text: str) -> int:
    return len(pieces(text))


def build(task: str, /, index: int = 0, seed: int = 7, **scale) -> Session:
    return TASKS[task].build(Scale(**{"tokens": 1024, "count": count, **scale}), seed, index)


# --- The reader.

EN_NAME, ZH_NAME = "[A-Z][a-z]+ [A-Z][a-z]+", ".."
STATEMENTS = {
    "en": {
        "home": f"(?P<p>{EN_NAME}) lives in (?P<v>[A-Z][a-z]+)\\.",
        "home_like": f"(?P<p>{EN_NAME}) lives where (?P<r>{EN_NAME}) lives\\.",
        "job": f"(?P<p>{EN_NAME}) works as a (?P<v>[a-z]+)\\.",
        "job_like": f"(?P<p>{EN_NAME}) does the same work as (?P<r>{EN_NAME})\\.",
        "deed": f"(?P<p>{EN_NAME}) (?P<d>[a-z]+) the (?P<v>[a-z]+ [a-z]+) in the town of (?P<w>[A-Z][a-z]+)\\.",
        "deed_like": f"(?P<p>{EN_NAME}) (?P<d>[a-z]+) the (?P<v>[a-z]+ [a-z]+) at the home of (?P<r>{EN_NAME})\\.",
        "came": f"(?P<p>{EN_NAME}) came to (?P<w>[A-Z][a-z]+)\\.",
        "came_like": f"(?P<p>{EN_NAME}) came to the home of (?P<r>{EN_NAME})\\.",
        "then": "(?:She|He) (?P<d>[a-z]+) the (?P<v>[a-z]+ [a-z]+) there\\.",
        "mood": "The [a-z]+ was [a-z]+\\.|Spring came to the valley\\.",
    },
    "zh": {
        "home_like": "(?P<p>..)和(?P<r>..)住在同一处。",
        "home": "(?P<p>..)住在(?P<v>..)。",
        "job_like": "(?P<p>..)和(?P<r>..)是同行。",
        "job": "(?P<p>..)是(?P<v>..)。",
        "then": "[她他]在那里(?P<d>.)了(?P<v>..)。",
        "deed_like": "(?P<p>..)在(?P<r>..)家(?P<d>.)了(?P<v>..)。",
        "deed": "(?P<p>..)在(?P<w>..)(?P<d>.)了(?P<v>..)。",
        "came_like": "(?P<p>..)来到(?P<r>..)家。",
        "came": "(?P<p>..)来到(?P<w>..)。",
        "mood": ".很.。|春天来了。",
    },
}
QUESTIONS = {
    "en": {
        "home": f"Where does (?P<p>{EN_NAME}) live\\?",
        "who_home": "Who lives in (?P<v>[A-Z][a-z]+)\\?",
        "count_home": "How many people live in (?P<v>[A-Z][a-z]+)\\?",
        "job": f"What work does (?P<p>{EN_NAME}) do\\?",
        "who_job": "Who works as a (?P<v>[a-z]+)\\?",
        "count_job": "How many people work as a (?P<v>[a-z]+)\\?",
        "thing": f"What did (?P<p>{EN_NAME}) (?P<d>[a-z]+)\\?",
        "count_things": f"How many things did (?P<p>{EN_NAME}) (?P<d>[a-z]+)\\?",
        "who": "Who (?P<d>[a-z]+) the (?P<v>[a-z]+ [a-z]+)\\?",
        "town": "In which town was the (?P<v>[a-z]+ [a-z]+) (?P<d>[a-z]+)\\?",
        "first": "Who came to (?P<w>[A-Z][a-z]+) first\\?",
        "last": "Who came to (?P<w>[A-Z][a-z]+) last\\?",
    },
    "zh": {
        "who_home": "谁住在(?P<v>..)？",
        "count_home": "有几个人住在(?P<v>..)？",
        "home": "(?P<p>..)住在哪里？",
        "who_job": "谁是(?P<v>..)？",
        "count_job": "有几个人是(?P<v>..)？",
        "job": "(?P<p>..)是做什么的？",
        "thing": "(?P<p>..)(?P<d>.)了什么？",
        "count_things": "(?P<p>..)(?P<d>.)了几样东西？",
        "who": "谁(?P<d>.)了(?P<v>..)？",
        "town": "(?P<d>.)(?P<v>..)的地方叫什么？",
        "first": "谁最先来到(?P<w>..)？",
        "last": "谁最后来到(?P<w>..)？",
    },
}
SENTENCE = {"en": re.compile(r"[^.\n ][^.\n]*\."), "zh": re.compile("[^。]+。")}
# Irregular forms, to the one in which the story tells the deed.
PAST = {"find": "found", "buy": "bought", "hide": "hid", "hidden": "hid", "lose": "lost"}
NUMBERS = {"en": ("one", "two", "three", "four"), "zh": ("一", "二", "三", "四")}
AGGREGATE = ("count_home", "count_job", "count_things", "first", "last")


def language(name: str) -> str:
    return "zh" if name == "zh_qa" else "en"


def parse(patterns: dict[str, str], text: str) -> tuple[str, dict[str, str]]:
    for kind, pattern in patterns.items():
        if match := re.fullmatch(pattern, text):
            return kind, match.groupdict()
    raise AssertionError(f"no reading of {text!r}")


@dataclass
class Reading:
    """What a text says. held: (kind, person) -> (value, referent); deeds: (person, deed, thing, place, referent)."""

    held: dict[tuple[str, str], tuple[str | None, str | None]] = field(default_factory=dict)
    deeds: list[tuple[str, str, str, str | None, str | None]] = field(default_factory=list)
    arrivals: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    units: list[tuple[Span, ...]] = field(default_factory=list)

    def value(self, kind: str, person: str) -> str | None:
        value, referent = self.held.get((kind, person), (None, None))
        return self.value(kind, referent) if referent else value

    def place(self, place: str | None, referent: str | None) -> str | None:
        return self.value("home", referent) if referent else place


def read(tongue: str, text: str, spans: Iterable[Span] | None = None) -> Reading:
    """Read the whole text, or only the sentences at `spans` (in text order)."""
    reading, guest = Reading(), None
    for span in sorted(spans or (match.span() for match in SENTENCE[tongue].finditer(text))):
        kind, said = parse(STATEMENTS[tongue], text[slice(*span)])
        person, referent = said.get("p"), said.get("r")
        if kind == "then":
            if guest:
                reading.deeds.append((guest[0], said["d"], said["v"], *guest[1:]))
                reading.units[-1] = (*reading.units[-1], span)
            guest = None
            continue
        assert spans is not None or guest is None, "an arrival without a deed"
        guest = None
        if kind == "mood":
            continue
        reading.units.append((span,))
        if kind.startswith("came"):
            guest = (person, said.get("w"), referent)
            reading.arrivals.append(guest)
        elif kind.startswith("deed"):
            reading.deeds.append((person, said["d"], said["v"], said.get("w"), referent))
        else:
            key = (kind.removesuffix("_like"), person)
            assert key not in reading.held, f"{person} has two of {key[0]}"
            reading.held[key] = (said.get("v"), referent)
    return reading


def answers(tongue: str, reading: Reading, query: str) -> set[str]:
    kind, asked = parse(QUESTIONS[tongue], query)
    deed = PAST.get(asked.get("d"), asked.get("d"))
    if kind in ("home", "job"):
        found = [reading.value(kind, asked["p"])]
    elif kind.endswith(("_home", "_job")):
        how, held = kind.split("_")
        found = [p for k, p in reading.held if k == held and reading.value(k, p) == asked["v"]]
        found = [NUMBERS[tongue][len(found) - 1]] if how == "count" and found else found
    elif kind in ("thing", "count_things"):
        found = [thing for person, done, thing, *_ in reading.deeds if (person, done) == (asked["p"], deed)]
        found = [NUMBERS[tongue][len(found) - 1]] if kind == "count_things" and found else found
    elif kind in ("who", "town"):
        done = [told for told in reading.deeds if told[1:3] == (deed, asked["v"])]
        found = [told[0] if kind == "who" else reading.place(*told[3:]) for told in done]
    else:
        came = [person for person, *where in reading.arrivals if reading.place(*where) == asked["w"]]
        found = came[:1] if kind == "first" else came[-1:]
    return {answer for answer in found if answer}


# --- The laws.

SIZES = [
    pytest.param(dict(tokens=48, turns=2), id="48"),
    pytest.param(dict(tokens=97, turns=4), id="97"),
    pytest.param(dict(tokens=256, turns=20), id="256x20"),
    pytest.param(dict(tokens=1024, turns=5), id="1024"),
    pytest.param(dict(tokens=1023, turns=20, order="balanced", split="train"), id="1023-balanced-train"),
    pytest.param(dict(tokens=8192, turns=30), id="8192"),
]


@each_task
@pytest.mark.parametrize("scale", SIZES)
def test_reading_the_text_gives_the_gold_and_nothing_else(name, scale):
    for index in range(1 if scale["tokens"] > 2000 else 12):
        session = check_session(build(name, index, **scale))
        reading = read(language(name), session.context)
        assert len(session.turns) == scale["turns"]
        for turn in session.turns:
            assert answers(language(name), reading, turn.query) == {turn.golds[0]}, turn.query


@each_task
@pytest.mark.parametrize("order", ["published", "balanced"])
def test_the_evidence_alone_gives_the_gold_and_no_sentence_of_it_is_spare(name, order):
    tongue, longest = language(name), 0
    for index in range(25):
        session = build(name, index, turns=10, order=order)
        for turn in session.turns:
            assert len(set(turn.evidence)) == len(turn.evidence)
            read_alone = answers(tongue, read(tongue, session.context, turn.evidence), turn.query)
            assert read_alone == {turn.golds[0]}, turn.query
            if parse(QUESTIONS[tongue], turn.query)[0] in AGGREGATE:
                continue
            longest = max(longest, len(turn.evidence))
            for spare in turn.evidence if len(turn.evidence) > 1 else ():
                rest = [span for span in turn.evidence if span != spare]
                assert not answers(tongue, read(tongue, session.context, rest), turn.query)
    # Four: done there, by who arrived at the home of somebody who lives where somebody else lives.
    assert 3 <= longest <= 4


@each_task
def test_turn_i_asks_about_slot_i_of_the_story(name):
    """Slots are equal shares of the stated facts; an arrival and its pronoun sentence are one fact."""
    for index in range(20):
        session = build(name, index, turns=7)
        units = read(language(name), session.context).units
        for slot, turn in enumerate(session.turns):
            place = next(number for number, unit in enumerate(units) if turn.evidence[0] in unit)
            assert slot * len(units) // 7 <= place < (slot + 1) * len(units) // 7


@each_task
def test_balanced_order_asks_about_the_same_story_in_any_order(name):
    shuffled = 0
    for index in range(20):
        session = build(name, index, turns=7, order="balanced")
        assert session.context == build(name, index, turns=7).context
        units = read(language(name), session.context).units
        slots = []
        for turn in session.turns:
            place = next(number for number, unit in enumerate(units) if turn.evidence[0] in unit)
            slots.append(next(slot for slot in range(7) if place < (slot + 1) * len(units) // 7))
        assert sorted(slots) == list(range(7))
        shuffled += slots != sorted(slots)
    assert shuffled >= 18


@each_task
def test_the_same_arguments_give_the_same_session(name):
    assert build(name, 3).digest == build(name, 3).digest
    others = [build(name, 4), build(name, 3, seed=8), build(name, 3, split="train")]
    assert len({build(name, 3).context, *(other.context for other in others)}) == 4


@each_task
def test_names_of_evaluation_are_made_of_pieces_known_from_training(name):
    pieces = {"eval": set(), "train": set()}
    for split, known in pieces.items():
        for index in range(200):
            reading = read(language(name), build(name, index, tokens=400, split=split).context)
            people = {person for _, person in reading.held} | {told[0] for told in reading.deeds}
            known |= set().union(*(person.split() if language(name) == "en" else person for person in people))
    assert pieces["eval"] and pieces["eval"] <= pieces["train"]


@each_task
@pytest.mark.parametrize("tokens", [256, 257, 777, 1024, 4096, 8192])
@pytest.mark.parametrize("counter", [count, lambda text: -(-len(text) // 4)], ids=["pieces", "fours"])
def test_the_context_fills_its_budget_and_stays_within_it(name, tokens, counter):
    for index in range(3):
        taken = counter(build(name, index, tokens=tokens, count=counter).context)
        assert 0.93 * tokens <= taken <= tokens


@each_task
def test_all_kinds_of_question_and_statement_occur_in_the_stated_shares(name):
    tongue, asked, stated, said = language(name), Counter(), Counter(), ""
    for index in range(80):
        session = build(name, index, turns=10)
        asked.update(parse(QUESTIONS[tongue], turn.query)[0] for turn in session.turns)
        for match in SENTENCE[tongue].finditer(session.context):
            stated[parse(STATEMENTS[tongue], match.group())[0]] += 1
        said += "\n".join([session.context, *(turn.query for turn in session.turns), ""])
    assert set(asked) == set(QUESTIONS[tongue]) and set(stated) == set(STATEMENTS[tongue])
    assert 0.17 < sum(asked[kind] for kind in AGGREGATE) / asked.total() < 0.28
    facts = sum(number for kind, number in stated.items() if kind not in ("mood", "then"))
    assert 0.2 < sum(stated[kind] for kind in stated if kind.endswith("_like")) / facts < 0.32
    # No phrase is dead weight in the vocabulary.
    module = zh_qa if tongue == "zh" else en_qa
    assert set(module.PHRASES) <= set(pieces(said))
    words = set(re.findall("[A-Za-z]+" if tongue == "en" else "[^\n]", said))
    assert len(words) <= 250


@each_task
def test_a_story_is_lines_of_one_fact_and_nothing_between(name):
    tongue = language(name)
    for index in range(5):
        text = build(name, index).context
        spans = [match.span() for match in SENTENCE[tongue].finditer(text)]
        pairs = {unit[0][1] for unit in read(tongue, text).units if len(unit) == 2}
        gap, end = ("", "") if tongue == "zh" else (" ", "\n")
        assert text == "".join(text[slice(*span)] + (gap if span[1] in pairs else end) for span in spans)


@each_task
def test_a_pronoun_can_only_be_the_guest(name):
    tongue = language(name)
    pronouns = TASKS[name].lexicon.given
    pair = re.compile(STATEMENTS[tongue]["came_like"] + " ?(?P<pronoun>She|He|她|他)")
    found = 0
    for index in range(20):
        for met in pair.finditer(build(name, index).context):
            given = [who.split()[0] if tongue == "en" else who[1] for who in (met["p"], met["r"])]
            assert pronouns[given[0]] == met["pronoun"] != pronouns[given[1]]
            found += 1
    assert found


@each_task
def test_answers_are_cut_into_the_same_tokens_in_the_story_as_alone(name):
    tongue = language(name)
    for index in range(20):
        session = build(name, index, turns=10)
        story = pieces(session.context)
        for turn in session.turns:
            for text in {turn.golds[0], *turn.options} - set(NUMBERS[tongue]):
                cut = pieces(text)
                assert len(cut) <= 2
                assert any(story[start : start + len(cut)] == cut for start in range(len(story))), text


@cache
def choices() -> tuple[Session, ...]:
    return tuple(build("en_multichoice", index, tokens=tokens) for tokens in (60, 512) for index in range(150))


def test_options_are_four_of_a_kind_that_the_story_mentions():
    for session in choices():
        reading = read("en", session.context)
        people = {person for _, person in reading.held} | {told[0] for told in reading.deeds}
        homes = {value for (kind, _), (value, _) in reading.held.items() if kind == "home" and value}
        kinds = (
            people,
            homes | {told[3] for told in reading.deeds if told[3]},
            {value for (kind, _), (value, _) in reading.held.items() if kind == "job" and value},
            {told[2] for told in reading.deeds},
            set(NUMBERS["en"]),
        )
        for turn in session.turns:
            text, letter = turn.golds
            assert len(set(turn.options)) == 4 and turn.options["ABCD".index(letter)] == text
            assert any(set(turn.options) <= kind for kind in kinds)


def test_the_right_letter_is_uniform():
    letters = Counter(turn.golds[1] for session in choices() for turn in session.turns)
    assert letters.total() == 1500
    # Five standard deviations of a share of one in four among 1,500.
    assert all(abs(letters[letter] / 1500 - 0.25) < 0.056 for letter in "ABCD")


@pytest.mark.parametrize("name", ["en_qa", "zh_qa"])
def test_a_question_of_one_right_answer_has_one_gold_and_no_options(name):
    assert all(len(turn.golds) == 1 and not turn.options for turn in build(name).turns)


@each_task
def test_no_accepted_answer_hides_in_another(name):
    """Inclusion scoring accepts a longer answer that holds the gold one, so none may."""
    lexicon = TASKS[name].lexicon
    for words in (lexicon.places, lexicon.jobs, lexicon.numbers, lexicon.families, tuple(lexicon.given)):
        assert len(set(words)) == len(words)
        assert not [(a, b) for a in words for b in words if a != b and a.upper() in b.upper()]


@each_task
@pytest.mark.parametrize(
    ("scale", "key"),
    [
        (dict(name="paper"), "data.scale"),
        (dict(tokens=None), "data.tokens"),
        (dict(tokens=20), "data.tokens"),
        (dict(tokens=48, count=lambda text: 40 * len(text)), "data.tokens"),
        (dict(turns=0), "data.turns"),
        (dict(tokens=64, turns=40), "data.turns"),
    ],
)
def test_impossible_requests_are_refused_by_key(name, scale, key):
    with pytest.raises(UserError, match=f"{name}: .*{re.escape(key)}"):
        build(name, **{"tokens": 256, **scale})
