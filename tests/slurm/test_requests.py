"""What a cluster can never give is refused before anything is submitted, with the sentence that says what to change."""

import os
from pathlib import Path

import pytest

from scbench.cluster import Partition, Request, Unreachable, check, read_partitions
from scbench.errors import UserError

SINFO = """\
cpu|7-00:00:00|256000|64|(null)
gpu|12:00:00|512000+|32+|gpu:h100:4(S:0-1)
gpu|12:00:00|128000|16|gpu:a100:8
short|30:00|64000|8|gpu:2
long|infinite|64000|8|gpu:tesla:1,gpu:h100:1
"""
SMALL = Request("small", gpus=1, mem_mb=1000, minutes=10, cpus=1)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory first in PATH with stand-ins of sinfo and sbatch; returns what sbatch was asked."""
    # Asked without --exact, sinfo puts nodes of several sizes into one line with the size of the smallest.
    script(tmp_path / "sinfo", f"case \"$*\" in *--exact*) ;; *) exit 1 ;; esac\ncat <<'END'\n{SINFO}END")
    script(tmp_path / "sbatch", f'echo "$@" >> {tmp_path}/asked')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_partitions_are_read_as_sinfo_prints_them():
    assert read_partitions(SINFO) == [
        Partition("cpu", 0, 256_000, 10_080, 64),
        Partition("gpu", 4, 512_000, 720, 32),
        Partition("gpu", 8, 128_000, 720, 16),
        Partition("short", 2, 64_000, 30, 8),
        Partition("long", 2, 64_000, None, 8),
    ]
    assert [partition.gpus for partition in read_partitions(SINFO, "h100")] == [0, 4, 0, 0, 1]


def test_what_some_partition_gives_is_asked_for_as_it_will_be(slurm: Path):
    wanted = {"slurm_partition": "gpu", "slurm_account": "mine", "gpu_model": "h100"}
    assert check([Request("large", 4, 500_000, 720, 32)], wanted) == 512_000
    assert (slurm / "asked").read_text() == (
        "--test-only --partition=gpu --account=mine --gpus=h100:4 --mem=500000 --time=720 --cpus-per-task=32 --nodes=1 "
        "--wrap=true\n"
    )


@pytest.mark.parametrize(
    ("request_", "partition", "words"),
    [
        (Request("m", 16, 1, 1, 1), None, "m: a job asks for 16 gpus, but no node of any partition gives more than 8"),
        (Request("m", 1, 1, 800, 1), "gpu", "800 minutes, but no node of partition gpu gives more than 720; lower"),
        (Request("m", 1, 600_000, 1, 1), None, "600000 mem_mb, but no node of any partition gives more than 512000"),
        (Request("m", 0, 1, 1, 100), None, "100 cpus, but no node .* gives more than 64; lower execution.threads"),
        (Request("s", 0, 2, 40, 1, rule="s"), "short", "40 minutes, .* 30; add --set-resources s:runtime=<fewer>, or"),
        (Request("s", 0, 600_000, 1, 1, rule="s"), None, "s: .* 512000; add --set-resources s:mem_mb=<less>, or name"),
        (Request("s", 0, 1, 1, 100, rule="s"), None, "100 cpus, .* more than 64; add --set-threads s=<fewer>, or"),
        (Request("m", 8, 500_000, 1, 1), "gpu", "8 gpus, 500000 mem_mb, 1 minutes, 1 cpus, which no node .* at once"),
        (SMALL, "gup", r"slurm/site\.yaml: slurm_partition=gup: there is no such partition; name one of cpu, gpu, sh"),
    ],
)
def test_what_no_partition_gives_is_refused(slurm: Path, request_: Request, partition: str | None, words: str):
    with pytest.raises(UserError, match=words):
        check([SMALL, request_], {"slurm_partition": partition} if partition else {})


def test_an_account_that_slurm_refuses(slurm: Path):
    refusal = "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified"
    script(slurm / "sbatch", f"echo '{refusal}' >&2; exit 1")
    with pytest.raises(UserError, match=r"small: slurm: sbatch says `.*Invalid account.*correct partition, account"):
        check([SMALL], {"slurm_account": "nobody"})


def test_nodes_that_are_away_for_now_refuse_nothing(slurm: Path):
    script(slurm / "sbatch", "echo 'allocation failure: Requested node configuration is not available' >&2; exit 1")
    check([SMALL], {})


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("sinfo: error: Munge encode failed: Failed to access (Did you start munged?)", "munge does not answer"),
        ("slurm_load_partitions: Unable to contact slurm controller (connect failure)", "with its controller up"),
    ],
)
def test_a_cluster_that_does_not_answer(slurm: Path, said: str, words: str):
    script(slurm / "sinfo", f"echo '{said}' >&2; exit 1")
    with pytest.raises(Unreachable, match=words):
        check([SMALL], {})


def test_no_slurm_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unreachable, match=r"sinfo is not on the PATH; run on a login node"):
        check([SMALL], {})
