"""The status of a study is right at every stage: before a run, in the middle, after a stop, a failure, at the end."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from scbench import cellkey, places
from scbench.canonical import canonical_json, write_atomically
from scbench.errors import UserError
from scbench.heads import Head
from scbench.leases import Owner
from scbench.plan import Cell
from scbench.progress import Progress
from scbench.sessions import Session, write_sessions
from scbench.shard import ShardRun
from scbench.status import StudyStatus, running_jobs, study_status
from scbench.study import twins
from scripts import status as command
from tests.test_infer import SESSIONS, FakeComputer, plan_of, sessions

PLAN = plan_of(tasks=["retr_kv", "retr_multihop"], execution={"granularity": "cell"})
TOTAL = len(PLAN.cells) * SESSIONS
LOGS = Path("logs/smoke/infer")


class Watched(FakeComputer):
    """Looks at the status of the study before each session."""

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__(stop_after)
        self.seen: list[StudyStatus] = []

    def compute(self, session: Session, cells: Sequence[Cell]) -> list:
        self.seen.append(study_status(PLAN))
        return super().compute(session, cells)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("scbench.progress.FILE_SECONDS", 0)
    for task in PLAN.study.tasks:
        write_sessions(places.sessions_file("smoke", task), sessions())
    return tmp_path


def run(shard: int, computer: FakeComputer) -> None:
    chosen = PLAN.shards[shard]
    with Progress(places.progress_file("smoke", chosen.name), chosen.name) as progress:
        ShardRun(PLAN.study, chosen, lambda: computer, progress).run()


def states(status: StudyStatus) -> dict[str, int]:
    return {state: len(jobs) for state, jobs in status.by_state.items()}


def test_before_anything_ran():
    status = study_status(PLAN)
    assert states(status) == {"waiting": len(PLAN.shards)}
    assert (status.done, status.total, status.cells_done, status.eta) == (0, TOTAL, 0, None)
    assert status.hours("spent", gpu=False) == 0
    assert status.hours("left", gpu=False) == pytest.approx(status.hours("planned", gpu=False)) != 0


def test_while_a_job_runs():
    run(0, FakeComputer())
    watched = Watched()
    run(1, watched)
    for number, status in enumerate(watched.seen):
        assert states(status) == {"done": 1, "running": 1, "waiting": len(PLAN.shards) - 2}
        assert (status.done, status.cells_done, status.cells_running) == (SESSIONS + number, 1, 1)
        (job,) = status.by_state["running"]
        assert (job.done, job.total, job.rate is None) == (number, SESSIONS, number == 0)
        assert status.eta > 0


def test_after_a_stop_in_the_middle_and_the_run_that_goes_on():
    with pytest.raises(KeyboardInterrupt):
        run(0, FakeComputer(stop_after=3))
    status = study_status(PLAN)
    assert states(status) == {"stopped": 1, "waiting": len(PLAN.shards) - 1}
    assert (status.done, status.cells_done, status.cells_running) == (3, 0, 0)
    spent = status.hours("spent", gpu=False)
    assert spent > 0
    run(0, FakeComputer())
    status = study_status(PLAN)
    (job,) = status.by_state["done"]
    assert (job.done, job.from_store, status.cells_done) == (SESSIONS, 3, 1)
    assert status.hours("spent", gpu=False) > spent


def test_what_a_job_failed_of_is_its_last_words():
    with pytest.raises(KeyboardInterrupt):
        run(0, FakeComputer(stop_after=1))
    write_atomically(LOGS / f"{PLAN.shards[0].name}.log", "loading minilm\nerror: the disk is full; free space\n\n")
    write_atomically(LOGS / f"{PLAN.shards[1].name}.log", "Traceback\nRuntimeError: out of luck\n")
    advice = "torch.AcceleratorError: CUDA error: launch failure\nFor debugging consider CUDA_LAUNCH_BLOCKING=1\n"
    trace = f"loading minilm\nTraceback (most recent call last):\n  File x, line 1\n    work()\n{advice}"
    write_atomically(LOGS / f"{PLAN.shards[2].name}.log", trace)
    status = study_status(PLAN)
    assert [job.words for job in status.by_state["failed"]] == [
        "the disk is full; free space",
        "RuntimeError: out of luck",
        "torch.AcceleratorError: CUDA error: launch failure",
    ]
    assert (status.cells_failed, status.done) == (3, 1)


def test_an_interrupted_job_did_not_fail_whatever_was_told_on_the_way():
    with pytest.raises(KeyboardInterrupt):
        run(0, FakeComputer(stop_after=1))
    told = "Exception ignored in: <function f>\nTraceback (most recent call last):\n  File x\nRuntimeError: y\n"
    write_atomically(LOGS / f"{PLAN.shards[0].name}.log", f"{told}interrupted: what was finished is kept\n")
    (job,) = study_status(PLAN).by_state["stopped"]
    assert job.words == "interrupted: what was finished is kept"


def test_a_job_that_slurm_ended_says_what_slurm_said():
    with pytest.raises(KeyboardInterrupt):
        run(0, FakeComputer(stop_after=1))
    log = Path(".snakemake/slurm_logs") / f"rule_infer_{PLAN.shards[0].name}" / "7.log"
    write_atomically(log, "slurmstepd: error: *** STEP 7.0 ON n1 CANCELLED DUE TO TIME LIMIT ***\n")
    (job,) = study_status(PLAN).by_state["stopped"]
    assert job.words == "STEP 7.0 ON n1 CANCELLED DUE TO TIME LIMIT"


def test_a_killed_job_does_not_run(monkeypatch: pytest.MonkeyPatch):
    watched = Watched()
    with monkeypatch.context() as patch:
        patch.setattr(Owner, "is_dead", lambda _: True)
        run(0, watched)
    assert all("running" not in status.by_state for status in watched.seen)


def test_what_another_plans_job_said_does_not_count():
    with pytest.raises(KeyboardInterrupt):
        run(0, FakeComputer(stop_after=2))
    longer = plan_of(
        tasks=["retr_kv", "retr_multihop"],
        execution={"granularity": "cell"},
        data={"scale": "mini", "tokens": 256, "sessions": SESSIONS + 1, "turns": 2},
    )
    assert study_status(longer).done == 0


def test_what_was_finished_by_other_code_is_not_done(monkeypatch: pytest.MonkeyPatch):
    run(0, FakeComputer())
    with pytest.raises(KeyboardInterrupt):
        run(1, FakeComputer(stop_after=2))
    before = study_status(PLAN)
    assert (before.done, before.cells_done, before.stale) == (SESSIONS + 2, 1, "")
    monkeypatch.setattr(cellkey, "_core_digest", lambda: "0" * 64)
    status = study_status(PLAN)
    assert (status.done, status.cells_done, status.is_done) == (0, 0, False)
    assert status.stale.startswith("finished cells to be computed again: 1; changed: code.core (")
    (job,) = [job for job in status.by_state["waiting"] if job.words]
    assert (job.shard, job.words) == (PLAN.shards[0], status.stale)
    # Hours were spent all the same.
    assert status.hours("spent", gpu=False) == pytest.approx(before.hours("spent", gpu=False))


@pytest.mark.parametrize(
    ("began", "retries", "state"),
    [(0, 0, "failed"), (0, 1, "again"), (2**40, 0, "again")],
    ids=["its last attempt", "an attempt is left", "a run that has not come to it"],
)
def test_a_job_that_will_be_tried_again_has_not_failed(
    began: int, retries: int, state: str, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(KeyboardInterrupt):
        run(0, FakeComputer(stop_after=1))
    write_atomically(LOGS / f"{PLAN.shards[0].name}.log", "loading minilm\nerror: the disk is full; free space\n")
    assert states(study_status(PLAN))["failed"] == 1
    for study, expected in (("another", "failed"), ("smoke", state)):
        head = Head(study, Owner.here(), began, retries, True)
        monkeypatch.setattr("scbench.status.living", lambda head=head: iter([head]))
        status = study_status(PLAN)
        (job,) = status.by_state[expected]
        assert job.words == "the disk is full; free space"
        assert status.cells_failed == (expected == "failed")


def test_jobs_that_run_are_known_by_the_name_of_the_study_alone():
    seen = []

    class Looking(FakeComputer):
        def compute(self, session: Session, cells: Sequence[Cell]) -> list:
            seen.append(running_jobs("smoke"))
            return super().compute(session, cells)

    run(1, Looking())
    assert seen == [[PLAN.shards[1].name]] * SESSIONS
    assert running_jobs("smoke") == running_jobs("another") == []


def test_the_command_shows_the_study_that_ran_last(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(UserError, match="no study has run here"):
        command.main([])
    config = Path("smoke.yaml")
    write_atomically(config, (places.ROOT / "studies" / "smoke.yaml").read_text())
    for name in ("--configfile", "--config"):
        command.main([name, str(config)])
        assert "study smoke: 0 of 16 cells done, 0 running, 0 failed" in capsys.readouterr().out


def test_what_runs_beside_a_study_is_shown_with_it(capsys: pytest.CaptureFixture[str]):
    study = replace(PLAN.study, both_histories=True, prompt_quirks=True)
    for own in (study, *twins(study)):
        write_atomically(places.study_file(own.name), canonical_json(own.resolved()))
    assert command.last_study() == Path(places.study_file("smoke"))
    command.main([])
    printed = capsys.readouterr().out
    assert re.findall(r"study (\S+): 0 of", printed) == [
        "smoke",
        "smoke-generated",
        "smoke-prompts-1",
        "smoke-prompts-2",
    ]
