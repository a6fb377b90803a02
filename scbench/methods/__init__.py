"""The methods, by name, and how settings become one of them.

The rooms follow the life of a KV cache: it is generated, compressed, retrieved for another request, loaded for a step.
A file in a room that defines a named class derived from `Method` is a method of this table; nothing else names it.
So is each file in the directory `my_methods` of the working directory: methods of a user's own, without a change here.
It is code that every command imports, and runs with its user's rights.
Two methods are one by the name `<first>+<second>` (`scbench.methods.compose`), which stands in no table.
"""

import importlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from scbench.errors import UserError
from scbench.methods.base import Complexity, Method
from scbench.methods.compose import SIGN, composition, parts_of
from scbench.methods.full import Full
from scbench.places import OWN_METHODS

ROOMS = ("generation", "compression", "retrieval", "loading")
# Files that only compute are left alone: they import torch, which planning does without.
_DEFINES = re.compile(r"^    name: ClassVar\[str\] = ", re.MULTILINE)
STATED = ("name", "title", "stage", "paper", "complexity", "modules")  # what every method says about itself


def _residents() -> Iterator[type[Method]]:
    """Every method that is defined in a room, in the order of rooms and file names."""
    for room in ROOMS:
        for path in sorted((Path(__file__).parent / room).glob("*.py")):
            if _DEFINES.search(path.read_text(encoding="utf-8")):
                yield from _defined_in(importlib.import_module(f"{__name__}.{room}.{path.stem}"))


def _own() -> Iterator[type[Method]]:
    """Every method of the user's own, in the order of file names; files that begin with `_` are theirs to import.

    Raises UserError for a file that defines no method or one that leaves out what a method says about itself.
    """
    package = sys.modules.setdefault(OWN_METHODS.name, ModuleType(OWN_METHODS.name, "Methods of the user's own."))
    # Found by its place alone: the working directory need not be where Python looks for modules.
    package.__path__ = [str(OWN_METHODS)]
    for path in sorted(OWN_METHODS.glob("[!_]*.py")):
        found = list(_defined_in(importlib.import_module(f"{OWN_METHODS.name}.{path.stem}")))
        if not found:
            raise UserError(
                f"{path}: no class in it derives from scbench.methods.base.Method; write the method, or begin the "
                "file's name with _ where it only helps others"
            )
        for method in found:
            if missing := [word for word in STATED if not hasattr(method, word)]:
                raise UserError(
                    f"{path}: {method.__name__} does not state its {', '.join(missing)}; add what is missing"
                )
            yield method


def _defined_in(module: ModuleType) -> Iterator[type[Method]]:
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Method) and value.__module__ == module.__name__:
            yield value


def _by_name(methods: Iterable[type[Method]]) -> dict[str, type[Method]]:
    """name -> method. Raises UserError where a method is not named after its file, and so where two share a name."""
    found = {}
    for method in methods:
        if method.name != (stem := method.__module__.rpartition(".")[2]):
            raise UserError(f"{method.__module__}: its method is named {method.name!r}; name it {stem!r}, as its file")
        if method.name in found:
            raise UserError(
                f"{method.__module__}: {method.name!r} is taken by {found[method.name].__module__}; rename it"
            )
        found[method.name] = method
    return found


METHODS: dict[str, type[Method]] = _by_name((Full, *_residents(), *_own()))


def find(name: str) -> type[Method] | None:
    """The method or composition `name`; None where it, or a part of it, is not a method of this version.

    Raises UserError for a composition of methods that do not go together.
    """
    if not all(part in METHODS for part in parts_of(name)):
        return None
    return composition(name, METHODS) if SIGN in name else METHODS[name]


def make(name: str, settings: Mapping[str, Any], context_tokens: int) -> Method:
    """The method `name` with `settings`, sizes derived from its budget at a context of `context_tokens` tokens.

    Raises UserError for a name or setting that does not exist, a value out of range, or methods that do not fit.
    """
    method = find(name)
    if method is None:
        missing = next(part for part in parts_of(name) if part not in METHODS)
        raise UserError(f"methods: {missing!r} is not a method; choose one of {', '.join(METHODS)}")
    return method.resolve(settings, context_tokens)


__all__ = ["METHODS", "Complexity", "Method", "find", "make", "parts_of"]
