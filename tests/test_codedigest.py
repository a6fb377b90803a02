"""A digest of code changes with what the code does, and with nothing else."""

import ast
import json
import re
from pathlib import Path

import pytest

from scbench import codedigest
from scbench.engines import CORE_MODULES
from scbench.methods import METHODS
from scbench.tasks import NAMES

SOURCE = '''"""A module."""
import math  # why


def area(radius: float) -> float:
    """Square metres."""
    return math.pi * radius**2
'''


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository in the place of this one."""
    monkeypatch.setattr(codedigest, "ROOT", tmp_path)
    (tmp_path / "scbench").mkdir()
    (tmp_path / "scbench" / "__init__.py").write_text("")
    return tmp_path


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch):
    """Begins a process that remembers in a file; what it returns ends it, and says how many sources it has parsed."""

    def begin(file: Path):
        at_end, parsed, parse = [], [], codedigest._parse
        monkeypatch.setattr(codedigest.atexit, "register", at_end.append)
        monkeypatch.setattr(codedigest, "_parse", lambda source: parsed.append(source) or parse(source))
        codedigest._read_source.cache_clear()
        codedigest.remember(file)

        def end() -> int:
            at_end[0]()
            monkeypatch.setattr(codedigest, "_parse", parse)
            return len(parsed)

        return end

    yield begin
    codedigest._KNOWN = None
    codedigest._read_source.cache_clear()


def test_what_was_read_once_is_known_to_the_next_process_until_it_changes(repository, process, tmp_path):
    file = tmp_path / "kept" / "code.json"
    end = process(file)
    first, imported = digest_of(repository, SOURCE), codedigest.imports("scbench.area")
    assert end() == 1
    end = process(file)
    assert digest_of(repository, SOURCE) == first and codedigest.imports("scbench.area") == imported
    assert end() == 0
    end = process(file)
    changed = digest_of(repository, SOURCE.replace("**2", "**3"))
    assert changed != first and end() == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"reader": "another", "read": {}}', '{"read": 3}', None], ids=str)
def test_a_file_that_is_damaged_or_of_another_version_is_as_good_as_none(text, repository, process, tmp_path):
    file = tmp_path / "code.json"
    end = process(file)
    first = digest_of(repository, SOURCE)
    end()
    kept = json.loads(file.read_text())
    damaged = json.dumps(kept | {"read": {key: "x" for key in kept["read"]}}) if text is None else text
    file.write_text(damaged)
    end = process(file)
    assert digest_of(repository, SOURCE) == first and end() == 1


def digest_of(repository: Path, source: str) -> str:
    (repository / "scbench" / "area.py").write_text(source)
    return codedigest.digest(["scbench.area"])


@pytest.mark.parametrize(
    "edited",
    [
        SOURCE.replace("  # why", ""),
        SOURCE.replace('"""A module."""\n', ""),
        SOURCE.replace('    """Square metres."""\n', '    """In m2,\n\n    of a circle."""\n'),
        SOURCE.replace("math.pi * radius**2", "(math.pi\n            * radius ** 2)"),
    ],
    ids=["comment", "module docstring", "docstring", "layout"],
)
def test_an_edit_that_does_nothing_changes_nothing(repository: Path, edited: str):
    assert edited != SOURCE
    assert digest_of(repository, edited) == digest_of(repository, SOURCE)


@pytest.mark.parametrize(
    "edited",
    [
        SOURCE.replace("**2", "**3"),
        SOURCE.replace("radius", "r"),
        SOURCE + "\nUNIT = 'm2'\n",
        SOURCE.replace("    return", "    'a string that is no docstring'\n    return", 1).replace(
            '    """Square metres."""\n', "    radius = +radius\n"
        ),
    ],
    ids=["number", "name", "statement", "order"],
)
def test_an_edit_that_does_something_changes_the_digest(repository: Path, edited: str):
    assert digest_of(repository, edited) != digest_of(repository, SOURCE)


def test_what_another_version_of_python_adds_to_a_tree_changes_nothing(repository: Path, monkeypatch):
    source = 'def area(radius: float) -> tuple:\n    return f"{radius!r}", "", [], None\n'
    before = digest_of(repository, source)
    parse = ast.parse

    def newer(source: bytes) -> ast.Module:
        tree = parse(source)
        function = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
        function._fields = (*function._fields, "type_params")
        function.type_params = []
        next(node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)).values.append(ast.Constant(""))
        return tree

    monkeypatch.setattr(ast, "parse", newer)
    codedigest._read_source.cache_clear()
    assert digest_of(repository, source) == before
    codedigest._read_source.cache_clear()
    assert digest_of(repository, source.replace('""', '"", ""')) != before


def test_a_body_of_nothing_but_a_docstring_stays_a_body(repository: Path):
    assert digest_of(repository, 'def f():\n    """Nothing."""\n') == digest_of(repository, "def f():\n    pass\n")


def test_a_package_counts_with_every_module_in_it(repository: Path):
    package = repository / "scbench" / "deep"
    (package / "er").mkdir(parents=True)
    for name in ("__init__.py", "a.py", "er/__init__.py", "er/b.py"):
        (package / name).write_text("X = 1\n")
    before = codedigest.digest(["scbench.deep"])
    (package / "er" / "b.py").write_text("X = 2\n")
    assert codedigest.digest(["scbench.deep"]) != before


def test_a_module_without_a_source_file_is_refused(repository: Path):
    for name in ("scbench.nothing", "json", "scbench.area.x"):
        with pytest.raises(ModuleNotFoundError, match=re.escape(name)):
            codedigest.digest([name])


def test_the_closure_follows_every_form_of_import(repository: Path):
    package = repository / "scbench" / "rooms"
    package.mkdir()
    (package / "__init__.py").write_text("from scbench.rooms.hall import DOOR\n")
    (package / "hall.py").write_text("DOOR = 1\n")
    (package / "attic.py").write_text("from . import cellar\nfrom .hall import DOOR\n")
    (package / "cellar.py").write_text("import json\nimport scbench.late\n")
    (package / "shed.py").write_text("X = 1\n")
    (repository / "scbench" / "late.py").write_text("def f():\n    from scbench import lazy\n")
    (repository / "scbench" / "lazy.py").write_text("import scbench.late\n")
    assert codedigest.closure(["scbench.rooms.attic"]) == {
        "scbench.rooms.attic",
        "scbench.rooms.cellar",
        "scbench.rooms.hall",
        "scbench.late",
        "scbench.lazy",
    }


def test_a_constant_is_read_without_running_the_module(repository: Path):
    (repository / "scbench" / "area.py").write_text(
        "raise SystemExit\nA = 1\nB: tuple[int, ...] = (1, 2)\nC = len(B)\n"
    )
    assert codedigest.constant("scbench.area", "A") == 1
    assert codedigest.constant("scbench.area", "B") == (1, 2)
    with pytest.raises(KeyError):
        codedigest.constant("scbench.area", "D")


# Packages that only gather what others define, modules whose effect stands in the key by itself (resolved sizes), and
# what kernels are compared with, which no method runs: it asks for a kernel only where one serves its tensors.
GATHERING = {"scbench.methods", "scbench.kv", "scbench.engines", "scbench.tasks"}
IN_THE_KEY = {"scbench.methods.budget"}
COMPARED_WITH = {"kernels.reference"}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_declares_every_module_that_decides_its_results(name: str):
    """What a method's modules import is declared by it or by the core; anything else would change results unseen."""
    declared = {*METHODS[name].modules, *CORE_MODULES}
    found: set[str] = set()
    waiting = list(METHODS[name].modules)
    while waiting:
        module = waiting.pop()
        if module not in found | GATHERING:
            found.add(module)
            waiting.extend(codedigest.imports(module))
    rooms = ("scbench.methods.", "scbench.kv.", "scbench.engines.", "kernels.")
    assert {module for module in found if module.startswith(rooms)} <= declared | IN_THE_KEY | COMPARED_WITH


@pytest.mark.parametrize("task", NAMES)
def test_a_tasks_builder_draws_on_no_metric_and_no_method(task: str):
    """Else an edit of a metric would build sessions anew."""
    modules = codedigest.closure([f"scbench.tasks.{task}"])
    assert not [module for module in modules if module.startswith(("scbench.scoring", "scbench.methods", "scbench.kv"))]
