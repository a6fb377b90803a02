"""A classifier learns from training sessions alone, from what their builders say the questions need."""

import json
import re
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from scbench.classifier.examples import examples, session
from scbench.classifier.trainer import Trainer, check_recipe
from scbench.classifiers import EXPORTED, find_classifier
from scbench.errors import UserError
from scbench.methods.generation.token_classifier import CHUNK, TokenClassifier, tokens_of
from scbench.minilm.stream import token_counter
from scbench.places import ROOT
from scbench.schema import read_yaml
from scbench.tasks import NAMES, TASKS
from scripts import train_classifier

RECIPE = ROOT / "resources" / "minilm_classifier" / "recipe.yaml"
SMALL = {
    "tasks": ["retr_multihop"],
    "tokens": 128,
    "turns": 2,
    "sessions": 8,
    "held_out": 2,
    "size": {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
    "steps": 40,
    "chunks_per_step": 4,
    "learning_rate": 0.02,
}


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(ROOT / "resources" / "minilm")


@pytest.fixture
def recipe():
    torch.set_num_threads(1)
    return check_recipe(read_yaml(RECIPE) | SMALL, "recipe.yaml")


@pytest.mark.parametrize("task", NAMES)
def test_a_token_is_needed_where_a_question_rests_on_it(tokenizer, task):
    found = session(task, 0, 0, 1024, 20, token_counter(tokenizer))
    ids, spans = tokens_of(tokenizer, found.context)
    evidence = [span for turn in found.turns for span in turn.evidence]
    needed = [any(start < high and low < stop for low, high in evidence) for start, stop in spans]
    for number, (start, stop) in enumerate(spans):
        if not re.search(r"[^\W_]", found.context[start:stop]):
            needed[number] |= any(
                start < high and low < stop
                for start, stop in spans[max(0, number - 1) : number + 2]
                for low, high in evidence
            )
    chunks = list(examples(found, tokenizer))
    assert [token for chunk in chunks for token in chunk.ids] == ids
    assert [label for chunk in chunks for label in chunk.labels] == needed
    assert all(len(chunk.ids) <= CHUNK for chunk in chunks)
    assert 0 < sum(needed) < len(needed)


def test_no_evaluation_session_is_learned_from(recipe, monkeypatch):
    """Nor is what a classifier is judged by: that is another stream of the training half."""
    built, build = [], type(TASKS["retr_multihop"]).build

    def spy(task, scale, seed, number):
        built.append((scale.split, seed, number))
        return build(task, scale, seed, number)

    monkeypatch.setattr(type(TASKS["retr_multihop"]), "build", spy)
    Trainer(recipe | {"steps": 1}, say=lambda line: None).run()
    assert {split for split, *_ in built} == {"train"}
    assert sorted(set(built)) == [("train", -1, number) for number in range(2)] + [
        ("train", 0, number) for number in range(8)
    ]


def test_a_recipe_gives_the_same_weights_again_and_what_it_learned(recipe, tmp_path):
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    for out in ("one", "two"):
        train_classifier.main(["--recipe", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / out)])
    weights = [(tmp_path / out / "model.safetensors").read_bytes() for out in ("one", "two")]
    assert weights[0] == weights[1]
    report = json.loads((tmp_path / "one" / "training.json").read_text())
    assert report["recipe"] == recipe
    [(task, found)] = report["held_out"].items()
    assert task == "retr_multihop"
    assert found["recall"] > 0.9
    assert found["precision"] > 1.5 * found["needed"]
    assert {path.name for path in (tmp_path / "one").iterdir()} == {*EXPORTED, "training.json"}
    assert find_classifier("llmlingua2.classifier", str(tmp_path / "one")).digest
    assert TokenClassifier("llmlingua2.classifier", tmp_path / "one", "cpu").words("VAR a1 = 1234\n", ("\n",))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tasks": ["retr_kv", "chess"]}, r"recipe\.yaml: tasks: 'chess' is unknown"),
        ({"steps": 0}, r"recipe\.yaml: steps: 0 is not allowed"),
        ({"epochs": 3}, r"recipe\.yaml: epochs: unknown key"),
        ({"size": {"hidden_size": 16}}, r"recipe\.yaml: size: the key 'intermediate_size' is missing"),
    ],
)
def test_a_wrong_recipe_is_refused(change, words):
    with pytest.raises(UserError, match=words):
        check_recipe(read_yaml(RECIPE) | change, "recipe.yaml")


def test_a_recipe_that_is_missing_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml: cannot be read"):
        train_classifier.main(["--recipe", str(tmp_path / "none.yaml"), "--out", str(tmp_path)])
    assert not Path(tmp_path / "config.json").exists()
