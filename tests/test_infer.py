"""A job computes what is missing, once, and leaves the same bytes however often it was stopped."""

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from scbench import canonical, cellkey, places
from scbench.errors import UserError
from scbench.journal import Turns
from scbench.leases import Owner
from scbench.plan import Cell, Plan, make_plan
from scbench.progress import Progress
from scbench.records import Observation
from scbench.schema import read_yaml
from scbench.sessions import Session, Turn, write_sessions
from scbench.shard import ShardRun, Summary
from scbench.store import Store
from scbench.study import load_study
from scripts import infer
from tests.provenance.stable import stable_bytes

SESSIONS = 4


class FakeComputer:
    """Answers at once and counts; an answer follows from cell and session alone, as with greedy decoding."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.computed: list[tuple[str, tuple[str, ...]]] = []

    @property
    def counters(self) -> dict[str, int]:
        return {"dense_prefills": len({sid for sid, _ in self.computed})}

    def compute(self, session: Session, cells: Sequence[Cell]) -> list[tuple[Cell, Turns, list[Observation]]]:
        if len({sid for sid, _ in self.computed}) == self.stop_after:
            raise KeyboardInterrupt
        self.computed += [(session.sid, cell.id) for cell in cells]
        return [
            (cell, [self._turn(cell, turn) for turn in session.turns], [self._seconds(cell, session)]) for cell in cells
        ]

    def _turn(self, cell: Cell, turn: Turn) -> dict:
        numbers = ("new_tokens", "prompt_tokens", "dropped_tokens", "kv_bytes", "kv_bytes_dense", "keys_attended")
        fixed = dict.fromkeys((*numbers, "bytes_read", "tokens_prefilled"), 1)
        said = f"{turn.query} -> {cell.row.label}/{cell.mode} \u2028"
        return fixed | {"prediction": said, "finish": "eos", "evidence_kept": True}

    def _seconds(self, cell: Cell, session: Session) -> Observation:
        return Observation(cell.model.name, cell.row.label, cell.task, cell.mode, session.sid, 1, 0.1, 0.2, "cpu")


def sessions(count: int = SESSIONS) -> list[Session]:
    turns = [
        [Turn(f"query {number}.{turn}", (f"gold {turn}",), "retr_kv") for turn in range(2)] for number in range(count)
    ]
    return [
        Session("retr_kv", f"retr_kv-{number}", f"context {number}", tuple(asked)) for number, asked in enumerate(turns)
    ]


def plan_of(**changes: object) -> Plan:
    config = read_yaml(places.ROOT / "studies" / "smoke.yaml")
    config["tasks"] = ["retr_kv"]
    config["data"]["sessions"] = SESSIONS
    config |= changes
    return make_plan(load_study(config, "my.yaml"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with the sessions of the study `smoke`."""
    monkeypatch.chdir(tmp_path)
    write_sessions(places.sessions_file("smoke", "retr_kv"), sessions())
    return tmp_path


def run(computer: FakeComputer, plan: Plan | None = None) -> Summary:
    plan = plan or plan_of()
    (shard,) = plan.shards
    with Progress(places.progress_file(plan.study.name, shard.name), shard.name) as progress:
        return ShardRun(plan.study, shard, lambda: computer, progress).run()


def declared(study: str = "smoke") -> dict[str, bytes]:
    """Path -> bytes of every declared part and its sidecar, what was observed left out."""
    return {str(path): stable_bytes(path) for path in sorted(Path(f"results/{study}/cells").rglob("*.json*"))}


def stored() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(places.STORE.glob("??/*.json*"))}


