"""Running sessions and comparing what was answered."""

import dataclasses

from scbench.engines.together import Together, decode
from scbench.methods import make
from scbench.modes import MODES, Request, run_session

CONTEXT = 170
"""Nominal context of the tests' sessions, first prompts included."""


def answers(engine, session, requests, share_prefill=True, history="golden"):
    """What each request answered, by label, without the seconds."""
    ran = run_session(engine, session, requests, share_prefill=share_prefill, history=history)
    return {request.label: [timeless(output) for output in outputs] for request, outputs in ran}


def answers_to(talk, prompts, limits, stop_ids=(), *, chained=False):
    """What a conversation answers to `prompts`, which share passes with each other alone."""
    asked = talk.ask_all(prompts, limits, stop_ids, chained=chained)
    decode([asked])
    return asked.finish()


def own_logits(store, logits):
    """The rows of `logits` that were wanted of a pass; the others are filler."""
    return logits[: store.wanted] if isinstance(store, Together) else logits


def timeless(output):
    return dataclasses.replace(output, prompt_seconds=0.0, decode_seconds=0.0)


def requests_for(names, modes=tuple(MODES)):
    """Every method of `names`, at its default budget, in every mode."""
    return [Request(make(name, {}, CONTEXT), mode, f"{name} {mode}") for name in names for mode in modes]
