"""The recipe: everything that decides the weights, read from one YAML file and checked before anything runs."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scbench.canonical import digest_value
from scbench.errors import UserError
from scbench.minilm.drills import KNOWN_DRILLS, ON_TEXTS, TEXT_DRILL_TOKENS
from scbench.minilm.model import Size
from scbench.tasks import NAMES


@dataclass(frozen=True)
class Stage:
    """One stretch of the curriculum.

    tokens: context length of its sessions; length: the longest document, question and answers included.
    steps: where it ends at the latest; it ends sooner when every gate is met.
    learning_rate: at its first step and at its last one, cosine in between.
    evaluate_every: steps between two looks at held-out sessions, which is when gates are checked.
    tokens_per_step: of a training batch of this stage, if not the recipe's.
    weights: how often each task or drill is drawn, relative to the others.
    gates: exact match that a task has to reach; required: missing a gate at the last step stops the training.
    insert_layers: layers, as they are numbered before, in front of which a new one that adds nothing yet is put when
        the stage begins: a deeper model goes on from what a shallower one learned in less time.
    """

    name: str
    tokens: int
    length: int
    steps: int
    learning_rate: tuple[float, float]
    evaluate_every: int
    weights: dict[str, float]
    gates: dict[str, float] = dataclasses.field(default_factory=dict)
    required: bool = False
    tokens_per_step: int | None = None
    insert_layers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """seed: of the weights and the documents; tokens_per_step: of a batch, as if its documents were the longest.

    many_questions: share of documents that ask as many questions as fit; the others have the five turns of evaluation.
    evaluation_sessions: held-out sessions a task, each with five turns.
    weight_decay: of the matrices but the embedding, for each unit of their learning rate, which is twice the stage's.
    """

    name: str
    seed: int
    size: Size
    tokens_per_step: int
    many_questions: float
    warmup_steps: int
    evaluation_sessions: int
    stages: tuple[Stage, ...]
    weight_decay: float = 0.0

    @property
    def max_length(self) -> int:
        """The longest document that the model is trained on, in tokens."""
        return max(stage.length for stage in self.stages)

    def documents_per_step(self, stage: Stage) -> int:
        """As many of the stage's longest documents as make up its `tokens_per_step`, or the recipe's; at least one."""
        return max(1, round((stage.tokens_per_step or self.tokens_per_step) / stage.length))

    @property
    def trained_size(self) -> Size:
        """The network's sizes after the last stage."""
        inserted = sum(len(stage.insert_layers) for stage in self.stages)
        return dataclasses.replace(self.size, num_hidden_layers=self.size.num_hidden_layers + inserted)

    @property
    def digest(self) -> str:
        values = dataclasses.asdict(self)
        # As if the keys did not exist where they say nothing, so that older recipes keep their digests.
        if not self.weight_decay:
            del values["weight_decay"]
        for stage in values["stages"]:
            if stage["tokens_per_step"] is None:
                del stage["tokens_per_step"]
        return digest_value(values)


def _fill(kind: type, values: Any, where: str) -> dict[str, Any]:
    """`values` as keyword arguments of the dataclass `kind`; UserError on a key that is unknown or absent."""
    if not isinstance(values, dict):
        raise UserError(f"{where} has to be a mapping, not {values!r}")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    needed = {
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    for key in values:
        if key not in fields:
            raise UserError(f"{where}: unknown key {key!r}; allowed are {', '.join(sorted(fields))}")
    for key in sorted(needed - set(values)):
        raise UserError(f"{where}: key {key!r} is missing; add it")
    return values


def _stage(values: Any, where: str) -> Stage:
    stage = Stage(**_fill(Stage, values, where))
    places = stage.insert_layers
    if (
        not isinstance(places, list | tuple)
        or any(type(place) is not int for place in places)
        or sorted(places) != [*places]
    ):
        raise UserError(f"{where}: `insert_layers` {places!r} is not an ascending list of layer numbers; give one")
    first, last = stage.learning_rate
    stage = dataclasses.replace(stage, learning_rate=(float(first), float(last)), insert_layers=tuple(places))
    if not stage.weights or any(weight <= 0 for weight in stage.weights.values()):
        raise UserError(f"{where}: `weights` needs at least one task, each with a weight above 0, not {stage.weights}")
    known = (*NAMES, *KNOWN_DRILLS)
    for task in stage.weights:
        if task not in known:
            raise UserError(f"{where}: unknown task {task!r} in `weights`; known are {', '.join(known)}")
    for task in stage.gates:
        if task not in stage.weights:
            raise UserError(f"{where}: the gate on {task!r} is never met, give the task a weight or remove it")
        if task in KNOWN_DRILLS:
            raise UserError(f"{where}: the gate on {task!r} is never met, as drills are not looked at; gate a task")
    drills = [drill for drill in ON_TEXTS if drill in stage.weights]
    if drills and stage.tokens < TEXT_DRILL_TOKENS:
        raise UserError(
            f"{where}: `tokens` {stage.tokens} are too few for {', '.join(drills)}; give {TEXT_DRILL_TOKENS} or more"
        )
    own = stage.tokens_per_step
    if own is not None and (type(own) is not int or own < 1):
        raise UserError(f"{where}: `tokens_per_step` {own!r} is no number of tokens; give one, or leave it out")
    if stage.length <= stage.tokens:
        raise UserError(f"{where}: `length` {stage.length} leaves no room after {stage.tokens} tokens of context")
    return stage


def parse_recipe(values: Any, where: str) -> Recipe:
    """The recipe of a parsed YAML document; `where` names it in errors. Raises UserError."""
    values = dict(_fill(Recipe, values, where))
    size = Size(**_fill(Size, values["size"], f"{where}, size"))
    if size.num_attention_heads % size.num_key_value_heads:
        raise UserError(
            f"{where}, size: num_attention_heads {size.num_attention_heads} is not a multiple of "
            f"num_key_value_heads {size.num_key_value_heads}; change one of them"
        )
    decay = values.get("weight_decay", 0.0)
    if type(decay) not in (int, float) or not 0 <= decay < 1:
        raise UserError(f"{where}: `weight_decay` {decay!r} is no weight decay; give a number from 0 to below 1")
    stages = tuple(_stage(stage, f"{where}, stage {number}") for number, stage in enumerate(values["stages"], start=1))
    if len({stage.name for stage in stages}) < len(stages):
        raise UserError(f"{where}: two stages share a name; give each its own")
    layers = size.num_hidden_layers
    for stage in stages:
        if any(not 0 <= place < layers for place in stage.insert_layers):
            raise UserError(
                f"{where}, stage {stage.name}: `insert_layers` {list(stage.insert_layers)} names a layer that a model "
                f"of {layers} lacks; give numbers from 0 to {layers - 1}"
            )
        layers += len(stage.insert_layers)
    return Recipe(**values | {"size": size, "stages": stages})


def read_recipe(path: str | Path) -> Recipe:
    """The recipe in the YAML file at `path`. Raises UserError naming the key and what is wrong with it."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{path}: not a readable recipe ({error})") from error
    return parse_recipe(values, str(path))
