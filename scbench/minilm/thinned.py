"""Drills on texts: repositories, papers, dictionaries; questions behind each, answered in a few words.

Why most are thinned: `scbench.minilm.texts`. On stories: `scbench.minilm.retold`.
"""

import math
import random
import re
import string
from collections import Counter
from collections.abc import Callable

from scbench.minilm.drills import AFFIXES, CLAIMS, DEEDS, FACTS, KEYS, NAMING, PASS_KEYS, Drill
from scbench.minilm.retold import deeds, facts
from scbench.minilm.texts import Texts, share, thin
from scbench.tasks import functions, mix_sum_niah, papers, retr_kv
from scbench.tasks.base import belongs
from scbench.tasks.en_sum import EN_SUM
from scbench.tasks.mini import composed, fill
from scbench.tasks.retr_prefix_suffix import HEAD, query

# What a summary says. Two of its claims are found by the name of its method, the others by the document's number.
CLAIM = re.compile(re.sub("<(.+?)>", r"(?P<\1>.+?)", re.escape(papers.SUMMARY)))
BY_METHOD = ("problem", "finding")
# A thinned shelf shows one claim of a document, so there may be more of them; nine numbers are enough to tell apart.
SHELF_TIMES, MOST_DOCUMENTS = 3, 9
# `thin` keeps a token where it stands first, and two digits may be one token: of 1212 the second half would be lost.
THINNABLE_NUMBERS = [number for number in map(str, mix_sum_niah.NUMBERS["mini"]) if number[:2] != number[2:]]
CODES = [letter + digit for letter in string.ascii_lowercase for digit in string.digits]


def naming(rng: random.Random, texts: Texts) -> Drill:
    """Functions; asked: the name of one, by a noun that no other function takes, or by words of its description.

    One question a noun, so that few can be answered from an earlier answer (words around a noun may hold the other one
    of its function). Of thinned names the verb alone may be left, right in front of the nouns.
    """
    scale = texts.scale(rng)
    _, repository = functions.repository(rng, scale, scale.tokens)
    shown = share(rng)
    whole = rng.random() < shown
    names = {function: texts.encode(f" {function.name}")[: None if whole else 1] for function in repository}
    nouns = {function: _nouns(function) for function in repository}
    taken = Counter(noun for own in nouns.values() for noun in own)
    rarest = min(taken.values())  # 1, unless every noun is shared, as three may be by three functions
    text: list[int] = []
    questions = []
    for function, (_, code) in zip(repository, functions.units(repository), strict=True):
        kept = [*names[function], *(token for noun in nouns[function] for token in texts.encode(f" {noun}"))]
        text += thin(rng, texts.encode(code), kept, shown)
        cues = [noun for noun in nouns[function] if taken[noun] == rarest]
        questions += [(texts.encode(_question(rng, function, noun)), names[function]) for noun in cues]
    return texts.drill(text, rng.sample(questions, len(questions)))


def _nouns(function: functions.Function) -> list[str]:
    return [word for word in re.findall("[a-z]+", function.description) if word in functions.NOUNS]


def _question(rng: random.Random, function: functions.Function, noun: str) -> str:
    """The noun alone, or it and the word a definition begins with, or the words around the noun and that word."""
    form = rng.randrange(3)
    gap = rng.choice(("", functions.GAP))
    if form == 0:
        return f"{gap} {noun}"
    opening = functions.GAP + function.code.partition(f" {function.name}")[0]
    if form == 1:
        return f"{gap} {noun}{opening}"
    words = function.description.split(" ")
    place = next(number for number, word in enumerate(words) if word.startswith(noun))
    first, end = rng.randint(0, place), rng.randint(place + 1, len(words))
    return gap + "".join(f" {word}" for word in words[first:end]) + opening


def claims(rng: random.Random, texts: Texts) -> Drill:
    """The claims of papers; asked: one of each document, behind as much of its summary as precedes it there.

    A thinned shelf holds claims of one kind, stated outright, of nine documents at most, in any order. The number in a
    question leads to the name that a summary begins with, some phrases away, and to its data; problem and finding are
    found by the name, which stands before them. Without the drill, name and data were what most summaries had wrong
    after a million tokens.
    """
    shown = share(rng)
    scale = texts.scale(rng, 1 if shown == 1 else SHELF_TIMES)
    shelf = papers.shelf(rng, scale, 1, max(scale.tokens, EN_SUM.min_tokens))
    documents = [document for document in shelf if document.number <= MOST_DOCUMENTS]
    # The number leads to the data over most of a summary, which takes the longest to learn.
    roles = ["data", "data", "data", "method", "method", "problem", "finding"]
    if shown < 1:
        roles = [rng.choice(roles)]
        documents = [document for document in documents if roles != ["data"] or not document.refers_to]
        rng.shuffle(documents)
    text: list[int] = []
    questions = []
    for document in documents:
        role = rng.choice(roles)
        claim = CLAIM.fullmatch(document.summary)
        key = texts.encode(claim["method"] if role in BY_METHOD else str(document.number))
        answer = texts.encode(claim[role])
        stated = document.title if role == "method" else dict(document.sentences)[role]
        part = thin(rng, texts.encode(document.text if shown == 1 else stated), [*key, *answer], shown)
        if questions and len(text) + len(part) > texts.tokens:
            break
        text += part
        cue = f"{papers.GAP}{document.query}{document.summary[: claim.start(role)]}"
        questions.append((thin(rng, texts.encode(cue), key, shown), answer))
    return texts.drill(text, rng.sample(questions, len(questions)))


