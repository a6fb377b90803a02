"""Several processes train as one does; when one of them is ended all end, and a resumed run forgets nothing."""

import dataclasses
import os
import signal
import struct
import subprocess
import sys
import time
from itertools import pairwise, product
from multiprocessing import Pipe, active_children
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
import yaml
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from scbench.errors import UserError
from scbench.minilm import crew as crew_module
from scbench.minilm.crew import (
    ATTENTION_LENGTH,
    PASS_TOKENS,
    Crew,
    Helper,
    add_gradients,
    exact_match_by_task,
    passes,
    shares,
)
from scbench.minilm.model import MiniLlama
from scbench.minilm.stream import Document, DocumentStream, collate
from scbench.minilm.trainer import Trainer
from scbench.places import ROOT


def seconds(part: list[Document]) -> float:
    """What `shares` balances."""
    return sum(len(document.ids) * (1 + len(document.ids) / ATTENTION_LENGTH) for document in part)


@given(st.lists(st.integers(1, 1500), min_size=1, max_size=7), st.integers(1, 3))
def test_shares_end_within_four_thirds_of_the_earliest_possible(lengths, most):
    documents = [Document(str(number), (0,) * length, ()) for number, length in enumerate(lengths)]
    parts = shares(documents, most)
    assert sorted((one for part in parts for one in part), key=documents.index) == documents
    assert all(part for part in parts) and len(parts) <= most
    assert all(len(one.ids) >= len(other.ids) for part in parts for one, other in pairwise(part))
    best = min(
        max(seconds([one for one, own in zip(documents, owners, strict=True) if own == part]) for part in range(most))
        for owners in product(range(most), repeat=len(documents))
    )
    assert max(map(seconds, parts)) <= 4 / 3 * best + 1e-6


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=40))
def test_passes_hold_every_document_once_and_no_more_tokens_than_fit(lengths):
    documents = [Document("", (0,) * length, ()) for length in sorted(lengths, reverse=True)]
    runs = [*passes(documents)]
    assert [one for run in runs for one in run] == documents
    for run, following in pairwise([*runs, []]):
        longest = len(run[0].ids)
        assert len(run) == 1 or len(run) * longest <= PASS_TOKENS
        assert not following or (len(run) + 1) * longest > PASS_TOKENS  # one more would not have fitted


