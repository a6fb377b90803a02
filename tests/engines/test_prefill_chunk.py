"""How many tokens of a first prompt one pass encodes is a setting of the study."""

from itertools import islice

import pytest
import torch

from scbench.compute import Computer
from scbench.errors import UserError
from scbench.kv import KVStore
from scbench.places import ROOT
from scbench.plan import make_plan
from scbench.schema import read_yaml
from scbench.study import load_study
from scripts.build_sessions import sessions_of


def computer_of(chunk: int) -> tuple[Computer, list]:
    config = read_yaml(ROOT / "studies" / "smoke.yaml") | {"tasks": ["retr_kv"], "methods": {"full": {}, "snapkv": {}}}
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


def test_too_little_memory_of_a_gpu_is_said_with_what_helps(monkeypatch):
    computer, cells = computer_of(128)
    (session,) = islice(sessions_of(computer.study, "retr_kv", ()), 1)

    def full(*_arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(computer.engine, "forward", full)
    with pytest.raises(UserError, match=r"my.yaml: execution.prefill_chunk: 128 .*2.00 GiB.*set fewer .*or more gpus"):
        computer.compute(session, cells)