def pass_keys(rng: random.Random, texts: Texts) -> Drill:
    """Named pass keys; asked: each once. Names share their pieces: most of a thinned text, fewer of a short whole one.

    In the task few do, so that either piece alone leads to most of them, and a run had learned no more than that at its
    end.
    """
    shown = share(rng)
    known = {*composed(*mix_sum_niah.NAMES, " ", "train")}
    names: list[str] = []
    while not names:  # of a few small grids, all are kept for evaluation
        some = [rng.sample(pieces, rng.choice((3, 5, 8))) for pieces in mix_sum_niah.NAMES]
        names = [name for first in some[0] for second in some[1] if (name := f"{first} {second}") in known]
    numbers = rng.sample(THINNABLE_NUMBERS, len(names))
    text: list[int] = []
    questions = []
    for name, number in zip(rng.sample(names, len(names)), numbers, strict=True):
        words = {"name": f" {name}", "number": number}
        key, answer = texts.encode(words["name"]), texts.encode(number)
        part = thin(rng, texts.encode(fill(mix_sum_niah.SENTENCES["mini"], **words)), [*key, *answer], shown)
        if questions and len(text) + len(part) > texts.tokens:
            break
        text += part
        cue = texts.encode(papers.GAP + fill(mix_sum_niah.QUERY, **words))
        questions.append((thin(rng, cue, key, shown), answer))
    return texts.drill(text, rng.sample(questions, len(questions)))


def affixes(rng: random.Random, texts: Texts) -> Drill:
    """A dictionary of strings; asked: the one with a prefix and a suffix, as in Retr.Prefix-Suffix.

    In half of them all strings have one prefix, so that the suffix tells them apart (in long ones a few prefixes have
    to do); in the others several share a prefix and several a suffix, and both together lead to one. In the task an
    affix rarely leads to more than two strings, and some runs stood still at half of the answers, those that the prefix
    alone finds. In every other dictionary a question is the two affixes, one code where both are the same, and
    its answer is what stands between them.
    """
    count = texts.tokens // texts.count('x4v8i4", "')
    pairs_wanted = 2 * count
    prefixes = round(pairs_wanted ** max(0.0, rng.uniform(-0.5, 0.75)))
    prefixes = min(len(CODES), max(prefixes, math.ceil(pairs_wanted / len(CODES))))
    suffixes = rng.sample(CODES, math.ceil(pairs_wanted / prefixes))
    pairs = rng.sample([(prefix, suffix) for prefix in rng.sample(CODES, prefixes) for suffix in suffixes], count)
    words = [_word(rng, *pair) for pair in pairs]
    whole = rng.choice((False, True))
    questions = []
    for (prefix, suffix), word in rng.sample([*zip(pairs, words, strict=True)], count):
        cue = texts.encode(f"\n\n{query(prefix, suffix)}")
        if not whole:
            cue = thin(rng, cue, [*texts.encode(prefix), *texts.encode(suffix)], 0.0)
        questions.append((cue, texts.encode(word if whole else word[len(prefix) : -len(suffix)])))
    return texts.drill(texts.encode(HEAD + ", ".join(f'"{word}"' for word in words) + "]"), questions)


def _word(rng: random.Random, prefix: str, suffix: str) -> str:
    while not belongs(word := prefix + rng.choice(CODES) + suffix, "train"):
        pass
    return word


def _value(rng: random.Random) -> str:
    return _word(rng, rng.choice(CODES), "")


def keys(rng: random.Random, texts: Texts) -> Drill:
    """A JSON object; asked: the value of each key, as in Retr.KV or by the key alone. Keys share both their codes.

    Among the pairs of a short context few keys of the task share a code, and the last one leads to most values. A run
    that had learned no more than that stood still at half of the answers once there were 160 pairs.
    """
    count = texts.tokens // texts.count('x4v8": "i4k2", "')
    firsts = min(len(CODES), max(2, round(count ** rng.uniform(0.25, 0.75))))
    known: list[str] = []
    while not known:  # of a few small grids, all keys are kept for evaluation
        seconds = rng.sample(CODES, min(len(CODES), math.ceil(2 * count / firsts)))
        grid = [first + second for first in rng.sample(CODES, firsts) for second in seconds]
        known = [key for key in grid if belongs(key, "train")]
    pairs = {key: _value(rng) for key in rng.sample(known, min(count, len(known)))}
    whole = rng.choice((False, True))
    questions = []
    for key, value in rng.sample([*pairs.items()], len(pairs)):
        cue = f"\n{retr_kv.query(key)}" if whole else f'"{key}'
        questions.append((texts.encode(cue), texts.encode(value)))
    text = retr_kv.HEAD + ", ".join(f'"{key}": "{value}"' for key, value in pairs.items()) + "}"
    return texts.drill(texts.encode(text), questions)


TEXT_DRILLS: dict[str, Callable[[random.Random, Texts], Drill]] = {
    NAMING: naming,
    FACTS: facts,
    DEEDS: deeds,
    AFFIXES: affixes,
    KEYS: keys,
    CLAIMS: claims,
    PASS_KEYS: pass_keys,
}
