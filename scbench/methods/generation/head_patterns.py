"""Which sparse pattern each head of a model has, as a search found them; how such a file is read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from scbench.canonical import digest_text
from scbench.errors import UserError
from scbench.schema import validate

if TYPE_CHECKING:
    from scbench.models import Model

Kind = Literal["stream", "vertical_slash", "block_sparse"]
SEARCH = "snakemake --profile local results/patterns/"


@dataclass(frozen=True)
class HeadPattern:
    """The pattern of one head.

    vertical, slash: columns and diagonals, of which only the proportion counts; of a stream (A-shape) head they are the
    sink and the window; a block-sparse head has neither.
    """

    kind: Kind
    vertical: int = 0
    slash: int = 1


@dataclass(frozen=True)
class PatternFile:
    """What a search found for one model; `heads` holds the patterns of each layer's query heads.

    files: sha256 of the model's files by name; sha256: of the pattern file itself.
    """

    path: str
    sha256: str
    model: str
    files: dict[str, str]
    heads: tuple[tuple[HeadPattern, ...], ...]

    def check_model(self, setting: str, model: Model) -> None:
        """Raise UserError, which names `setting`, unless the patterns were found for `model` with the files it has."""
        if self.model != model.name:
            raise UserError(
                f"{setting}: {self.path} holds the patterns of {self.model}, and {model.name} has other heads; take "
                f"the setting out, or search its own ({SEARCH}{model.name}-<tokens>.json) and give it its own study"
            )
        if not model.awaited and self.files != dict(model.files):
            names = sorted({*self.files, *model.files})
            name = next(name for name in names if self.files.get(name) != model.files.get(name))
            raise UserError(
                f"{setting}: {self.path} was searched on other files of {model.name}: {name} had sha256 "
                f"{str(self.files.get(name))[:12]} and now has {str(model.files.get(name))[:12]}; take the setting "
                f"out, search again ({SEARCH}{model.name}-<tokens>.json) and put it in again"
            )

    def layer(self, setting: str, layer: int, layers: int, heads: int) -> tuple[HeadPattern, ...]:
        """The patterns of layer `layer`. Raises UserError unless there are `layers` with `heads` query heads each."""
        if len(self.heads) != layers or len(self.heads[layer]) != heads:
            raise UserError(
                f"{setting}: {self.path} holds the patterns of {len(self.heads)} layers of {len(self.heads[0])} heads, "
                f"the model has {layers} of {heads}; search patterns for this model"
            )
        return self.heads[layer]


def read_patterns(setting: str, path: str) -> PatternFile:
    """The pattern file at `path`, relative to the working directory.

    Raises UserError, which names `setting`, when it is missing or not one.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UserError(
            f"{setting}: {path} cannot be read ({reason}); take the setting out, search the patterns "
            f"({SEARCH}<model>-<tokens>.json) and put it in again"
        ) from error
    try:
        return _parse(path, text)
    except ValueError as error:
        raise UserError(f"{setting}: {path} is not JSON ({error}); delete it and search the patterns again") from error


# A plan resolves a study's rows many times over.
@lru_cache(maxsize=8)
def _parse(path: str, text: str) -> PatternFile:
    found = validate(json.loads(text), "patterns.schema.yaml", path)
    heads = tuple(tuple(HeadPattern(**head) for head in layer) for layer in found["patterns"])
    return PatternFile(path, digest_text(text), found["model"], found["files"], heads)
