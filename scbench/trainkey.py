"""What decides the files of a model that is trained here, known without training it: what a plan knows it by.

It is the same before and after the training. Results are kept by the sha256 of the files themselves (`cellkey`): two
trainings of one recipe may end in other bits, on another processor for one.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

from scbench import codedigest
from scbench.canonical import digest_value
from scbench.models import Model
from scbench.schema import read_yaml
from scbench.versions import version

LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors")
CODE = ("scbench.minilm", "scbench.tasks", "scbench.prompts", "scbench.sessions", "scripts.train_minilm")


def fields(model: Model) -> dict[str, Any]:
    """The recipe by its values, the code that reads and trains it, the libraries.

    Raises UserError when the recipe cannot be read.
    """
    return {
        "recipe": _recipe_digest(model.recipe_file),
        "code": _code_digest(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def digest(model: Model) -> str:
    """sha256 of the fields."""
    return digest_value(fields(model))


def planned(model: Model) -> dict[str, Any]:
    """What decides the files of `model`: the files by their sha256, or what they will be made from."""
    return fields(model) if model.awaited else dict(model.files)


@lru_cache(maxsize=16)
def _recipe_digest(path: Path) -> str:
    return digest_value(read_yaml(path))


@lru_cache(maxsize=1)
def _code_digest() -> str:
    return codedigest.digest(CODE)
