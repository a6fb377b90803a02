"""Runs sessions through a model: from sessions and cells to the computed turns that the store keeps."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import compress
from typing import Any

from scbench import engines
from scbench.cellkey import device_name, prompt_limit
from scbench.journal import Turns
from scbench.methods import make
from scbench.models import Model
from scbench.modes import FULL, Request, TurnOutput, run_session
from scbench.plan import Cell
from scbench.prompts import MODES, EncodedSession, encode
from scbench.records import Observation
from scbench.sessions import Session
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


class Computer:
    """One loaded model. Loading verifies the weights against the lock and raises UserError when they differ."""

    def __init__(self, study: Study, model: Model) -> None:
        model.verify()
        for row in study.rows(model):
            check_model(study, row, model)
        self._study = study
        self._model = model
        self._device = device_name(study.execution.device)
        execution = study.execution
        self.engine = engines.load(model.spec(), threads=execution.threads, device=self._device, dtype=execution.dtype)

    @property
    def counters(self) -> dict[str, int]:
        """What the engine computed so far: dense prefills and their tokens, all prefilled tokens, decode steps."""
        return asdict(self.engine.counters)

    def compute(self, session: Session, cells: Sequence[Cell]) -> list[tuple[Cell, Turns, list[Observation]]]:
        """The turns of `session` in each of `cells` (one model and task), which share what they can."""
        found = []
        for with_context in (True, False):
            chosen = [cell for cell in cells if cell.row.with_context is with_context]
            if chosen:
                found += self._compute(session, chosen, with_context)
        return found

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
        return list(compress(_turns(outputs, given), wanted))

    def _compute(
        self, session: Session, cells: Sequence[Cell], with_context: bool
    ) -> list[tuple[Cell, Turns, list[Observation]]]:
        study = self._study
        encoded = self._encode(session, with_context)
        by_request = {(cell.row.label, cell.mode): cell for cell in cells}
        requests = [
            Request(make(cell.row.method, cell.row.settings, study.context_tokens), cell.mode, cell.row.label)
            for cell in cells
        ]
        found = []
        outputs = run_session(
            self.engine,
            encoded,
            requests,
            share_prefill=study.execution.share_prefill,
            history=study.history,
            query_aware=study.query_aware,
        )
        for request, turns in outputs:
            cell = by_request[request.label, request.mode]
            found.append((cell, _turns(turns, encoded[cell.mode]), self._observe(session, cell, turns)))
        return found

    def _encode(self, session: Session, with_context: bool) -> dict[str, EncodedSession]:
        """Both modes, wanted or not: the prefix they share decides how the context is cut into passes."""
        study = self._study
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
            for mode in MODES
        }

    def _observe(self, session: Session, cell: Cell, turns: Sequence[TurnOutput]) -> list[Observation]:
        return [
            Observation(
                model=cell.model.name,
                method=cell.row.label,
                task=cell.task,
                mode=cell.mode,
                session=session.sid,
                turn=number,
                prompt_seconds=turn.prompt_seconds,
                decode_seconds=turn.decode_seconds,
                device=self._device,
            )
            for number, turn in enumerate(turns, start=1)
        ]


def _turns(outputs: Sequence[TurnOutput], encoded: EncodedSession) -> Turns:
    """What the store keeps: the output of each turn, and what truncation did to it."""
    turns: list[dict[str, Any]] = []
    for number, output in enumerate(outputs):
        kept = {name: getattr(output, name) for name in KEPT}
        kept |= {"dropped_tokens": encoded.dropped_tokens, "evidence_kept": encoded.evidence_kept[number]}
        turns.append(kept)
    return turns
