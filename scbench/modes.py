"""The two ways a context is shared: turns of one conversation, and requests that each see the context alone.

Requests may be query-aware: context and question are then one first prompt, encoded anew for each request, and a method
sees the question while it encodes, drops or indexes the context (paper, Table 5, "with query").

Also how requests about one session share the encoding of its context: every method that starts from exact KV goes on
from one dense prefill.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Literal

from scbench.engines.conversation import Conversation, TurnOutput
from scbench.methods import Method
from scbench.methods.full import Full
from scbench.prompts import EncodedSession

if TYPE_CHECKING:
    from scbench.engines.transformers import TransformersEngine

History = Literal["golden", "generated"]
FULL = Full(budget=1.0)


@dataclass(frozen=True)
class Request:
    """A method to be run on a session in a mode; `label` is the caller's name for it."""

    method: Method
    mode: str
    label: str


def multi_turn(talk: Conversation, session: EncodedSession, history: History) -> list[TurnOutput]:
    """Question 1 ends the first prompt; each later one follows the previous answer, golden or generated."""
    talk.seal()
    outputs: list[TurnOutput] = []
    for turn, limit in enumerate(session.max_new_tokens):
        if turn > 0:
            previous = session.answers[turn - 1] if history == "golden" else outputs[-1].token_ids
            talk.append(previous + session.queries[turn])
        mark = talk.mark()
        outputs.append(talk.answer(limit, session.stop_ids))
        talk.rollback(mark)
    return outputs


def multi_request(talk: Conversation, session: EncodedSession, history: History) -> list[TurnOutput]:
    """The context ends the first prompt; each question follows it directly and is forgotten after its answer."""
    talk.seal()
    outputs: list[TurnOutput] = []
    mark = talk.mark()
    for query, limit in zip(session.queries, session.max_new_tokens, strict=True):
        talk.append(query)
        outputs.append(talk.answer(limit, session.stop_ids))
        talk.rollback(mark)
    return outputs


MODES: dict[str, Callable[[Conversation, EncodedSession, History], list[TurnOutput]]] = {
    "multi_turn": multi_turn,
    "multi_request": multi_request,
}


def run_session(
    engine: "TransformersEngine",
    encoded: Mapping[str, EncodedSession],
    requests: Sequence[Request],
    *,
    share_prefill: bool,
    history: History,
    query_aware: bool = False,
) -> Iterator[tuple[Request, list[TurnOutput]]]:
    """Run `requests` about one session, encoded per mode, and yield the answers of each in the order given.

    The longest prefix that the first prompts of all modes in `encoded` have in common is encoded in passes of its own
    for every method that starts dense: once for all of them with `share_prefill`, once each without. So neither
    sharing nor the choice of requests changes a bit of what is computed, nor do query-aware requests of multi-turn
    sessions: their first prompts begin with the context, and so with that prefix. Methods that start sparse encode
    their first prompt by themselves. Nothing is kept when the iterator ends or is closed.
    """
    dense = [request for request in requests if request.method.starts_dense]
    prefix = _common_prefix([session.first for session in encoded.values()])
    stem: Conversation | None = None
    try:
        for request in requests:
            outputs: list[TurnOutput] = []
            for session in _conversations(encoded[request.mode], query_aware):
                if request.method.starts_dense and share_prefill and prefix:
                    if stem is None:
                        capacity = max(_capacity(encoded[other.mode]) for other in dense)
                        rows = max(other.method.query_rows for other in dense)
                        stem = engine.start(FULL, len(prefix), capacity, rows)
                        stem.prefill(prefix)
                    talk = stem.fork(request.method, len(session.first))
                else:
                    talk = engine.start(request.method, len(session.first), _capacity(session))
                    if request.method.starts_dense:
                        talk.prefill(prefix)
                with closing(talk):
                    talk.prefill(session.first[talk.store.length :], session.question)
                    outputs += MODES[session.mode](talk, session, history)
            yield request, outputs
    finally:
        if stem is not None:
            stem.close()


def _conversations(session: EncodedSession, query_aware: bool) -> Iterator[EncodedSession]:
    """What is encoded apart: the session; of query-aware requests each, as a conversation of one turn."""
    if session.mode == "multi_turn" or not query_aware:
        yield session
        return
    asked = zip(session.queries, session.answers, session.max_new_tokens, session.evidence_kept, strict=True)
    for query, answer, limit, kept in asked:
        yield replace(
            session,
            mode="multi_turn",
            first=session.first + query,
            queries=((),),
            answers=(answer,),
            max_new_tokens=(limit,),
            evidence_kept=(kept,),
            question=session.question + len(query),
        )


def _common_prefix(prompts: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    columns = takewhile(lambda column: len(set(column)) == 1, zip(*prompts, strict=False))
    return tuple(column[0] for column in columns)


def _capacity(session: EncodedSession) -> int:
    """Tokens that a store holds at most while the session is answered."""
    asked = zip(session.queries, session.answers, session.max_new_tokens, strict=True)
    return len(session.first) + sum(len(query) + max(len(answer), limit) for query, answer, limit in asked)
