"""Query-aware requests: context and question are one first prompt, encoded anew for each request."""

import dataclasses
import gc

import pytest

from scbench.kv.arena import Arena
from scbench.modes import run_session
from tests.conformance.asking import requests_for, timeless
from tests.conformance.models import encoded

# Every way to see the first prompt: exactly, by its mask, by its last rows, without looking.
SEEING = ["full", "tri_shape", "snapkv", "streaming_llm", "kivi", "cacheblend"]


def asked(engine, session, requests, query_aware, share_prefill=True):
    """What each request answered, by label, without the seconds."""
    ran = run_session(engine, session, requests, share_prefill=share_prefill, history="golden", query_aware=query_aware)
    return {request.label: [timeless(output) for output in outputs] for request, outputs in ran}


def alone(session, number):
    """The session as if nothing but question `number` were asked, in a conversation of one turn."""
    request = session["multi_request"]
    query, answer = request.queries[number], request.answers[number]
    limit = request.max_new_tokens[number]
    turn = dataclasses.replace(
        session["multi_turn"],
        first=request.first + query,
        queries=((),),
        answers=(answer,),
        max_new_tokens=(limit,),
        evidence_kept=(None,),
        question=len(query),
    )
    # The other first prompts stay, for what they have in common decides how the context is cut into passes.
    return {"multi_turn": turn, "multi_request": request}


@pytest.mark.parametrize("name", SEEING)
def test_each_request_answers_as_the_first_turn_of_a_conversation(llama, name):
    session = encoded()
    [requests] = asked(llama, session, requests_for([name], ["multi_request"]), True).values()
    for number, output in enumerate(requests):
        [[turn]] = asked(llama, alone(session, number), requests_for([name], ["multi_turn"]), False).values()
        assert output == turn


def test_what_is_fed_is_the_same_either_way(llama):
    """So full attention gives the same answers; what differs is what a method sees while it encodes."""
    session, requests = encoded(), requests_for(["full"], ["multi_request"])
    [aware] = asked(llama, session, requests, True).values()
    [unaware] = asked(llama, session, requests, False).values()
    assert [output.token_ids for output in aware] == [output.token_ids for output in unaware]
    queries = [len(query) for query in session["multi_request"].queries]
    assert [output.prompt_tokens for output in aware] == [150 + query for query in queries]
    assert [output.tokens_prefilled for output in aware] == [150 + query for query in queries]


def test_a_method_sees_the_question(llama):
    """Random models pay no attention to questions; that the store's rows differ is all that can be asked of them."""
    session, requests = encoded(), requests_for(["snapkv", "streaming_llm"], ["multi_request"])
    for label, aware in asked(llama, session, requests, True).items():
        unaware = asked(llama, session, requests, False)[label]
        # The question is compressed with the context, not appended to what is left of it.
        assert all(a.kv_bytes < b.kv_bytes for a, b in zip(aware, unaware, strict=True))


def test_turns_compute_the_same_bits(llama):
    requests = requests_for(SEEING, ["multi_turn"])
    assert asked(llama, encoded(), requests, True) == asked(llama, encoded(), requests, False)


def test_shared_and_unshared_answers_are_equal(llama):
    session, requests = encoded(), requests_for(SEEING)
    assert asked(llama, session, requests, True, True) == asked(llama, session, requests, True, False)


def test_the_context_is_encoded_exactly_once_for_all_requests(llama):
    before = dataclasses.replace(llama.counters)
    asked(llama, encoded(), requests_for(["full", "snapkv", "kivi"]), True)
    assert llama.counters.dense_prefills - before.dense_prefills == 1


@pytest.mark.parametrize("name", SEEING)
def test_requests_do_not_see_each_other(llama, name):
    requests = requests_for([name], ["multi_request"])
    session = encoded()
    request = session["multi_request"]
    swapped = dataclasses.replace(request, queries=request.queries[::-1])
    [given] = asked(llama, session, requests, True).values()
    [reversed_] = asked(llama, session | {"multi_request": swapped}, requests, True).values()
    assert [output.token_ids for output in given] == [output.token_ids for output in reversed_[::-1]]


def test_nothing_stays_in_memory(llama):
    ran = run_session(llama, encoded(), requests_for(SEEING), share_prefill=True, history="golden", query_aware=True)
    for number, _ in enumerate(ran):
        if number == 4:
            break
    ran.close()
    gc.collect()
    assert not [thing for thing in gc.get_objects() if type(thing) is Arena and thing.keys]
