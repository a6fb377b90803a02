"""The bundled classifier is what its lock, report and card say, and beats dropping words at random."""

import json
import random
from itertools import chain
from statistics import mean

import pytest

from scbench import engines
from scbench.classifier.examples import session
from scbench.classifiers import find_classifier
from scbench.methods import make
from scbench.methods.generation import llmlingua2
from scbench.methods.generation.kept_words import chosen, kept_spans
from scbench.methods.generation.token_classifier import words
from scbench.minilm.stream import token_counter
from scbench.models import read_models
from scbench.modes import FULL, Request, run_session
from scbench.prompts import encode
from scbench.schema import read_yaml
from scbench.scoring import score_turn
from scbench.shortening import shortened
from scbench.tasks import TASKS, Scale

TOKENS = 1024
BUNDLED = find_classifier(llmlingua2.SETTING, "minilm_classifier")
REPORT = json.loads((BUNDLED.directory / "training.json").read_text())


def test_it_is_small_pinned_and_made_by_its_recipe():
    BUNDLED.verify()
    assert sum((BUNDLED.directory / name).stat().st_size for name in BUNDLED.files) < 10**6
    assert REPORT["recipe"] == read_yaml(BUNDLED.recipe)
    assert REPORT["seconds"]["processor"] < 300


def test_its_card_states_what_its_report_says():
    card = (BUNDLED.directory / "README.md").read_text()
    for task, found in REPORT["held_out"].items():
        shown = " | ".join(f"{found[name]:.2f}" for name in ("needed", "precision", "recall"))
        assert f"| {task} | {shown} |" in card
    for stated in (f"{REPORT['parameters']:,}", f"{REPORT['tokens']:,}", f"{REPORT['recipe']['steps']:,} steps"):
        assert stated in card


@pytest.fixture(scope="module")
def engine():
    return engines.load(read_models()["minilm"].spec(), threads=1, device="cpu", dtype="float32")


def judged(context):
    name = "minilm_classifier"
    return words(llmlingua2.SETTING, name, BUNDLED.digest, context, ("\n", "?"), "cpu")


def by_classifier(context, rate):
    """The words of `context`, and which of them stay."""
    chunks = judged(context)
    return list(chain(*chunks)), list(chain(*(chosen(chunk, rate) for chunk in chunks)))


def by_chance(context, rate):
    """As many tokens' worth of words as the classifier keeps, drawn at random; forced ones stay as well."""
    found, stays = by_classifier(context, rate)
    room = sum(word.tokens for word, stay in zip(found, stays, strict=True) if stay and not word.forced)
    drawn = [number for number, word in enumerate(found) if not word.forced]
    random.Random(context).shuffle(drawn)
    kept = [word.forced for word in found]
    for number in drawn:
        kept[number] = room >= found[number].tokens
        room -= found[number].tokens * kept[number]
    return found, kept


def needed_kept(choose, sessions, rate):
    """The share of evidence characters that are left."""
    left = total = 0
    for each in sessions:
        inside = {
            place
            for start, stop in kept_spans(each.context, *choose(each.context, rate))
            for place in range(start, stop)
        }
        places = {place for turn in each.turns for start, stop in turn.evidence for place in range(start, stop)}
        left, total = left + len(places & inside), total + len(places)
    return left / total


@pytest.mark.parametrize("rate", [1 / 2, 1 / 4])
@pytest.mark.parametrize("task", ["retr_multihop", "en_sum", "mix_sum_niah"])
def test_it_keeps_what_unseen_questions_need(engine, task, rate):
    count = token_counter(engine.tokenizer)
    sessions = [TASKS[task].build(Scale(tokens=TOKENS, turns=5, count=count), 21, number) for number in range(3)]
    ours, chance = (needed_kept(choose, sessions, rate) for choose in (by_classifier, by_chance))
    assert ours > 1.5 * chance


def score(engine, each):
    """The mean score of the five turns under full attention."""
    how = {"profile": "clean", "max_prompt_tokens": None, "scale_name": "mini", "model_stop_ids": engine.stop_ids}
    encoded = {"multi_turn": encode(each, "multi_turn", engine.tokenizer, **how)}
    request = Request(FULL, "multi_turn", "")
    [(_, outputs)] = run_session(engine, encoded, [request], share_prefill=False, history="golden")
    return mean(
        score_turn(turn.subtask, output.prediction, turn.golds, profile="strict", options=turn.options, **turn.meta)
        for turn, output in zip(each.turns, outputs, strict=True)
    )


@pytest.mark.parametrize(("task", "rate", "ahead"), [("retr_multihop", 1 / 4, 0.5), ("mix_sum_niah", 1 / 2, 0.2)])
def test_the_bundled_model_answers_better_from_what_it_keeps(engine, task, rate, ahead):
    count = token_counter(engine.tokenizer)
    sessions = [TASKS[task].build(Scale(tokens=TOKENS, turns=5, count=count), 22, number) for number in range(2)]
    scores = [
        mean(score(engine, shortened(each, kept_spans(each.context, *choose(each.context, rate)))) for each in sessions)
        for choose in (by_classifier, by_chance)
    ]
    assert scores[0] > scores[1] + ahead


def test_the_method_keeps_these_words(engine):
    each = session("en_sum", 5, 0, TOKENS, 5, token_counter(engine.tokenizer))
    method = make("llmlingua2", {"budget": "1/4"}, TOKENS)
    assert method.shorten(each.context, "cpu") == kept_spans(each.context, *by_classifier(each.context, 1 / 4))
