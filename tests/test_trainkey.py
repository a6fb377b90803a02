"""A model that is trained here: a plan knows it by what decides the training, results are kept by its files."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from scbench import cellkey, codedigest, sessionkey, trainkey
from scbench.canonical import digest_file
from scbench.models import EXPORTED, REPORT, Model, read_models
from scbench.places import ROOT
from scbench.plan import Plan, make_plan
from scbench.schema import read_yaml
from scbench.study import load_study


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory, and digests that are taken anew."""
    monkeypatch.chdir(tmp_path)
    trainkey._code_digest.cache_clear()
    trainkey._recipe_digest.cache_clear()


def plan_of(source: str) -> Plan:
    config = read_yaml(ROOT / "studies" / "smoke.yaml") | {"tasks": ["retr_kv"]}
    return make_plan(load_study(config | {"models": [{"name": "minilm", "source": source}]}, "my.yaml"))


def train(model: Model, weights: str) -> None:
    """Leave what a training would."""
    model.directory.mkdir(parents=True, exist_ok=True)
    for name in EXPORTED:
        (model.directory / name).write_text(weights if name == "model.safetensors" else name)
    files = {name: digest_file(model.directory / name) for name in EXPORTED}
    (model.directory / REPORT).write_text(json.dumps({"files": files}))


def planned() -> tuple:
    """What enters the parameters of jobs."""
    plan = plan_of("train")
    return [cellkey.fields(plan.study, cell) for cell in plan.cells], sessionkey.digest(plan.study, "retr_kv")


def keys(plan: Plan) -> set[str]:
    """The store keys of all cells, as a job finds them."""
    (shard,) = plan.shards
    shard = shard.on(shard.model.found())
    return {cellkey.key(plan.study, part.cell, {}) for part in plan.parts(shard)}


def test_a_plan_is_the_same_before_and_after_a_training():
    before = planned()
    train(plan_of("train").study.models[0], "first")
    assert planned() == before


def test_trainings_that_end_in_other_bits_share_no_cell():
    plan = plan_of("train")
    train(plan.study.models[0], "first")
    first = keys(plan)
    assert keys(plan) == first
    train(plan.study.models[0], "second")
    second = keys(plan)
    assert len(first) == len(second) == len(plan.cells)
    assert not first & second
    assert not first & keys(plan_of("locked"))


def test_the_same_files_are_the_same_model_however_they_came_to_be():
    plan = plan_of("train")
    train(plan.study.models[0], "first")
    pinned = plan_of("locked")
    files = plan.study.models[0].found().files
    (shard,) = pinned.shards
    same = shard.on(replace(pinned.study.models[0], files=files))
    assert {cellkey.key(pinned.study, part.cell, {}) for part in pinned.parts(same)} == keys(plan)


def test_results_of_files_that_are_not_known_have_no_key():
    plan = plan_of("train")
    with pytest.raises(ValueError, match="minilm: its results have no key"):
        cellkey.key(plan.study, plan.cells[0], {})


def test_sessions_are_planned_by_the_training_and_recorded_by_the_tokenizer():
    study = plan_of("train").study
    assert sessionkey.fields(study, "retr_kv")["tokenizer"] == trainkey.fields(study.models[0])
    train(study.models[0], "first")
    found = replace(study, models=(study.models[0].found(),))
    recorded = sessionkey.fields(found, "retr_kv")["tokenizer"]
    assert set(recorded) == {"tokenizer.json", "tokenizer_config.json"}
    assert recorded["tokenizer.json"] == digest_file("results/models/minilm/tokenizer.json")


def digest_with(recipe: Path) -> str:
    return trainkey.digest(replace(read_models()["minilm"], recipe=str(recipe)))


@pytest.mark.parametrize(
    ("edit", "decides"),
    [
        (lambda text: text.replace("seed: 0", "seed: 1"), True),
        (lambda text: text.replace("warmup_steps: 100", "warmup_steps: 101"), True),
        (lambda text: text.replace("steps: 2400", "steps: 2399"), True),
        (lambda text: f"# a remark\n{text}", False),
    ],
    ids=["seed", "a setting", "a stage", "a comment"],
)
def test_the_values_of_the_recipe_decide(tmp_path: Path, edit, decides: bool):
    text = (ROOT / "resources" / "recipes" / "minilm.yaml").read_text()
    assert edit(text) != text
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(text)
    two.write_text(edit(text))
    assert (digest_with(one) != digest_with(two)) is decides


@pytest.mark.parametrize("library", trainkey.LIBRARIES)
def test_the_versions_of_the_libraries_decide(library: str, monkeypatch: pytest.MonkeyPatch):
    model, plain = read_models()["minilm"], trainkey.version
    before = trainkey.digest(model)
    monkeypatch.setattr(trainkey, "version", lambda name: "0" if name == library else plain(name))
    assert trainkey.digest(model) != before


@pytest.mark.parametrize(
    ("edited", "decides"),
    [
        ("scbench.minilm.optimizer", True),
        ("scbench.tasks.zh_qa", True),
        ("scbench.prompts", True),
        ("scripts.train_minilm", True),
        ("scbench.methods.compression.snapkv", False),
        ("scbench.study", False),
    ],
)
def test_the_code_that_trains_decides(edited: str, decides: bool, monkeypatch: pytest.MonkeyPatch):
    model, plain = read_models()["minilm"], codedigest.module_digest
    before = trainkey.digest(model)
    monkeypatch.setattr(codedigest, "module_digest", lambda name: "edited" if name == edited else plain(name))
    trainkey._code_digest.cache_clear()
    assert (trainkey.digest(model) != before) is decides


# What a training imports although none of its code decides a weight.
DECIDES_NOTHING = {
    "scbench.canonical": "files and digests",
    "scbench.errors": "what a user is told",
    "scbench.models": "names of what is exported",
    "scbench.places": "where files are",
    "scbench.schema": "reads the lock",
    "scripts": "how a command ends",
}


def test_all_code_that_a_training_runs_through_is_known_or_decides_nothing():
    reached = codedigest.closure([*trainkey.CODE, "scripts.train_minilm"])
    decides = {name for name in reached if f"{name}.".startswith(tuple(f"{code}." for code in trainkey.CODE))}
    assert reached == decides | set(DECIDES_NOTHING)
