"""A model is what the lock says: its files, all of them, at the place that it names."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from scbench.canonical import digest_file
from scbench.errors import UserError
from scbench.models import EXPORTED, REPORT, Model, read_models
from scbench.places import ROOT


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """A model whose files are in place and pinned."""
    names = ("config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja")
    for name in names:
        (tmp_path / name).write_text(name)
    pins = {name: digest_file(tmp_path / name) for name in names}
    return replace(read_models()["minilm"], path=str(tmp_path), files=pins)


def test_what_is_pinned_and_in_place_is_accepted(model: Model):
    model.verify()


@pytest.mark.parametrize("name", ["training.json", "README.md", "own.py", "model.safetensors.prov", "original/x.json"])
def test_files_that_are_not_read_may_stand_beside(model: Model, tmp_path: Path, name: str):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("words")
    model.verify()


@pytest.mark.parametrize(
    "name",
    [
        "generation_config.json",
        "model-00002-of-00002.safetensors",
        "tokenizer.model",
        "merges.txt",
        "other.jinja",
        "additional_chat_templates/tool.jinja",
    ],
)
def test_a_file_that_would_be_read_must_be_pinned(model: Model, tmp_path: Path, name: str):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("words")
    with pytest.raises(
        UserError, match=rf"{name}: not among minilm\.files in models\.lock\.yaml.*move it away"
    ) as caught:
        model.verify()
    assert "\n" not in str(caught.value)
    replace(model, files=model.files | {name: digest_file(path)}).verify()


def test_a_path_is_relative_to_the_repository_and_below_results_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    model = read_models()["minilm"]
    for path in ("resources/minilm", "results/models/minilm", "results_of_mine"):
        Path(path).mkdir(parents=True)
    places = {path: replace(model, path=path).directory.absolute() for path in ("resources/minilm", "results_of_mine")}
    assert places == {path: ROOT / path for path in places}
    assert replace(model, path="results/models/minilm").directory.absolute() == tmp_path / "results/models/minilm"
    assert replace(model, path="/data/m").directory == Path("/data/m")


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A model that was trained in the working directory, as a plan knows it: without its files."""
    monkeypatch.chdir(tmp_path)
    model = read_models()["minilm"].trained()
    model.directory.mkdir(parents=True)
    for name in EXPORTED:
        (model.directory / name).write_text(name)
    files = {name: digest_file(model.directory / name) for name in EXPORTED}
    (model.directory / REPORT).write_text(json.dumps({"recipe": "minilm", "files": files}))
    return model


def test_a_model_that_is_trained_here_is_found_by_the_sha256_of_its_files(trained: Model):
    assert trained.awaited and not trained.files
    found = trained.found()
    assert found.files == {name: digest_file(trained.directory / name) for name in EXPORTED}
    assert not found.awaited
    assert found.directory == trained.directory == Path("results/models/minilm")
    assert found.found() == found
    trained.verify()
    found.verify()


def test_what_is_pinned_is_not_looked_for(model: Model, tmp_path: Path):
    (tmp_path / "model.safetensors").unlink()
    assert model.found() is model


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "model.safetensors",
            "other bits",
            ["has sha256", "training.json pins minilm.files.model.safetensors", "anew"],
        ),
        ("tokenizer.json", None, ["missing", "belongs to minilm in results/models/minilm/training.json", "anew"]),
        ("merges.txt", "beside", ["not among minilm.files in results/models/minilm/training.json", "move it away"]),
        (REPORT, None, ["missing", "minilm is not trained here yet", "run the workflow"]),
        (REPORT, '{"recipe": "minilm"}', ["does not list the sha256", "config.json", "delete it"]),
        (REPORT, '{"files": {}}', ["does not list the sha256"]),
        (REPORT, '{"files": ["config.json"]}', ["does not list the sha256"]),
        (REPORT, '{"files": {"config.json', ["does not list the sha256"]),
    ],
)
def test_what_a_training_did_not_leave_is_refused(trained: Model, name: str, text: str | None, words: list[str]):
    path = trained.directory / name
    path.unlink() if text is None else path.write_text(text)
    for check in (trained.found, trained.verify):
        with pytest.raises(UserError) as caught:
            check()
        assert str(caught.value).startswith(f"results/models/minilm/{name}: ")
        assert all(word in str(caught.value) for word in words), caught.value


def test_files_that_change_after_they_were_found_are_refused(trained: Model):
    found = trained.found()
    (trained.directory / "model.safetensors").write_text("another training")
    files = {name: digest_file(trained.directory / name) for name in EXPORTED}
    (trained.directory / REPORT).write_text(json.dumps({"files": files}))
    assert trained.found().files != found.files
    with pytest.raises(UserError, match=r"model\.safetensors: has sha256"):
        found.verify()


def test_a_model_without_pinned_files_names_its_recipe_as_a_remedy():
    minilm = replace(read_models()["minilm"], files={})
    with pytest.raises(UserError, match=r"minilm\.files is empty.*source: train"):
        minilm.verify()
    with pytest.raises(UserError, match=r"files is empty") as caught:
        replace(minilm, recipe=None).verify()
    assert "train" not in str(caught.value)


def test_recipes_in_the_lock_are_named_after_their_models():
    recipes = {name: model.recipe for name, model in read_models().items() if model.recipe}
    assert recipes == {name: f"resources/recipes/{name}.yaml" for name in recipes}
    assert "minilm" in recipes
    assert all(read_models()[name].recipe_file.is_file() for name in recipes)
