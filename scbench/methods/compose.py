"""Two methods in one row: the first decides how the first prompt is encoded, the second what later passes see of it.

`tri_shape+snapkv` encodes as Tri-shape does and then keeps what SnapKV keeps. Any such pair is a method by its name;
nothing lists them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

from scbench.errors import UserError
from scbench.methods.base import Complexity, Method
from scbench.methods.full import Full

if TYPE_CHECKING:
    from torch import Tensor

    from scbench.kv import Assembly, Chunk, Index, Kept, LayerKV, Step
    from scbench.models import Model

SIGN = "+"
# What a method of these stages decides: how the first prompt's KV comes about.
ENCODING = ("generation", "retrieval")


@dataclass(frozen=True, kw_only=True)
class Composition(Method):
    """An encoding method and one that drops, packs or chooses afterwards, each with its own settings and budget.

    The budget of the pair is the second's: what it keeps, or reads in each later pass, of the first prompt's KV. The
    first's decides what that KV is worth, and what encoding it costs.

    kinds: the classes of `parts`, in the order in which they act.
    """

    modules: ClassVar[tuple[str, ...]] = ("scbench.methods.compose",)
    kinds: ClassVar[tuple[type[Method], type[Method]]]

    parts: tuple[Method, Method]

    @classmethod
    def resolve(cls, settings: Mapping[str, Any], context_tokens: int) -> Self:
        """The pair with `settings`: a mapping a part, whose defaults stand for one that is left out.

        Raises UserError for anything else, and for what a part refuses.
        """
        first, second = (kind.name for kind in cls.kinds)
        for key, value in settings.items():
            if key not in (first, second):
                raise UserError(
                    f"{cls.name}.{key}: a composition has no settings of its own; write them under the part they are "
                    f"meant for, {first}: {{{key}: {value}}} or {second}: {{{key}: {value}}}"
                )
            if not isinstance(value, Mapping | None):
                raise UserError(
                    f"{cls.name}.{key}: {value!r} is not a mapping; give for example {key}: {{budget: 1/8}}"
                )
        parts = tuple(kind.resolve(settings.get(kind.name) or {}, context_tokens) for kind in cls.kinds)
        return cls(budget=parts[1].budget, parts=parts)

    @classmethod
    def neutral(cls, tokens: int) -> dict[str, Any]:
        return {kind.name: kind.neutral(tokens) for kind in cls.kinds}

    def check_model(self, model: Model) -> None:
        for part in self.parts:
            part.check_model(model)

    def describe(self) -> dict[str, Any]:
        settings = {part.name: part.describe() for part in self.parts}
        for described in settings.values():
            del described["method"]
        return {"method": self.name, **settings}

    @property
    def pending(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(what for part in self.parts for what in part.pending))

    @property
    def query_rows(self) -> int:
        return self.parts[1].query_rows

    @property
    def own_rows(self) -> int | None:
        return self.parts[0].own_rows

    @property
    def turns_together(self) -> bool:
        return self.parts[1].turns_together

    def shorten(self, context: str, device: str) -> list[tuple[int, int]]:
        return self.parts[0].shorten(context, device)

    def assemble(self, prompt: Assembly) -> None:
        self.parts[0].assemble(prompt)

    def encode(self, chunk: Chunk) -> Tensor:
        return self.parts[0].encode(chunk)

    def index(self, layer: LayerKV) -> Index | None:
        return self.parts[1].index(layer)

    def compress(self, layer: LayerKV) -> Kept | None:
        return self.parts[1].compress(layer)

    def load(self, step: Step) -> Tensor:
        return self.parts[1].load(step)


def parts_of(name: str) -> list[str]:
    """The names that a row's method is composed of; one where it is a method of its own."""
    return name.split(SIGN)


def composition(name: str, methods: Mapping[str, type[Method]]) -> type[Composition]:
    """The class of the composition `name`, whose parts are in `methods`.

    Raises UserError for parts that do not go together.
    """
    kinds = [methods[part] for part in parts_of(name)]
    _refuse(name, kinds)
    return _paired(*kinds)


def _refuse(name: str, kinds: list[type[Method]]) -> None:
    """Raise UserError unless `kinds` are a method that encodes and one that acts afterwards."""
    others = [kind.name for kind in kinds if kind.stage != "baseline"]
    if len(others) < len(kinds):
        rest = SIGN.join(others) or Full.name
        raise UserError(f"{name}: full attention is what a stage without a method does; write {rest}")
    encoding = [kind for kind in kinds if kind.stage in ENCODING]
    later = [kind for kind in kinds if kind.stage not in ENCODING]
    for both, does in ((encoding, "decide how the first prompt is encoded"), (later, "decide what later passes see")):
        if len(both) > 1:
            first, second = both[:2]
            raise UserError(f"{name}: {first.name} and {second.name} both {does}{_why(first, second)}; choose one")
    if kinds[0] in later:
        raise UserError(f"{name}: parts stand in the order in which they act; write {SIGN.join(reversed(others))}")
    if kinds[0].assembles and kinds[1].query_rows is not Method.query_rows:
        raise UserError(
            f"{name}: {kinds[1].name} judges by the last query rows of the first prompt, of which {kinds[0].name} "
            "computes a part at most; choose a method that needs none"
        )


def _why(first: type[Method], second: type[Method]) -> str:
    """What is wrong with two methods of one role, where it is not plain."""
    loading = next((kind for kind in (first, second) if kind.stage == "loading"), None)
    if loading is None or first.stage == second.stage:
        return ""
    other = second if loading is first else first
    return f" ({loading.name} chooses among rows of the first prompt that {other.name} has dropped or packed by then)"


@cache
def _paired(first: type[Method], second: type[Method]) -> type[Composition]:
    """The class of one pair, the same at every call: equal settings make equal methods."""
    modules = [module for kind in (first, second) for module in (*kind.modules, kind.__module__)]
    facts = {
        "__doc__": f"{first.title}, then {second.title}.",
        "__module__": __name__,
        "name": f"{first.name}{SIGN}{second.name}",
        "title": f"{first.title} {SIGN} {second.title}",
        "stage": second.stage,
        "paper": f"{first.paper}; {second.paper}",
        "complexity": _complexity(first.complexity, second.complexity),
        "starts_dense": first.starts_dense and second.starts_dense,
        "whole_prompt": first.whole_prompt or second.whole_prompt,
        "assembles": first.assembles,
        "shortens": first.shortens,
        "modules": tuple(dict.fromkeys((*Composition.modules, *modules))),
        "kinds": (first, second),
    }
    return type(facts["name"], (Composition,), facts)


def _complexity(first: Complexity, second: Complexity) -> Complexity:
    """The first's prefill; of what decoding holds and reads the second's, where it states less than full attention."""
    dense = Full.complexity

    def later(key: str) -> str:
        return first[key] if second[key] == dense[key] else second[key]

    return Complexity(
        prefill_efficient=first["prefill_efficient"] or second["prefill_efficient"],
        decode_efficient=first["decode_efficient"] or second["decode_efficient"],
        kv_size=later("kv_size"),
        prefill=first["prefill"],
        decode=later("decode"),
    )
