"""A cell's key changes with whatever decides its results, code included, and with nothing else."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from scbench import cellkey, codedigest, store
from scbench.engines import CORE_MODULES, ENGINE_MODULES
from scbench.methods import METHODS
from scbench.methods.compose import Composition
from scbench.places import ROOT
from scbench.plan import Plan, make_plan
from scbench.schema import read_yaml
from scbench.study import PAPER_CONTEXT, load_study, read_study


def plan_of(**changes: object) -> Plan:
    config = read_yaml(ROOT / "studies" / "smoke.yaml") | {"tasks": ["retr_kv"]}
    return make_plan(load_study(config | changes, "my.yaml"))


KEY_FIELDS = {
    "the method's settings": {"methods": {"snapkv": {"budget": "1/4"}}},
    "prompts": {"prompts": "compat"},
    "dtype": {"execution": {"dtype": "bfloat16"}},
    "threads": {"execution": {"threads": 2}},
    "tokens of a pass": {"execution": {"prefill_chunk": 512}},
}


@pytest.mark.parametrize("change", KEY_FIELDS.values(), ids=KEY_FIELDS)
def test_what_decides_results_is_in_the_key(change: dict):
    base = {"methods": {"snapkv": {"budget": "1/8"}}}
    first, second = (plan_of(**(base | extra)) for extra in ({}, change))
    keys = [cellkey.key(plan.study, plan.cells[0], cellkey.machine(plan.study)) for plan in (first, second)]
    assert keys[0] != keys[1]


def test_history_is_in_the_key_only_where_it_is_read():
    golden, generated = plan_of(), plan_of(history="generated")
    same = {
        cell.mode: cellkey.key(golden.study, cell, {}) == cellkey.key(generated.study, other, {})
        for cell, other in zip(golden.cells, generated.cells, strict=True)
    }
    assert same == {"multi_turn": False, "multi_request": True}


def test_a_limit_to_some_rows_changes_no_key():
    methods = {"full": {}, "snapkv": {"budget": "1/8"}, "a_shape": {"budget": "1/8"}}
    keys = []
    for models in (["minilm", "minilm_l"], ["minilm", {"name": "minilm_l", "methods": ["a_shape", "full"]}]):
        plan = plan_of(models=models, methods=methods)
        keys.append({cell.id: cellkey.key(plan.study, cell, {}) for cell in plan.cells})
    every, some = keys
    assert some.items() < every.items()
    assert {cell[:2] for cell in every.keys() - some.keys()} == {("minilm_l", "snapkv")}


def test_the_floor_has_a_key_of_its_own():
    plan = plan_of()
    keys = {cell.id: cellkey.key(plan.study, cell, {}) for cell in plan.cells}
    assert len(set(keys.values())) == len(keys)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"])
def test_every_file_of_the_model_is_in_the_key(file: str):
    plan = plan_of()
    cell = plan.cells[0]
    pins = dict.fromkeys(("model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"), "0" * 64)
    keys = {
        cellkey.key(plan.study, replace(cell, model=replace(cell.model, files=files)), {})
        for files in (pins, pins | {file: "1" * 64})
    }
    assert len(keys) == 2


def test_the_place_of_the_model_and_its_price_are_not():
    plan = plan_of()
    cell = plan.cells[0]
    moved = replace(cell.model, path="/elsewhere", mem_mb=1, title="Another title")
    assert cellkey.key(plan.study, replace(cell, model=moved), {}) == cellkey.key(plan.study, cell, {})


def test_the_kind_of_machine_is_in_the_key():
    plan = plan_of()
    here = cellkey.machine(plan.study)
    assert cellkey.key(plan.study, plan.cells[0], here) != cellkey.key(plan.study, plan.cells[0], {"device": "another"})


def test_instructions_of_16_bits_count_where_these_are_computed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(cellkey, "Path", lambda _: cpuinfo)
    told = {}
    for dtype in ("float32", "bfloat16"):
        for more in ("", " amx_bf16"):
            cpuinfo.write_text(f"flags : fma avx2{more} sse2")
            told[dtype, more] = cellkey._vector_instructions(dtype)
    assert told["float32", ""] == told["float32", " amx_bf16"] == told["bfloat16", ""] == "avx2"
    assert told["bfloat16", " amx_bf16"] == "avx2 amx_bf16"


def test_fields_are_json_and_name_the_layout_of_the_store(monkeypatch: pytest.MonkeyPatch):
    plan = plan_of()
    fields = cellkey.fields(plan.study, plan.cells[0])
    assert json.loads(json.dumps(fields)) == fields
    assert fields["layout"] == store.LAYOUT
    before = cellkey.key(plan.study, plan.cells[0], {})
    monkeypatch.setattr(cellkey, "LAYOUT", store.LAYOUT + 1)
    assert cellkey.key(plan.study, plan.cells[0], {}) != before


def test_prompts_may_take_the_models_context_and_at_paper_scale_at_most_the_papers():
    mini, paper = plan_of().study, read_study(ROOT / "studies" / "paper.yaml")
    assert cellkey.prompt_limit(mini, mini.models[0]) == mini.models[0].context
    long = next(model for model in paper.models if model.context > PAPER_CONTEXT)
    for tokens in (None, 1024):
        study = replace(paper, data=replace(paper.data, tokens=tokens))
        assert cellkey.prompt_limit(study, long) == PAPER_CONTEXT
        assert cellkey.prompt_limit(study, replace(long, context=4096)) == 4096


# What a computation imports although none of its code decides a turn that the store keeps.
DECIDES_NOTHING = {
    "kernels.reference": "what kernels are compared with",
    "scbench.canonical": "files and digests",
    "scbench.cellkey": "the key itself; the prompt limit stands in it by value",
    "scbench.codedigest": "the key itself",
    "scbench.corpus": "gathers; sessions are looked up by their own digest",
    "scbench.corpus.folder": "sessions are looked up by their own digest",
    "scbench.corpus.git": "brings documents; sessions are looked up by their own digest",
    "scbench.corpus.releases": "sessions are looked up by their own digest",
    "scbench.corpus.rows": "sessions are looked up by their own digest",
    "scbench.corpus.source_code": "sessions are looked up by their own digest",
    "scbench.costs": "how work is cut into jobs",
    "scbench.engines": "gathers; hands its arguments through",
    "scbench.engines.agreement": "refuses checkpoints, changes none",
    "scbench.errors": "what a user is told",
    "scbench.journal": "storage",
    "scbench.kv": "gathers",
    "scbench.kv.envelope": "refuses models, changes none",
    "scbench.leases": "who computes",
    "scbench.methods": "gathers; resolved settings stand in the key by value",
    "scbench.methods.budget": "resolved settings stand in the key by value",
    "scbench.models": "refuses files; their digests stand in the key by value",
    "scbench.places": "where files are",
    "scbench.plan": "how work is cut into jobs",
    "scbench.quirks": "refuses studies; the prompts that they name stand in the key by value, with this code",
    "scbench.records": "names of what is kept; scbench.compute.KEPT and the layout decide",
    "scbench.schema": "refuses studies",
    "scbench.scoring.languages": "reads the source code that sessions are made from",
    "scbench.sessions": "sessions are looked up by their own digest",
    "scbench.store": "storage; its layout stands in the key by value",
    "scbench.study": "settings stand in the key by value",
    "scbench.trainkey": "what a plan knows of a model before its files, which stand in the key by value",
    "scbench.versions": "stand in the key by value",
}


def test_all_code_that_a_turn_runs_through_is_in_the_key_or_known_to_decide_nothing():
    methods = (*METHODS.values(), Composition)
    declared = {*CORE_MODULES, *(module for method in methods for module in method.modules)}
    declared.update(module for modules in ENGINE_MODULES.values() for module in modules)
    # A task's sessions are looked up by their own digest; its length of answers stands in the key by value.
    reached = {
        module for module in codedigest.closure(["scbench.compute"]) if not f"{module}.".startswith("scbench.tasks.")
    }
    assert reached <= declared | set(DECIDES_NOTHING)
    assert set(DECIDES_NOTHING) <= reached
    assert not declared & set(DECIDES_NOTHING)
