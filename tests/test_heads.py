"""Runs show themselves while they last, and two studies do not write figures/ over each other."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scbench import heads
from scbench.errors import UserError
from scbench.leases import Owner
from scbench.places import ROOT

BEGIN = "from scbench import heads; heads.begin({!r}, 2, {})\nprint('begun', flush=True)\ninput()"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def start(study: str, shows: bool) -> subprocess.Popen:
    """Another process that is a head of `study` until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN.format(study, shows)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    return process


def test_a_run_is_seen_while_it_lasts_and_not_after():
    assert list(heads.living()) == []
    process = start("mini", True)
    (head,) = heads.living()
    assert (head.study, head.retries, head.shows, head.owner.pid) == ("mini", 2, True, process.pid)
    with pytest.raises(
        UserError, match=rf"figures/: a run of the study mini \(process {process.pid} on .*\) writes there"
    ):
        heads.begin("other", 0, True)
    process.communicate("\n")
    assert list(heads.living()) == []
    assert not list(heads.DIRECTORY.iterdir())


def test_a_run_that_was_killed_is_in_nobodys_way(monkeypatch: pytest.MonkeyPatch):
    process = start("mini", True)
    process.kill()
    process.wait()
    assert list(heads.living()) == []
    (path,) = heads.DIRECTORY.glob("*.json")
    # Of another host nothing is known but that it has been silent.
    found = json.loads(path.read_text())
    away = Owner(**found["owner"] | {"host": "another", "started": None})
    head = heads.Head(**found | {"owner": away})
    (heads.DIRECTORY / f"owner-{away.name}").write_text("")
    assert head.is_alive()
    monkeypatch.setattr(heads, "STALE_SECONDS", 0)
    assert not head.is_alive()
    next_one = start("other", True)
    assert not path.exists()
    next_one.communicate("\n")


@pytest.mark.parametrize(("study", "shows"), [("mini", True), ("other", False)])
def test_two_heads_of_a_study_and_runs_that_leave_figures_alone_are_welcome(study: str, shows: bool):
    process = start("mini", True)
    other = start(study, shows)
    assert {head.study for head in heads.living()} == {"mini", study}
    for each in (process, other):
        each.communicate("\n")


def test_what_is_no_head_is_passed_over():
    heads.DIRECTORY.mkdir(parents=True)
    for name, text in {"a": "", "b": "[]", "c": '{"study": "x"}'}.items():
        (heads.DIRECTORY / f"{name}.json").write_text(text)
    assert list(heads.living()) == []
