"""The files of a model come from the hub at the commit of the lock or from a mirror, and count only as pinned."""

import shutil
from dataclasses import replace
from pathlib import Path

import httpx2
import huggingface_hub
import pytest
import yaml
from huggingface_hub import errors

from scbench.errors import UserError
from scbench.modelhub import fetch_model, pin_model, readable, written
from scbench.models import LOCK, Model, read_models

BUNDLED = read_models()["minilm"]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """The bundled model as if it came from the hub, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return replace(BUNDLED, name="far", hub="some/where", revision="0" * 40, path="results/models/far")


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    shutil.copytree(BUNDLED.directory, tmp_path / "mirror" / "far")
    return tmp_path / "mirror"


def test_a_mirror_gives_the_files_that_are_pinned_and_no_other(model: Model, mirror: Path):
    paths = fetch_model(model, str(mirror))
    assert paths == [Path("results/models/far") / file for file in model.files]
    assert sorted(path.name for path in Path("results/models/far").iterdir()) == sorted(model.files)
    shutil.rmtree(mirror)
    assert fetch_model(model, str(mirror)) == paths  # nothing was missing, so nothing was asked for


def test_other_bytes_are_refused(model: Model, mirror: Path):
    (mirror / "far" / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"config\.json: has sha256 .* pins"):
        fetch_model(model, str(mirror))


@pytest.mark.parametrize("lost", ["far", "far/model.safetensors"])
def test_what_the_mirror_lacks_is_named(model: Model, mirror: Path, lost: str):
    path = mirror / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserError, match=rf"{lost}.*(is no directory|missing in the mirror)"):
        fetch_model(model, str(mirror))


def test_the_hub_is_asked_for_the_commit_and_the_files_of_the_lock(model: Model, mirror: Path, monkeypatch):
    asked = {}

    def snapshot(hub: str, *, revision: str, local_dir: Path, allow_patterns: list[str]) -> None:
        asked.update(hub=hub, revision=revision, files=allow_patterns)
        shutil.copytree(mirror / "far", local_dir, dirs_exist_ok=True)
        for path in local_dir.iterdir():
            if path.name not in allow_patterns:
                path.unlink()

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    fetch_model(model)
    assert asked == {"hub": "some/where", "revision": "0" * 40, "files": list(model.files)}


def _refused(kind: type) -> Exception:
    response = httpx2.Response(403, request=httpx2.Request("GET", "https://huggingface.co/some/where"))
    return kind("refused", response=response)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            _refused(errors.GatedRepoError),
            r"models\.far: some/where is gated; accept its licence at https://.*HF_TOKEN",
        ),
        (_refused(errors.RepositoryNotFoundError), r"the hub has no some/where at 0000.*correct hub and revision"),
        (errors.LocalEntryNotFoundError("no network"), r"some/where cannot be fetched \(no network\); try again where"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(model: Model, monkeypatch, error: Exception, words: str):
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(UserError, match=words):
        fetch_model(model)


def test_a_model_without_a_pin_says_how_to_get_one(model: Model):
    with pytest.raises(UserError, match=r"far: nothing says which files.*scripts\.fetch_model --name far --pin"):
        fetch_model(replace(model, files={}))


def test_pinning_reads_what_is_there_and_changes_that_entry_of_the_lock_alone(model: Model, mirror: Path):
    commit, files = pin_model(replace(model, files={}, revision=None), str(mirror))
    assert (commit, files) == (None, dict(BUNDLED.files))
    before = LOCK.read_text()
    after = yaml.safe_load(written(before, "llama_3_1_8b", "1" * 40, files))
    expected = yaml.safe_load(before)
    expected["llama_3_1_8b"] |= {"revision": "1" * 40, "files": files}
    assert after == expected
    again = written(written(before, "minilm", None, {"a.json": "2" * 64}), "minilm", None, dict(BUNDLED.files))
    assert yaml.safe_load(again) == yaml.safe_load(before)


def test_a_checkpoint_is_what_transformers_reads_of_a_repository():
    files = [
        "model.safetensors",
        "config.json",
        "README.md",
        "original/params.json",
        "consolidated.safetensors",
        "a.bin",
    ]
    assert readable(files) == ["config.json", "model.safetensors"]
