"""What a training step needs, by several processes: its documents, its gradient, its look at held-out sessions.

The weights lie in shared memory. Helpers add up gradients of their share of the documents, the process that started
them sums these and alone steps and writes, so that there is one optimizer and one checkpoint, whatever the number of
processes. One more process builds the documents of the steps to come, on whichever core has nothing else to do.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing import current_process, get_context
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from scbench.errors import UserError
from scbench.minilm.evaluation import exact_match
from scbench.minilm.model import MiniLlama
from scbench.minilm.recipe import Recipe
from scbench.minilm.stream import Document, DocumentStream, collate

# At this length attention takes about as long as everything else that is done with a token.
ATTENTION_LENGTH = 1400
# Tokens that go through the model together on a CPU. With all of a batch, documents of unlike lengths are padded to the
# longest and what a layer leaves falls out of the cache: 1.1 to 1.4 times as slow on one core of an Intel Xeon at
# 2.5 GHz, the more the shorter documents are.
PASS_TOKENS = 1024

Accuracy = dict[str, dict[str, float]]


class Crew:
    """Works on `model` in `processes` processes, this one among them; the others end with it or at `close`.

    Raises UserError where there is no shared memory for them and, from any method, where one of them was ended.
    """

    def __init__(self, model: MiniLlama, stream: DocumentStream, processes: int) -> None:
        self._model = model
        self._stream = stream
        self._builder: Builder | None = None
        self._helpers: list[Helper] = []
        self._gradients: list[list[Tensor]] = []
        if processes == 1:
            return
        try:
            model.share_memory()
            for _ in range(1, processes):
                self._gradients.append([torch.zeros_like(one).share_memory_() for one in model.parameters()])
        except RuntimeError as error:
            raise UserError(
                f"--processes {processes}: no shared memory for the gradients of so many ({error}); give fewer, or a "
                "larger /dev/shm (in Docker: --shm-size), or allow more open files (ulimit -n)"
            ) from error
        self._builder = Builder(stream)
        for number, gradients in enumerate(self._gradients, start=2):
            self._helpers.append(Helper(f"training process {number}", work, model, gradients))

    def batch(self, stage: int, step: int) -> list[Document]:
        """The documents of one step of the recipe's stage number `stage`."""
        if self._builder is None:
            return self._stream.batch(self._stream.recipe.stages[stage], step)
        return self._builder.batch(stage, step)

    def gradients(self, documents: Sequence[Document]) -> float:
        """Leave the gradient of the mean loss over all answers of `documents` in the parameters; return that loss.

        The same documents and number of processes give the same bits; another number changes rounding alone.
        """
        asked = sum(len(answer) for document in documents for answer in document.answers)
        own, *others = shares(documents, 1 + len(self._helpers))
        helping = list(zip(others, self._helpers, self._gradients, strict=False))
        for share, helper, _ in helping:
            helper.send((add_gradients, (share, asked)))
        loss = add_gradients(self._model, own, asked)
        for _, helper, gradients in helping:
            loss += helper.receive()
            for parameter, gradient in zip(self._model.parameters(), gradients, strict=True):
                parameter.grad.add_(gradient)
        return loss

    def accuracy(self, sessions: Mapping[str, list[Document]], tokens_per_batch: int) -> Accuracy:
        """Exact match by task and turn of held-out `sessions` by task."""
        tasks = list(sessions)
        everyone = 1 + len(self._helpers)
        parts = [{task: sessions[task] for task in tasks[first::everyone]} for first in range(everyone)]
        for helper, part in zip(self._helpers, parts[1:], strict=True):
            helper.send((exact_match_by_task, (part, tokens_per_batch)))
        found = exact_match_by_task(self._model, parts[0], tokens_per_batch)
        for helper in self._helpers:
            found |= helper.receive()
        return {task: found[task] for task in tasks}

    def close(self) -> None:
        """End the processes."""
        for process in (self._builder, *self._helpers):
            if process is not None:
                process.close()


def shares(documents: Sequence[Document], most: int) -> list[list[Document]]:
    """`documents` in at most `most` parts that take about the same time, each of which has its longest first.

    From the longest on each goes to the part that has the least to do, which, padding apart, ends within 4/3 of the
    earliest possible (Graham, 1969).
    """
    parts: list[list[Document]] = [[] for _ in range(min(most, len(documents)))]
    seconds = [0.0] * len(parts)
    for document in sorted(documents, key=lambda one: -len(one.ids)):
        least = seconds.index(min(seconds))
        parts[least].append(document)
        seconds[least] += len(document.ids) * (1 + len(document.ids) / ATTENTION_LENGTH)
    return parts


