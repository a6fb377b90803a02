"""What a run cannot do or must not do is said in one sentence, before its first job."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.test_workflow import STUDY, Clone

SESSIONS = "results/smoke/sessions/retr_kv.parquet"


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "clone")


def refusal(output: str) -> str:
    """The one line of `output` that is an error."""
    assert "Traceback" not in output
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    return line


def test_without_slurm_a_plan_works_and_a_run_is_refused(clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "sh", "env", "which"):
        (programs / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(programs))
    command = ("--profile", "slurm", "figures/table4.tex", "--configfile=test.yaml")
    assert "error" not in clone.snakemake("-n", *command)
    assert refusal(clone.snakemake(*command, status=1)).startswith(
        "error: slurm: sbatch is not on the PATH; run on a lo"
    )


def git(clone: Clone, *arguments: str) -> None:
    identity = {
        f"GIT_{role}_{what}": "nobody@nowhere" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    subprocess.run(["git", *arguments], cwd=clone.path, check=True, capture_output=True, env=os.environ | identity)


def test_a_paper_is_not_made_from_uncommitted_changes_unless_they_stay_on_record(clone: Clone):
    clone.write_study("test.yaml", STUDY | {"paper": True})
    git(clone, "init")
    git(clone, "add", ".")
    git(clone, "commit", "--message", "all")
    clone.edit("scbench/scoring/strings.py", lambda source: f"# a remark\n{source}")
    words = refusal(clone.build(SESSIONS, status=1))
    assert words.startswith("error: test.yaml: paper: true, but the worktree of ")
    assert words.endswith("or set paper: uncommitted, which stays on record with the results")
    clone.write_study("test.yaml", STUDY | {"paper": "uncommitted"})
    clone.build(SESSIONS)
    assert json.loads((clone.path / "results/smoke/study.json").read_text())["paper"] == "uncommitted"
    git(clone, "checkout", "scbench")
    clone.write_study("test.yaml", STUDY | {"paper": True})
    clone.build(SESSIONS)
