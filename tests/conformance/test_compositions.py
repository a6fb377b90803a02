"""Two methods in one row: what goes together, what follows from the parts, and the laws of a method for a few pairs."""

import dataclasses
import inspect
import json

import pytest
import torch

from scbench.errors import UserError
from scbench.methods import METHODS, Method, find, make
from scbench.methods.compose import ENCODING, Composition
from tests.conformance import test_laws as laws
from tests.conformance.asking import CONTEXT
from tests.conformance.models import tokens

LOADING = [name for name in METHODS if METHODS[name].stage == "loading"]
# One pair of each kind: a loop over all would cost the product of the rooms and find nothing more.
PAIRS = ["minference+snapkv", "tri_shape+kivi", "a_shape+quest", "cacheblend+streaming_llm", "llmlingua2+snapkv"]


@pytest.fixture
def engine(llama):
    return llama


@pytest.fixture(params=PAIRS)
def name(request):
    return request.param


@pytest.fixture
def lossy(method):
    return method


test_neutral_settings_equal_full_attention = laws.test_neutral_settings_equal_full_attention
test_its_output_differs_from_full_attention = laws.test_its_output_differs_from_full_attention
test_a_query_leaves_the_store_bit_identical = laws.test_a_query_leaves_the_store_bit_identical
test_queries_do_not_see_each_other = laws.test_queries_do_not_see_each_other
test_golden_answers_do_not_depend_on_generated_text = laws.test_golden_answers_do_not_depend_on_generated_text
test_generated_history_is_what_was_generated = laws.test_generated_history_is_what_was_generated


@pytest.mark.parametrize("name", [name for name in PAIRS if not find(name).whole_prompt])
def test_chunked_prefill_equals_whole(llama, name):
    laws.test_chunked_prefill_equals_whole(llama, make(name, {}, CONTEXT), (7, 8, 90))


@pytest.mark.parametrize("pair", ["tri_shape+snapkv", "a_shape+kivi", "minference+streaming_llm"])
def test_it_keeps_what_the_second_keeps_of_what_the_first_encoded(llama, pair):
    first, second = (make(part, {}, CONTEXT) for part in pair.split("+"))
    prompt = tokens(150)
    both, encoder = (laws.conversation(llama, method, prompt) for method in (make(pair, {}, CONTEXT), first))
    assert torch.equal(both.logits, encoder.logits)
    assert all(torch.equal(a, b) for a, b in zip(laws.stored(both), laws.stored(encoder), strict=True))
    # The encoder's store, which now ends as the second method would have it.
    encoder.store.query_rows, encoder.store.method = second.query_rows, second
    encoder.store._queries = [None if rows is None else rows.clone() for rows in both.store._queries]
    both.seal()
    encoder.seal()
    assert all(torch.equal(a, b) for a, b in zip(laws.stored(both), laws.stored(encoder), strict=True))
    assert both.store.resident_bytes == encoder.store.resident_bytes


def test_with_a_neutral_part_it_is_the_other(llama):
    prompt, later = tokens(150), tokens(11, seed=1)
    for neutral, alone in (("tri_shape", "snapkv"), ("snapkv", "tri_shape")):
        pair = make("tri_shape+snapkv", {neutral: METHODS[neutral].neutral(150)}, CONTEXT)
        ours, base = (laws.conversation(llama, method, prompt) for method in (pair, make(alone, {}, CONTEXT)))
        assert torch.allclose(laws.logits_along(ours, later), laws.logits_along(base, later), atol=1e-4)


def test_every_hook_of_a_method_is_handed_to_a_part():
    hooks = {
        name
        for name, value in vars(Method).items()
        if (inspect.isfunction(value) or isinstance(value, property)) and not name.startswith("_")
    } - {"check"}  # a part checks itself when it is resolved
    assert hooks <= set(vars(Composition))


def test_every_fact_that_the_engine_asks_for_follows_from_the_parts():
    facts = {name for name, value in vars(Method).items() if type(value) is bool}
    assert facts <= {*vars(find("tri_shape+snapkv")), *vars(Composition)}


