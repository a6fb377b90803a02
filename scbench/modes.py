"""The two ways a context is shared: turns of one conversation, and requests that each see the context alone.

Requests may be query-aware: context and question are then one first prompt, encoded anew for each request, and a method
sees the question while it encodes, drops or indexes the context (paper, Table 5, "with query").

Also how requests about one session share the encoding of its context: every method that starts from exact KV goes on
from one dense prefill, and turns whose prompts are known beforehand are answered together where the method allows it,
always all of a session. Where it changes no bit (`scbench.engines.alike`), requests share the passes that decode their
answers too. What is computed never depends on what was left to do.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Literal

from scbench.engines.conversation import Answers, Conversation, TurnOutput
from scbench.engines.together import decode
from scbench.methods import Method
from scbench.methods.full import Full
from scbench.prompts import EncodedSession

if TYPE_CHECKING:
    from scbench.engines.transformers import TransformersEngine

History = Literal["golden", "generated"]
FULL = Full(budget=1.0)

TOGETHER_BYTES = 2**28
"""Bytes of KV of conversations that wait to be decoded together, but for the last one's."""


@dataclass(frozen=True)
class Request:
    """A method to be run on a session in a mode; `label` is the caller's name for it."""

    method: Method
    mode: str
    label: str


def multi_turn(talk: Conversation, session: EncodedSession, history: History) -> Answers | list[TurnOutput]:
    """Question 1 ends the first prompt; each later one follows the previous answer, golden or generated."""
    talk.seal()
    if history == "golden" and talk.turns_together:
        later = [answer + query for answer, query in zip(session.answers, session.queries[1:], strict=False)]
        return talk.ask_all(((), *later), session.max_new_tokens, session.stop_ids, chained=True)
    outputs: list[TurnOutput] = []
    for turn, limit in enumerate(session.max_new_tokens):
        if turn > 0:
            previous = session.answers[turn - 1] if history == "golden" else outputs[-1].token_ids
            talk.append(previous + session.queries[turn])
        mark = talk.mark()
        outputs.append(talk.answer(limit, session.stop_ids))
        talk.rollback(mark)
    return outputs


def multi_request(talk: Conversation, session: EncodedSession, history: History) -> Answers | list[TurnOutput]:
    """The context ends the first prompt; each question follows it directly and is forgotten after its answer."""
    talk.seal()
    if talk.turns_together:
        return talk.ask_all(session.queries, session.max_new_tokens, session.stop_ids, chained=False)
    outputs: list[TurnOutput] = []
    mark = talk.mark()
    for query, limit in zip(session.queries, session.max_new_tokens, strict=True):
        talk.append(query)
        outputs.append(talk.answer(limit, session.stop_ids))
        talk.rollback(mark)
    return outputs