def test_every_planned_part_is_written_with_its_sidecar(here: Path):
    plan = plan_of()
    summary = run(FakeComputer(), plan)
    parts = plan.parts(plan.shards[0])
    assert summary == Summary(total=len(parts) * SESSIONS, from_store=0, counters={"dense_prefills": SESSIONS})
    assert {part.path for part in parts} | {f"{part.path}.prov.json" for part in parts} == set(declared())
    for part in parts:
        records = [json.loads(line) for line in Path(part.path).read_text("utf-8").split("\n")[:-1]]
        assert [(record["session"], record["turn"]) for record in records] == [
            (session.sid, turn) for session in sessions() for turn in (1, 2)
        ]
        assert {(record["study"], record["model"], record["method"]) for record in records} == {
            ("smoke", "minilm", part.cell.row.label)
        }
        assert records[1]["prediction"] == f"query 0.1 -> {part.cell.row.label}/{part.cell.mode} \u2028"
        assert records[1]["golds"] == ["gold 1"]


def test_a_second_run_loads_no_model_and_writes_the_same_bytes(here: Path):
    run(FakeComputer())
    first = declared()
    for path in first:
        Path(path).unlink()
    computer = FakeComputer()
    summary = run(computer)
    assert computer.computed == []
    assert summary.from_store == summary.total
    assert summary.counters == {}
    assert declared() == first


@pytest.mark.parametrize("finished", [0, 1, 3])
def test_a_stopped_run_goes_on_where_it_was_and_leaves_the_same_bytes(
    here: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, finished: int
):
    stopped = FakeComputer(stop_after=finished)
    with pytest.raises(KeyboardInterrupt):
        run(stopped)
    assert {sid for sid, _ in stopped.computed} == {f"retr_kv-{number}" for number in range(finished)}
    computer = FakeComputer()
    summary = run(computer)
    assert not set(computer.computed) & set(stopped.computed)
    assert summary.from_store == len(stopped.computed)
    interrupted = declared(), stored()

    monkeypatch.chdir(tmp_path_factory.mktemp("undisturbed"))
    write_sessions(places.sessions_file("smoke", "retr_kv"), sessions())
    run(FakeComputer())
    assert (declared(), stored()) == interrupted


def test_added_sessions_are_computed_alone(here: Path):
    run(FakeComputer())
    config = read_yaml(places.ROOT / "studies" / "smoke.yaml")
    write_sessions(places.sessions_file("smoke", "retr_kv"), sessions(SESSIONS + 2))
    computer = FakeComputer()
    run(computer, plan_of(data=config["data"] | {"sessions": SESSIONS + 2}))
    assert {sid for sid, _ in computer.computed} == {f"retr_kv-{SESSIONS}", f"retr_kv-{SESSIONS + 1}"}


def test_a_changed_session_is_computed_again(here: Path):
    run(FakeComputer())
    changed = sessions()
    changed[1] = Session("retr_kv", "retr_kv-1", "another context", changed[1].turns)
    write_sessions(places.sessions_file("smoke", "retr_kv"), changed)
    computer = FakeComputer()
    run(computer)
    assert {sid for sid, _ in computer.computed} == {"retr_kv-1"}


def test_another_study_takes_what_is_the_same(here: Path):
    run(FakeComputer())
    write_sessions(places.sessions_file("other", "retr_kv"), sessions())
    methods = {"everything": {"method": "full"}, "snapkv": {"budget": "1/4"}}
    computer = FakeComputer()
    run(computer, plan_of(study="other", methods=methods))
    assert {cell[1] for _, cell in computer.computed} == {"snapkv"}
    record = json.loads(
        Path("results/other/cells/minilm/everything/retr_kv/multi_turn/0-4.jsonl").read_text().split("\n")[0]
    )
    assert (record["study"], record["method"]) == ("other", "everything")


def test_granularity_and_sharing_decide_no_result(here: Path):
    run(FakeComputer())
    plan = plan_of(execution={"granularity": "cell", "share_prefill": False})
    computer = FakeComputer()
    for shard in plan.shards:
        with Progress("progress.json", shard.name) as progress:
            ShardRun(plan.study, shard, lambda: computer, progress).run()
    assert computer.computed == []


