"""A method from outside the package: one file in `my_methods`, one line in a study."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scbench.places import ROOT

NEWEST = '''
from dataclasses import dataclass
from typing import ClassVar

from my_methods._counting import last
from scbench.methods.base import Complexity, Method, Stage


@dataclass(frozen=True, kw_only=True)
class Newest(Method):
    """Keep the last tokens that the budget allows."""

    name: ClassVar[str] = "newest"
    title: ClassVar[str] = "Newest"
    stage: ClassVar[Stage] = "compression"
    paper: ClassVar[str] = "none yet"
    complexity: ClassVar[Complexity] = Complexity(
        prefill_efficient=False, decode_efficient=True, kv_size="O(k)", prefill="O(n^2)", decode="O(km)"
    )
    modules: ClassVar[tuple[str, ...]] = ("my_methods.newest",)

    tokens: int

    @classmethod
    def sizes(cls, budget, given):
        return {"tokens": budget.tokens}

    def compress(self, layer):
        return layer.keep(last(layer.tokens, self.tokens))
'''
COUNTING = "def last(tokens, kept):\n    return range(max(0, tokens - kept), tokens)\n"
STUDY = {
    "study": "mine",
    "models": ["minilm"],
    "methods": {"full": {}, "newest": {"budget": "1/8"}, "a_shape+newest": {}},
    "tasks": ["retr_kv"],
    "data": {"scale": "mini", "tokens": 256, "sessions": 1, "turns": 2},
}
KEYS = """
import json
from scbench import cellkey
from scbench.plan import make_plan
from scbench.study import read_study
plan = make_plan(read_study("study.json"))
print(json.dumps({" ".join(cell.id): cellkey.key(plan.study, cell, {}) for cell in plan.cells}))
"""
ANSWER = """
import json
from scbench.compute import Computer
from scbench.methods import make
from scbench.plan import make_plan
from scbench.study import read_study
from scbench.tasks import TASKS, Scale
from scripts.build_sessions import token_counter
plan = make_plan(read_study("study.json"))
model = plan.study.models[0]
session = TASKS["retr_kv"].build(Scale(name="mini", tokens=256, turns=2, count=token_counter(model)), 0, 0)
computed = Computer(plan.study, model).compute(session, plan.cells)
print(json.dumps({" ".join(cell.id): [turn["kv_bytes"] for turn in turns] for cell, turns, _ in computed}))
"""


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A directory with a study and, in `my_methods`, a method and what it imports."""
    (tmp_path / "my_methods").mkdir()
    (tmp_path / "my_methods" / "newest.py").write_text(NEWEST)
    (tmp_path / "my_methods" / "_counting.py").write_text(COUNTING)
    (tmp_path / "study.json").write_text(json.dumps(STUDY))
    return tmp_path


def run(workplace: Path, code: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=workplace, env=environment, capture_output=True, text=True, timeout=240
    )


def printed(workplace: Path, code: str) -> dict:
    ran = run(workplace, code)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_a_method_is_one_file_of_at_most_sixty_lines():
    assert len(NEWEST.strip().splitlines()) <= 60


def test_it_runs_like_any_other_and_composes(workplace: Path):
    bytes_of = printed(workplace, ANSWER)
    for mode in ("multi_turn", "multi_request"):
        full, newest = (bytes_of[f"minilm {label} retr_kv {mode}"] for label in ("full", "newest"))
        assert all(mine < all_ for mine, all_ in zip(newest, full, strict=True))
        assert bytes_of[f"minilm a_shape+newest retr_kv {mode}"] == newest


def test_its_key_follows_its_code_and_what_it_imports(workplace: Path):
    def changed() -> set[str]:
        """The rows whose keys are others than before the last edit."""
        nonlocal keys
        before, keys = keys, printed(workplace, KEYS)
        return {cell.split()[1] for cell in keys if keys[cell] != before[cell]}

    keys = printed(workplace, KEYS)
    method, helper = workplace / "my_methods" / "newest.py", workplace / "my_methods" / "_counting.py"
    assert changed() == set()
    method.write_text(NEWEST.replace("Keep the last", "Keep nothing but the last"))
    assert changed() == set(), "a docstring decides nothing"
    method.write_text(NEWEST.replace("budget.tokens", "budget.tokens - 1"))
    assert changed() == {"newest", "a_shape+newest"}
    helper.write_text(COUNTING.replace("max(0, ", "max(1, "))
    assert changed() == {"newest", "a_shape+newest"}


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("other.py", NEWEST, "my_methods.other: its method is named 'newest'; name it 'other', as its file"),
        (
            "snapkv.py",
            NEWEST.replace('"newest"', '"snapkv"'),
            "'snapkv' is taken by scbench.methods.compression.snapkv",
        ),
        ("helper.py", COUNTING, "no class in it derives from scbench.methods.base.Method"),
        (
            "newest.py",
            NEWEST.replace('    title: ClassVar[str] = "Newest"\n', ""),
            "does not state its title; add what is missing",
        ),
        ("newest.py", "import nothing_of_that_name\n", "No module named 'nothing_of_that_name'"),
    ],
)
def test_a_file_that_is_no_method_is_refused(workplace: Path, file: str, text: str, words: str):
    (workplace / "my_methods" / file).write_text(text)
    ran = run(workplace, "import scbench.methods")
    assert ran.returncode != 0
    assert words in ran.stderr
    assert str(workplace / "my_methods" / file) in ran.stderr or "UserError: my_methods." in ran.stderr


def test_without_the_directory_nothing_is_looked_for(tmp_path: Path):
    code = "import json, sys; import scbench.methods as m; print(json.dumps({'newest': 'newest' in m.METHODS}))"
    assert printed(tmp_path, code) == {"newest": False}