def passes(documents: Sequence[Document]) -> Iterator[list[Document]]:
    """`documents`, longest first, in runs of one at least and of up to `PASS_TOKENS` tokens, padding included."""
    start = 0
    while start < len(documents):
        stop = start + max(1, PASS_TOKENS // len(documents[start].ids))
        yield [*documents[start:stop]]
        start = stop


def add_gradients(model: MiniLlama, documents: Sequence[Document], asked: int) -> float:
    """Leave in the parameters the gradient of what `documents` add to a mean loss over `asked` tokens; return that."""
    model.zero_grad(set_to_none=False)
    device = model.inv_freq.device
    total = 0.0
    for some in passes(documents) if device.type == "cpu" else [documents]:
        logits, labels = model(*collate(some, device))
        loss = F.cross_entropy(logits, labels, reduction="sum") / asked
        loss.backward()
        total += loss.item()
    return total


def exact_match_by_task(model: MiniLlama, sessions: Mapping[str, list[Document]], tokens_per_batch: int) -> Accuracy:
    """Exact match by task and turn."""
    device = model.inv_freq.device
    return {task: exact_match(model, documents, tokens_per_batch, device) for task, documents in sessions.items()}


def work(connection: Connection, model: MiniLlama, gradients: Sequence[Tensor]) -> None:
    """The life of a helper: call what it is sent with its model, whose gradients are summed in shared memory."""
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = gradient
    while True:
        do, arguments = connection.recv()
        connection.send(do(model, *arguments))


def build(connection: Connection, recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> None:
    """The life of the builder: step after step from the one that it was asked for, as far ahead as the pipe holds."""
    os.nice(5)  # what is built ahead gives way to what is waited for
    stream = DocumentStream(recipe, tokenizer)
    stage, step = connection.recv()
    while True:
        connection.send((stage, step, stream.batch(recipe.stages[stage], step)))
        step += 1
        if connection.poll():
            stage, step = connection.recv()


class Builder:
    """Builds the documents of one step after another in a process of its own."""

    def __init__(self, stream: DocumentStream) -> None:
        self._process = Helper("the builder of documents", build, stream.recipe, stream.tokenizer)
        self._next: tuple[int, int] | None = None

    def batch(self, stage: int, step: int) -> list[Document]:
        """The documents of one step of the recipe's stage number `stage`; in their order it need not build anew."""
        if self._next != (stage, step):
            self._process.send((stage, step))
        self._next = (stage, step + 1)
        while True:
            *built, documents = self._process.receive()
            if built == [stage, step]:  # others were built for a stage that ended sooner
                return documents

    def close(self) -> None:
        self._process.close()


class Helper:
    """A process that does `serve(connection, *arguments)` until the other end of the connection is closed."""

    def __init__(self, name: str, serve: Callable[..., None], *arguments: Any) -> None:
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        arguments = (serve, theirs, torch.get_num_threads(), *arguments)
        self._process = context.Process(target=_live, args=arguments, name=name, daemon=True)
        self._process.start()
        theirs.close()

    def send(self, message: Any) -> None:
        with suppress(ConnectionError):  # what became of the process is said where its answer is missing
            self._connection.send(message)

    def receive(self) -> Any:
        """Its next answer; raises UserError where the process failed with one, or where it has ended."""
        try:
            answer = self._connection.recv()
        except (EOFError, OSError):  # OSError where it was ended amid an answer
            self._process.join()
            code = self._process.exitcode
            how = (
                f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}, see above"
            )
            raise UserError(
                f"{self._process.name} (process {self._process.pid}) {how}, and the training with it; "
                "run the same command with --resume to go on from the last checkpoint"
            ) from None
        if isinstance(answer, UserError):
            raise answer
        return answer

    def close(self) -> None:
        self._process.terminate()
        self._process.join()
        self._connection.close()


def _live(serve: Callable[..., None], connection: Connection, threads: int, *arguments: Any) -> None:
    # A terminal's Ctrl-C reaches every process; the one that started us decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    try:
        serve(connection, *arguments)
    except UserError as error:
        connection.send(error)
    except (EOFError, ConnectionError):
        name = current_process().name
        sys.exit(f"error: {name}: what started it was ended, so it ends too; run the same command with --resume")
