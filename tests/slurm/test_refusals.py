"""What a run cannot do or must not do is said in one sentence, before its first job."""

import json
import os
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from scbench.canonical import canonical_json, write_atomically
from scbench.heads import Head
from scbench.leases import Owner
from tests.e2e.test_workflow import STUDY, Clone
from tests.slurm.test_requests import script

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


def test_sessions_that_no_partition_gives_are_refused_in_a_plan(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Inference is not alone in being asked for: here it would have the node that the sessions have not."""
    programs = tmp_path / "bin"
    programs.mkdir()
    script(programs / "sinfo", "echo 'short|20:00|8000|2|(null)'")
    script(programs / "sbatch", "exit 0")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    command = ("-n", "--profile", "slurm", "figures/table4.tex", "--configfile=test.yaml")
    assert refusal(clone.snakemake(*command, status=1)).startswith(
        "error: build_sessions: a job asks for 30 minutes, but no node of any partition gives more than 20; add "
        "--set-resources build_sessions:runtime=<fewer>"
    )
    assert "error" not in clone.snakemake(*command, "--set-resources", "build_sessions:runtime=20")


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


def test_figures_are_not_written_over_while_another_study_makes_them(clone: Clone, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(clone.path)
    head = Head("another", Owner.here(), began=0, retries=0, shows=True)
    write_atomically(head.file, canonical_json(asdict(head)))
    write_atomically(head.heartbeat, "")
    words = refusal(clone.build("figures/table4.tex", status=1))
    assert words.startswith(f"error: figures/: a run of the study another (process {os.getpid()} on ")
    assert not Path("results/smoke/study.json").exists()
    head.heartbeat.touch()
    clone.build(SESSIONS)


def test_a_bundled_model_that_is_not_there_is_said_before_the_first_job(clone: Clone):
    (clone.path / "resources" / "minilm" / "model.safetensors").unlink()
    words = refusal(clone.build("figures/table4.tex", status=1))
    assert words.endswith("model.safetensors: missing; it belongs to minilm in models.lock.yaml, fetch the model again")
    assert not (clone.path / "results").exists()
