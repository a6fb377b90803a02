"""The drills on stories: every answer follows from what is told, as a reader finds sentence by sentence."""

import random
import re
from collections import Counter
from itertools import product

import pytest

from scbench.minilm.retold import _namesakes
from scbench.tasks.stories_en import ENGLISH
from scbench.tasks.stories_zh import CHINESE
from scbench.tasks.story_lexicon import deeds, people

SEEDS = range(25)
HELD = sorted({*ENGLISH.places, *CHINESE.places, *ENGLISH.jobs, *CHINESE.jobs}, key=len)


def test_in_a_story_without_its_frames_an_answer_stands_beside_what_is_asked_with_and_nothing_else_does(drill):
    kinds = Counter()
    for seed in range(80):
        _, _, pairs = drill("facts", seed, 0.0)
        text = pairs[0][0].replace("\n", "")
        for question, answer in pairs[1:]:
            cue = question.strip()
            held = next((value for value in HELD if value in (cue, answer)), None)
            kinds[held is not None, answer == held] += 1
            if held is None:  # a deed: person, thing and place; each thing once
                assert text.count(cue) == 1 and answer in text.split(cue)[0] + text.split(cue)[1], (text, cue)
            elif answer == held:
                assert cue + answer in text
                assert {text[place.end() :][: len(answer)] for place in re.finditer(cue, text)} == {answer}, (text, cue)
            else:
                assert answer + cue in text and text.count(cue) == 1, (text, cue)
    assert min(kinds[True, True], kinds[True, False], kinds[False, False]) > 20


def test_a_whole_story_is_told_and_asked_about_as_in_the_tasks(drill):
    rng = random.Random(3)
    frames = [*ENGLISH.questions.values(), *CHINESE.questions.values()]
    asked_like = [re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(frame))) for frame in frames]
    for _ in SEEDS:
        _, _, pairs = drill("facts", rng.randrange(1000), 1.0)
        assert all(any(frame.fullmatch(question.strip()) for frame in asked_like) for question, _ in pairs[1:])
        lexicon = CHINESE if "。" in pairs[0][0] else ENGLISH
        stated = [re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(frame))) for frame in lexicon.sentences.values()]
        text = pairs[0][0].replace("。", "。\n").replace(". ", ".\n").split("\n")
        told = [line for line in text if line.endswith((".", "。"))]
        assert told and all(any(frame.fullmatch(line) for frame in stated) for line in told)


def pattern(lexicon, frame):
    """A frame as a regular expression, its fields as groups; the forms of verbs are those of the lexicon."""
    verbs = {form: "|".join(getattr(verb, form) for verb in lexicon.verbs) for form in ("past", "base", "participle")}
    groups = {field: f"(?P<{field}>{verbs.get(field, '.+?')})" for field in re.findall(r"{(\w+)}", frame)}
    return re.compile(re.escape(frame).replace(r"\{", "{").replace(r"\}", "}").format(**groups))


def question_of(text):
    """Of a question about a deed: whether it asks for the thing or the town, the verb, and what it is asked with."""
    for lexicon, kind in product((ENGLISH, CHINESE), ("thing", "town")):
        if match := pattern(lexicon, lexicon.questions[kind]).fullmatch(text.strip()):
            asked = match.groupdict()
            verb = next(verb for verb in lexicon.verbs if {*asked.values()} & {verb.past, verb.base, verb.participle})
            return kind, verb.past, asked["person" if kind == "thing" else "value"]
    raise AssertionError(f"no question about a deed: {text}")


class Reader:
    """Reads deeds sentence by sentence, and answers questions by what it has read."""

    def __init__(self, text):
        self.lexicon = CHINESE if "。" in text else ENGLISH
        told, stop, self.question = text.rpartition("。" if self.lexicon is CHINESE else ".\n")
        self.deeds = []
        # A pronoun could be read as a person, the other way round never.
        frames = [pattern(self.lexicon, self.lexicon.sentences[kind]) for kind in ("then", "came", "deed")]
        arrival = {}
        for sentence in re.split(r"(?<=\.)\s+|(?<=。)", told + stop.strip()):
            if sentence:
                found = next(match for frame in frames if (match := frame.fullmatch(sentence))).groupdict()
                if "value" in found:
                    self.deeds.append({**arrival, **found} if "pronoun" in found else found)
                arrival = found

    def find(self, question):
        """What kind of question it is, and the one deed that it asks about."""
        kind, past, about = question_of(question)
        fixed = "person" if kind == "thing" else "value"
        (deed,) = [deed for deed in self.deeds if (deed["past"], deed[fixed]) == (past, about)]
        return kind, deed


