"""Settings: sizes that follow from budgets, what is refused and in which words, what a method says about itself."""

import dataclasses
import json
import subprocess
import sys

import pytest

from scbench.codedigest import closure, source_file
from scbench.engines import CORE_MODULES
from scbench.errors import UserError
from scbench.methods import METHODS, make
from scbench.places import OWN_METHODS

PAPER = 131_072


def sizes(name, settings, context_tokens):
    described = make(name, settings, context_tokens).describe()
    return {key: value for key, value in described.items() if key not in ("method", "budget")}


def test_the_paper_budget_gives_the_published_sizes():
    budget = {"budget": 1 / 32}
    assert sizes("a_shape", budget, PAPER) == {"sink": 128, "local": 3968}
    assert sizes("tri_shape", budget, PAPER) == {"sink": 128, "local": 3968, "last": 128}
    assert sizes("streaming_llm", budget, PAPER) == {"sink": 128, "local": 3968}
    snapkv = {"capacity": 4096, "window": 32, "kernel": 5, "selection": "kv_head"}
    assert sizes("snapkv", budget, PAPER) == snapkv
    assert sizes("pyramidkv", budget, PAPER) == snapkv | {"beta": 20}
    assert sizes("trianglemix", budget, PAPER) == {"sink": 128, "local": 3968, "last": 128, "dense_share": 0.5}
    assert sizes("kivi", {}, PAPER) == {"bits": 2, "group": 32, "residual": 32, "grow": False}
    assert sizes("cacheblend", {}, PAPER) == {"chunk": 256, "recompute": 0.15}


def test_the_default_budget_keeps_its_meaning_at_a_thousand_tokens():
    assert sizes("a_shape", {}, 1024) == {"sink": 16, "local": 112}
    assert sizes("tri_shape", {}, 1024) == {"sink": 16, "local": 112, "last": 32}
    assert sizes("streaming_llm", {}, 1024) == {"sink": 16, "local": 112}
    assert sizes("snapkv", {}, 1024) == {"capacity": 128, "window": 16, "kernel": 5, "selection": "kv_head"}


@pytest.mark.parametrize(("tokens", "chunk"), [(10, 10), (100, 16), (1024, 64), (4096, 256), (PAPER, 256)])
def test_chunks_grow_with_the_context_to_the_published_size(tokens, chunk):
    assert sizes("cacheblend", {}, tokens)["chunk"] == chunk


@pytest.mark.parametrize(("budget", "bits"), [(1 / 2, 8), (0.25, 4), ("1/8", 2)])
def test_kivi_turns_a_budget_into_bits_and_back(budget, bits):
    assert make("kivi", {"budget": budget}, 1024) == make("kivi", {"bits": bits}, 1024)


@pytest.mark.parametrize("budget", [0.125, "1/8", 128, "128"])
def test_a_budget_is_a_share_or_a_number_of_tokens(budget):
    assert make("snapkv", {"budget": budget}, 1024) == make("snapkv", {}, 1024)


@pytest.mark.parametrize("tokens", [1, 2, 7, 33, 100])
@pytest.mark.parametrize("share", [1, "1/2", "1/32"])
@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name].budgeted == ("sink", "local")])
def test_sink_and_window_add_up_to_the_budget_however_small(name, tokens, share):
    made = sizes(name, {"budget": share}, tokens)
    assert made["sink"] >= 0
    assert made["local"] >= 1
    assert made["sink"] + made["local"] == make("a_shape", {"budget": share}, tokens).local + made["sink"]
    assert made["sink"] + made["local"] <= tokens


def test_given_sizes_win_and_the_window_takes_what_the_sink_leaves():
    assert sizes("a_shape", {"sink": 4}, 1024) == {"sink": 4, "local": 124}
    assert sizes("a_shape", {"sink": 4, "local": 9}, 1024) == {"sink": 4, "local": 9}


