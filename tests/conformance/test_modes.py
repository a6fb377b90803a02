"""The two modes as sequences of verbs, and what an answer reports."""

import pytest

from scbench.engines.conversation import TurnOutput
from scbench.methods import make
from scbench.modes import Request, multi_request, multi_turn, run_session
from tests.conformance.models import encoded, tokens


class Recorder:
    """A conversation that answers 90, 91, ... and writes down what it was asked to do."""

    def __init__(self, turns_together=False):
        self.turns_together = turns_together
        self.verbs = []
        self.answered = 0

    def seal(self):
        self.verbs.append("seal")

    def append(self, ids):
        self.verbs.append(("append", ids))

    def mark(self):
        self.verbs.append("mark")
        return len(self.verbs)

    def rollback(self, mark):
        self.verbs.append(("rollback", mark))

    def answer(self, limit, stop_ids):
        self.verbs.append(("answer", limit))
        self.answered += 1
        return TurnOutput("", (89 + self.answered,), "eos", 1, 0, 0, 0, 0, 0, 0, 0.0, 0.0)

    def ask_all(self, prompts, limits, stop_ids, *, chained):
        self.verbs.append(("ask_all", prompts, limits, chained))


def asked(mode, history="golden", turns_together=False):
    session, talk = encoded(limits=(4, 5, 6)), Recorder(turns_together)
    {"multi_turn": multi_turn, "multi_request": multi_request}[mode](talk, session[mode], history)
    return session[mode], talk.verbs


def test_golden_turns_follow_golden_answers():
    session, verbs = asked("multi_turn")
    assert verbs == [
        "seal",
        "mark",
        ("answer", 4),
        ("rollback", 2),
        ("append", session.answers[0] + session.queries[1]),
        "mark",
        ("answer", 5),
        ("rollback", 6),
        ("append", session.answers[1] + session.queries[2]),
        "mark",
        ("answer", 6),
        ("rollback", 10),
    ]


def test_generated_turns_follow_generated_answers():
    session, verbs = asked("multi_turn", "generated")
    appended = [verb[1] for verb in verbs if verb[0] == "append"]
    assert appended == [(90, *session.queries[1]), (91, *session.queries[2])]


def test_every_request_sees_the_context_alone():
    session, verbs = asked("multi_request")
    first, second, third = session.queries
    assert verbs == [
        "seal",
        "mark",
        *(("append", first), ("answer", 4), ("rollback", 2)),
        *(("append", second), ("answer", 5), ("rollback", 2)),
        *(("append", third), ("answer", 6), ("rollback", 2)),
    ]


def test_turns_with_known_prompts_are_asked_together_where_that_is_allowed():
    session, verbs = asked("multi_turn", turns_together=True)
    prompts = ((), session.answers[0] + session.queries[1], session.answers[1] + session.queries[2])
    assert verbs == ["seal", ("ask_all", prompts, (4, 5, 6), True)]
    session, verbs = asked("multi_request", turns_together=True)
    assert verbs == ["seal", ("ask_all", session.queries, (4, 5, 6), False)]
    assert asked("multi_turn", "generated", turns_together=True) == asked("multi_turn", "generated")


@pytest.fixture
def ask(llama):
    def ask(mode, method="full", settings=None, **how):
        session = encoded(**how)
        request = Request(make(method, settings or {}, 170), mode, "")
        [(_, outputs)] = run_session(llama, session, [request], share_prefill=True, history="golden")
        return session[mode], outputs

    return ask


def test_an_answer_stops_at_a_stop_token_or_at_its_limit(ask):
    _, free = ask("multi_request", limits=(6, 6, 6), stop=frozenset())
    assert [(output.finish, output.new_tokens) for output in free] == [("length", 6)] * 3
    third = free[0].token_ids[2]
    _, stopped = ask("multi_request", limits=(6, 6, 6), stop=frozenset({third}))
    assert stopped[0].finish == "eos"
    assert stopped[0].token_ids == free[0].token_ids[: free[0].token_ids.index(third)]
    assert stopped[0].prediction == " ".join(f"w{token}" for token in stopped[0].token_ids)


def test_special_tokens_are_not_part_of_a_prediction(llama):
    talk = llama.start(make("full", {}, 170), 20)
    talk.prefill(tokens(20))
    talk.seal()
    talk.logits = talk.logits.clone()
    talk.logits[2] = 1e9  # the begin token
    output = talk.answer(1, {1})
    assert output.token_ids == (2,)
    assert output.prediction == ""


def test_an_empty_answer_is_an_answer(llama):
    talk = llama.start(make("full", {}, 170), 20)
    talk.prefill(tokens(20))
    talk.seal()
    output = talk.answer(5, {int(talk.logits.argmax())})
    assert (output.prediction, output.token_ids, output.finish, output.keys_attended) == ("", (), "eos", 0)


def test_an_answer_needs_something_fed_before(llama):
    talk = llama.start(make("full", {}, 170), 0)
    talk.seal()
    with pytest.raises(RuntimeError, match="nothing was fed"):
        talk.answer(5, ())


def test_prompt_tokens_are_what_each_turn_fed(ask):
    session, outputs = ask("multi_turn")
    follow = [len(session.answers[turn - 1]) + len(session.queries[turn]) for turn in (1, 2)]
    assert [output.prompt_tokens for output in outputs] == [len(session.first), *follow]
    session, outputs = ask("multi_request")
    queries = [len(query) for query in session.queries]
    assert [output.prompt_tokens for output in outputs] == [150 + queries[0], *queries[1:]]
    assert [output.tokens_prefilled for output in outputs] == [150 + queries[0], *queries[1:]]


def test_costs_of_an_answer_are_those_of_its_own_tokens(ask, llama):
    layers, row = 3, 2 * 2 * 8 * 4  # layers; keys and values, KV heads, channels, bytes
    session, outputs = ask("multi_request", limits=(4, 4, 4), stop=frozenset())
    for query, output in zip(session.queries, outputs, strict=True):
        seen = [150 + len(query) + step for step in (1, 2, 3)]
        assert output.keys_attended == layers * sum(seen)
        assert output.bytes_read == layers * sum(seen) * row
        assert output.kv_bytes == layers * (150 + len(query)) * row
        assert output.kv_bytes_dense == output.kv_bytes // 2
    _, dropped = ask("multi_request", "snapkv", {"capacity": 24, "window": 4}, limits=(4, 4, 4), stop=frozenset())
    assert dropped[0].keys_attended == layers * sum(24 + len(session.queries[0]) + step for step in (1, 2, 3))
    assert dropped[0].kv_bytes_dense == outputs[0].kv_bytes_dense


@pytest.mark.parametrize("context", [0, 1, 2])
def test_contexts_of_hardly_any_tokens(llama, name, context):
    session = encoded(context=context, questions=(1, 1, 2), answers=(1, 1, 1))
    for mode in session:
        request = Request(make(name, {}, 170), mode, "")
        for share_prefill in (True, False):
            [(_, outputs)] = run_session(llama, session, [request], share_prefill=share_prefill, history="golden")
            assert len(outputs) == 3
