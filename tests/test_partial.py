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
from scbench.sessions import write_sessions
from tests.test_infer import FakeComputer, sessions
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