MODES: dict[str, Callable[[Conversation, EncodedSession, History], Answers | list[TurnOutput]]] = {
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
    wherever it does not matter what follows: by methods that start dense, once for all of them with `share_prefill`,
    once each without; by others that encode a row alike wherever the prompt ends (`Method.own_rows`), once for both
    modes or once each. So neither sharing nor the choice of requests changes a bit of what is computed, nor do
    query-aware requests of multi-turn sessions: their first prompts begin with the context, and so with that prefix.
    Answers that share passes are found together, and so yielded late. Nothing is kept when the iterator ends or is
    closed.
    """
    yield from run_groups(
        engine, [(encoded, requests)], share_prefill=share_prefill, history=history, query_aware=query_aware
    )


def run_groups(
    engine: "TransformersEngine",
    groups: Iterable[tuple[Mapping[str, EncodedSession], Sequence[Request]]],
    *,
    share_prefill: bool,
    history: History,
    query_aware: bool = False,
) -> Iterator[tuple[Request, list[TurnOutput]]]:
    """As `run_session`, for groups of requests about one session that have no first prompt in common."""
    waiting: list[tuple[Request, list[TurnOutput]]] = []
    with closing(_Round(history)) as together:
        for encoded, requests in groups:
            with closing(_Stems(engine, encoded, share_prefill)) as stems:
                for number, request in enumerate(requests):
                    outputs: list[TurnOutput] = []
                    waiting.append((request, outputs))
                    for session in _conversations(encoded[request.mode], query_aware):
                        together.ask(stems.start(request.method, session, requests[number:]), session, outputs)
                    stems.keep_for(requests[number + 1 :])
                    if not together.asked:
                        yield from waiting
                        waiting = []
        together.finish()
        yield from waiting


class _Round:
    """Conversations whose later prompts are announced, to be fed and answered together; `asked` of them wait for that.

    There are no more than fill a pass of one row an answer, or `TOGETHER_BYTES`: one, where the engine lets them share
    no passes.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._open: list[tuple[Conversation, Answers, list[TurnOutput]]] = []
        self._rows = self._held = 0

    @property
    def asked(self) -> int:
        return len(self._open)

    def ask(self, talk: Conversation, session: EncodedSession, outputs: list[TurnOutput]) -> None:
        """Ask `talk`, which has encoded a part of the first prompt, what `session` asks; `outputs` gets the answers."""
        talk.prefill(session.first[talk.store.length :], session.question)
        answers = MODES[session.mode](talk, session, self._history)
        if isinstance(answers, list):
            outputs += answers
            talk.close()
            return
        self._open.append((talk, answers, outputs))
        self._rows += len(answers.live)
        self._held += talk.store.resident_bytes
        if self._rows >= answers.engine.rows_alike or self._held >= TOGETHER_BYTES:
            self.finish()

    def finish(self) -> None:
        """Find the answers of all that were asked, and close them."""
        decode([answers for _, answers, _ in self._open])
        for _, answers, outputs in self._open:
            outputs += answers.finish()
        self.close()

    def close(self) -> None:
        for talk, _, _ in self._open:
            talk.close()
        self._open = []
        self._rows = self._held = 0


class _Stems:
    """Conversations that have encoded what first prompts have in common, one for each way to encode it."""

    def __init__(self, engine: "TransformersEngine", encoded: Mapping[str, EncodedSession], share: bool) -> None:
        self._engine = engine
        self._encoded = encoded
        self._share = share
        self._prefix = _common_prefix([session.first for session in encoded.values()])
        self._shortest = min(len(session.first) for session in encoded.values())
        self._stems: dict[Method, Conversation] = {}

    def start(self, method: Method, session: EncodedSession, requests: Sequence[Request]) -> Conversation:
        """A conversation about `session` that has encoded its share; `requests`: this one and all that follow."""
        prefix = self._shared(method)
        if not prefix or not self._share:
            talk = self._engine.start(method, len(session.first), _capacity(session))
            if prefix:
                talk.prefill(prefix)
            return talk
        way = _way(method)
        if way not in self._stems:
            alike = [request for request in requests if _way(request.method) == way]
            capacity = max(_capacity(self._encoded[request.mode]) for request in alike)
            rows = max(request.method.query_rows for request in alike)
            self._stems[way] = self._engine.start(way, len(prefix) + (way.own_rows or 0), capacity, rows)
            self._stems[way].prefill(prefix)
        return self._stems[way].fork(method, len(session.first))

    def keep_for(self, requests: Sequence[Request]) -> None:
        """Close what none of `requests` goes on from."""
        for way in set(self._stems) - {_way(request.method) for request in requests}:
            self._stems.pop(way).close()

    def close(self) -> None:
        self.keep_for(())

    def _shared(self, method: Method) -> tuple[int, ...]:
        """What `method` encodes of all first prompts alike."""
        if method.own_rows is None:
            return ()
        return self._prefix[: max(0, self._shortest - method.own_rows)]


def _way(method: Method) -> Method | None:
    """What encodes the first prompts of `method`, as far as they are encoded alike; None where nothing is."""
    if method.own_rows is None:
        return None
    return FULL if method.starts_dense else method


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
    return len(session.first) + sum(len(query) + len(answer) + limit for query, answer, limit in asked)
