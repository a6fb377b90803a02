"""A partial table holds what is finished, wherever it lies, says what it lacks, and is no final table."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from scbench import places
from scbench.canonical import canonical_json, write_atomically
from scbench.errors import UserError
from scbench.partial import make_partial
from scbench.plan import Part, Plan, make_plans
from scbench.progress import Progress
from scbench.sessions import write_sessions
from scbench.shard import ShardRun
from tests.test_infer import SESSIONS, FakeComputer, sessions
from tests.test_status import PLAN, TOTAL, here, run

assert here  # the fixture that gives each test a directory with sessions

CONFIG = Path(places.study_file("smoke"))
OUT = Path("figures/partial/table4.tex")


@pytest.fixture(autouse=True)
def study(here: Path) -> None:
    write_atomically(CONFIG, canonical_json(PLAN.study.resolved()))


def test_before_anything_is_finished_there_is_none():
    with pytest.raises(UserError, match="smoke: no session is finished yet"):
        make_partial("table4", CONFIG, OUT)
    assert not OUT.exists()


def test_what_a_stopped_job_finished_counts_beside_whole_cells():
    run(0, FakeComputer())
    with pytest.raises(KeyboardInterrupt):
        run(1, FakeComputer(stop_after=3))
    assert not Path(PLAN.parts(PLAN.shards[1])[0].path).exists()
    tex, twin = make_partial("table4", CONFIG, OUT)
    assert (tex, twin) == (OUT, OUT.with_suffix(".csv"))
    text = tex.read_text()
    assert text.startswith(f"% table4: Study smoke (PARTIAL: 7 of {TOTAL} sessions in cells)")
    assert "Missing: " in text and "(3 of 4 sessions)" in text
    rows = list(csv.DictReader(twin.open()))
    assert {row["method"] for row in rows} == {"full", "snapkv", "a_shape", "no_context"}
    sidecar = json.loads(Path(f"{OUT}.prov.json").read_text())
    assert sidecar["identity"]["partial"] == {"done": 7, "of": TOTAL}


@pytest.mark.parametrize("changed", ["settings", "sessions"])
def test_what_was_finished_before_the_study_or_its_sessions_changed_does_not_count(changed: str):
    run(0, FakeComputer())
    if changed == "settings":
        study = replace(PLAN.study, execution=replace(PLAN.study.execution, dtype="bfloat16"))
        write_atomically(CONFIG, canonical_json(study.resolved()))
    else:
        other = [replace(session, sid=f"other-{session.sid}") for session in sessions()]
        write_sessions(places.sessions_file("smoke", "retr_kv"), other)
    assert Path(PLAN.parts(PLAN.shards[0])[0].path).exists()
    with pytest.raises(UserError, match="no session is finished yet"):
        make_partial("table4", CONFIG, OUT)


def test_what_is_not_made_from_scores_is_refused():
    with pytest.raises(UserError, match="table2: is made from sessions, not from scores alone"):
        make_partial("table2", CONFIG, OUT.with_name("table2.tex"))


def test_the_table_of_defects_counts_what_was_asked_anew_so_far():
    study = replace(PLAN.study, prompt_quirks=True)
    write_atomically(CONFIG, canonical_json(study.resolved()))
    _, lists, begins = make_plans(study)
    for task in begins.study.tasks:
        write_sessions(places.sessions_file(begins.study.name, task), sessions())
    chosen = [shard for shard in begins.shards if shard.units[0].task == "retr_kv"]
    run(0, FakeComputer())
    for shard in chosen:
        with Progress(places.progress_file(begins.study.name, shard.name), shard.name) as progress:
            ShardRun(begins.study, shard, FakeComputer, progress).run()
    tex, twin = make_partial("defects", CONFIG, OUT.with_name("defects.tex"))
    total = sum(part.stop - part.first for plan in (PLAN, lists, begins) for part in _parts(plan))
    assert f"(PARTIAL: {SESSIONS * (1 + len(chosen))} of {total} sessions in cells)" in tex.read_text()
    own = [row for row in csv.DictReader(twin.open()) if row["how"] == "asked anew" and row["method"] == ""]
    asked = {(row["quirk"], row["task"], row["mode"]) for row in own if row["sessions"]}
    first = PLAN.shards[0].units[0]
    assert asked == {("two_begins", first.task, first.modes[0])}
    assert {row["missing"] for row in own if row["quirk"] == "list_as_text"} == {"Full attention asked anew (B11)"}


def _parts(plan: Plan) -> list[Part]:
    return [part for shard in plan.shards for part in plan.parts(shard)]
