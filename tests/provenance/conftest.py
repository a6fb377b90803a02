"""Two projects to audit: one of a few small files, made in milliseconds, and one that the workflow really made."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scbench.canonical import canonical_json
from scbench.codedigest import digest
from scbench.provenance import lineage, record
from scbench.provenance.audit import Report, audit
from scbench.provenance.ledger import fold
from scbench.provenance.observation import lock_digest
from scbench.provenance.settings import record_study
from scbench.provenance.sidecar import merkle, seal, sidecar_path
from tests.e2e.test_workflow import STUDY, Clone

METHODS, TASKS, MODES = ("full", "snapkv"), ("retr_kv", "en_qa"), ("multi_turn", "multi_request")
TABLE, FIGURE = "figures/table4.tex", "figures/figure3.png"
OFFERED = (TABLE, FIGURE)
CELL = "results/tiny/cells/minilm/snapkv/retr_kv/multi_turn/0-2.jsonl"
SESSIONS = "results/tiny/sessions/retr_kv.parquet"
SCORES = "results/tiny/scores/minilm/snapkv.parquet"
ARTIFACT = "results/tiny/artifacts/table4.tex"


class Project:
    """A project of the shape that the workflow leaves, in the working directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = {"seed": 0, "tokens": 64}
        self.methods = {name: {"method": name} for name in METHODS}
        self.code = digest(["scbench.canonical"])
        self.fields = {"machine": {"device": "cpu", "threads": 1}, "libraries": {"fastlib": "1.0"}, "prompts": "clean"}
        self.lock = lock_digest()
        self.padding = ""

    def study(self) -> None:
        study = {"study": "tiny", "data": self.data, "methods": self.methods, "prompts": "clean", "scoring": "strict"}
        self.write("raw.txt", "from outside")
        self.write("config.yaml", f"seed: {self.data['seed']}  # a remark\n")
        self.write("results/tiny/study.json", json.dumps(study | {"execution": {"dtype": "float32"}}))
        record_study("results/tiny/study.json", ["config.yaml"])

    def write(self, path: str, text: str | bytes) -> str:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def sessions(self, task: str, text: str = "a context") -> None:
        path = self.write(f"results/tiny/sessions/{task}.parquet", f"{task}: {text}")
        record([path], ["raw.txt"], {"task": task, "data": self.data, "code": self.code})

    def cell(self, method: str, task: str, mode: str, model: dict[str, str] | None = None, **fields: Any) -> None:
        path = f"results/tiny/cells/minilm/{method}/{task}/{mode}/0-2.jsonl"
        lines = [
            canonical_json({"session": f"s{n}", "turn": 1, "subtask": task, "prediction": f"p{n}", "golds": [f"g{n}"]})
            for n in range(2)
        ]
        self.write(path, "\n".join([*lines, method, mode, self.padding]) + "\n")
        files = {"config.json": hashlib.sha256(b"weights").hexdigest()} if model is None else model
        self.write("results/models/minilm/config.json", b"weights")
        self.write("results/models/minilm/training.json", json.dumps({"files": files}))
        code = {"core": self.code, "method": self.code}
        fields = (
            {"mode": mode, "code": code, "model": files, "dtype": "float32", "method": {"method": method}}
            | self.fields
            | fields
        )
        identity = {
            "study": "tiny",
            "model": "minilm",
            "label": method,
            "task": task,
            "first": 0,
            "stop": 2,
            "fields": fields,
        }
        seen = {"model": {"path": "results/models/minilm", "revision": None}, "lock": self.lock}
        seen["computed"] = {"turns": 2, "of": 2, "prompt_seconds": 1.0, "decode_seconds": 2.0, "device": ["cpu"]}
        record([path], [f"results/tiny/sessions/{task}.parquet"], identity, seen)

    def scores(self, method: str) -> None:
        cells = sorted(Path(f"results/tiny/cells/minilm/{method}").rglob("*.jsonl"))
        path = self.write(f"results/tiny/scores/minilm/{method}.parquet", f"scores of {method}")
        record([path], cells, {"command": "score", "code": self.code})

    def artifact(self, name: str = "table4.tex") -> None:
        inputs = sorted(Path("results/tiny/scores/minilm").glob("*.parquet"))
        lines = [{"model": "minilm", "label": name} for name in self.methods]
        study = {"study": "tiny", "data": self.data, "methods": self.methods, "prompts": "clean", "scoring": "strict"}
        identity = {"artifact": name.partition(".")[0], "study": study, "code": {"modules": self.code}}
        identity["board"] = {"lines": lines, "modes": MODES, "sessions": dict.fromkeys(TASKS, 2)}
        path = f"results/tiny/artifacts/{name}"
        text = f"% Lineage: {lineage(identity, inputs)}\n12.5 \\\\\n"
        self.write(path, text)
        record([path], inputs, identity)
        of = json.loads(sidecar_path(path).read_text())["lineage"]
        record([self.write(f"figures/{name}", text)], [path], {"copy_of": path, "lineage": of})

    def build(self) -> None:
        """Everything, and the ledger."""
        self.study()
        for task in TASKS:
            self.sessions(task)
        for method in self.methods:
            for task in TASKS:
                for mode in MODES:
                    self.cell(method, task, mode)
        self.finish()

    def finish(self) -> None:
        """What comes after the cells."""
        for method in self.methods:
            self.scores(method)
        self.artifact()
        fold(self.root)

    def audit(self, path: str = TABLE, **options: Any) -> Report:
        return audit([self.root / path], **options)


def reseal(path: str | Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Edit a sidecar the clever way: its own digests fit afterwards."""
    sidecar = sidecar_path(path)
    found = json.loads(sidecar.read_text())
    change(found)
    found["lineage"] = merkle(found["identity"], found["inputs"])
    found["seal"] = seal(found)
    sidecar.write_text(canonical_json(found) + "\n")


def findings(report: Report) -> list[tuple[str, str, str]]:
    """(verdict, path, reason) of everything that was found."""
    return [(verdict.title, node.path, reason) for node in report.nodes for verdict, reason in node.findings]


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project in which everything is as it should be; to be copied, not to be changed."""
    root = tmp_path_factory.mktemp("pristine") / "project"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scbench.provenance.observation.commit", lambda: None)
        patch.chdir(root)
        Project(root).build()
    return root


@pytest.fixture
def project(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of it, which is the working directory."""
    root = Path(shutil.copytree(pristine, tmp_path / "project"))
    monkeypatch.setattr("scbench.provenance.observation.commit", lambda: None)
    monkeypatch.chdir(root)
    return Project(root)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy of the repository in which the workflow made the table of a study with two rows and the floor."""
    clone = Clone(tmp_path_factory.mktemp("provenance") / "clone")
    study = STUDY | {
        "tasks": ["retr_kv"],
        "methods": {"full": {}, "snapkv": {"budget": "1/8"}},
        "check_baseline": False,
    }
    clone.write_study("test.yaml", study)
    clone.build(*OFFERED)
    return clone


@pytest.fixture
def copied(built: Clone, tmp_path: Path) -> Path:
    """A copy of it in another place, to be changed."""
    return Path(shutil.copytree(built.path, tmp_path / "elsewhere"))


def bare_audit(where: Path, *arguments: str) -> tuple[int, str]:
    """(status, output) of the command in `where`, by a Python without any installed package."""
    command = [sys.executable, "-S", "-m", "scripts.audit", *arguments]
    process = subprocess.run(command, cwd=where, env={"PATH": ""}, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in process.stderr, process.stderr
    return process.returncode, process.stdout + process.stderr