@pytest.mark.parametrize(
    ("name", "settings", "tokens"),
    [
        ("snapkv", {"capacity": 200}, 200),
        ("a_shape", {"sink": 4, "local": 9}, 13),
        ("tri_shape", {"sink": 4, "local": 9, "last": 100}, 13),
        ("streaming_llm", {"local": 1008}, 1024),
        ("streaming_llm", {"sink": 4}, 128),
        ("snapkv", {"capacity": 64, "budget": "1/16"}, 64),
    ],
)
def test_the_budget_of_given_sizes_is_what_they_make(name, settings, tokens):
    made = make(name, settings, 1024)
    assert made.budget == tokens / 1024
    described = made.describe()
    assert make(described.pop("method"), described, 1024) == made


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("flash", {}, r"'flash' is not a method; choose one of full, a_shape"),
        ("snapkv", {"windw": 8}, r"snapkv\.windw: no such setting; snapkv has budget, capacity, window"),
        ("snapkv", {"budget": 2048}, r"snapkv\.budget: 2048 .* up to its 1024"),
        ("snapkv", {"budget": 0}, r"snapkv\.budget: 0 "),
        ("snapkv", {"budget": -0.5}, r"snapkv\.budget: -0\.5 "),
        ("snapkv", {"budget": 1.5}, r"snapkv\.budget: 1\.5 "),
        ("snapkv", {"budget": "an eighth"}, r"snapkv\.budget: 'an eighth' "),
        ("snapkv", {"budget": "1/0"}, r"snapkv\.budget: '1/0' "),
        ("snapkv", {"budget": True}, r"snapkv\.budget: True "),
        ("snapkv", {"budget": float("nan")}, r"snapkv\.budget: nan "),
        ("snapkv", {"window": 200}, r"snapkv\.window: 200 .* capacity of 128"),
        ("snapkv", {"window": 0}, r"snapkv\.window: 0 is below 1"),
        ("snapkv", {"window": 2.5}, r"snapkv\.window: 2\.5 is not a whole number"),
        ("snapkv", {"window": True}, r"snapkv\.window: True is not a whole number"),
        ("snapkv", {"kernel": 4}, r"snapkv\.kernel: 4 is even"),
        ("snapkv", {"selection": "layer"}, r"snapkv\.selection: 'layer' is not one of kv_head, query_head"),
        ("knorm", {"capacity": 0}, r"knorm\.capacity: 0 is below 1"),
        ("pyramidkv", {"window": 200}, r"pyramidkv\.window: 200 .* capacity of 128"),
        ("pyramidkv", {"kernel": 4}, r"pyramidkv\.kernel: 4 is even"),
        ("pyramidkv", {"selection": "layer"}, r"pyramidkv\.selection: 'layer' is not one of"),
        ("pyramidkv", {"beta": 0}, r"pyramidkv\.beta: 0 is below 1"),
        ("a_shape", {"sink": "many"}, r"a_shape\.sink: 'many' is not a whole number"),
        ("a_shape", {"sink": -1}, r"a_shape\.sink: -1 is below 0"),
        ("tri_shape", {"sink": 500}, r"tri_shape\.local: -372 is below 1"),
        ("tri_shape", {"last": -1}, r"tri_shape\.last: -1 is below 0"),
        ("trianglemix", {"dense_share": 1.5}, r"trianglemix\.dense_share: 1\.5 .* from 0 to 1"),
        ("trianglemix", {"dense_share": "half"}, r"trianglemix\.dense_share: 'half' "),
        ("trianglemix", {"dense_share": True}, r"trianglemix\.dense_share: True "),
        ("trianglemix", {"dense_share": float("nan")}, r"trianglemix\.dense_share: nan "),
        ("trianglemix", {"last": -1}, r"trianglemix\.last: -1 is below 0"),
        ("streaming_llm", {"local": 0}, r"streaming_llm\.local: 0 is below 1"),
        ("snapkv", {"capacity": 30000}, r"snapkv\.capacity: 30000 is above the context of 1024 tokens"),
        ("snapkv", {"capacity": 64, "budget": "1/8"}, r"snapkv\.budget: '1/8' is 128 tokens, but capacity is 64"),
        ("a_shape", {"local": 1025}, r"a_shape\.local: 1025 is above"),
        ("tri_shape", {"last": 1025}, r"tri_shape\.last: 1025 is above"),
        ("streaming_llm", {"sink": 800, "local": 800}, r"streaming_llm: sink \+ local is 1600 tokens, above"),
        ("kivi", {"budget": "1/32"}, r"kivi\.budget: .* give budget 1/8, 1/4 or 1/2"),
        ("kivi", {"bits": 3}, r"kivi\.budget: .* 3 bits"),
        ("kivi", {"bits": 4, "budget": 0.5}, r"kivi\.budget: a share of 0\.5 with 4 bits"),
        ("kivi", {"residual": 40}, r"kivi\.residual: 40 is not a multiple of the group of 32"),
        ("cacheblend", {"budget": "1/8"}, r"cacheblend\.budget: 0\.125, but it keeps everything; .* `recompute`"),
        ("cacheblend", {"chunk": 0}, r"cacheblend\.chunk: 0 is below 1"),
        ("cacheblend", {"chunk": 1025}, r"cacheblend\.chunk: 1025 is above the context of 1024 tokens"),
        ("cacheblend", {"recompute": 1.5}, r"cacheblend\.recompute: 1\.5 is not a share from 0 to 1"),
        ("cacheblend", {"recompute": "15%"}, r"cacheblend\.recompute: '15%' "),
        ("cacheblend", {"recompute": True}, r"cacheblend\.recompute: True "),
        ("cacheblend", {"recompute": float("nan")}, r"cacheblend\.recompute: nan "),
        ("llmlingua2", {"budget": "1/64"}, r"llmlingua2\.budget: 0\.01562 is below 0\.02.* give 1/50 or more"),
        ("llmlingua2", {"rate": 0.5}, r"llmlingua2\.rate: no such setting; llmlingua2 has budget, classifier"),
        ("llmlingua2", {"classifier": 3}, r"llmlingua2\.classifier: 3 is not a name"),
        ("llmlingua2", {"classifier": "bert"}, r"llmlingua2\.classifier: 'bert' is unknown.* allowed: minilm_classif"),
        ("llmlingua2", {"classifier": "no/where"}, r"llmlingua2\.classifier: no/where is not a directory with a conf"),
        ("llmlingua2", {"classifier_sha256": "0"}, r"llmlingua2\.classifier_sha256: '0', but the files of minilm_cl"),
        ("llmlingua2", {"force": "?"}, r"llmlingua2\.force: '\?' is not a list of strings"),
        ("llmlingua2", {"force": ["?", ""]}, r"llmlingua2\.force: \['\?', ''\] is not a list of strings"),
        ("kivi", {"grow": "yes"}, r"kivi\.grow: 'yes' is neither true nor false"),
        ("full", {"budget": 0.5}, r"full\.budget: 0\.5"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(name, settings, words):
    with pytest.raises(UserError, match=words):
        make(name, settings, 1024)


def test_a_description_is_json_and_makes_the_same_method(method):
    described = json.loads(json.dumps(method.describe()))
    assert make(described.pop("method"), described, 170) == method


def test_settings_cannot_change_under_a_key(method):
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.budget = 0.5


def is_own(method):
    """Whether it is a user's own, from outside the package."""
    return method.modules[0].startswith(f"{OWN_METHODS.name}.")


def test_every_method_says_where_it_comes_from(method):
    assert METHODS[method.name] is type(method)
    assert method.title
    assert method.paper
    assert method.__doc__
    assert method.stage in ("baseline", "generation", "compression", "retrieval", "loading")
    assert list(method.complexity) == ["prefill_efficient", "decode_efficient", "kv_size", "prefill", "decode"]
    assert f".{method.stage}." in method.modules[0] or method.stage == "baseline" or is_own(method)


def test_a_method_declares_every_module_that_decides_its_results(method):
    assert sys.modules[type(method).__module__].__name__ == method.modules[0]
    ours = {module for module in closure(method.modules[:1]) if module.startswith("scbench.methods.")}
    # Settings reach a key by their values; base is in the core.
    assert ours - {"scbench.methods.base", "scbench.methods.budget"} <= set(method.modules)
    assert all(source_file(module).is_file() for module in (*method.modules, *CORE_MODULES))
    assert not set(method.modules) & set(CORE_MODULES)


def test_planning_needs_no_deep_learning_library():
    code = (
        "import sys, scbench.engines; from scbench.methods import METHODS, make; "
        "[make(name, {}, 1024).describe() for name in METHODS]; "
        "sys.exit(bool({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
