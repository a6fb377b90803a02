"""Two processes that share a model say what one says, and hold and read together what one does."""

import json
import os
import re
import signal
from dataclasses import replace

import pytest
import torch

from scbench import engines
from scbench.compute import Computer
from scbench.engines.parallel import ParallelComputer, start_computer, together
from scbench.errors import UserError
from scbench.models import read_models
from scbench.places import ROOT
from scbench.plan import make_plan
from scbench.schema import read_yaml
from scbench.study import load_study
from scbench.tasks import TASKS
from scbench.tasks.base import Scale
from tests.conformance.models import save_model


def study_of(**methods):
    config = read_yaml(ROOT / "studies" / "smoke.yaml")
    return load_study(config | {"methods": methods, "tasks": ["retr_kv"], "floor": False}, "my.yaml")


SESSION = TASKS["retr_kv"].build(Scale("mini", tokens=256, turns=2, order="published"), 0, 0)


def test_two_processes_say_and_hold_what_one_does_and_end_together():
    # Dropping, choosing keys, and CacheBlend, which chooses tokens by a sum over all heads.
    study = study_of(full={}, snapkv={}, oracle_topk={}, cacheblend={})
    plan = make_plan(study)
    both = ParallelComputer(study, study.models[0], 2)
    computed, counters = both.compute(SESSION, plan.cells), both.counters
    one = Computer(study, study.models[0])
    expected = one.compute(SESSION, plan.cells)
    assert [(cell.id, turns) for cell, turns, _ in computed] == [(cell.id, turns) for cell, turns, _ in expected]
    # One process may decode several cells in one pass.
    assert counters | {"decode_steps": 0} == one.counters | {"decode_steps": 0}
    # A rank that is gone is said at once, and the other one does not wait for it.
    os.kill(both._processes[1].pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match=r"minilm rank 1 ended with exit code -9"):
        both.compute(SESSION, plan.cells)
    assert not any(process.is_alive() for process in both._processes)


def test_too_little_memory_of_one_gpu_starts_all_ranks_anew_with_smaller_passes(monkeypatch):
    starts = []

    def start(computer):
        starts.append(computer._study.execution.prefill_chunk)
        computer._connections, computer._counted_before = [], computer.counters

    def full(_computer):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(ParallelComputer, "_start", start)
    study = study_of(full={})
    both = ParallelComputer(study, study.models[0], 2)
    both.counters = both._counted_before = {"prefill_tokens": 5}
    said = iter([full, full, lambda _: [([], {"prefill_tokens": 7})] * 2])
    monkeypatch.setattr(ParallelComputer, "_answers", lambda computer: next(said)(computer))
    assert both.compute(SESSION, []) == []
    assert starts == [4096, 2048, 1024]
    assert both.counters == {"prefill_tokens": 12}
    monkeypatch.setattr(ParallelComputer, "_answers", full)
    with pytest.raises(UserError, match=r"prefill_chunk: 512 tokens in one pass are too many"):
        both.compute(SESSION, [])


def turn(**changes):
    same = {"prediction": "w1", "finish": "eos", "new_tokens": 1, "tokens_prefilled": 9, "kv_bytes_dense": 64}
    return same | {"kv_bytes": 32, "bytes_read": 10, "keys_attended": 7} | changes


def test_bytes_of_ranks_are_summed_and_keys_are_a_mean_over_their_heads():
    cell = make_plan(study_of(full={})).cells[0]
    ranks = [
        [(cell, [turn(kv_bytes=held, bytes_read=read, keys_attended=keys)], [])]
        for held, read, keys in ((32, 10, 7), (40, 12, 10))
    ]
    [(_, [combined], _)] = together(ranks, sum_bytes=True)
    assert combined == turn(kv_bytes=72, bytes_read=22, keys_attended=8, kv_bytes_dense=128)
    [(_, [first], _)] = together([ranks[0], ranks[0]], sum_bytes=False)
    assert first == turn()


@pytest.mark.parametrize("changes", [{"prediction": "w2"}, {"tokens_prefilled": 8}])
def test_ranks_that_disagree_are_an_error(changes):
    cell = make_plan(study_of(full={})).cells[0]
    with pytest.raises(RuntimeError, match=f"turn 1: ranks disagree about {next(iter(changes))}"):
        together([[(cell, [turn()], [])], [(cell, [turn(**changes)], [])]], sum_bytes=True)


def test_fewer_gpus_than_the_model_has_parts_are_refused(monkeypatch):
    monkeypatch.setattr("scbench.engines.parallel.device_name", lambda wanted: "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=r"models\.qwen2_5_72b\.gpus: 4, but this machine shows 2; ask for more"):
        start_computer(study_of(full={}), read_models()["qwen2_5_72b"])


def test_a_model_that_does_not_fit_is_told_of_in_a_sentence(monkeypatch):
    def load(study, model):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\n 2.00 GiB")

    monkeypatch.setattr("scbench.engines.parallel.computer_of", load)
    with pytest.raises(UserError, match=r"models\.minilm\.gpus: 0, on which .*allocate 2\.00 GiB\); give it more"):
        start_computer(study_of(full={}), read_models()["minilm"])


def test_a_model_on_a_cpu_is_one_process(monkeypatch):
    model = replace(read_models()["minilm"], gpus=4)
    assert isinstance(start_computer(study_of(full={}), model), Computer)


def test_heads_that_cannot_be_shared_out_are_refused_before_weights_are_read(tmp_path):
    spec = save_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=r"models\.llama\.gpus: 3, but the 2 KV heads"):
        engines.load(spec, threads=1, device="cpu", dtype="float32", ranks=3)


def test_patterns_of_all_heads_are_refused(tmp_path):
    model = read_models()["minilm"]
    head = {"kind": "vertical_slash", "vertical": 1, "slash": 1}
    path = tmp_path / "patterns.json"
    path.write_text(json.dumps({"model": "minilm", "files": dict(model.files), "patterns": [[head] * 4] * 4}))
    given = {"patterns": str(path)}
    for label, settings in {"minference": given, "minference+snapkv": {"minference": given}}.items():
        with pytest.raises(UserError, match=rf"methods\.{re.escape(label)}\.patterns: .*2 processes.*leave it out"):
            ParallelComputer(study_of(**{label: settings}), model, 2)
