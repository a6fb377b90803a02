"""Results that an edit has made old are known as such, named with what changed, and never scored."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from scbench import cellkey, codedigest, parts, places
from scbench.canonical import canonical_json, write_atomically
from scbench.errors import UserError
from scbench.parts import Standing, check_parts, code_of
from scbench.plan import Cell, Part
from scbench.progress import Progress, read_state
from scbench.sessions import Session, write_sessions
from scbench.shard import ShardRun
from scripts import infer, score
from tests.test_infer import FakeComputer, declared, here, plan_of, run, sessions

assert here  # the fixture that gives a test a directory with sessions

SNAPKV = "scbench/methods/compression/snapkv.py"


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Edits SnapKV's code, as far as digests can tell."""
    changed = tmp_path / "edited.py"
    changed.write_text((places.ROOT / SNAPKV).read_text() + "\nREACH = 7\n")
    source_file = codedigest.source_file

    def edited(module: str) -> Path:
        return changed if module.endswith(".snapkv") else source_file(module)

    yield lambda: monkeypatch.setattr(codedigest, "source_file", edited)
    monkeypatch.undo()
    forget()


def forget() -> None:
    """Know no digests, as a process that begins."""
    cellkey._modules_digest.cache_clear()
    parts._edited.cache_clear()


def written() -> list[Part]:
    plan = plan_of()
    return plan.parts(plan.shards[0])


def labels(found: list[Part]) -> set[str]:
    return {part.cell.row.label for part in found}


def test_what_was_just_written_stands(here: Path):
    standing = Standing(plan_of().study)
    assert not any(map(standing.holds, written()))
    run(FakeComputer())
    standing = Standing(plan_of().study)
    assert all(map(standing.holds, written())) and standing.told(written()) == ""
    check_parts(plan_of().study, [part.path for part in written()])


def test_an_edit_of_a_method_makes_its_cells_old_and_its_file_is_named(here: Path, edit: Callable):
    run(FakeComputer())
    edit()
    forget()
    standing = Standing(plan_of().study)
    assert labels([part for part in written() if not standing.holds(part)]) == {"snapkv"}
    assert standing.told(written()) == f"finished cells to be computed again: 2; changed: {SNAPKV}"


def test_other_settings_and_other_sessions_make_results_old(here: Path):
    run(FakeComputer())
    shorter = Standing(plan_of(execution={"prefill_chunk": 512}).study)
    assert shorter.told(written()).endswith("changed: prefill_chunk (4096 before, 512 now)")
    changed = sessions()
    changed[1] = Session("retr_kv", "retr_kv-1", "another context", changed[1].turns)
    write_sessions(places.sessions_file("smoke", "retr_kv"), changed)
    assert Standing(plan_of().study).told(written()).endswith("changed: results/smoke/sessions/retr_kv.parquet")
    Path(places.sessions_file("smoke", "retr_kv")).unlink()
    assert all(map(Standing(plan_of().study).holds, written()))


def test_libraries_of_another_machine_make_nothing_old(here: Path, monkeypatch: pytest.MonkeyPatch):
    """A job may run in an environment of its own."""
    run(FakeComputer())
    monkeypatch.setattr(cellkey, "_versions", lambda: (("torch", "9"),))
    assert all(map(Standing(plan_of().study).holds, written()))


def row(label: str) -> list[str]:
    return [part.path for part in written() if part.cell.row.label == label]


def score_row(label: str) -> Path:
    """Score a row as the workflow does; the path of its scores."""
    config, out = Path(places.study_file("smoke")), Path(places.scores_file("smoke", "minilm", label))
    write_atomically(config, canonical_json(plan_of().study.resolved()))
    score.main(["--in", *row(label), "--out", str(out), "--config", str(config)])
    return out


def test_a_part_that_a_job_of_older_code_wrote_is_not_scored(here: Path, edit: Callable):
    run(FakeComputer())
    assert score_row("snapkv").is_file()
    score_row("snapkv").unlink()
    edit()
    forget()
    refusal = rf"0-4\.jsonl: a job wrote it that began before these changed: {SNAPKV}; delete results/smoke/cells/min"
    with pytest.raises(UserError, match=refusal):
        score_row("snapkv")
    assert not Path(places.scores_file("smoke", "minilm", "snapkv")).exists()
    assert score_row("full").is_file()


@pytest.mark.parametrize(
    "damage", [lambda path: path.write_text("{}\n"), lambda path: Path(f"{path}.prov.json").unlink()]
)
def test_a_part_that_is_not_as_it_was_written_is_not_scored(here: Path, damage: Callable):
    run(FakeComputer())
    damage(Path(row("full")[0]))
    with pytest.raises(UserError, match=r"is not what its sidecar tells of; delete it and run the same command again"):
        score_row("full")


class Editing(FakeComputer):
    """Edits SnapKV's code while it computes its second session."""

    def __init__(self, edit: Callable) -> None:
        super().__init__()
        self._edit = edit

    def compute(self, session: Session, cells: Sequence[Cell]) -> list:
        if self.computed and session.sid == "retr_kv-1":
            self._edit()
        return super().compute(session, cells)


def test_a_job_whose_code_is_edited_meanwhile_writes_no_results_and_the_next_takes_what_still_counts(
    here: Path, edit: Callable
):
    with pytest.raises(UserError, match=rf"minilm-000: {SNAPKV} changed since this job began; run the same command"):
        run(Editing(edit))
    assert declared() == {}
    forget()
    computer = FakeComputer()
    run(computer)
    # Full attention had been computed beside SnapKV; the other rows had not begun.
    assert {cell[1] for _, cell in computer.computed} == {"snapkv", "a_shape", "no_context"}
    check_parts(plan_of().study, [part.path for part in written()])


def test_code_that_is_edited_before_it_is_loaded_computes_nothing(here: Path, edit: Callable):
    """What is imported by then is newer than what the keys were made of."""
    plan = plan_of()
    with Progress("progress.json", "late") as progress, pytest.raises(UserError, match="changed since this job began"):
        ShardRun(plan.study, plan.shards[0], lambda: edit() or FakeComputer(), progress).run()
    assert not list(places.STORE.glob("journal/*.jsonl"))


def test_a_job_does_not_start_by_other_code_than_it_was_planned_by(here: Path, edit: Callable):
    write_atomically("study.json", canonical_json(plan_of().study.resolved()))
    planned = code_of(plan_of().study, plan_of().shards[0])
    write_atomically(places.progress_file("smoke", "minilm-000"), canonical_json({"machine": "a machine"}))
    edit()
    forget()
    with pytest.raises(
        UserError, match=r"minilm-000: the code changed since this job was planned; run the same command"
    ):
        infer.main(["--config", "study.json", "--shard", "minilm-000", "--code", planned])
    # It was a start all the same, of which a run makes only so many; what is known of the job stays.
    state = read_state(places.progress_file("smoke", "minilm-000"))
    assert len(state["starts"]) == 1 and state["machine"] == "a machine"
