"""Progress tells how far a job is, and how long it will take by the pace of what was computed."""

import json
import os
from pathlib import Path

import pytest

from scbench.errors import UserError
from scbench.progress import Progress, read_state


class Clock:
    """A clock that stands until it is told to go."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_left_follows_from_what_was_computed_not_from_what_the_store_had(tmp_path: Path):
    clock = Clock()
    progress = Progress(tmp_path / "p.json", "minilm-000", clock)
    progress.expect(100)
    progress.advance(40, from_store=True)
    assert progress.line() == "minilm-000: 40/100 done, 40 from the store"
    clock.now += 30
    progress.advance(20)
    # 20 in 30 seconds, 40 to go.
    assert progress.line() == "minilm-000: 60/100 done, 40 from the store, 1:00 left"
    progress.advance(40)
    assert progress.line() == "minilm-000: 100/100 done, 40 from the store"


def test_the_file_holds_the_last_state_and_lines_are_seconds_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    clock = Clock()
    with Progress(tmp_path / "deep" / "p.json", "job", clock) as progress:
        progress.expect(1000)
        for _ in range(1000):
            clock.now += 0.01
            progress.advance(1)
    state = json.loads((tmp_path / "deep" / "p.json").read_text())
    counted = {name: state[name] for name in ("done", "total", "from_store", "seconds", "earlier")}
    assert counted == {"done": 1000, "total": 1000, "from_store": 0, "seconds": pytest.approx(10), "earlier": 0}
    assert state["pid"] == os.getpid()
    assert 3 <= len(capsys.readouterr().err.splitlines()) <= 5


def test_the_time_of_earlier_runs_is_kept(tmp_path: Path):
    path = tmp_path / "p.json"
    for _ in range(3):
        clock = Clock()
        with Progress(path, "job", clock):
            clock.now += 20
    state = read_state(path)
    assert (state["earlier"], state["seconds"]) == (40, 20)
    assert len(state["starts"]) == 3 and state["starts"] == sorted(state["starts"])


@pytest.mark.parametrize("content", [None, "", "[1]", "{"])
def test_a_state_that_cannot_be_read_is_empty(tmp_path: Path, content: str | None):
    if content is not None:
        (tmp_path / "p.json").write_text(content)
    assert read_state(tmp_path / "p.json") == {}


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written"):
        Progress(tmp_path / "file" / "p.json", "job").expect(1)


class Bars:
    """Bars on a terminal, in as far as they are stopped."""

    stopped = False

    def stop(self) -> None:
        self.stopped = True


@pytest.mark.parametrize("first", [None, ValueError("first")])
def test_at_the_end_a_full_disk_hides_no_other_error_and_leaves_the_terminal_in_order(
    tmp_path: Path, first: Exception | None
):
    (tmp_path / "file").write_text("")
    bars = Bars()
    with pytest.raises(UserError if first is None else ValueError, match=r"cannot be written|first"):  # noqa: SIM117
        with Progress(tmp_path / "file" / "p.json", "job") as progress:
            progress._bars = bars
            if first:
                raise first
    assert bars.stopped
