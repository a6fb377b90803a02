"""The plan covers every cell and session exactly once, within the minutes allowed, and knows what shares a prefill."""

import copy
import time
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scbench.costs import answer_length, session_count, session_seconds
from scbench.errors import UserError
from scbench.places import ROOT
from scbench.plan import FEWEST_SESSIONS, MARGIN, SHORTEST_REQUEST, Plan, make_plan, shared_prefill_saves
from scbench.schema import read_yaml
from scbench.study import FLOOR, load_study, read_study, starts_dense
from scripts import plan as command

MINI = read_yaml(ROOT / "config.yaml")


def plan_of(**execution: object) -> Plan:
    config = copy.deepcopy(MINI)
    sessions = execution.pop("sessions", config["data"]["sessions"])
    config["data"]["sessions"] = sessions
    config["execution"] |= execution
    return make_plan(load_study(config, "my.yaml"))


def covered(plan: Plan) -> Counter:
    """How often each (cell, session) is planned."""
    return Counter(
        (part.cell.id, session)
        for shard in plan.shards
        for part in plan.parts(shard)
        for session in range(part.first, part.stop)
    )


@settings(max_examples=30, deadline=None)
@given(
    minutes=st.floats(1.0, 500.0),
    sessions=st.integers(1, 40),
    granularity=st.sampled_from(["shard", "cell"]),
    share=st.booleans(),
)
def test_every_cell_and_session_is_planned_exactly_once_within_the_minutes(
    minutes: float, sessions: int, granularity: str, share: bool
):
    plan = plan_of(max_shard_minutes=minutes, sessions=sessions, granularity=granularity, share_prefill=share)
    expected = {(cell.id, session) for cell in plan.cells for session in range(sessions)}
    planned = covered(plan)
    assert set(planned) == expected
    assert set(planned.values()) == {1}
    assert all(MARGIN * shard.seconds <= minutes * 60 * (1 + 1e-9) for shard in plan.shards)
    for shard in plan.shards:
        asked = plan.minutes(shard)
        assert isinstance(asked, int) and 1 <= asked <= minutes
        assert asked >= min(int(minutes), SHORTEST_REQUEST, MARGIN * shard.seconds / 60)
    paths = [part.path for shard in plan.shards for part in plan.parts(shard)]
    assert len(set(paths)) == len(paths)
    assert len({shard.name for shard in plan.shards}) == len(plan.shards)


# The rows of the default study that start from dense KV.
DENSE = {"full", "streaming_llm", "snapkv", "pyramidkv", "knorm", "kivi"}
DENSE |= {"quest", "retrieval_attention", "magicpig", "oracle_topk"}


def test_methods_that_start_dense_and_their_modes_are_computed_together():
    plan = plan_of()
    for shard in plan.shards:
        for unit in shard.units:
            dense = {row.label for row in unit.rows if row.with_context and starts_dense(row.method)}
            if dense:
                planned = DENSE & {row.label for row in plan.study.rows(unit.model)}
                assert dense == planned == {row.label for row in unit.rows}
            else:
                assert len(unit.rows) == 1
            assert unit.modes == plan.study.modes


def test_the_floor_shares_no_prefill_because_its_prompt_is_another():
    plan = plan_of()
    assert all([row.label for row in unit.rows] == [FLOOR] for unit in _units(plan) if not unit.rows[0].with_context)
    assert any(not unit.rows[0].with_context for unit in _units(plan))


def test_one_job_a_cell_when_asked():
    plan = plan_of(granularity="cell")
    assert len(plan.shards) == len(plan.cells) == (18 + 5) * 12 * 2
    assert all(len(plan.parts(shard)) == 1 for shard in plan.shards)


def test_a_cells_job_is_the_same_whatever_else_the_study_holds():
    config = copy.deepcopy(MINI)
    config["execution"]["granularity"] = "cell"
    del config["methods"]["knorm"]
    fewer = {shard.name for shard in make_plan(load_study(config, "my.yaml")).shards}
    assert fewer < {shard.name for shard in plan_of(granularity="cell").shards}


def test_a_shared_prefill_is_counted_once():
    shared, apart = plan_of(max_shard_minutes=600), plan_of(max_shard_minutes=600, share_prefill=False)
    assert shared.seconds < apart.seconds
    saved = 0
    for model in shared.study.models:
        dense = len(DENSE & {row.label for row in shared.study.rows(model)})
        # In two modes, all prefills of dense rows but one are saved.
        own = (2 * dense - 1) * 20 * sum(1024 / 1000 * model.seconds.prefill_1k for _ in shared.study.tasks)
        assert shared_prefill_saves(shared.study, model) == pytest.approx(own)
        assert shared_prefill_saves(apart.study, model) == 0
        saved += own
    assert apart.seconds - shared.seconds == pytest.approx(saved)


