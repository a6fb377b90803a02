"""One model on several GPUs: a process a GPU, each with its part of the weights and a KV store of its own heads.

The weights are cut by transformers' own tensor parallelism, so the attention function of each process sees the KV heads
of its rank, and methods act on these as they do on all. What is not a matter of heads (hidden states, logits) is the
same in every process, and so are the tokens; the ranks compute the same sessions in step. The process that started them
sends out the work, sums up what each rank's store held and read, and alone writes.

Tested with processes on a CPU (gloo); no run on several GPUs (NCCL) was made yet.
"""

from __future__ import annotations

import faulthandler
import os
import shutil
import signal
import tempfile
import traceback
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from scbench.cellkey import device_name
from scbench.compute import Computer, halved
from scbench.errors import UserError
from scbench.journal import Turns
from scbench.methods import make
from scbench.models import Model
from scbench.plan import Cell
from scbench.quirked import computer_of
from scbench.records import Observation
from scbench.sessions import Session
from scbench.study import Study

Computed = list[tuple[Cell, Turns, list[Observation]]]

OF_RANKS = ("kv_bytes", "kv_bytes_dense", "bytes_read")
"""What of a turn each rank has its own share of; `keys_attended` is a mean over heads, all else is the same on all."""

PATIENCE = timedelta(hours=2)
"""How long a rank waits for the others: large checkpoints are read at very different speeds."""


def start_computer(study: Study, model: Model) -> Computer | ParallelComputer:
    """What computes the sessions of `model`: this process, or one for each GPU that the lock gives the model.

    Raises UserError where this machine shows fewer GPUs, or where the model does not fit on them.
    """
    try:
        return _computer(study, model)
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"models.{model.name}.gpus: {model.gpus}, on which the model does not fit "
            f"({' '.join(str(error).split())[:120]}); give it more in the lock, or GPUs with more memory"
        ) from error


def _computer(study: Study, model: Model) -> Computer | ParallelComputer:
    cuda = device_name(study.execution.device) == "cuda"
    ranks = model.gpus if cuda and study.engine_of(model) != "vllm" else 1  # vLLM starts processes of its own
    if ranks <= 1:
        return computer_of(study, model)
    if (found := torch.cuda.device_count()) < ranks:
        raise UserError(
            f"models.{model.name}.gpus: {ranks}, but this machine shows {found}; ask for more, or lower it in the lock "
            "where the model fits on fewer"
        )
    return ParallelComputer(study, model, ranks)


