"""A cluster, and copies of this repository in which `snakemake --profile slurm` runs on it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.test_workflow import Clone
from tests.slurm.cluster import Cluster, lacking

SESSIONS = 3
SECONDS_A_SESSION = 0.8  # added to each, so that something can happen in the middle
# The smoke study on two fake GPUs, in jobs that are soon there.
STUDY = {
    "study": "smoke",
    "models": ["minilm"],
    "methods": {"full": {}, "snapkv": {"budget": "1/8"}, "a_shape": {"budget": "1/8"}},
    "floor": False,
    "check_baseline": False,
    "tasks": ["retr_kv", "mix_sum_niah"],
    "data": {"scale": "mini", "tokens": 256, "sessions": SESSIONS, "turns": 2},
    "execution": {"max_shard_minutes": 20},
}
# What a second profile says of a cluster that lives for a minute.
SITE = {
    "slurm-init-seconds-before-status-checks": 3,
    "seconds-between-status-checks": 2,
    "latency-wait": 10,
    "default-resources": ["mem_mb=1000", "runtime=10", "slurm_partition=gpu"],
}
TABLE = "figures/table4.tex"
PAIRS = SESSIONS * len(STUDY["tasks"]) * len(STUDY["methods"]) * 2  # of a session and a cell, in two modes


class ClusterClone(Clone):
    """A copy of the copy at `source`; its commands run on `cluster`."""

    def __init__(self, path: Path, source: Path, cluster: Cluster) -> None:
        shutil.copytree(source, path, symlinks=True)
        self.path = path
        self.cluster = cluster
        (path / "slurm" / "site.yaml").write_text(yaml.safe_dump(SITE))

    def submit(self, *arguments: str, study: str = "test.yaml") -> subprocess.Popen:
        """`snakemake --profile slurm` of the table, output in a pipe; the process is the head itself."""
        names = ("SNAKEMAKE", "PYTHON", "SLURM")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(names)}
        command = [sys.executable, "-m", "snakemake", "--profile", "slurm", "--profile", "slurm/site.yaml"]
        command += [TABLE, f"--configfile={study}", *arguments]
        return self.cluster.start(
            *command,
            cwd=self.path,
            env=environment | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, head: subprocess.Popen, status: int = 0) -> str:
        """What `head` prints until it ends, which must be with `status`."""
        output, _ = head.communicate(timeout=500)
        assert head.returncode == status, output + self.logs()
        return output

    def wait_for_the_middle(self, head: subprocess.Popen) -> None:
        """Return as soon as inference has finished some sessions; it must not have finished all."""
        deadline = time.monotonic() + 400
        while not self.progress():
            assert head.poll() is None, head.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert self.progress() < PAIRS

    def status(self) -> str:
        """What `python -m scripts.status` prints."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        command = [sys.executable, "-m", "scripts.status"]
        return subprocess.run(
            command, cwd=self.path, env=environment, check=True, capture_output=True, text=True
        ).stdout

    def table(self) -> bytes:
        return (self.path / TABLE).read_bytes()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster; a test that needs one is skipped where none can run."""
    if reason := lacking():
        pytest.skip(f"no SLURM here: {reason}")
    with Cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy of this repository in which nothing has run: its model asks for a GPU, a session takes a while."""
    clone = Clone(tmp_path_factory.mktemp("pristine") / "clone")
    clone.write_study("test.yaml", STUDY)
    clone.edit("resources/models.lock.yaml", lambda lock: lock.replace("gpus: 0", "gpus: 1", 1))
    computing = "        results = self._computer.compute("
    slower = f"        time.sleep({SECONDS_A_SESSION})\n{computing}"
    clone.edit("scbench/shard.py", lambda code: code.replace(computing, slower))
    return clone


@pytest.fixture(scope="session")
def local(pristine: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Another one, in which this machine alone made the table."""
    path = tmp_path_factory.mktemp("local") / "clone"
    shutil.copytree(pristine.path, path)
    clone = Clone.__new__(Clone)
    clone.path = path
    clone.build(TABLE)
    return clone


@pytest.fixture
def clone(pristine: Clone, cluster: Cluster, tmp_path: Path) -> ClusterClone:
    """A fresh copy whose commands run on the cluster."""
    return ClusterClone(tmp_path / "clone", pristine.path, cluster)


@pytest.fixture
def prepared(clone: ClusterClone, local: Clone) -> ClusterClone:
    """A fresh copy that has its sessions: what is left for the cluster is inference."""
    sessions = "results/smoke/sessions"
    shutil.copytree(local.path / sessions, clone.path / sessions)
    return clone
