"""What the paper, the card and the files say about how much there is, and where they disagree."""

import copy
from pathlib import Path

import pytest

from scbench import published
from scbench.costs import PUBLISHED
from scbench.published import Counts, counted, disagreements, published_counts
from scbench.tasks import NAMES
from tests.published.made import ROWS, write_parquet


def test_every_task_is_counted_in_the_papers_order():
    assert list(published_counts()) == [*NAMES, "total"]


@pytest.mark.parametrize("who", ["paper", "card"])
def test_the_totals_are_sums(who: str):
    """The paper's 299 turns of En.MultiChoice and 240 of Math.Find are what its own total needs."""
    *tasks, total = (getattr(known, who) for known in published_counts().values())
    assert (sum(task.sessions for task in tasks), sum(task.turns for task in tasks)) == total


def test_the_planner_counts_the_same_sessions():
    assert {task: sessions for task, (sessions, _) in PUBLISHED.items()} == {
        task: known.card.sessions for task, known in published_counts().items() if task != "total"
    }


def test_paper_and_card_disagree_about_three_tasks():
    listed = {(entry.task, entry.quantity): (entry.paper, entry.card, entry.found) for entry in disagreements()}
    assert listed == {
        ("en_multichoice", "turns"): (299, 229, None),
        ("math_find", "turns"): (240, 600, None),
        ("en_sum", "sessions"): (79, 70, None),
        ("total", "sessions"): (931, 922, None),
        ("total", "turns"): (4853, 5143, None),
    }


def test_files_that_differ_are_listed_too():
    [found] = [entry for entry in disagreements({"retr_kv": Counts(100, 499)}) if entry.task == "retr_kv"]
    assert found.sentence() == "turns: the paper says 500, the published set's card 500, its files 499"


def test_files_that_agree_with_both_are_not_listed():
    assert disagreements({"retr_kv": Counts(100, 500)}) == disagreements()


def test_turns_that_were_cut_off_count(tmp_path: Path):
    row = copy.deepcopy(ROWS["mix_repoqa_kv"])
    path = write_parquet(tmp_path / "mix.parquet", "mix_repoqa_kv", [row, row])
    assert counted(published.sessions("mix_repoqa_kv", path, 1, 2)) == Counts(2, 6)