def read(drill, seed, tokens):
    pairs = drill("deeds", seed, 1.0, tokens, length=3 * tokens)[2]
    reader = Reader(pairs[0][0])
    return reader, [(reader.question, pairs[0][1]), *pairs[1:]]


@pytest.mark.parametrize("tokens", [32, 96, 700])
def test_a_reader_answers_alike_and_meets_the_training_half_alone(tokens, drill):
    for seed in SEEDS:
        reader, pairs = read(drill, seed, tokens)
        assert len({question.strip() for question, _ in pairs}) == len(pairs)
        for question, answer in pairs:
            kind, deed = reader.find(question)
            assert deed["value" if kind == "thing" else "place"] == answer, (question, answer)
        pronouns = people(reader.lexicon, "train")
        assert {deed["person"] for deed in reader.deeds} <= {*pronouns}
        assert all(deed["pronoun"] == pronouns[deed["person"]] for deed in reader.deeds if "pronoun" in deed)
        assert len({(deed["person"], deed["past"]) for deed in reader.deeds}) == len(reader.deeds)
        known = {(verb.past, thing) for verb, thing in deeds(reader.lexicon, "train")}
        assert {(deed["past"], deed["value"]) for deed in reader.deeds} <= known


def test_in_a_thinned_text_the_verb_alone_stands_between_a_person_of_one_token_and_the_thing(words, drill):
    kinds = Counter()
    for seed in SEEDS:
        ids, asked, pairs = drill("deeds", seed, 0.0)
        text = ids[: asked[0].start]
        for (question, _), answer in zip(pairs[1:], asked[1:], strict=True):
            kind, past, about = question_of(question)
            cue = words.encode(about, add_special_tokens=False)
            wanted = ids[answer.start : answer.stop]
            places = [place for place in range(len(text)) if text[place : place + len(cue)] == cue]
            if kind == "thing":
                assert len(cue) == 1
                (behind,) = [place + 1 for place in places if past in words.decode(text[place + 1])]
                assert text[behind + 1 :][: len(wanted)] == wanted, (words.decode(text), question)
            else:
                (before,) = [place - 1 for place in places if past in words.decode(text[place - 1])]
                after = text[before + len(cue) + 2 :][: len(wanted)]
                assert wanted in (text[:before][-len(wanted) :], after), (words.decode(text), question)
            kinds[kind] += 1
    assert min(kinds["thing"], kinds["town"]) > 30


def test_neither_who_nor_half_a_name_nor_what_was_done_leads_to_most_things_alone(drill):
    shared = {"person": [], "past": [], "given": [], "family": []}
    for seed in range(60):
        reader, pairs = read(drill, seed, 128)

        def pieces(deed, lexicon=reader.lexicon):
            person = deed["person"]
            return person.split() if lexicon is ENGLISH else (person[1:], person[:1])

        for kind, deed in (reader.find(question) for question, _ in pairs):
            if kind == "thing":
                others = [other for other in reader.deeds if other is not deed]
                for key in ("person", "past"):
                    shared[key].append(any(other[key] == deed[key] for other in others))
                strangers = [other for other in others if other["person"] != deed["person"]]
                for place, key in enumerate(("given", "family")):
                    shared[key].append(any(pieces(other)[place] == pieces(deed)[place] for other in strangers))
    assert len(shared["past"]) > 150
    shares = {key: sum(values) / len(values) for key, values in shared.items()}
    assert shares["family"] > 0.35 and min(shares[key] for key in ("person", "past", "given")) > 0.55, shares


def test_people_who_are_all_kept_for_evaluation_are_drawn_again():
    """The first grid of names is one name of the other half."""

    class Held(random.Random):
        waiting = iter(next(iter(people(ENGLISH, "eval"))).split())

        def sample(self, population, k):
            piece = next(self.waiting, None)
            return [piece] if piece else super().sample(population, k)

    rng = Held(3)
    found = _namesakes(rng, ENGLISH, 4)
    assert not [*rng.waiting] and found and set(found) <= {*people(ENGLISH, "train")}
