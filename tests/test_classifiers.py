"""A classifier is what the lock says, or what a directory holds; anything else is refused before a word is dropped."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from scbench.canonical import digest_file
from scbench.classifiers import Classifier, find_classifier, read_classifiers, training_digest
from scbench.errors import UserError
from scbench.methods import make
from scbench.models import read_models
from scbench.places import ROOT

SETTING = "llmlingua2.classifier"


@pytest.fixture
def classifier(tmp_path: Path) -> Classifier:
    """The bundled classifier, its files in a directory of their own."""
    found = read_classifiers()["minilm_classifier"]
    for name in found.files:
        shutil.copy(found.directory / name, tmp_path / name)
    return replace(found, directory=tmp_path)


def test_what_is_pinned_and_in_place_is_accepted(classifier: Classifier):
    (classifier.directory / "training.json").write_text("{}")
    assert classifier.verify() is classifier


def test_a_file_that_is_missing_changed_or_beside_is_refused(classifier: Classifier):
    (classifier.directory / "vocab.txt").write_text("words")
    with pytest.raises(UserError, match=r"vocab\.txt: not among minilm_classifier\.files .* read with the classifier"):
        classifier.verify()
    (classifier.directory / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"config\.json: has sha256 .* pins minilm_classifier\.files\.config\.json"):
        classifier.verify()
    (classifier.directory / "config.json").unlink()
    with pytest.raises(UserError, match=r"config\.json: missing; it belongs to minilm_classifier in classifiers\.lock"):
        classifier.verify()


def test_the_published_ones_are_named_by_commit_and_refused_until_their_files_are_pinned():
    for name in ("xlm_roberta_meetingbank", "bert_meetingbank"):
        method = make("llmlingua2", {"classifier": name, "budget": "1/3"}, 131_072)
        assert method.classifier_sha256 is None
        assert method.pending == (f"pinned files of the classifier {name}",)
        with pytest.raises(UserError, match=rf"{name}\.files is empty, so nothing says which weights are meant"):
            method.shorten("Who dropped the comma?", "cpu")


def test_the_bundled_one_is_for_the_bundled_models():
    method, models = make("llmlingua2", {}, 1024), read_models()
    method.check_model(models["minilm"])
    method.check_model(models["minilm_l"])
    with pytest.raises(UserError, match=r"trained on what minilm, minilm_l read, not for llama_3_1_8b; name another"):
        method.check_model(models["llama_3_1_8b"])
    make("llmlingua2", {"classifier": "xlm_roberta_meetingbank"}, 1024).check_model(models["llama_3_1_8b"])


def test_a_directory_is_known_by_the_files_in_it(classifier: Classifier, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(classifier.directory.parent)
    name = f"./{classifier.directory.name}"
    found = find_classifier(SETTING, name)
    assert dict(found.files) == {file: digest_file(classifier.directory / file) for file in classifier.files}
    assert found.digest == classifier.digest == make("llmlingua2", {"classifier": name}, 1024).classifier_sha256
    (classifier.directory / "config.json").write_text("{}")
    assert find_classifier(SETTING, name).digest != found.digest
    (classifier.directory / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"is not a directory with a config\.json and \*\.safetensors weights"):
        find_classifier(SETTING, name)


def test_files_that_change_while_a_job_runs_are_refused(classifier: Classifier):
    method = make("llmlingua2", {"classifier": str(classifier.directory)}, 1024)
    shutil.copy(ROOT / "resources" / "minilm" / "config.json", classifier.directory / "config.json")
    with pytest.raises(UserError, match=r"llmlingua2\.classifier: the files of .* changed while the job ran"):
        method.shorten("Who dropped the comma?", "cpu")


def test_the_same_files_elsewhere_keep_the_same_words(classifier: Classifier):
    text = "VAR a1 = 1234\nThe grass is green. The sky is blue. " * 4
    kept = make("llmlingua2", {}, 1024).shorten(text, "cpu")
    assert len(kept) > 1
    assert make("llmlingua2", {"classifier": str(classifier.directory)}, 1024).shorten(text, "cpu") == kept


def test_a_training_is_known_by_its_recipe(tmp_path: Path):
    recipe = read_classifiers()["minilm_classifier"].recipe
    (tmp_path / "same.yaml").write_text(f"# as bundled\n{recipe.read_text()}")
    (tmp_path / "other.yaml").write_text(recipe.read_text().replace("seed: 0", "seed: 1"))
    assert (
        training_digest(tmp_path / "same.yaml") == training_digest(recipe) != training_digest(tmp_path / "other.yaml")
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("one: {path: here}", r"one: the key 'files' is missing"),
        ("one: {path: here, files: {config.json: abc}}", r"one\.files\.'?config\.json'?: 'abc' is not allowed"),
        ("one: {path: here, files: {}, revision: main}", r"one\.revision: 'main' is not allowed"),
    ],
)
def test_a_wrong_lock_is_refused(tmp_path: Path, text: str, words: str):
    (tmp_path / "lock.yaml").write_text(text)
    with pytest.raises(UserError, match=words):
        read_classifiers(tmp_path / "lock.yaml")