def test_what_a_pair_is_follows_from_its_parts():
    pair = find("tri_shape+snapkv")
    assert (pair.name, pair.title) == ("tri_shape+snapkv", "Tri-shape + SnapKV")
    assert not pair.starts_dense
    assert pair.complexity == {
        "prefill_efficient": True,
        "decode_efficient": True,
        "kv_size": "O(k)",
        "prefill": "O(kn)",
        "decode": "O(km)",
    }
    assert find("a_shape+kivi").complexity["kv_size"] == "O(n)"
    assert set(METHODS["tri_shape"].modules) | set(METHODS["snapkv"].modules) < set(pair.modules)
    assert pair.__module__ in pair.modules
    assert find("tri_shape+snapkv") is pair


def test_each_part_has_settings_of_its_own():
    made = make("tri_shape+snapkv", {"tri_shape": {"budget": "1/4"}, "snapkv": {"budget": "1/8", "window": 9}}, 1024)
    assert made.parts == (
        make("tri_shape", {"budget": "1/4"}, 1024),
        make("snapkv", {"budget": "1/8", "window": 9}, 1024),
    )
    assert made.budget == 1 / 8
    assert made.query_rows == 9


@pytest.mark.parametrize("settings", [{}, {"snapkv": {}}, {"tri_shape": None, "snapkv": None}])
def test_a_part_without_settings_has_its_defaults(settings):
    assert make("tri_shape+snapkv", settings, 1024).parts == (make("tri_shape", {}, 1024), make("snapkv", {}, 1024))


def test_a_description_is_json_and_makes_the_same_pair(method):
    described = json.loads(json.dumps(method.describe()))
    assert make(described.pop("method"), described, CONTEXT) == method
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.parts = ()


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("tri_shape+a_shape", {}, r"tri_shape and a_shape both decide how the first prompt is encoded; choose one"),
        ("tri_shape+cacheblend", {}, r"tri_shape and cacheblend both decide how the first prompt is encoded"),
        ("snapkv+kivi", {}, r"snapkv and kivi both decide what later passes see"),
        ("a_shape+snapkv+kivi", {}, r"snapkv and kivi both"),
        ("full+snapkv", {}, r"full attention is what a stage without a method does; write snapkv"),
        ("full+full", {}, r"write full"),
        ("snapkv+tri_shape", {}, r"in the order in which they act; write tri_shape\+snapkv"),
        ("cacheblend+snapkv", {}, r"snapkv judges by the last query rows of the first prompt, of which cacheblend"),
        ("tri_shape+nothing", {}, r"'nothing' is not a method"),
        ("tri_shape+", {}, r"'' is not a method"),
        ("tri_shape+snapkv", {"budget": "1/8"}, r"tri_shape\+snapkv\.budget: .* tri_shape: \{budget: 1/8\} or snapkv:"),
        ("tri_shape+snapkv", {"window": 4}, r"tri_shape\+snapkv\.window: a composition has no settings of its own"),
        ("tri_shape+snapkv", {"snapkv": "1/8"}, r"tri_shape\+snapkv\.snapkv: '1/8' is not a mapping"),
        ("tri_shape+snapkv", {"snapkv": {"windw": 4}}, r"snapkv\.windw: no such setting"),
        ("tri_shape+snapkv", {"snapkv": {"window": 0}}, r"snapkv\.window: 0 is below 1"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_reason(name, settings, words):
    with pytest.raises(UserError, match=words):
        make(name, settings, 1024)


@pytest.mark.parametrize("loading", LOADING)
def test_a_loading_method_needs_the_rows_that_compression_drops(loading):
    for pair in (f"snapkv+{loading}", f"kivi+{loading}"):
        with pytest.raises(UserError, match=rf"{loading} chooses among rows of the first prompt that"):
            make(pair, {}, 1024)


def test_whatever_encodes_goes_with_whatever_acts_afterwards():
    first = [name for name in METHODS if METHODS[name].stage in ENCODING]
    second = [name for name in METHODS if METHODS[name].stage in ("compression", "loading")]
    for one in first:
        for other in second:
            scored = METHODS[other].query_rows is not Method.query_rows
            if not (METHODS[one].assembles and scored):
                assert make(f"{one}+{other}", {}, 1024).describe()["method"] == f"{one}+{other}"
