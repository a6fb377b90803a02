"""Digests of source code by what it does: an edit of a comment, a docstring or the layout changes nothing.

A digest of a module decides whether results that were computed with it still stand. It is taken from the source file,
without importing the module: planning needs no deep-learning library.
"""

import ast
import atexit
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from scbench.canonical import digest_file, digest_text, digest_value, write_atomically
from scbench.places import OWN_METHODS, ROOT

OURS = ("scbench", "scripts", "kernels")

_MADE: dict[str, dict[str, Any]] = {}

Reading = tuple[str, tuple[tuple[int, str, tuple[str, ...]], ...]]  # of `_read_source`
_KNOWN: dict[str, Reading] | None = None  # sha256 of a source -> its reading, where `remember` was asked to keep it
_MOST = 2000


def remember(file: Path) -> None:
    """Take from `file` what earlier processes read in the same sources, and leave there what this one reads.

    For planning, which asks for some hundred modules every time. What is recorded with a result, and an audit, read the
    sources themselves. A file that is damaged, or of another version of this module, is as good as none.
    """
    global _KNOWN
    reader, known = digest_file(Path(__file__)), {}
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(file.read_text(encoding="utf-8"))
        if found["reader"] == reader and len(found["read"]) <= _MOST:
            known = {key: (digest, _frozen(imported)) for key, (digest, imported) in found["read"].items()}
    before, _KNOWN = len(known), known

    def leave() -> None:
        if len(known) > before:
            with suppress(OSError):
                write_atomically(file, json.dumps({"reader": reader, "read": known}))

    atexit.register(leave)


def _frozen(imported: Iterable[Iterable[Any]]) -> tuple[tuple[int, str, tuple[str, ...]], ...]:
    return tuple((int(level), str(module), tuple(map(str, names))) for level, module, names in imported)


def digest(modules: Iterable[str]) -> str:
    """sha256 over the code of `modules` (dotted names); a package counts with every module in it.

    Raises ModuleNotFoundError for a name that has no source file in the repository or among the user's own methods.
    """
    given = sorted(set(modules))
    names = sorted({name for module in given for name in expand(module)})
    found = {name: module_digest(name) for name in names}
    sources = {name: digest_file(source_file(name)) for name in names}
    value = digest_value(found)
    _MADE[value] = {"given": given, "modules": found, "sources": sources}
    return value


def made(value: str) -> dict[str, Any] | None:
    """What is behind the digest `value`, if this process made it.

    given: the names it was asked for; modules: name -> digest of each module, whose own digest `value` is; sources:
    name -> sha256 of its file.
    """
    return _MADE.get(value)


def changed(known: Mapping[str, Any]) -> list[str]:
    """The files of the modules of a manifest (`made`) whose code is another one by now, or that went or came."""
    names = set(known["modules"])
    for given in known["given"]:
        with suppress(ModuleNotFoundError):  # its modules are in `names`, and will not be found
            names |= set(expand(given))
    return sorted(name.replace(".", "/") + ".py" for name in names if not _is_same(known, name))


def _is_same(known: Mapping[str, Any], module: str) -> bool:
    try:
        # A file that is the same needs no look at what it does.
        if digest_file(source_file(module)) == known["sources"].get(module):
            return module in known["modules"]
        return module_digest(module) == known["modules"].get(module)
    except (ModuleNotFoundError, SyntaxError, ValueError, OSError):
        return False


def closure(modules: Iterable[str]) -> frozenset[str]:
    """`modules` and every module of this repository that they import, directly or not (names, packages expanded)."""
    found: set[str] = set()
    waiting = [name for module in modules for name in expand(module)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(imports(name))
    return frozenset(found)


def module_digest(module: str) -> str:
    """sha256 of the syntax tree of one module, without comments, docstrings and positions."""
    return _read_source(source_file(module).read_bytes())[0]


def imports(module: str) -> frozenset[str]:
    """The modules of this repository that `module` imports by name, at any depth of its code."""
    path = source_file(module)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for level, base, names in _read_source(path.read_bytes())[1]:
        if level:
            up = package.split(".")
            up = up[: len(up) - level + 1]
            base = ".".join([*up, base] if base else up)
        # A name is a module of its own if there is a file for it, else it stands in `base`.
        found |= {name if _exists(name := f"{base}.{alias}") else base for alias in names} if names else {base}
    return frozenset(name for name in found if _exists(name))


@lru_cache(maxsize=1024)
def _read_source(source: bytes) -> Reading:
    """What `module_digest` says of a module with this source, and its imports: (level, module, names taken from it)."""
    if _KNOWN is None:
        return _parse(source)
    key = hashlib.sha256(source).hexdigest()
    if key not in _KNOWN:
        _KNOWN[key] = _parse(source)
    return _KNOWN[key]


def _parse(source: bytes) -> Reading:
    tree = ast.parse(source)
    imported: list[tuple[int, str, tuple[str, ...]]] = []
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            imported += [(0, alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported.append((node.level, node.module or "", tuple(alias.name for alias in node.names)))
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _has_docstring(
            node
        ):
            # A body of nothing but its docstring stays a body.
            node.body = node.body[1:] or [ast.Pass()]
    return digest_text(_text(tree)), tuple(imported)


def _text(value: Any) -> str:
    """`ast.dump`, the same under every version of Python: fields that newer ones add are empty for older code."""
    if isinstance(value, ast.JoinedStr):  # Python 3.12 ends some with an empty piece
        value = ast.JoinedStr([piece for piece in value.values if getattr(piece, "value", None) != ""])
    if isinstance(value, ast.AST):
        fields = ((name, getattr(value, name)) for name in value._fields)
        held = [f"{name}={_text(field)}" for name, field in fields if field is not None and field != []]
        return f"{type(value).__name__}({', '.join(held)})"
    return f"[{', '.join(map(_text, value))}]" if isinstance(value, list) else repr(value)


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """All statements of `tree`, and what else holds some (handlers, cases); most nodes are in expressions."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            held = getattr(node, name, None)
            waiting += held if isinstance(held, list) else ()
        yield node


def constant(module: str, name: str) -> Any:
    """The literal that `module` assigns to `name` at its top level. Raises KeyError when there is none."""
    for node in ast.parse(source_file(module).read_bytes()).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return ast.literal_eval(node.value)
    raise KeyError(f"{module} assigns no literal to {name}")


def source_file(module: str) -> Path:
    """The source file of `module`. Raises ModuleNotFoundError when it is not one of this repository's."""
    if not _exists(module):
        raise ModuleNotFoundError(f"{module} has no source file under {_root(module)}")
    path = _stem(module)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _exists(module: str) -> bool:
    path = _stem(module)
    ours = module.split(".")[0] in (*OURS, OWN_METHODS.name)
    return ours and (path.with_suffix(".py").is_file() or (path / "__init__.py").is_file())


def _stem(module: str) -> Path:
    """Where `module` lies, without a suffix."""
    return _root(module).joinpath(*module.split("."))


def _root(module: str) -> Path:
    return OWN_METHODS.parent if module.split(".")[0] == OWN_METHODS.name else ROOT


def expand(module: str) -> list[str]:
    """`module`, or of a package every module in it. Raises ModuleNotFoundError."""
    path = source_file(module)
    if path.name != "__init__.py":
        return [module]
    files = sorted(path.parent.rglob("*.py"))
    names = [".".join(file.relative_to(_root(module)).with_suffix("").parts) for file in files]
    return [name.removesuffix(".__init__") for name in names]


def _has_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
