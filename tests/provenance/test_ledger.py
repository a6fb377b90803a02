"""The ledger: appended to by head processes alone, whole after kills, one chain whoever writes it."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from scbench.errors import UserError
from scbench.provenance import record
from scbench.provenance.ledger import FIRST, fold, read_ledger

LEDGER = Path("results/provenance/ledger.jsonl")
HEAD = LEDGER.with_name("ledger.head")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*names: str) -> None:
    for name in names:
        path = Path(f"results/s/scores/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        record([path], [], {"name": name})


def test_each_record_becomes_a_line_chained_to_the_one_before(here: Path):
    make("a", "b")
    assert fold() == 2
    make("c")
    assert fold() == 1
    lines = [json.loads(line) for line in LEDGER.read_text().splitlines()]
    assert [line["path"] for line in lines] == [f"results/s/scores/{name}" for name in "abc"]
    assert [line["previous"] for line in lines] == [FIRST, lines[0]["line"], lines[1]["line"]]
    assert json.loads(HEAD.read_text()) == {"lines": 3, "end": lines[2]["line"]}


def test_what_is_known_is_not_written_again_and_what_was_made_again_is(here: Path):
    make("a", "b")
    fold()
    before = LEDGER.read_bytes()
    assert fold() == 0
    assert LEDGER.read_bytes() == before
    make("a")
    assert fold() == 1
    assert LEDGER.read_bytes().startswith(before)
    assert read_ledger(here).latest["results/s/scores/a"]["number"] == 3


def test_what_is_no_sidecar_is_left_out(here: Path):
    make("a")
    Path("results/s/scores/b.prov.json").write_text("{}")
    assert fold() == 1


def test_a_line_that_a_kill_tore_is_cut_off_and_written_whole(here: Path):
    make("a", "b")
    fold()
    make("c")
    whole = LEDGER.read_bytes()
    LEDGER.write_bytes(whole + b'{"number":3,"prev')
    ledger = read_ledger(here)
    assert (ledger.broken, ledger.lines, ledger.torn) == (None, 2, 17)
    assert fold() == 1
    assert LEDGER.read_bytes().startswith(whole) and read_ledger(here).broken is None


def test_a_kill_between_the_ledger_and_its_head_breaks_nothing(here: Path):
    make("a")
    fold()
    head = HEAD.read_bytes()
    make("b")
    fold()
    HEAD.write_bytes(head)
    assert read_ledger(here).broken is None
    assert fold() == 0
    make("c")
    assert fold() == 1
    assert json.loads(HEAD.read_text())["lines"] == 3


def test_a_ledger_without_its_head_is_broken(here: Path):
    make("a")
    fold()
    HEAD.unlink()
    assert "ledger.head is missing" in read_ledger(here).broken
    with pytest.raises(UserError, match=r"move ledger\.jsonl and ledger\.head"):
        fold()


def test_a_ledger_that_was_written_anew_does_not_fit_its_head(here: Path):
    make("a", "b")
    fold()
    head = HEAD.read_bytes()
    LEDGER.unlink()
    HEAD.unlink()
    make("a", "b")
    fold()
    HEAD.write_bytes(head)
    assert "written anew" in read_ledger(here).broken


def test_a_full_disk_leaves_the_ledger_as_it_was(here: Path, monkeypatch: pytest.MonkeyPatch):
    make("a")
    fold()
    before = LEDGER.read_bytes()
    make("b")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr("scbench.provenance.ledger.os.fsync", full)
        fold()
    assert LEDGER.read_bytes() == before
    assert fold() == 1


def head_process(root: str, names: list[str]) -> None:
    os.chdir(root)
    for name in names:
        make(name)
        fold()


def test_two_head_processes_leave_one_chain(here: Path):
    names = [[f"{who}{number}" for number in range(10)] for who in "ab"]
    context = multiprocessing.get_context("fork")
    heads = [context.Process(target=head_process, args=(str(here), of)) for of in names]
    for head in heads:
        head.start()
    for head in heads:
        head.join()
        assert head.exitcode == 0
    ledger = read_ledger(here)
    assert ledger.broken is None and ledger.lines == 20
    assert set(ledger.latest) == {f"results/s/scores/{name}" for of in names for name in of}
