"""Runs sessions through a model: from sessions and cells to the computed turns that the store keeps."""

import gc
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import compress
from typing import Any

import torch

from scbench import engines
from scbench.cellkey import device_name, prompt_limit
from scbench.engines.chunks import ChunkCache
from scbench.engines.conversation import EngineCounters
from scbench.errors import UserError
from scbench.journal import Turns
from scbench.methods import Method, make
from scbench.models import Model
from scbench.modes import FULL, Request, TurnOutput, run_groups, run_session
from scbench.plan import Cell
from scbench.prompts import MODES, EncodedSession, Mode, encode
from scbench.records import Observation
from scbench.sessions import Session
from scbench.shortening import related, shortened
from scbench.study import Study, check_model

# What the store keeps of a turn's output; the seconds are observations, and the token ids follow from the rest.
KEPT = (
    "prediction",
    "finish",
    "new_tokens",
    "prompt_tokens",
    "kv_bytes",
    "kv_bytes_dense",
    "keys_attended",
    "bytes_read",
    "tokens_prefilled",
)
FEWEST_PASS_TOKENS = 512  # passes over a first prompt are not halved below this: it is something else that is too much


class Computer:
    """One loaded model. Loading verifies the weights against the lock and raises UserError when they differ.

    Where a GPU's memory does not suffice for a session, it is computed again from its beginning in passes of half as
    many tokens, as are the sessions after it: `execution.prefill_chunk` is what a pass may have. Each observation says
    what it had.
    """

    def __init__(self, study: Study, model: Model, ranks: int = 1) -> None:
        """ranks: processes that share the model (`scbench.engines.parallel`, which verifies its files for all)."""
        if ranks == 1:
            model.verify()
        for row in study.rows(model):
            check_model(study, row, model)
        self.study = study
        self._model = model
        self._ranks = ranks
        self._device = device_name(study.execution.device)
        execution = study.execution
        how = {"threads": execution.threads, "device": self._device, "dtype": execution.dtype, "ranks": ranks}
        self.engine = engines.load(model.spec() | {"engine": study.engine_of(model)}, **how)
        self.engine.prefill_chunk = execution.prefill_chunk
        for row in study.rows(model):
            # What it loads for that is no session's cost, and is refused before the first.
            make(row.method, row.settings, study.context_tokens).shorten("", self._device)

    @property
    def counters(self) -> dict[str, int]:
        """What the engine computed so far: dense prefills and their tokens, all prefilled tokens, decode steps."""
        return asdict(self.engine.counters)

    def compute(self, session: Session, cells: Sequence[Cell]) -> list[tuple[Cell, Turns, list[Observation]]]:
        """The turns of `session` in each of `cells` (one model and task), which share what they can.

        Raises UserError where a GPU's memory does not suffice for the smallest passes either, and
        torch.OutOfMemoryError at once where other processes share the model: they have to stop, too.
        """
        while True:
            counted = replace(self.engine.counters)
            try:
                return [
                    (cell, self._turns(turns, encoded), self._observe(session, cell, turns, seconds))
                    for cell, encoded, turns, seconds in self.answers(session, cells)
                ]
            except torch.OutOfMemoryError as error:
                if self._ranks > 1:
                    raise
                smaller = halved(self.study, self._model, session, self.engine.prefill_chunk, error)
            # Only here, where nothing holds the error any more, and with it the tensors of the passes that failed.
            self._begin_again(smaller, counted)

    def _begin_again(self, prefill_chunk: int, counted: EngineCounters) -> None:
        """Free what a session left that came to no end, and forget its work; `counted` before it."""
        self.engine.prefill_chunk, self.engine.counters = prefill_chunk, counted
        self.engine.chunks = ChunkCache()  # encoded in the passes of before
        gc.collect()
        torch.cuda.empty_cache()

    def answers(
        self, session: Session, cells: Sequence[Cell]
    ) -> Iterator[tuple[Cell, EncodedSession, list[TurnOutput], float]]:
        """Each of `cells` with the session as it was encoded, the answers, and the seconds before any prompt."""
        study = self.study
        asked: dict[tuple[str, str], tuple[Cell, EncodedSession, float]] = {}
        outputs = run_groups(
            self.engine,
            self._groups(session, cells, asked),
            share_prefill=study.execution.share_prefill,
            history=study.history,
            query_aware=study.query_aware,
        )
        for request, turns in outputs:
            cell, encoded, seconds = asked[request.label, request.mode]
            yield cell, encoded, turns, seconds

    def prompts_of(self, session: Session, cell: Cell) -> EncodedSession:
        """`session` as `cell` is asked it, encoded for this cell alone."""
        whole = self._encode(session, cell.row.with_context, (cell.mode,))
        method = make(cell.row.method, cell.row.settings, self.study.context_tokens)
        return (self._shortened(session, whole, method)[0] if method.shortens else whole)[cell.mode]

    def probe(self, session: Session, subtask: str) -> Turns:
        """What full attention says in the turns of `subtask`, multi-turn with golden history.

        The other turns are asked too, but of their answers one token is decoded, which costs no pass of its own.
        """
        encoded = self._encode(session, with_context=True)
        given = encoded["multi_turn"]
        wanted = [turn.subtask == subtask for turn in session.turns]
        limits = tuple(limit if asked else 1 for limit, asked in zip(given.max_new_tokens, wanted, strict=True))
        encoded["multi_turn"] = replace(given, max_new_tokens=limits)
        request = Request(FULL, "multi_turn", subtask)
        ((_, outputs),) = run_session(self.engine, encoded, [request], share_prefill=True, history="golden")
        return list(compress(self._turns(outputs, given), wanted))

    def _groups(
        self, session: Session, cells: Sequence[Cell], asked: dict[tuple[str, str], tuple[Cell, EncodedSession, float]]
    ) -> Iterator[tuple[Mapping[str, EncodedSession], list[Request]]]:
        """The requests of `cells` in groups that share first prompts; what `answers` says besides goes to `asked`."""
        for with_context in (True, False):
            chosen = [cell for cell in cells if cell.row.with_context is with_context]
            # Methods that shorten the context share no prompt with others.
            together: dict[Method | None, list[tuple[Cell, Request]]] = {}
            for cell in chosen:
                method = make(cell.row.method, cell.row.settings, self.study.context_tokens)
                request = Request(method, cell.mode, cell.row.label)
                together.setdefault(method if method.shortens else None, []).append((cell, request))
            whole = self._encode(session, with_context) if chosen else {}
            for method, group in together.items():
                encoded, seconds = (whole, 0.0) if method is None else self._shortened(session, whole, method)
                for cell, request in group:
                    asked[request.label, request.mode] = cell, encoded[cell.mode], seconds
                yield encoded, [request for _, request in group]

    def _shortened(
        self, session: Session, whole: Mapping[str, EncodedSession], method: Method
    ) -> tuple[dict[str, EncodedSession], float]:
        """What `method` leaves of `session`, whose whole is given, in the same modes; and the seconds that took."""
        began = time.perf_counter()
        left = shortened(session, method.shorten(session.context, self._device))
        seconds = time.perf_counter() - began
        short = self._encode(left, with_context=True, modes=tuple(whole))
        return {mode: related(short[mode], whole[mode], session, left) for mode in whole}, seconds

    def _encode(self, session: Session, with_context: bool, modes: Sequence[Mode] = MODES) -> dict[str, EncodedSession]:
        """Both modes, wanted or not: the prefix they share decides how the context is cut into passes."""
        study = self.study
        return {
            mode: encode(
                session,
                mode,
                self.engine.tokenizer,
                profile=study.prompts,
                max_prompt_tokens=prompt_limit(study, self._model),
                scale_name=study.data.scale,
                with_context=with_context,
                model_stop_ids=self.engine.stop_ids,
            )
            for mode in modes
        }

    def _observe(self, session: Session, cell: Cell, turns: Sequence[TurnOutput], seconds: float) -> list[Observation]:
        """How the turns went; the `seconds` before any prompt are the first turn's."""
        return [
            Observation(
                model=cell.model.name,
                method=cell.row.label,
                task=cell.task,
                mode=cell.mode,
                session=session.sid,
                turn=number,
                prompt_seconds=turn.prompt_seconds + seconds * (number == 1),
                decode_seconds=turn.decode_seconds,
                device=self._device,
                prefill_chunk=self.engine.prefill_chunk,
            )
            for number, turn in enumerate(turns, start=1)
        ]

    def _turns(self, outputs: Sequence[TurnOutput], encoded: EncodedSession) -> Turns:
        """What the store keeps: the output of each turn, and what its first prompt lacks."""
        lacking = encoded.shortened_tokens * self.engine.shape.dense_bytes_per_token
        turns: list[dict[str, Any]] = []
        for number, output in enumerate(outputs):
            kept = {name: getattr(output, name) for name in KEPT}
            kept["kv_bytes_dense"] += lacking
            kept["dropped_tokens"] = encoded.dropped_tokens + encoded.shortened_tokens
            kept["evidence_kept"] = encoded.evidence_kept[number]
            turns.append(kept)
        return turns


def halved(study: Study, model: Model, session: Session, prefill_chunk: int, error: Exception) -> int:
    """Half of `prefill_chunk`, for another attempt at `session`, which is said on standard error.

    error: what said that the memory of a GPU does not suffice. Raises UserError where smaller passes are no help: below
    FEWEST_PASS_TOKENS, and for engines that do not cut prompts into passes.
    """
    what = f"{model.name}, {session.task}: {' '.join(str(error).split())[:120]}"
    if study.engine_of(model) != "transformers" or prefill_chunk // 2 < FEWEST_PASS_TOKENS:
        raise UserError(
            f"{study.origin}: execution.prefill_chunk: {prefill_chunk} tokens in one pass are too many for this GPU's "
            f"memory ({what}); set fewer (no help to recurrent models and to methods that encode a prompt at once), or "
            "more gpus for the model in the lock of models"
        ) from error
    print(
        f"{what}: computed again in passes of at most {prefill_chunk // 2} tokens, not {prefill_chunk}, as is the rest "
        "of this job",
        file=sys.stderr,
        flush=True,
    )
    return prefill_chunk // 2