def test_several_passes_leave_the_gradient_of_one(size, tokenizer, monkeypatch):
    generator = torch.Generator().manual_seed(6)
    documents = []
    for length in (90, 70, 41, 40, 12):
        ids = torch.randint(0, len(tokenizer), (length,), generator=generator).tolist()
        documents.append(Document("", tuple(ids), (range(length // 2, length),)))
    model = MiniLlama(size, len(tokenizer)).double()
    asked = sum(len(answer) for document in documents for answer in document.answers)
    found = {}
    for tokens in (10**6, 100, 1):
        monkeypatch.setattr(crew_module, "PASS_TOKENS", tokens)
        loss = add_gradients(model, documents, asked)
        found[len([*passes(documents)])] = loss, [parameter.grad.clone() for parameter in model.parameters()]
    (loss, gradients), *others = found.values()
    assert list(found) == [1, 4, 5]
    for other, own in others:
        assert other == pytest.approx(loss, rel=1e-12)
        assert all(torch.allclose(one, two, rtol=1e-9, atol=1e-14) for one, two in zip(gradients, own, strict=True))


def children() -> dict[str, int]:
    """Those of a crew: processes that other tests use are not."""
    names = {process.name: process.pid for process in active_children()}
    return {name: pid for name, pid in names.items() if name.startswith(("training process", "the builder"))}


def test_two_processes_build_compute_and_look_as_one_does(recipe, tokenizer, size):
    stream = DocumentStream(recipe, tokenizer)
    model = MiniLlama(size, len(tokenizer))
    crew = Crew(model, stream, 2)
    try:
        for stage, step in ((0, 0), (0, 1), (0, 5), (1, 0), (1, 1), (0, 2)):
            documents = crew.batch(stage, step)
            assert documents == stream.batch(recipe.stages[stage], step)
            loss = crew.gradients(documents)
            gradients = [parameter.grad.clone() for parameter in model.parameters()]
            # The reference: one pass over the whole batch.
            model.zero_grad()
            expected = F.cross_entropy(*model(*collate(documents, torch.device("cpu"))))
            expected.backward()
            assert loss == pytest.approx(expected.item(), rel=1e-5)
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                assert (gradient - parameter.grad).norm() <= 1e-5 * parameter.grad.norm()
            with torch.no_grad():  # helpers see a step that they did not make
                for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                    parameter.sub_(gradient, alpha=0.1)
        held_out = {"first": stream.held_out(0, "retr_kv"), "second": stream.held_out(1, "retr_kv")}
        assert crew.accuracy(held_out, 512) == exact_match_by_task(model, held_out, 512)
        # A step of one document leaves nothing to a helper.
        assert crew.gradients(documents[:1]) > 0
        os.kill(children()["the builder of documents"], signal.SIGKILL)
        with pytest.raises(UserError, match=r"builder of documents .*SIGKILL.*--resume"):
            for step in range(1000):  # some were built ahead
                crew.batch(0, step)
    finally:
        crew.close()
    assert not children()


def test_without_room_in_shared_memory_no_process_is_started_and_the_remedy_is_said(
    recipe, tokenizer, size, monkeypatch
):
    def full(tensor):
        raise RuntimeError("No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    with pytest.raises(UserError, match=r"--processes 5: no shared memory.*No space left.*--shm-size"):
        Crew(MiniLlama(size, len(tokenizer)), DocumentStream(recipe, tokenizer), 5)
    assert not children()


def test_a_process_that_was_ended_amid_an_answer_is_named(monkeypatch):
    gone = SimpleNamespace(name="training process 2", pid=7, exitcode=-signal.SIGKILL, start=int, join=int)
    ours, theirs = Pipe()
    os.write(theirs.fileno(), struct.pack("!i", 100) + b"a part of as many bytes")
    context = SimpleNamespace(Pipe=lambda: (ours, theirs), Process=lambda **options: gone)
    monkeypatch.setattr(crew_module, "get_context", lambda method: context)
    helper = Helper("training process 2", print)
    with pytest.raises(UserError, match=r"training process 2 \(process 7\) was ended by SIGKILL.*--resume"):
        helper.receive()


def test_a_run_whose_helper_was_killed_resumes_to_the_weights_of_an_unbroken_one(recipe, tokenizer, tmp_path):
    often = tuple(dataclasses.replace(stage, evaluate_every=2) for stage in recipe.stages)
    recipe = dataclasses.replace(recipe, stages=often)

    def make(folder):
        (tmp_path / folder).mkdir(exist_ok=True)
        return Trainer(recipe, tokenizer, tmp_path / folder, say=lambda line: None, processes=2)

    whole, broken = make("whole"), make("broken")
    whole.run(steps_limit=6)
    assert whole.report()["processes"] == [2]

    def step_and_kill(*arguments, step=broken._step):
        step(*arguments)
        if broken.progress["steps"] == 3:
            os.kill(children()["training process 2"], signal.SIGKILL)

    broken._step = step_and_kill
    with pytest.raises(UserError, match=r"training process 2 .*SIGKILL.*--resume"):
        broken.run(steps_limit=6)
    assert broken.progress["steps"] == 3 and not children()
    resumed = make("broken")
    resumed.resume()
    assert resumed.progress["steps"] == 2
    resumed.run(steps_limit=6)
    stored = [load_file(trainer.checkpoint) for trainer in (whole, resumed)]
    assert stored[0].keys() == stored[1].keys()
    assert all(torch.equal(stored[0][name], stored[1][name]) for name in stored[0])
    alone = Trainer(recipe, tokenizer, tmp_path / "broken")
    alone.resume()
    assert alone.report()["processes"] == [2, 1]


def test_helpers_end_with_the_process_that_started_them(recipe, tokenizer, tmp_path):
    stage = dataclasses.replace(recipe.stages[0], steps=10**6, evaluate_every=1)
    endless = dataclasses.asdict(dataclasses.replace(recipe, stages=(stage,)))
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(endless))
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    command = [sys.executable, "-m", "scripts.train_minilm", "--recipe", tmp_path / "recipe.yaml"]
    command += ["--tokenizer", tmp_path / "tokenizer", "--out", tmp_path / "model", "--processes", "2"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as training:
        progress = tmp_path / "model" / "training" / "progress.jsonl"
        waited = time.monotonic() + 300
        while not progress.exists() and training.poll() is None and time.monotonic() < waited:
            time.sleep(0.1)
        training.kill()
        said = training.communicate(timeout=120)[1]  # the pipe is closed when the last of them has ended
    assert progress.exists()
    assert "training process 2: what started it was ended" in said and "--resume" in said