def test_a_session_that_does_not_fit_into_the_minutes_is_refused():
    with pytest.raises(UserError, match=r"my\.yaml: execution\.max_shard_minutes: 0\.121 is too short"):
        plan_of(max_shard_minutes=0.121)


def test_so_many_methods_that_few_sessions_would_fit_a_job_are_cut_into_groups():
    config = copy.deepcopy(MINI)
    config |= {"models": ["minilm"], "main_models": [], "prompt_quirks": False}
    config["methods"] = {f"snapkv_{kept}": {"method": "snapkv", "budget": kept} for kept in range(64, 192)}
    config["execution"]["max_shard_minutes"] = 1
    plan = make_plan(load_study(config, "my.yaml"))
    limit = 60 / MARGIN - plan.study.models[0].seconds.load
    for unit in _units(plan):
        assert unit.seconds / (unit.stop - unit.first) <= limit / FEWEST_SESSIONS or len(unit.rows) == 1
    assert max(len(unit.rows) for unit in _units(plan)) > 1


def test_a_rows_parts_are_in_the_order_of_its_tasks_modes_and_sessions():
    plan = plan_of(max_shard_minutes=1)
    for parts in plan.parts_by_row.values():
        order = [
            (plan.study.tasks.index(part.cell.task), plan.study.modes.index(part.cell.mode), part.first)
            for part in parts
        ]
        assert order == sorted(order)
    assert set(plan.parts_by_row) == {(model.name, row.label) for model, row in plan.rows}


def test_a_job_asks_for_its_minutes_and_a_margin():
    plan = plan_of(max_shard_minutes=600)
    assert [plan.minutes(replace(plan.shards[0], seconds=minutes * 60)) for minutes in (1, 60, 100.1, 499, 510)] == [
        10,
        72,
        121,
        599,
        600,
    ]


def test_a_job_can_be_told_more_of_its_model_and_stays_the_same_job():
    plan = plan_of()
    shard = plan.shards[0]
    known = replace(shard.model, files={"model.safetensors": "0" * 64})
    told = shard.on(known)
    assert all(part.cell.model is known for part in plan.parts(told))
    assert [(part.cell.id, part.path) for part in plan.parts(told)] == [
        (part.cell.id, part.path) for part in plan.parts(shard)
    ]
    assert (told.name, told.seconds) == (shard.name, shard.seconds)


def test_an_unknown_shard_is_refused():
    with pytest.raises(UserError, match="no shard 'nothing'"):
        plan_of().shard("nothing")


def test_the_papers_plan():
    start = time.perf_counter()
    plan = make_plan(read_study(ROOT / "studies" / "paper.yaml"))
    assert time.perf_counter() - start < 5
    assert len(plan.rows) == 74
    assert len(plan.cells) == 1776
    assert len({cell.id for cell in plan.cells}) == 1776
    assert len(plan.shards) < 300
    for shard in plan.shards:
        asked = plan.minutes(shard)
        assert asked <= plan.study.execution.max_shard_minutes == 720
        assert asked * 60 >= MARGIN * shard.seconds
    assert sum(session_count(plan.study, task) for task in plan.study.tasks) == 922


def test_longer_work_costs_more():
    study = read_study(ROOT / "studies" / "paper.yaml")
    model = study.models[0]
    seconds = {task: session_seconds(study, model, task, cells=1, prefills=1) for task in study.tasks}
    assert seconds["code_repoqa"] > seconds["retr_kv"]  # 1,024 tokens an answer against 150
    assert seconds["en_qa"] > seconds["icl_manyshot"]  # the whole context against 22,000 tokens
    one, two = (session_seconds(study, model, "retr_kv", cells=count, prefills=1) for count in (1, 2))
    assert one < two < 2 * one
    assert answer_length(study, "retr_kv") == 5 * 150


def test_the_command_takes_the_study_either_way_and_prints_gpu_hours_and_what_sharing_saves(
    capsys: pytest.CaptureFixture[str],
):
    path = str(ROOT / "studies" / "paper.yaml")
    printed = []
    for arguments in (["--configfile", path], [path]):
        command.main(arguments)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "GPU hours" in printed[0]
    assert "one prefill of a context for all methods that start dense, in both modes, saves" in printed[0]
    assert "no job asks for more than 720 minutes" in printed[0]


def _units(plan: Plan) -> list:
    return [unit for shard in plan.shards for unit in shard.units]
