"""Prompts of the clean profile with single quirks of the published ones: `prompts: clean+<quirk>[+<quirk>...]`.

Each quirk alone, as `prompts.encode` has them all together in `compat`. A module of its own: the code of
`scbench.prompts` and `scbench.compute` is in the key of every cell, and cells without these quirks keep theirs.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from scbench.cellkey import prompt_limit
from scbench.compute import Computer
from scbench.models import Model
from scbench.prompts import (
    MODES,
    EncodedSession,
    Mode,
    _special_prefix,
    chat_frame,
    encode,
    math_target,
    question_text,
)
from scbench.quirks import switched_on
from scbench.sessions import Session
from scbench.study import Study

LEAD = "This paper"


def computer_of(study: Study, model: Model, ranks: int = 1) -> Computer:
    """The computer of `study`'s prompts; `Computer` itself asks in one of the two profiles alone."""
    return (QuirkedComputer if "+" in study.prompts else Computer)(study, model, ranks)


class QuirkedComputer(Computer):
    """Computes sessions as `Computer` does, asked with the quirks that the study's `prompts` names."""

    def _encode(self, session: Session, with_context: bool, modes: Sequence[Mode] = MODES) -> dict[str, EncodedSession]:
        study = self.study
        return {
            mode: encode_asked(
                session,
                mode,
                self.engine.tokenizer,
                prompts=study.prompts,
                max_prompt_tokens=prompt_limit(study, self._model),
                scale_name=study.data.scale,
                with_context=with_context,
                model_stop_ids=self.engine.stop_ids,
            )
            for mode in modes
        }


def encode_asked(
    session: Session,
    mode: Mode,
    tokenizer: PreTrainedTokenizerBase,
    *,
    prompts: str,
    max_prompt_tokens: int | None,
    **how: Any,
) -> EncodedSession:
    """`prompts.encode` for `prompts` as a study names them: a profile, or clean with quirks of the other one.

    What the quirks add is counted where the context is cut. Raises UserError as `encode` does.
    """
    profile = prompts.split("+")[0]
    on = [quirk.name for quirk in switched_on(prompts) if quirk.touches(session.task, mode)]
    for name in on:
        if change := _IN_SESSION.get(name):
            session = change(session)
    lead = _ids(tokenizer, LEAD) if "this_paper" in on else ()
    begin = _begin(tokenizer) if "two_begins" in on else ()
    added = len(begin) + len(lead) * (len(session.turns) - 1)
    room = max_prompt_tokens and max_prompt_tokens - added
    encoded = encode(session, mode, tokenizer, profile=profile, max_prompt_tokens=room, **how)
    if lead:
        frame = chat_frame(tokenizer)
        follow = [question_text(session.task, turn, profile) for turn in session.turns[1:]]
        queries = [_ids(tokenizer, frame.between + question + frame.after + LEAD) for question in follow]
        encoded = replace(encoded, queries=((), *queries))
    return replace(encoded, first=begin + encoded.first)


def _last_target(session: Session) -> Session:
    named = math_target(session.turns[-1].query)
    later = [replace(turn, query=f"What is {named}?\n\n{turn.query.strip()}") for turn in session.turns[1:]]
    return replace(session, turns=(session.turns[0], *later))


def _first_question(session: Session) -> Session:
    head = f"{session.turns[0].query}\n\n"
    turns = [
        replace(turn, evidence=tuple((start + len(head), stop + len(head)) for start, stop in turn.evidence))
        for turn in session.turns
    ]
    return replace(session, context=head + session.context, turns=tuple(turns))


def _list_as_text(session: Session) -> Session:
    return replace(session, turns=tuple(replace(turn, golds=(repr(list(turn.golds)),)) for turn in session.turns))


_IN_SESSION: dict[str, Callable[[Session], Session]] = {
    "last_target": _last_target,
    "first_question": _first_question,
    "list_as_text": _list_as_text,
}


def _begin(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """What stands twice: the special tokens that the tokenizer puts before a text, or its begin token if it puts none.

    The published code puts before a rendered prompt what the tokenizer adds of its own accord, which a bundled model's
    does not do.
    """
    own = tokenizer.bos_token_id
    return tuple(_special_prefix(tokenizer)) or (() if own is None else (own,))


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
