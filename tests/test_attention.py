"""What is recorded of attention: the same as the model's own library says, heads by rule, reasons to refuse."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from scbench import attention
from scbench.attention import HEADS, MOST_ROWS, PAIR, TASK, record_attention
from scbench.errors import UserError
from scbench.places import ROOT
from scbench.prompts import encode
from scbench.schema import read_yaml
from scbench.sessions import Session, write_sessions
from scbench.study import Study, load_study
from scbench.tasks import TASKS, Scale
from scripts import record_attention as command
from scripts.build_sessions import token_counter

TOKENS, TURNS = 128, 3


def study(**changes) -> Study:
    config = copy.deepcopy(read_yaml(ROOT / "studies" / "smoke.yaml"))
    config["data"] |= {"tokens": TOKENS, "turns": TURNS}
    return load_study(config | changes, "my.yaml")


def sessions(tokens: int, count: int = 1) -> list[Session]:
    model = attention.chosen_model(study())
    scale = Scale(tokens=tokens, turns=TURNS, count=token_counter(model))
    return [TASKS[TASK].build(scale, 0, index) for index in range(count)]


@pytest.fixture(scope="module")
def found() -> dict:
    given = study()
    return record_attention(given, attention.chosen_model(given), sessions(TOKENS))


@pytest.fixture(scope="module")
def weights() -> tuple[list[torch.Tensor], list[range], list[range]]:
    """By the library alone: attention of each layer [heads, T, T], the rows that predict each answer, and the tokens of
    each pair."""
    (session,) = sessions(TOKENS)
    directory = attention.chosen_model(study()).directory
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(directory, attn_implementation="eager", dtype=torch.float32)
    encoded = encode(session, "multi_turn", tokenizer, profile="clean", max_prompt_tokens=None, scale_name="mini")
    ids, rows = list(encoded.first), []
    for query, answer in zip((*encoded.queries[1:], ()), encoded.answers, strict=True):
        rows.append(range(len(ids) - 1, len(ids) - 1 + min(len(answer), MOST_ROWS)))
        ids += [*answer, *query]
    text, spans = "", []
    for token in encoded.first[: -encoded.question]:
        piece = tokenizer.decode([token])
        spans.append((len(text), len(text) + len(piece)))
        text += piece
    pairs, free = [], 0
    for pair in PAIR.finditer(text):
        own = [n for n, (start, stop) in enumerate(spans) if start < pair.end() and stop > pair.start() and n >= free]
        free = own[-1] + 1
        pairs.append(range(own[0], free))
    with torch.no_grad():
        attentions = model(torch.tensor([ids]), output_attentions=True).attentions
    return [layer[0] for layer in attentions], rows, pairs


def test_masses_are_those_of_the_models_own_library(found, weights):
    layers, rows, pairs = weights
    assert found["pairs"] == len(pairs)
    for head in found["drawn"]:
        given = layers[head["layer"]][head["head"]]
        for turn, masses in enumerate(head["mass"]):
            expected = [given[list(rows[turn])][:, list(pair)].sum(1).mean().item() for pair in pairs]
            assert masses == pytest.approx(expected, abs=2e-5)


def test_overlaps_are_those_of_the_most_attended_tokens(found, weights):
    layers, rows, _ = weights
    context = found["session"]["prompt_tokens"] - 5  # the question of the first turn and its header
    head = found["heads"][-1]
    given = layers[head["layer"]][head["head"]][:, :context]
    tops = [[set(given[row].topk(found["top"]).indices.tolist()) for row in turn] for turn in rows]
    assert head["within"], head["between"] == pytest.approx(tuple(attention._overlaps(tops).values()), abs=1e-6)


def test_the_heads_drawn_are_those_that_look_at_the_answers_most(found):
    mean = {(head["layer"], head["head"]): sum(head["evidence"]) for head in found["heads"]}
    drawn = [(head["layer"], head["head"]) for head in found["drawn"]]
    assert drawn == sorted(mean, key=lambda where: (-mean[where], where))[:HEADS]
    assert mean[drawn[0]] / TURNS > 0.2  # a model that answers look-ups has heads that find them


def test_overlaps_by_hand():
    turns = [[{1, 2}, {1, 3}], [{4, 5}, {1, 2}]]
    assert attention._overlaps(turns) == {"within": 0.25, "between": 0.375}
    assert attention._overlaps([[{1, 2}]]) == {"within": None, "between": None}


def test_a_session_that_lost_an_answer_is_passed_over(found):
    cut = study(data={"scale": "mini", "tokens": TOKENS, "turns": TURNS, "sessions": 2})
    model = replace(attention.chosen_model(cut), context=400)
    long, short = sessions(1024)[0], sessions(TOKENS)[0]
    assert record_attention(cut, model, [long, short])["session"] == found["session"]
    with pytest.raises(UserError, match=r"no session of retr_kv shows it all of its answers.*data\.tokens"):
        record_attention(cut, model, [long])


def test_a_model_without_attention_is_refused_with_the_reason():
    given = study()
    recurrent = replace(attention.chosen_model(given), engine="recurrent")
    with pytest.raises(UserError, match="minilm: engine recurrent, a model without attention"):
        record_attention(given, recurrent, sessions(TOKENS))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"tasks": ["en_qa"]}, "no task retr_kv"), ({"modes": ["multi_request"]}, "no multi-turn sessions")],
)
def test_a_study_that_has_nothing_to_show_says_why(changes, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("study.json").write_text(json.dumps(study(**changes).resolved()))
    command.main(["--config", "study.json", "--out", "attention.json"])
    assert reason in json.loads(Path("attention.json").read_text())["lacks"]
    assert Path("attention.json.prov.json").is_file()


def test_the_command_writes_the_same_with_a_sidecar(found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("study.json").write_text(json.dumps(study().resolved()))
    write_sessions("retr_kv.parquet", sessions(TOKENS))
    command.main(["--config", "study.json", "--sessions", "retr_kv.parquet", "--out", "attention.json"])
    assert json.loads(Path("attention.json").read_text()) == found
    sidecar = json.loads(Path("attention.json.prov.json").read_text())
    assert [entry["path"] for entry in sidecar["inputs"]] == ["retr_kv.parquet"]
    assert sidecar["identity"]["settings"]["heads"] == HEADS
