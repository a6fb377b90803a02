"""The token classifiers of resources/classifiers.lock.yaml, with which LLMLingua-2 shortens a text; or a directory's.

Nothing here imports a deep-learning library: a study names its classifier when it is planned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from scbench import codedigest
from scbench.canonical import digest_file, digest_value
from scbench.errors import UserError
from scbench.models import check_files, readable
from scbench.places import ROOT
from scbench.schema import read_yaml, unknown, validate
from scbench.versions import version

LOCK = ROOT / "resources" / "classifiers.lock.yaml"
# What the export of a classifier that is trained here consists of.
EXPORTED = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")

TRAINING_LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors")
TRAINING_CODE = (
    "scbench.classifier",
    "scbench.methods.generation.token_classifier",
    "scbench.sessions",
    "scbench.tasks",
    "scripts.train_classifier",
)


@dataclass(frozen=True)
class Classifier:
    """A classifier's checkpoint.

    name: as a study gives it, of the lock or a directory. directory: where it lies on this machine.
    files: sha256 of every file that decides results; empty while the lock does not pin it.
    models: names of the models for whose tasks it was trained; empty where it is for any.
    listed: what says which files are meant. recipe: how this workflow trains it; None where it cannot.
    """

    name: str
    directory: Path
    files: Mapping[str, str]
    models: tuple[str, ...]
    listed: str
    recipe: Path | None = None

    @property
    def digest(self) -> str | None:
        """sha256 of what its files are; None while that is not known."""
        return digest_value(dict(self.files)) if self.files else None

    def verify(self) -> Self:
        """Itself. Raises UserError unless the directory holds the files that are meant and no other readable ones."""
        if not self.files:
            raise UserError(
                f"{self.listed}: {self.name}.files is empty, so nothing says which weights are meant; list the "
                "checkpoint's files with their sha256, or name another classifier"
            )
        check_files(self.name, self.directory, self.files, self.listed, REMEDIES, kind="classifier")
        return self


REMEDIES = {
    "missing": "fetch the classifier again",
    "changed": "fetch the file again, or change the lock if the new file is meant",
    "beside": "move it away, or add it with its sha256 if it belongs to the classifier",
}


def read_classifiers(path: Path = LOCK) -> Mapping[str, Classifier]:
    """All classifiers of the lock by name. Raises UserError when it does not match its schema."""
    return _read(path, path.stat().st_mtime_ns)


# A plan resolves a study's rows many times over; so below.
@lru_cache(maxsize=8)
def _read(path: Path, stamp: int) -> Mapping[str, Classifier]:
    entries = validate(read_yaml(path), "classifiers.schema.yaml", path.name)
    return {name: _entry(name, entry, path.name) for name, entry in entries.items()}


def _entry(name: str, entry: Mapping[str, Any], listed: str) -> Classifier:
    # Below results/, where runs write, it lies in the working directory.
    directory = Path(entry["path"]) if entry["path"].startswith("results/") else ROOT / entry["path"]
    recipe = ROOT / entry["recipe"] if "recipe" in entry else None
    return Classifier(name, directory, entry["files"], tuple(entry.get("models", ())), listed, recipe)


def find_classifier(setting: str, name: str) -> Classifier:
    """The classifier `name` of the lock, or that in the directory `name`, which holds a slash.

    Raises UserError, which names `setting`, where there is none.
    """
    known = read_classifiers()
    if name in known:
        return known[name]
    if "/" not in name:
        error = unknown(LOCK.name, setting, name, known)
        raise UserError(f"{error}; or the path of a directory, with a slash")
    return _in_directory(setting, name)


def _in_directory(setting: str, name: str) -> Classifier:
    directory = Path(name)
    names = readable(directory)
    if "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
        raise UserError(
            f"{setting}: {name} is not a directory with a config.json and *.safetensors weights; correct the path, or "
            "train a classifier (snakemake --profile local results/classifiers/<name>/model.safetensors)"
        )
    stats = [(directory / file).stat() for file in names]
    stamps = tuple((file, stat.st_size, stat.st_mtime_ns) for file, stat in zip(names, stats, strict=True))
    return Classifier(name, directory, _digests(directory, stamps), (), name)


@lru_cache(maxsize=8)
def _digests(directory: Path, stamps: tuple[tuple[str, int, int], ...]) -> Mapping[str, str]:
    return {file: digest_file(directory / file) for file, *_ in stamps}


def training_digest(recipe: Path) -> str:
    """sha256 of what decides the files of a classifier that is trained here from `recipe`."""
    return digest_value(
        {
            "recipe": read_yaml(recipe),
            "code": codedigest.digest(TRAINING_CODE),
            "libraries": {name: version(name) for name in TRAINING_LIBRARIES},
        }
    )
