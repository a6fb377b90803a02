"""A composition is a row like any other: in a study, its plan, its keys and its tables."""

import pytest

from scbench import cellkey, codedigest
from scbench.artifacts.board import read_board
from scbench.errors import UserError
from scbench.methods import METHODS
from scbench.places import ROOT
from scbench.plan import Plan, make_plan
from scbench.schema import read_yaml
from scbench.study import load_study, resolve, starts_dense

PAIR = "tri_shape+snapkv"
SETTINGS = {"tri_shape": {"budget": "1/4"}, "snapkv": {"budget": "1/8"}}


def plan_of(methods: dict, **changes: object) -> Plan:
    config = read_yaml(ROOT / "studies" / "smoke.yaml") | {"tasks": ["retr_kv"], "methods": methods, "floor": False}
    return make_plan(load_study(config | changes, "my.yaml"))


def key_of(methods: dict) -> str:
    plan = plan_of(methods)
    return cellkey.key(plan.study, plan.cells[0], {})


def test_a_pair_is_named_by_the_label_or_by_method():
    study = plan_of({PAIR: SETTINGS, "both": {"method": PAIR} | SETTINGS}).study
    assert [row.method for row in study.methods] == [PAIR, PAIR]
    first, second = (resolve(study, row) for row in study.methods)
    assert first == second
    assert (first["tri_shape"]["budget"], first["snapkv"]["budget"]) == (1 / 4, 1 / 8)
    assert load_study(study.resolved(), "again").resolved() == study.resolved()


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ({"snapkv+kivi": {}}, r"my\.yaml: methods\.snapkv\+kivi: .* both decide"),
        ({"tri_shape+snapvk": {}}, r"my\.yaml: methods\.tri_shape\+snapvk\.method: 'snapvk' .*did you mean 'snapkv'"),
        ({"full+snapkv": {}}, r"my\.yaml: methods\.full\+snapkv: .* write snapkv"),
        ({PAIR: {"budget": "1/8"}}, r"my\.yaml: methods\.tri_shape\+snapkv: .*no settings of its own"),
        ({"mine": {"method": PAIR, "snapkv": {"budget": 2000}}}, r"my\.yaml: methods\.mine: snapkv\.budget: 2000"),
    ],
)
def test_what_does_not_go_together_is_refused_before_any_job(methods: dict, words: str):
    with pytest.raises(UserError, match=words):
        plan_of(methods)


def test_it_starts_dense_where_both_parts_do():
    for first in METHODS:
        assert starts_dense(f"{first}+snapkv") is METHODS[first].starts_dense
    plan = plan_of({"full": {}, "snapkv": {}, PAIR: {}})
    units = {tuple(row.label for row in unit.rows) for shard in plan.shards for unit in shard.units}
    assert units == {("full", "snapkv"), (PAIR,)}


def test_its_key_follows_the_settings_and_the_code_of_both_parts(monkeypatch: pytest.MonkeyPatch):
    base = key_of({PAIR: SETTINGS})
    assert base == key_of({"both": {"method": PAIR} | SETTINGS})
    others = [SETTINGS | {"tri_shape": {"budget": "1/8"}}, SETTINGS | {"snapkv": {"budget": "1/8", "window": 5}}]
    assert len({base, *(key_of({PAIR: other}) for other in others)}) == 3
    assert base != key_of({"a_shape+snapkv": {"a_shape": {"budget": "1/4"}, "snapkv": {"budget": "1/8"}}})
    digest = codedigest.module_digest
    for edited in ("generation.tri_shape", "compression.snapkv", "compression.window_scores", "compose"):
        module = f"scbench.methods.{edited}"
        monkeypatch.setattr(codedigest, "module_digest", lambda name, m=module: "0" if name == m else digest(name))
        cellkey._modules_digest.cache_clear()
        assert key_of({PAIR: SETTINGS}) != base, module
    monkeypatch.undo()
    cellkey._modules_digest.cache_clear()


def test_a_table_shows_both_names_and_budgets():
    wide = SETTINGS | {"snapkv": {"budget": "1/8", "window": 5}}
    methods = {PAIR: wide, "a_shape+kivi": {}, "mine": {"method": PAIR}}
    lines = read_board(plan_of(methods).study).lines
    assert [(line.title, line.budget, line.memory) for line in lines] == [
        ("Tri-shape + SnapKV", "1/4 + 1/8, window 5", "sub-O(n)"),
        ("A-shape + KIVI", "1/8 + 1/8", "O(n)"),
        ("mine", "1/8 + 1/8", "sub-O(n)"),
    ]


def test_a_part_that_is_not_built_yet_is_pending(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(METHODS, "snapkv")
    study = plan_of({PAIR: SETTINGS}).study
    assert study.pending == ("methods snapkv",)
    assert [line.budget for line in read_board(study).lines] == ["1/4 + 1/8"]
