import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from scbench.canonical import digest_file
from scbench.errors import UserError
from scbench.minilm.drills import DRILLS, KNOWN_DRILLS
from scbench.minilm.recipe import parse_recipe, read_recipe
from scbench.models import EXPORTED, REPORT, read_models
from scbench.tasks import NAMES
from scripts import train_minilm

BUNDLED = Path("resources/recipes/minilm.yaml")


@pytest.fixture
def values():
    return yaml.safe_load(BUNDLED.read_text())


def test_the_bundled_recipe_starts_with_look_ups_and_ends_with_every_task():
    recipe = read_recipe(BUNDLED)
    assert set(recipe.stages[0].weights) == {"retr_kv", *DRILLS} and recipe.stages[0].required
    assert set(recipe.stages[-1].weights) - set(KNOWN_DRILLS) == set(NAMES)
    assert recipe.stages[-1].tokens == 1024 and recipe.max_length == recipe.stages[-1].length


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.pop("seed"), "'seed' is missing"),
        (lambda v: v.update(sead=1), "unknown key 'sead'"),
        (lambda v: v["size"].update(heads=4), "unknown key 'heads'"),
        (lambda v: v["size"].update(num_key_value_heads=3), "not a multiple"),
        (lambda v: v["stages"][0].update(length=64), "leaves no room"),
        (lambda v: v["stages"][0].update(weights={}), "at least one task"),
        (lambda v: v["stages"][0].update(weights={"retr_kv": 0}), "above 0"),
        (lambda v: v["stages"][0].update(weights={"retr_vk": 1}), "unknown task 'retr_vk'"),
        (lambda v: v["stages"][0].update(gates={"en_qa": 0.5}), "gate on 'en_qa'"),
        (lambda v: v["stages"][0].update(gates={"repeat": 0.5}), "drills are not looked at"),
        (lambda v: v["stages"][0].update(tokens=24, weights={"naming": 1}, gates={}), "give 32 or more"),
        (lambda v: v["stages"][0].update(tokens_per_step=0), "no number of tokens"),
        (lambda v: v["stages"][0].update(tokens_per_step="many"), "no number of tokens"),
        *(
            (lambda v, bad=bad: v.update(weight_decay=bad), "no weight decay")
            for bad in (-0.1, 1, "much", True, float("nan"))
        ),
        (lambda v: v["stages"][1].update(name="lookup"), "share a name"),
        (lambda v: v["stages"][1].update(insert_layers=[4]), "a model of 4 lacks"),
        (lambda v: v["stages"][1].update(insert_layers=2), "ascending list"),
        (lambda v: v["stages"][1].update(insert_layers=[3, 2]), "ascending list"),
        (lambda v: v.update(stages=[3]), "has to be a mapping"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_key(values, change, words):
    change(values)
    with pytest.raises(UserError, match=words):
        parse_recipe(values, "recipe.yaml")


def test_a_stage_may_have_batches_of_its_own_size(values):
    before = parse_recipe(values, "recipe.yaml")
    values["stages"][1]["tokens_per_step"] = 77 * values["stages"][1]["length"]
    recipe = parse_recipe(values, "recipe.yaml")
    documents = [recipe.documents_per_step(stage) for stage in recipe.stages]
    others = [before.documents_per_step(stage) for stage in before.stages]
    assert documents == [others[0], 77, *others[2:]] and recipe.digest != before.digest


def test_weight_decay_is_part_of_a_recipe_where_there_is_some(values):
    without = parse_recipe({key: value for key, value in values.items() if key != "weight_decay"}, "recipe.yaml")
    assert parse_recipe(values | {"weight_decay": 0}, "recipe.yaml").digest == without.digest
    assert parse_recipe(values | {"weight_decay": 0.1}, "recipe.yaml").digest != without.digest


@pytest.mark.parametrize("name", [name for name, model in read_models().items() if model.recipe])
def test_the_report_of_a_bundled_model_names_its_recipe(name):
    model = read_models()[name]
    report = json.loads((model.directory / REPORT).read_text())
    assert replace(read_recipe(model.recipe_file), seed=report["seed"]).digest == report["recipe_digests"][-1]


@pytest.mark.parametrize("text", [None, "a: [1", ""])
def test_an_unreadable_recipe_is_refused(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=r"recipe\.yaml"):
        read_recipe(path)


@pytest.fixture
def command(values, tokenizer, tmp_path):
    """Arguments that train a very small model in three steps and export it to `model/`."""
    values["size"] = {**values["size"], "num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 32}
    values |= {"tokens_per_step": 256, "stages": values["stages"][:1], "evaluation_sessions": 1}
    values["stages"][0] |= {"steps": 3, "required": False}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(values))
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    folders = ["--tokenizer", str(tmp_path / "tokenizer"), "--out", str(tmp_path / "model")]
    return ["--recipe", str(recipe), *folders, "--processes", "1"]


def test_the_command_trains_stops_resumes_and_exports(command, tmp_path, capsys):
    model = tmp_path / "model"
    assert train_minilm.main([*command, "--steps-limit", "2"]) == 0
    assert not (model / "model.safetensors").exists()
    assert train_minilm.main([*command, "--resume"]) == 0
    assert "go on with --resume" in (said := capsys.readouterr().out) and "exported" in said
    assert {path.name for path in model.iterdir()} == {*EXPORTED, REPORT, "training"}
    assert (model / "training" / "checkpoint.safetensors").is_file()
    files = {name: digest_file(model / name) for name in EXPORTED}
    assert json.loads((model / REPORT).read_text())["files"] == files
    assert replace(read_models()["minilm"].trained(), path=str(model)).found().files == files


def test_another_seed_is_another_recipe_and_the_run_may_lie_elsewhere(command, tmp_path):
    assert train_minilm.main([*command, "--seed", "7", "--training", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "checkpoint.safetensors").is_file()
    assert not (tmp_path / "model" / "training").exists()
    report = json.loads((tmp_path / "model" / REPORT).read_text())
    recipe = read_recipe(tmp_path / "recipe.yaml")
    assert report["seed"] == 7
    assert report["recipe_digests"] == [replace(recipe, seed=7).digest] != [recipe.digest]


def test_a_seed_of_the_held_out_sessions_is_refused(command):
    with pytest.raises(UserError, match=r"--seed -1: give 0 or more"):
        train_minilm.main([*command, "--seed", "-1"])


def test_cores_that_a_process_may_not_use_are_not_counted(monkeypatch):
    monkeypatch.setattr(train_minilm.os, "sched_getaffinity", lambda process: {3, 5, 6}, raising=False)
    assert train_minilm.usable_cores() == 3
    monkeypatch.delattr(train_minilm.os, "sched_getaffinity")
    monkeypatch.setattr(train_minilm.os, "cpu_count", lambda: 7)
    assert train_minilm.usable_cores() == 7


def test_a_step_is_shared_by_one_process_a_core_and_no_more_than_it_has_documents(monkeypatch):
    recipe = read_recipe(BUNDLED)
    for cores, processes in ((1, 1), (2, 2), (64, 4)):
        monkeypatch.setattr(train_minilm, "usable_cores", lambda cores=cores: cores)
        assert train_minilm.count_processes(None, recipe, "cpu") == processes
        assert train_minilm.count_processes(None, recipe, "cuda") == 1
    assert train_minilm.count_processes(8, recipe, "cpu") == 8
    for given, device in ((0, "cpu"), (-1, "cuda"), (2, "cuda")):
        with pytest.raises(UserError, match=f"--processes {given}"):
            train_minilm.count_processes(given, recipe, device)


@pytest.mark.parametrize("name", [name for name, model in read_models().items() if model.recipe])
def test_a_model_of_the_lock_is_trained_for_the_context_that_it_states(name):
    model = read_models()[name]
    recipe = read_recipe(model.recipe_file)
    assert recipe.name == name
    assert recipe.max_length >= model.context


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        train_minilm.main(["--recipe", str(BUNDLED), "--tokenizer", str(tmp_path), "--out", str(tmp_path / "out")])
