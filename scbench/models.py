"""The models of resources/models.lock.yaml: where they are, what their files must hash to, what a job costs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

from scbench.canonical import digest_file
from scbench.errors import UserError
from scbench.places import ROOT, model_directory
from scbench.schema import read_yaml, validate

# What transformers may read in a checkpoint's directory, where it also looks for names that are not in the lock.
READABLE = {".safetensors", ".json", ".jinja", ".model", ".txt"}
READABLE_DIRECTORIES = (".", "additional_chat_templates")
REPORT = "training.json"  # how a model was trained; no name that transformers reads
# What the export of a model that is trained here consists of; its report lists their sha256.
EXPORTED = (
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)

LOCK = ROOT / "resources" / "models.lock.yaml"

# What to do about a file that is not as it should be, by the model's source.
REMEDIES = {
    "locked": {
        "missing": "fetch the model again",
        "changed": "fetch the file again, or change the lock if the new file is meant",
        "beside": "move it away, or add it with its sha256 if it belongs to the model",
    },
    "train": {
        "missing": "run the workflow again, which makes it anew",
        "changed": "delete it and run the workflow again, which makes it anew",
        "beside": "move it away",
    },
}


@dataclass(frozen=True)
class Seconds:
    """What a job costs: to load the weights, to prefill 1,000 tokens, to decode one. `basis`: measured | estimate."""

    load: float
    prefill_1k: float
    decode: float
    basis: str


@dataclass(frozen=True)
class Model:
    """One entry of the lock.

    engine: `transformers` (attention layers, every method applies) or `recurrent` (evaluated as it is).
    gated: whether its publisher asks for consent before the files can be fetched.
    rope: what replaces entries of the rotary settings in the checkpoint's config.json, as its publisher documents for
        long contexts; None for the checkpoint as it is.
    path: directory of the checkpoint, relative to the repository; below results/, where runs write, to the working
        directory.
    files: sha256 of every file that decides results; empty while the model is not pinned, or not trained (`found`).
    context: longest prompt with its answers, in tokens.
    recipe: how this workflow trains the model, relative to the repository; None where it cannot.
    source: `locked`, the files that the lock pins, or `train`, those that this workflow makes from the recipe.
    """

    name: str
    title: str
    engine: str
    path: str
    files: Mapping[str, str]
    context: int
    gpus: int
    mem_mb: int
    seconds: Seconds
    hub: str | None = None
    revision: str | None = None
    licence: str | None = None
    gated: bool = False
    rope: Mapping[str, Any] | None = None
    recipe: str | None = None
    source: Literal["locked", "train"] = "locked"
    entry: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def encodes_each_turn(self) -> bool:
        """Whether each answer begins with an encoding of the whole dialogue: a recurrent state is not carried on."""
        return self.engine == "recurrent"

    @property
    def directory(self) -> Path:
        """Where the checkpoint lies on this machine."""
        path = Path(self.path)
        return path if path.parts[:1] == ("results",) else ROOT / path

    @property
    def recipe_file(self) -> Path:
        """The recipe of a model that can be trained here."""
        return ROOT / self.recipe

    @property
    def awaited(self) -> bool:
        """Whether nothing says yet which files the model has, because this workflow makes them."""
        return self.source == "train" and not self.files

    def trained(self) -> Self:
        """The model as this workflow trains it from its recipe; its files are not known before that."""
        return replace(self, source="train", path=model_directory(self.name), files={})

    def found(self) -> Self:
        """The model with its files known: of one that is trained here, those that are there.

        Raises UserError unless they are those that the training left; what is pinned is not looked at here.
        """
        if self.source == "locked":
            return self
        model = replace(self, files=self._reported())
        model.verify()
        return model

    def spec(self) -> dict[str, Any]:
        """The entry as an engine loads it, `path` resolved."""
        return dict(self.entry) | {"name": self.name, "path": str(self.directory)}

    def verify(self) -> None:
        """Raise UserError unless the directory holds the files that are meant and no other readable ones.

        Meant are, by their sha256, those that the lock pins, or of a model that is trained here those that the training
        left.
        """
        if self.awaited:
            self.found()
            return
        if not self.files:
            train = ", or train it here (source: train in the study)" if self.recipe else ""
            raise UserError(
                f"{LOCK.name}: {self.name}.files is empty, so nothing says which weights are meant; "
                f"list the checkpoint's files with their sha256{train}"
            )
        listed = LOCK.name if self.source == "locked" else str(self.directory / REPORT)
        check_files(self.name, self.directory, self.files, listed, REMEDIES[self.source])

    def _reported(self) -> dict[str, str]:
        """The files that the training left, by the report that it wrote last."""
        path = self.directory / REPORT
        if not path.is_file():
            raise UserError(
                f"{path}: missing, so {self.name} is not trained here yet; run the workflow, which trains it"
            )
        try:
            files = json.loads(path.read_text(encoding="utf-8"))["files"]
            if files.keys() == set(EXPORTED) and all(isinstance(digest, str) for digest in files.values()):
                return files
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        raise UserError(
            f"{path}: does not list the sha256 of {', '.join(EXPORTED)} under `files`; "
            "delete it and run the workflow again, which makes it anew"
        )


def check_files(
    name: str, directory: Path, files: Mapping[str, str], listed: str, remedies: Mapping[str, str], kind: str = "model"
) -> None:
    """Raise UserError unless `directory` holds `files` (name -> sha256) and nothing else that would be read with them.

    name: what the files make up, a `kind` of thing; listed: where they are listed; remedies: what to do about a file
    that is missing, changed or beside them.
    """
    for file, expected in files.items():
        path = directory / file
        if not path.is_file():
            raise UserError(f"{path}: missing; it belongs to {name} in {listed}, {remedies['missing']}")
        if (found := digest_file(path)) != expected:
            raise UserError(
                f"{path}: has sha256 {found[:12]}, but {listed} pins {name}.files.{file} to {expected[:12]}; "
                f"{remedies['changed']}"
            )
    for file in readable(directory):
        if file not in files:
            raise UserError(
                f"{directory / file}: not among {name}.files in {listed}, but would be read with the {kind}; "
                f"{remedies['beside']}"
            )


def readable(directory: Path) -> list[str]:
    """Names of the files in `directory` that transformers may read."""
    found = [path for place in READABLE_DIRECTORIES for path in (directory / place).glob("*")]
    names = (path.relative_to(directory).as_posix() for path in found if path.suffix in READABLE)
    return sorted(name for name in names if name != REPORT)


def read_models(path: Path = LOCK) -> dict[str, Model]:
    """All models by name. Raises UserError when the lock does not match its schema."""
    entries = validate(read_yaml(path), "models.schema.yaml", path.name)
    return {
        name: Model(name=name, entry=entry, **(entry | {"seconds": Seconds(**entry["seconds"])}))
        for name, entry in entries.items()
    }
