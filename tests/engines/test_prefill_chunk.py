"""How many tokens of a first prompt one pass encodes is a setting of the study."""

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import pytest
import torch

from scbench import compute, places
from scbench.compute import Computer
from scbench.errors import UserError
from scbench.kv import KVStore
from scbench.places import ROOT
from scbench.plan import Cell, make_plan
from scbench.progress import Progress
from scbench.schema import read_yaml
from scbench.sessions import Session, read_sessions, write_sessions
from scbench.shard import ShardRun
from scbench.study import load_study
from scripts.build_sessions import sessions_of


def computer_of(chunk: int) -> tuple[Computer, list]:
    config = read_yaml(ROOT / "studies" / "smoke.yaml") | {"tasks": ["retr_kv"], "methods": {"full": {}, "snapkv": {}}}
    config |= {"floor": False}
    study = load_study(config | {"execution": config["execution"] | {"prefill_chunk": chunk}}, "my.yaml")
    return Computer(study, study.models[0]), make_plan(study).cells


def test_no_pass_over_a_first_prompt_is_longer_and_the_answers_are_the_same(monkeypatch):
    announced, prefill = [], KVStore.prefill
    monkeypatch.setattr(KVStore, "prefill", lambda store, count: announced.append(count) or prefill(store, count))
    answers = []
    for chunk in (4096, 64):
        computer, cells = computer_of(chunk)
        (session,) = islice(sessions_of(computer.study, "retr_kv", ()), 1)
        announced.clear()
        answers.append([turn["prediction"] for _, turns, _ in computer.compute(session, cells) for turn in turns])
        assert (max(announced) <= 64) is (chunk == 64)
    assert answers[0] == answers[1]


class FullMemory:
    """An engine's `forward` on a GPU whose memory takes no more than `most` tokens of a first prompt at once."""

    def __init__(self, computer: Computer, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
        self.most = most
        self.refused: list[int] = []
        self._forward = computer.engine.forward
        monkeypatch.setattr(computer.engine, "forward", self)

    def __call__(self, store: KVStore, ids: list, *arguments: object) -> torch.Tensor:
        if len(ids) > self.most and not store.sealed:
            self.refused.append(len(ids))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return self._forward(store, ids, *arguments)


class Job:
    """The one job of a study, run from an empty store; `most` tokens of a session but the first fit in a pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
        computer, _ = computer_of(128)
        self.plan = make_plan(computer.study)
        path = places.sessions_file("smoke", "retr_kv")
        write_sessions(path, sessions_of(computer.study, "retr_kv", ()))
        self.first, *self.others = [session.sid for session in read_sessions(path)]
        self.memory, self._compute = FullMemory(computer, monkeypatch, 4096), computer.compute
        self._most = most
        monkeypatch.setattr(computer, "compute", self._compute_in_memory)
        (shard,) = self.plan.shards
        with Progress(places.progress_file("smoke", shard.name), shard.name) as progress:
            self.summary = ShardRun(self.plan.study, shard, lambda: computer, progress).run()

    def _compute_in_memory(self, session: Session, cells: Sequence[Cell]) -> list:
        self.memory.most = 4096 if session.sid == self.first else self._most
        return self._compute(session, cells)

    def answers(self) -> dict[str, list[str]]:
        """Path -> the predictions of every part."""
        parts = sorted(Path("results/smoke/cells").rglob("*.jsonl"))
        return {str(part): [json.loads(line)["prediction"] for line in part.read_text().splitlines()] for part in parts}

    def passes(self) -> list[tuple[str, int]]:
        """(session, tokens a pass had at most) of each turn that was observed, in order."""
        lines = Path("results/smoke/observations/minilm-000.jsonl").read_text().splitlines()
        return [(seen["session"], seen["prefill_chunk"]) for seen in map(json.loads, lines)]

    def sidecar(self) -> dict:
        return json.loads(min(Path("results/smoke/cells").rglob("*.prov.json")).read_text())


def test_a_session_too_large_for_the_gpu_is_computed_again_in_smaller_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(compute, "FEWEST_PASS_TOKENS", 32)
    jobs = []
    for most in (4096, 50):
        (tmp_path / str(most)).mkdir()
        monkeypatch.chdir(tmp_path / str(most))
        job = Job(monkeypatch, most)
        jobs.append((job, job.answers(), job.passes(), job.sidecar()))
        # Each session is in the store once, and nothing of the attempts that failed.
        for cell in places.STORE.glob("??/*.jsonl"):
            assert len(cell.read_text().splitlines()) == 1 + len(job.others)
    (large, answers, passes, sidecar), (small, again, smaller, observed) = jobs
    assert (large.memory.refused, small.memory.refused) == ([], [128, 64])
    assert answers == again
    # The engine counted what the sessions took, not what failed.
    assert large.summary == small.summary
    assert [sid for sid, _ in passes] == [sid for sid, _ in smaller]
    assert {tokens for _, tokens in passes} == {128}
    assert set(smaller) == {(small.first, 128), *((sid, 32) for sid in small.others)}
    assert (sidecar["lineage"], sidecar["identity"]) == (observed["lineage"], observed["identity"])
    assert observed["observation"]["computed"]["prefill_chunk"] == [32, 128]
    said = [line for line in capsys.readouterr().err.splitlines() if "computed again" in line]
    assert [line.partition("computed again ")[2] for line in said] == [
        f"in passes of at most {half} tokens, not {2 * half}, as is the rest of this job" for half in (64, 32)
    ]


def test_too_little_memory_for_the_smallest_passes_is_said_with_what_helps(monkeypatch: pytest.MonkeyPatch):
    computer, cells = computer_of(4096)
    (session,) = islice(sessions_of(computer.study, "retr_kv", ()), 1)
    memory = FullMemory(computer, monkeypatch, 0)
    with pytest.raises(UserError, match=r"my.yaml: execution.prefill_chunk: 512 .*2.00 GiB.*set fewer .*or more gpus"):
        computer.compute(session, cells)
    assert len(memory.refused) == 4  # 4,096, 2,048, 1,024 and 512 tokens a pass


def test_where_other_processes_share_the_model_memory_is_their_matter_too(monkeypatch: pytest.MonkeyPatch):
    computer, cells = computer_of(4096)
    (session,) = islice(sessions_of(computer.study, "retr_kv", ()), 1)
    monkeypatch.setattr(computer, "_ranks", 2)
    memory = FullMemory(computer, monkeypatch, 0)
    with pytest.raises(torch.OutOfMemoryError):
        computer.compute(session, cells)
    assert len(memory.refused) == 1
