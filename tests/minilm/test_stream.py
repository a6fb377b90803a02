import random

import pytest
import torch

from scbench.minilm.drills import DRILLS, KNOWN
from scbench.minilm.model import IGNORE
from scbench.minilm.stream import DocumentStream, collate, play
from scbench.tasks import TASKS, Scale
from scbench.tasks.retr_kv import RetrKV


@pytest.fixture
def stream(recipe, tokenizer):
    return DocumentStream(recipe, tokenizer)


def session(count, turns=5):
    return TASKS["retr_kv"].build(Scale(tokens=64, turns=turns, count=count, split="train"), 0, 0)


def test_a_document_is_the_conversation_and_its_targets_are_the_answers(stream, tokenizer):
    asked = session(stream.count)
    document = play(asked, tokenizer, 10_000)
    said = [tokenizer.decode([document.ids[i] for i in answer]) for answer in document.answers]
    assert said == [f"{turn.golds[0]}<|end|>" for turn in asked.turns]
    text = tokenizer.decode(document.ids)
    first_question = text.index("<|assistant|>")
    assert text.startswith("<s><|user|>") and asked.context in text[:first_question]
    for turn in asked.turns:
        assert f"{turn.query.strip()}<|assistant|>{turn.golds[0]}<|end|>" in text


def test_labels_are_the_next_tokens_at_answers_and_nothing_elsewhere(stream, tokenizer):
    documents = [play(session(stream.count, turns), tokenizer, 10_000) for turns in (1, 5)]
    ids, labels = collate(documents, torch.device("cpu"))
    for row, document in enumerate(documents):
        marked = {position for position in range(ids.shape[1]) if labels[row, position] != IGNORE}
        assert marked == {token - 1 for answer in document.answers for token in answer}
        assert all(labels[row, position] == document.ids[position + 1] for position in marked)
        assert not ids[row, len(document.ids) :].any()


@pytest.mark.parametrize("length", [1, 90, 100, 101, 102, 110])
def test_a_document_keeps_whole_turns_within_its_length(stream, tokenizer, length):
    whole = play(session(stream.count, 8), tokenizer, 10_000)
    cut = play(session(stream.count, 8), tokenizer, length)
    assert cut.answers == whole.answers[: len(cut.answers)] and cut.ids == whole.ids[: len(cut.ids)]
    assert cut.answers[-1].stop == len(cut.ids)
    assert len(cut.answers) == 1 or len(cut.ids) <= length


def test_a_batch_is_a_function_of_recipe_stage_and_step(recipe, tokenizer):
    stage = recipe.stages[0]
    first, again = DocumentStream(recipe, tokenizer), DocumentStream(recipe, tokenizer)
    again.batch(stage, 4)
    assert first.batch(stage, 5) == again.batch(stage, 5) != first.batch(stage, 6)


def test_stages_and_held_out_sessions_share_no_document(stream, recipe):
    documents = [document for stage in recipe.stages for step in range(20) for document in stream.batch(stage, step)]
    held_out = [document for number in range(2) for document in stream.held_out(number, "retr_kv")]
    assert len({document.ids for document in documents}) == len(documents)
    assert not {document.ids for document in documents} & {document.ids for document in held_out}


def test_documents_with_many_questions_fill_their_length(stream, recipe):
    stage = recipe.stages[1]
    documents = [document for step in range(20) for document in stream.batch(stage, step)]
    many = [document for document in documents if len(document.answers) > 5]
    assert 0.4 < len(many) / len(documents) < 0.9
    assert all(stage.length * 0.7 <= len(document.ids) <= stage.length for document in many)


@pytest.mark.parametrize("name", DRILLS)
def test_a_drill_asks_for_what_its_first_copy_holds(name, stream, tokenizer):
    length = 64
    for seed in range(20):
        ids, asked = DRILLS[name](random.Random(seed), list(range(100)), length)
        assert asked and len(ids) <= length
        for answer in asked:
            size = len(answer) + KNOWN
            first = ids[answer.stop - 2 * size : answer.stop - size]
            copy = first if name == "repeat" else first[::-1]
            assert [ids[position] for position in answer] == copy[KNOWN:]
            assert len(set(first)) == size


def test_drills_use_no_special_tokens(stream, recipe, tokenizer):
    documents = [document for step in range(10) for document in stream.batch(recipe.stages[0], step)]
    drills = [document for document in documents if document.task in DRILLS]
    assert drills
    assert not {token for document in drills for token in document.ids} & set(tokenizer.all_special_ids)


def test_a_task_waits_for_a_stage_that_can_hold_it(stream, recipe, monkeypatch):
    assert stream.tasks(recipe.stages[0]) == ["retr_kv"]
    monkeypatch.setattr("scbench.tasks.retr_kv.RETR_KV", RetrKV(min_tokens=65))
    assert stream.tasks(recipe.stages[0]) == [] and stream.tasks(recipe.stages[1]) == ["retr_kv"]