def test_a_session_that_another_process_computes_is_waited_for(here: Path, monkeypatch: pytest.MonkeyPatch):
    plan = plan_of()
    computer, said = FakeComputer(), []
    cell = plan.cells[0]
    key = cellkey.key(plan.study, cell, cellkey.machine(plan.study))
    digest = sessions()[1].digest
    other = Store(places.STORE)
    monkeypatch.setattr(Progress, "say", lambda _, text: said.append(text))

    def finish(_seconds: float) -> None:
        # Everything else is done by the time the job waits.
        assert {sid for sid, _ in computer.computed} == {f"retr_kv-{number}" for number in (0, 2, 3)}
        other.release([(key, digest)])

    monkeypatch.setattr("scbench.shard.time.sleep", finish)
    with other:
        assert other.lease([(key, digest)]) is None
        run(computer, plan_of(floor=False, methods={"full": {}}))
    assert len(computer.computed) == len(set(computer.computed))
    assert any(f"waiting for process {os.getpid()}" in text for text in said)


def test_what_another_process_finished_meanwhile_is_not_computed_again(here: Path, monkeypatch: pytest.MonkeyPatch):
    plan = plan_of()
    ahead = FakeComputer()
    acquire = Store.lease

    def lease(store: Store, pairs: list) -> Owner | None:
        monkeypatch.setattr(Store, "lease", acquire)
        run(ahead, plan)
        return acquire(store, pairs)

    monkeypatch.setattr(Store, "lease", lease)
    late = FakeComputer()
    run(late, plan)
    assert late.computed == []
    assert len(ahead.computed) == len(plan.cells) * SESSIONS


def test_seconds_stay_out_of_results_and_keys(here: Path):
    run(FakeComputer())
    lines = Path("results/smoke/observations/minilm-000.jsonl").read_text().split("\n")[:-1]
    assert len(lines) == len(plan_of().cells) * SESSIONS
    assert json.loads(lines[0])["decode_seconds"] == 0.2
    assert not any(b"seconds" in data for data in [*declared().values(), *stored().values()])


def test_progress_is_written_for_a_display(here: Path):
    plan = plan_of()
    run(FakeComputer(), plan)
    state = json.loads(Path(places.progress_file("smoke", "minilm-000")).read_text())
    assert (state["done"], state["total"], state["from_store"]) == (len(plan.cells) * SESSIONS,) * 2 + (0,)
    run(FakeComputer(), plan)
    state = json.loads(Path(places.progress_file("smoke", "minilm-000")).read_text())
    assert state["done"] == state["total"] == state["from_store"]


def test_a_full_disk_ends_the_job_with_one_sentence_and_the_next_one_goes_on(
    here: Path, monkeypatch: pytest.MonkeyPatch
):
    run(FakeComputer())
    before = declared()
    for path in before:
        Path(path).unlink()

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(canonical.os, "fsync", refuse)
        with pytest.raises(UserError, match="No space left on device"):
            run(FakeComputer())
    assert declared() == {}
    assert not list(Path("results/smoke/cells").rglob("*.tmp"))
    run(FakeComputer())
    assert declared() == before


def test_too_few_sessions_are_refused(here: Path):
    write_sessions(places.sessions_file("smoke", "retr_kv"), sessions(2))
    with pytest.raises(UserError, match=r"retr_kv\.parquet: holds 2 sessions, the study my\.yaml needs 4"):
        run(FakeComputer())


def test_a_session_file_cut_short_is_refused(here: Path):
    path = Path(places.sessions_file("smoke", "retr_kv"))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match=r"retr_kv\.parquet: not a readable session file"):
        run(FakeComputer())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config", "none.yaml", "--shard", "minilm-000"], "none.yaml: cannot be read"),
        (["--config", str(places.ROOT / "studies" / "smoke.yaml"), "--shard", "minilm-999"], "no shard 'minilm-999'"),
    ],
)
def test_the_command_refuses_what_it_cannot_find(here: Path, arguments: list[str], words: str):
    with pytest.raises(UserError, match=words):
        infer.main(arguments)
