"""What a method is: settings, what the paper says about it, and the hooks of the stages of a KV cache's life.

A method overrides the hook of its stage and leaves the others dense. Planning reads settings without a deep-learning
library: modules of methods import torch, and what computes with it, inside their hooks only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypedDict

from scbench.errors import UserError
from scbench.methods.budget import Budget, read_budget

if TYPE_CHECKING:
    from torch import Tensor

    from scbench.kv import Assembly, Chunk, Index, Kept, LayerKV, Step
    from scbench.models import Model

Stage = Literal["baseline", "generation", "compression", "retrieval", "loading"]


class Complexity(TypedDict):
    """A row of Table 1, the paper's own for its methods: n prompt tokens, m generated, k kept or attended."""

    prefill_efficient: bool
    decode_efficient: bool
    kv_size: str
    prefill: str
    decode: str


@dataclass(frozen=True, kw_only=True)
class Method:
    """Settings of one method, every size resolved.

    budget: nominal share of the study's context length, 0 < budget <= 1; constant over sessions, as published.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    stage: ClassVar[Stage]
    paper: ClassVar[str]
    complexity: ClassVar[Complexity]
    # Whether the first prompt is encoded by exact attention, and its KV so may come from a shared prefill.
    starts_dense: ClassVar[bool] = True
    # Whether `encode` has to see the whole first prompt in one chunk, because it decides by the last rows.
    whole_prompt: ClassVar[bool] = False
    # Whether `assemble` begins the first prompt, all of which the engine collects before.
    assembles: ClassVar[bool] = False
    # Whether `shorten` says what of a context's text a prompt is made of.
    shortens: ClassVar[bool] = False
    # Whether turns with known prompts may share passes: where what `load` gives each row depends on that row alone, and
    # later tokens change nothing of what is held of earlier ones (`Packed.absorb`). False for a class with its own
    # `load` that says nothing of it.
    turns_together: ClassVar[bool] = True
    # Modules whose code decides the method's results, beyond what every method runs through.
    modules: ClassVar[tuple[str, ...]]
    default_budget: ClassVar[float] = 1 / 8
    # Settings that are lengths in tokens, none above the context; and those of them whose sum is the budget.
    lengths: ClassVar[tuple[str, ...]] = ()
    budgeted: ClassVar[tuple[str, ...]] = ()

    budget: float

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "load" in vars(cls) and "turns_together" not in vars(cls):
            cls.turns_together = False

    @classmethod
    def resolve(cls, settings: Mapping[str, Any], context_tokens: int) -> Self:
        """The method with `settings`, its other sizes derived from the budget at `context_tokens` tokens of context.

        Where sizes are given that make another budget, the budget follows from them. Raises UserError naming the
        setting, its value and what is allowed.
        """
        types = {field.name: field.type for field in dataclasses.fields(cls)}
        for key, value in settings.items():
            if key not in types:
                raise UserError(f"{cls.name}.{key}: no such setting; {cls.name} has {', '.join(types)}")
            if types[key] == "int" and type(value) is not int:
                raise UserError(f"{cls.name}.{key}: {value!r} is not a whole number; give one")
        given = {key: value for key, value in settings.items() if key != "budget"}
        budget = read_budget(cls.name, settings.get("budget", cls.default_budget), context_tokens)
        method = cls(budget=budget.share, **(cls.sizes(budget, given) | given))
        method.check()
        for key in cls.lengths:
            if key in given and given[key] > context_tokens:
                raise UserError(
                    f"{cls.name}.{key}: {given[key]} is above the context of {context_tokens} tokens; give at most that"
                )
        kept = sum(getattr(method, key) for key in cls.budgeted)
        if not cls.budgeted or kept == budget.tokens:
            return method
        sizes = " + ".join(cls.budgeted)
        if "budget" in settings:
            raise UserError(
                f"{cls.name}.budget: {settings['budget']!r} is {budget.tokens} tokens, but {sizes} is {kept}; "
                "leave the budget or the sizes out"
            )
        if kept > context_tokens:
            raise UserError(f"{cls.name}: {sizes} is {kept} tokens, above the context of {context_tokens}; give less")
        return dataclasses.replace(method, budget=kept / context_tokens)

    @classmethod
    def sizes(cls, budget: Budget, given: Mapping[str, Any]) -> dict[str, Any]:
        """The sizes that follow from `budget` and from the settings in `given`, which override them."""
        return {}

    @classmethod
    def neutral(cls, tokens: int) -> dict[str, Any]:
        """Settings under which the method equals full attention on first prompts of up to `tokens` tokens."""
        return {"budget": 1.0}

    def check(self) -> None:
        """Raise UserError when a setting is out of range."""

    def check_model(self, model: Model) -> None:
        """Raise UserError when a setting was made for another model than `model`, whose files may not be known yet."""

    def describe(self) -> dict[str, Any]:
        """Every resolved setting and the method's name, as JSON values: for keys and tables."""
        return {"method": self.name, **dataclasses.asdict(self)}

    @property
    def pending(self) -> tuple[str, ...]:
        """What its settings name and this version does not have yet, in plain words; a run is refused until it has."""
        return ()

    @property
    def query_rows(self) -> int:
        """Last query rows of the first prompt that `compress` wants to see."""
        return 0

    @property
    def own_rows(self) -> int | None:
        """Last rows of a first prompt that are encoded as its end; None where all rows depend on where it ends.

        First prompts that begin alike share the encoding of what they have in common, but for these rows.
        """
        return 0 if self.starts_dense else None

    def shorten(self, context: str, device: str) -> list[tuple[int, int]]:
        """Generation: character ranges [start, stop) of `context` to keep, ascending and apart; computed on `device`.

        It sees the context alone, before any question, template or cut; prompts of all modes are made of what is left.
        """
        return [(0, len(context))]

    def assemble(self, prompt: Assembly) -> None:
        """Retrieval: what of the first prompt to take from chunks encoded alone; the rest is encoded exactly."""

    def encode(self, chunk: Chunk) -> Tensor:
        """Generation: attention of `chunk`, rows of the first prompt [1, query_heads, T, head_dim]."""
        return chunk.dense()

    def index(self, layer: LayerKV) -> Index | None:
        """Loading: what to build of one layer, when the first prompt ends, for `load` to choose from."""
        return None

    def compress(self, layer: LayerKV) -> Kept | None:
        """Compression: what to keep of one layer when the first prompt ends; None keeps it as it is."""
        return None

    def load(self, step: Step) -> Tensor:
        """Loading: attention of `step`, rows after the first prompt [1, query_heads, T, head_dim]."""
        return step.dense()

    def _at_least(self, least: int, *keys: str) -> None:
        for key in keys:
            if getattr(self, key) < least:
                raise UserError(f"{self.name}.{key}: {getattr(self, key)} is below {least}; give {least} or more")
