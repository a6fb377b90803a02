"""What a budget means, method by method: sizes at the paper's context of 131,072 tokens and at 1,024.

At the paper's length 1/32 gives the published sizes; other budgets keep their proportions, for what the authors ran is
not published. At 1,024 tokens minima keep sinks, windows and blocks meaningful.
"""

import pytest

from scbench.errors import UserError
from scbench.methods import METHODS, make
from scbench.study import PAPER_CONTEXT, PAPER_METHODS

BUDGETS = ("1/2", "1/4", "1/8", "1/16", "1/32")
KEPT = {PAPER_CONTEXT: (65_536, 32_768, 16_384, 8_192, 4_096), 1024: (512, 256, 128, 64, 32)}

# context -> method -> setting -> its value at each of BUDGETS; None where the method has no such budget
SIZES = {
    PAPER_CONTEXT: {
        "a_shape": {"sink": (2048, 1024, 512, 256, 128), "local": (63488, 31744, 15872, 7936, 3968)},
        "tri_shape": {
            "sink": (2048, 1024, 512, 256, 128),
            "local": (63488, 31744, 15872, 7936, 3968),
            "last": (2048, 1024, 512, 256, 128),
        },
        "trianglemix": {"sink": (2048, 1024, 512, 256, 128), "local": (63488, 31744, 15872, 7936, 3968)},
        "minference": {
            "vertical": (13107, 6553, 3276, 1638, 819),
            "slash": (52429, 26215, 13108, 6554, 3277),
            "first": (30,) * 5,
            "recent": (100,) * 5,
            "block": (64,) * 5,
        },
        "streaming_llm": {"sink": (2048, 1024, 512, 256, 128), "local": (63488, 31744, 15872, 7936, 3968)},
        "snapkv": {"capacity": KEPT[PAPER_CONTEXT], "window": (32,) * 5},
        "pyramidkv": {"capacity": KEPT[PAPER_CONTEXT], "window": (32,) * 5},
        "knorm": {"capacity": KEPT[PAPER_CONTEXT]},
        "kivi": {"bits": (8, 4, 2, None, None), "group": (32, 32, 32, None, None)},
        "quest": {"token_budget": KEPT[PAPER_CONTEXT], "page": (16,) * 5},
        "retrieval_attention": {
            "sink": (2048, 1024, 512, 256, 128),
            "recent": (8192, 4096, 2048, 1024, 512),
            "top_k": (55296, 27648, 13824, 6912, 3456),
        },
        "oracle_topk": {"top_k": KEPT[PAPER_CONTEXT]},
        "llmlingua2": {"budget": (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32)},
    },
    1024: {
        "a_shape": {"sink": (16, 16, 16, 16, 8), "local": (496, 240, 112, 48, 24)},
        "tri_shape": {"sink": (16, 16, 16, 16, 8), "local": (496, 240, 112, 48, 24), "last": (32,) * 5},
        "trianglemix": {"sink": (16, 16, 16, 16, 8), "local": (496, 240, 112, 48, 24), "last": (32,) * 5},
        "minference": {
            "vertical": (102, 51, 25, 12, 6),
            "slash": (410, 205, 103, 52, 26),
            "first": (6, 4, 4, 4, 4),
            "recent": (20, 10, 8, 8, 8),
            "block": (64, 32, 16, 8, 4),
        },
        "streaming_llm": {"sink": (16, 16, 16, 16, 8), "local": (496, 240, 112, 48, 24)},
        "snapkv": {"capacity": KEPT[1024], "window": (32, 32, 16, 8, 4)},
        "pyramidkv": {"capacity": KEPT[1024], "window": (32, 32, 16, 8, 4)},
        "knorm": {"capacity": KEPT[1024]},
        "kivi": {"bits": (8, 4, 2, None, None), "group": (32, 32, 32, None, None)},
        "quest": {"token_budget": KEPT[1024], "page": (16, 16, 8, 4, 4)},
        "retrieval_attention": {
            "sink": (16, 16, 16, 16, 8),
            "recent": (64, 32, 32, 16, 8),
            "top_k": (432, 208, 80, 32, 16),
        },
        "oracle_topk": {"top_k": KEPT[1024]},
        "llmlingua2": {"budget": (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32)},
    },
}
# They keep everything: full attention, and CacheBlend, whose share is of tokens computed again.
WITHOUT_BUDGET = ("full", "cacheblend")


@pytest.mark.parametrize(
    ("context", "name"), [(context, name) for context in SIZES for name in SIZES[context]], ids=str
)
def test_a_budget_gives_these_sizes(context, name):
    for setting, values in SIZES[context][name].items():
        for budget, value in zip(BUDGETS, values, strict=True):
            if value is None:
                with pytest.raises(UserError, match=rf"{name}\.budget"):
                    make(name, {"budget": budget}, context)
            else:
                assert getattr(make(name, {"budget": budget}, context), setting) == value, (budget, setting)


@pytest.mark.parametrize("name", [name for name in SIZES[PAPER_CONTEXT] if METHODS[name].budgeted])
def test_the_sizes_that_count_add_up_to_the_budget(name):
    for context, kept in KEPT.items():
        for budget, tokens in zip(BUDGETS, kept, strict=True):
            method = make(name, {"budget": budget}, context)
            assert sum(getattr(method, key) for key in method.budgeted) == tokens


@pytest.mark.parametrize("name", WITHOUT_BUDGET)
def test_what_keeps_everything_has_no_budget(name):
    with pytest.raises(UserError, match=rf"{name}\.budget"):
        make(name, {"budget": "1/8"}, PAPER_CONTEXT)


def test_every_method_of_the_paper_stands_in_the_table():
    assert set(METHODS) & set(PAPER_METHODS) <= {*SIZES[PAPER_CONTEXT], *WITHOUT_BUDGET}
    assert set(SIZES[PAPER_CONTEXT]) == set(SIZES[1024])