class ParallelComputer:
    """Computes sessions as `Computer` does, in `ranks` processes, which end with this one or at `close`."""

    def __init__(self, study: Study, model: Model, ranks: int) -> None:
        """Load the model. Raises UserError as `Computer` does, and for what no rank can do by itself."""
        for row in study.rows(model):
            if _patterns(make(row.method, row.settings, study.context_tokens).describe()):
                raise UserError(
                    f"methods.{row.label}.patterns: a file has the patterns of all heads, and {model.name} runs in "
                    f"{ranks} processes with some each; leave it out"
                )
        model.verify()
        self._study = study
        self._model = model
        self._ranks = ranks
        self.counters: dict[str, int] = {}
        self._start()

    def _start(self) -> None:
        """Start the ranks and have them load the model; what ranks before them counted goes on counting."""
        model, study = self._model, self._study
        meeting = Path(tempfile.mkdtemp(prefix="scbench-ranks-"))
        self._processes: list[BaseProcess] = []
        self._connections: list[Connection] = []
        self.close = weakref.finalize(self, _end, self._processes, meeting)
        context = get_context("spawn")
        for rank in range(self._ranks):
            ours, theirs = context.Pipe()
            arguments = (rank, self._ranks, str(meeting / "meeting"), study, model, theirs)
            process = context.Process(target=_serve, args=arguments, name=f"{model.name} rank {rank}", daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
            self._connections.append(ours)
        self._counted_before = self.counters
        self._count(self._answers()[0])

    def compute(self, session: Session, cells: Sequence[Cell]) -> Computed:
        """The turns of `session` in each of `cells`; raises RuntimeError where ranks disagree about an answer.

        Where the memory of one GPU does not suffice, all ranks are started anew with smaller passes, as the others wait
        within one (`Computer`). Raises UserError where that is no help.
        """
        while True:
            for connection in self._connections:
                with suppress(ConnectionError):  # what became of that rank is said with the answers
                    connection.send((session, cells))
            try:
                answers = self._answers()
                break
            except torch.OutOfMemoryError as error:
                execution = self._study.execution
                smaller = halved(self._study, self._model, session, execution.prefill_chunk, error)
                self._study = replace(self._study, execution=replace(execution, prefill_chunk=smaller))
            self._start()
        self._count(answers[0][1])
        return together([computed for computed, _ in answers], sum_bytes=self._model.engine == "transformers")

    def _count(self, counters: Mapping[str, int]) -> None:
        """Take what a rank says that it counted since it was started."""
        before = self._counted_before
        self.counters = {name: before.get(name, 0) + count for name, count in counters.items()}

    def _answers(self) -> list[Any]:
        """What each rank sends next. Where one fails or ends, all are ended, and its reason is raised."""
        answers: dict[int, Any] = {}
        while len(answers) < len(self._processes):
            missing = [rank for rank in range(len(self._processes)) if rank not in answers]
            ready = wait([self._connections[rank] for rank in missing])
            # Those that ended first: what others then say is that these are gone.
            for rank in sorted(missing, key=lambda rank: self._processes[rank].is_alive()):
                if self._connections[rank] in ready:
                    answers[rank] = self._receive(rank)
        return [answers[rank] for rank in sorted(answers)]

    def _receive(self, rank: int) -> Any:
        try:
            answer = self._connections[rank].recv()
        except (EOFError, ConnectionError):
            process = self._processes[rank]
            process.join()
            answer = RuntimeError(f"{process.name} ended with exit code {process.exitcode}; its last words are above")
        if isinstance(answer, Exception):
            self.close()
            raise answer
        return answer


def together(ranks: Sequence[Computed], *, sum_bytes: bool) -> Computed:
    """What all ranks computed of one session, as one process would have: bytes summed, keys averaged over heads.

    What a method holds once for all heads (MagicPIG's hyperplanes) is held by each rank, and counted so; a mean of
    rounded means may be one off. sum_bytes: False where each rank held everything. Raises RuntimeError where ranks
    disagree about anything else.
    """
    combined: Computed = []
    for parts in zip(*ranks, strict=True):
        cell, _, observations = parts[0]
        turns = []
        for number, shares in enumerate(zip(*(turns for _, turns, _ in parts), strict=True), start=1):
            turn = dict(shares[0])
            if sum_bytes:
                turn |= {name: sum(share[name] for share in shares) for name in OF_RANKS}
                turn["keys_attended"] = round(sum(share["keys_attended"] for share in shares) / len(shares))
            alike = turn.keys() - ({*OF_RANKS, "keys_attended"} if sum_bytes else set())
            differing = sorted(name for name in alike if any(share[name] != turn[name] for share in shares))
            if differing:
                raise RuntimeError(f"{cell.id}, turn {number}: ranks disagree about {', '.join(differing)}")
            turns.append(turn)
        combined.append((cell, turns, observations))
    return combined


def _patterns(settings: Mapping[str, Any]) -> bool:
    """Whether `settings`, or those of a part of a composition, name a file of head patterns."""
    parts = [settings, *(part for part in settings.values() if isinstance(part, Mapping))]
    return any(part.get("patterns") is not None for part in parts)


def _end(processes: Sequence[BaseProcess], meeting: Path) -> None:
    """End the ranks, and forget the place where they met."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()
    shutil.rmtree(meeting, ignore_errors=True)


def _serve(rank: int, ranks: int, meeting: str, study: Study, model: Model, connection: Connection) -> None:
    """The life of a rank: load, then compute what is sent until the other end is closed."""
    # A terminal's Ctrl-C reaches every process; the one that started us decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()  # native code that crashes says where it was called
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)}
    cuda = device_name(study.execution.device) == "cuda"
    try:
        if cuda:
            torch.cuda.set_device(rank)
        dist.init_process_group(
            "nccl" if cuda else "gloo", init_method=f"file://{meeting}", rank=rank, world_size=ranks, timeout=PATIENCE
        )
        computer = computer_of(study, model, ranks)
        connection.send(computer.counters)
        while True:
            session, cells = connection.recv()
            connection.send((computer.compute(session, cells), computer.counters))
    except (EOFError, ConnectionError):
        return
    except (UserError, torch.OutOfMemoryError) as error:
        connection.send(error)
    except Exception:
        traceback.print_exc()
        connection.send(RuntimeError(f"{model.name} rank {rank} failed; its traceback is above"))
