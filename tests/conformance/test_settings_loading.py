"""Settings of the loading methods: published sizes, sizes at small budgets, and what is refused."""

import pytest

from scbench.errors import UserError
from scbench.methods import METHODS, make
from tests.conformance.test_settings import PAPER, sizes


def test_the_paper_budget_gives_the_published_sizes():
    budget = {"budget": 1 / 32}
    pages = {"token_budget": 4096, "page": 16, "selection": "query_head", "dense_layers": 0}
    assert sizes("quest", budget, PAPER) == pages
    static = {"sink": 128, "recent": 512, "top_k": 3456}
    assert sizes("retrieval_attention", budget, PAPER) == static | {"search": "exact", "lists": 362, "probes": 91}
    assert sizes("oracle_topk", budget, PAPER) == {"top_k": 4096}
    assert sizes("magicpig", budget, PAPER) == {"sink": 4, "local": 64, "bits": 10, "tables": 219, "seed": 0}


def test_the_default_budget_keeps_its_meaning_at_a_thousand_tokens():
    pages = {"token_budget": 128, "page": 8, "selection": "query_head", "dense_layers": 0}
    assert sizes("quest", {}, 1024) == pages
    assert sizes("quest", {"budget": "1/32"}, 1024) == pages | {"token_budget": 32, "page": 4}
    static = {"sink": 16, "recent": 32, "top_k": 80}
    assert sizes("retrieval_attention", {}, 1024) == static | {"search": "exact", "lists": 32, "probes": 8}
    assert sizes("magicpig", {}, 1024) == {"sink": 4, "local": 32, "bits": 6, "tables": 31, "seed": 0}


@pytest.mark.parametrize("tokens", [1, 2, 4, 7, 33, 100, 1024])
@pytest.mark.parametrize("share", [1, "1/2", "1/32"])
@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name].stage == "loading"])
def test_any_budget_makes_sizes_and_they_make_it(name, tokens, share):
    made = make(name, {"budget": share}, tokens)
    if made.budgeted:
        assert sum(getattr(made, key) for key in made.budgeted) == max(1, round(made.budget * tokens))
    described = made.describe()
    assert make(described.pop("method"), described, tokens) == made


@pytest.mark.parametrize("budget", [1 / 2, 1 / 8, 1 / 32])
def test_magicpig_turns_a_budget_into_tables_and_tables_into_a_budget(budget):
    asked = make("magicpig", {"budget": budget}, 4096)
    window = {"sink": asked.sink, "local": asked.local}
    given = make("magicpig", {"tables": asked.tables, **window}, 4096)
    assert budget <= given.budget < budget * 1.05, "a whole number of tables"
    assert make("magicpig", {"tables": asked.tables - 1, **window}, 4096).budget < budget
    described = given.describe()
    assert make(described.pop("method"), described, 4096) == given


def test_given_static_tokens_leave_the_rest_to_the_index():
    made = sizes("retrieval_attention", {"sink": 4, "recent": 20}, 1024)
    assert made["sink"] + made["recent"] + made["top_k"] == 128
    assert make("retrieval_attention", {"top_k": 208}, 1024).budget == 1 / 4


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("quest", {"selection": "layer"}, r"quest\.selection: 'layer' is not one of query_head, kv_head"),
        ("quest", {"page": 0}, r"quest\.page: 0 is below 1"),
        ("quest", {"dense_layers": -1}, r"quest\.dense_layers: -1 is below 0"),
        ("quest", {"token_budget": 0}, r"quest\.token_budget: 0 is below 1"),
        ("quest", {"token_budget": 64, "budget": "1/8"}, r"quest\.budget: '1/8' is 128 tokens, but token_budget is 64"),
        ("oracle_topk", {"top_k": 2000}, r"oracle_topk\.top_k: 2000 is above the context"),
        ("retrieval_attention", {"search": "hnsw"}, r"retrieval_attention\.search: 'hnsw' is not one of exact, ann"),
        ("retrieval_attention", {"sink": 200}, r"retrieval_attention\.top_k: -104 is below 1"),
        ("retrieval_attention", {"lists": 4, "probes": 5}, r"retrieval_attention\.probes: 5 is above the 4 lists"),
        ("retrieval_attention", {"lists": 0}, r"retrieval_attention\.lists: 0 is below 1"),
        ("magicpig", {"bits": 0}, r"magicpig\.bits: 0 is below 1"),
        ("magicpig", {"bits": 17}, r"magicpig\.bits: 17 is above 16"),
        ("magicpig", {"tables": 1}, r"magicpig\.tables: 1 is below 2"),
        ("magicpig", {"seed": -1}, r"magicpig\.seed: -1 is below 0"),
        ("magicpig", {"local": 300}, r"magicpig\.local: sink \+ local is 304 tokens, above the budget of 128"),
        ("magicpig", {"tables": 9, "budget": "1/8"}, r"magicpig\.budget: '1/8' makes 31 tables, but tables is 9"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(name, settings, words):
    with pytest.raises(UserError, match=words):
        make(name, settings, 1024)
