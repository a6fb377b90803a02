"""A method is one file: what lies in a room is in the table, without torch and without being named anywhere."""

import subprocess
import sys
from pathlib import Path

import pytest

from scbench.errors import UserError
from scbench.methods import METHODS, ROOMS, _by_name
from scbench.places import OWN_METHODS, ROOT

NEWCOMER = '''
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scbench.methods.base import Complexity, Method, Stage


@dataclass(frozen=True, kw_only=True)
class Newest(Method):
    """Keep the last tokens that the budget allows."""

    name: ClassVar[str] = "newest"
    title: ClassVar[str] = "Newest"
    stage: ClassVar[Stage] = "compression"
    paper: ClassVar[str] = "none"
    complexity: ClassVar[Complexity] = Complexity(
        prefill_efficient=False, decode_efficient=True, kv_size="O(k)", prefill="O(n^2)", decode="O(km)"
    )
    modules: ClassVar[tuple[str, ...]] = ("scbench.methods.compression.newest",)

    tokens: int

    @classmethod
    def sizes(cls, budget, given):
        return {"tokens": budget.tokens}

    def compress(self, layer):
        return layer.keep(range(max(0, layer.tokens - self.tokens), layer.tokens))
'''
ASK = (
    "import sys; from scbench.methods import METHODS, make; print(make('newest', {'budget': '1/8'}, 1024).describe()); "
)
ASK += "sys.exit('torch' in sys.modules)"


def test_every_method_lies_in_the_room_of_its_stage():
    for name, method in METHODS.items():
        room = method.__module__.split(".")[-2]
        assert room in ("methods" if name == "full" else method.stage, OWN_METHODS.name)
        assert method.stage in ("baseline", *ROOMS)


def test_a_name_is_the_files_and_taken_once():
    with pytest.raises(UserError, match=r"snapkv: its method is named 'twin'; name it 'snapkv', as its file"):
        _by_name([type("Twin", (METHODS["snapkv"],), {"name": "twin", "__module__": METHODS["snapkv"].__module__})])
    with pytest.raises(UserError, match="'snapkv' is taken by"):
        _by_name([METHODS["snapkv"], METHODS["snapkv"]])


def test_a_new_file_is_a_new_method(tmp_path):
    for source in (ROOT / "scbench").rglob("*.py"):
        copy = tmp_path / source.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
    Path(tmp_path / "scbench/methods/compression/newest.py").write_text(NEWCOMER)
    run = subprocess.run([sys.executable, "-c", ASK], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "{'method': 'newest', 'budget': 0.125, 'tokens': 128}"
