"""Each quirk of the published scorers by itself, and all of them together as the published rules said plainly."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scbench.places import ROOT
from scbench.quirks import OF_METRICS, OF_PROMPTS, SPECIAL_TOKENS
from scbench.scoring import METRICS, quirks_of, score_turn, score_with

CODE = "def total(prices, rate):\n    net = sum(prices)\n    return net + net * rate"
LONG = CODE.replace("net +", "\\\n        net + 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 +")
NEAR = LONG.replace("9", "8")
JAVA = "Total(int[] prices) {\n    int net = 0;\n    return;\n}"
AROUND = "import java.util.List;\n\npublic class Total {\n  private int net = 3;\n"
PYTHON = {"name": "total", "language": "python"}


def pool(*pairs):
    return json.dumps([{"name": name, "code": code} for name, code in pairs])


# quirk, task, prediction, golds, meta, strict score, score with the quirk alone
EXAMPLES = [
    ("field_names", "retr_kv", "a7", ["a7"], {"mode": "multi_request", "session_task": "mix_repoqa_kv"}, 1, 0),
    ("field_names", "retr_kv", "a7", ["a7"], {"mode": "multi_turn", "session_task": "mix_repoqa_kv"}, 1, 1),
    ("characters", "zh_qa", "张三丰", ["张三丰"], {}, 1, 0.5),
    ("characters", "zh_qa", "张三丰", ["张三丰"], {"stored_as": "list"}, 1, 1),
    ("characters", "icl_manyshot", "Answer: (C)", ["A"], {}, 0, 1),
    ("file_pool", "code_repoqa", LONG, [NEAR], PYTHON | {"pool": pool(("total", NEAR), ("twin", LONG))}, 1, 0),
    ("grammars", "code_repoqa", f"```\n{AROUND}{JAVA}\n}}```", [JAVA], {"name": "Total", "language": "java"}, 1, 0),
    ("choice_parser", "en_multichoice", "Based on the book: C", ["foo", "C"], {}, 1, 0),
    ("choice_parser", "en_multichoice", "I think (B)", ["foo", "B"], {}, 1, 0),
    ("rounded", "retr_multihop", "K1 K2", ["K1", "K2", "K3"], {}, 2 / 3, 0.67),
    ("unsigned", "math_find", "-5", ["5"], {}, 0, 1),
    ("unsigned", "math_find", "1,000", ["1000"], {}, 1, 0),
    ("number_label", "needle", "It is 7.", ["7"], {"stored_as": "int"}, 1, 0),
    ("fences", "code_repoqa", f"The function that was asked for is this: ```python\n{CODE}\n```", [CODE], PYTHON, 1, 0),
    ("first_function", "code_repoqa", "f = 1", ["f = 1"], PYTHON, 1, 0),
    ("raw_text", "en_qa", "John  Smith", ["John Smith"], {}, 1, 0),
    ("parts", "retr_kv", "xa7", ["a7"], {}, 0, 1),
    ("parts", "retr_prefix_suffix", "xa7", ["a7"], {}, 0, 1),
    ("parts", "retr_multihop", "K1K2", ["K1", "K2"], {}, 0, 1),
    ("parts", "en_qa", "a banker", ["bank"], {}, 0, 1),
    ("signs", "zh_qa", "《红》", ["红"], {}, 1, 2 / 3),
    ("cut_decimals", "math_find", "12.7", ["12"], {}, 0, 1),
    ("first_digits", "needle", "Of the 2nd: 7", ["7"], {}, 1, 0),
]
BY_NAME = {quirk.name: quirk for quirk in OF_METRICS}


@pytest.mark.parametrize(("name", "task", "prediction", "golds", "meta", "strict", "alone"), EXAMPLES)
def test_what_a_quirk_alone_does(name, task, prediction, golds, meta, strict, alone):
    assert score_with([], task, prediction, golds, **meta) == pytest.approx(strict)
    assert score_with([BY_NAME[name]], task, prediction, golds, **meta) == pytest.approx(alone)


def test_every_quirk_has_an_example_on_which_it_changes_the_score():
    assert {name for name, *_, strict, alone in EXAMPLES if strict != alone} == set(BY_NAME)


def test_a_quirk_names_the_tasks_whose_metrics_know_it():
    known = {quirk: tuple(task for task in METRICS if quirk in quirks_of(task)) for quirk in OF_METRICS}
    assert {quirk.name: set(quirk.tasks) for quirk in OF_METRICS} == {q.name: set(found) for q, found in known.items()}
    assert {quirk for task in METRICS for quirk in quirks_of(task)} == set(OF_METRICS)
    assert set(SPECIAL_TOKENS.tasks) == set(METRICS)


def test_the_documentation_describes_every_defect_once_and_names_every_quirk():
    text = (ROOT / "docs" / "defects.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (B\d+) \|", text, re.M) == [f"B{number}" for number in range(1, 27)]
    for quirk in (*OF_METRICS, *OF_PROMPTS, SPECIAL_TOKENS):
        rows = [line for line in text.splitlines() if f"`{quirk.name}`" in line]
        assert len(rows) == 1 and (not quirk.defect or rows[0].startswith(f"| {quirk.defect} |")), quirk.name


# The published rules, said once more and as shortly as they are: with all quirks a metric must be these.
def included(prediction, golds):
    return any(gold in prediction for gold in golds)


def first_number(prediction, golds):
    found = re.search(r"\d+\.\d+|\d+", prediction)
    return found is not None and int(float(found[0])) == int(golds[0])


def first_digits(prediction, golds):
    return next(iter(re.findall(r"[0-9]+", prediction)), None) == golds[0]


PUBLISHED = {
    "retr_kv": (("a7k3",), included),
    "retr_prefix_suffix": (("aB_^k",), included),
    "retr_multihop": (("K1", "M2", "P0"), lambda p, g: round(sum(x.lower() in p.lower() for x in g) / 3, 2)),
    "en_qa": (("The U.S.", "John Smith"), lambda p, g: any(x.upper() in p.strip().upper() for x in g)),
    "icl_manyshot": (("C",), lambda p, g: "C" in p.upper()),
    "math_find": (("12",), first_number),
    "needle": (("0472",), first_digits),
}
PIECES = ["a7k3", "A7K3", "aB_^k", "K1", "m2", "p0", "the", "U.S.", "us", "John", "Smith", "(C)", "c", "B", "Answer: "]
PIECES += ["12", "-12", "12.7", "1,2", "2nd", "0472", "472", " ", "  ", "\n", "_", "-", ".", "x", "é"]
ANSWERS = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(PUBLISHED)), ANSWERS)
def test_all_quirks_together_are_the_published_rule_and_none_the_corrected_one(task, prediction):
    golds, published = PUBLISHED[task]
    compat = score_turn(task, prediction, golds, profile="compat")
    assert compat == score_with(quirks_of(task), task, prediction, golds) == published(prediction, golds)
    assert score_turn(task, prediction, golds, profile="strict") == score_with([], task, prediction, golds)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(PUBLISHED)), ANSWERS)
def test_a_quirk_of_other_metrics_changes_nothing(task, prediction):
    others = [quirk for quirk in OF_METRICS if quirk not in quirks_of(task)]
    golds = PUBLISHED[task][0]
    assert score_with(others, task, prediction, golds) == score_with([], task, prediction, golds)
