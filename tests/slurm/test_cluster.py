"""`snakemake --profile slurm` on a real SLURM: the same bytes as on one machine, whatever happens on the way.

One run, in which the head process is killed, is part of every test run. The other faults take minutes each:
`make test-cluster`.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.test_workflow import Clone
from tests.slurm.conftest import PAIRS, STUDY, ClusterClone

TURNS = PAIRS * STUDY["data"]["turns"]
FAULTS = pytest.mark.skipif(
    "SCBENCH_TEST_FAULTS" not in os.environ, reason="minutes each; run once by `make test-cluster`"
)


def check(clone: ClusterClone, local: Clone) -> None:
    """The table is that of one machine, and nothing finished was computed twice."""
    assert clone.table() == (local.path / "figures" / "table4.tex").read_bytes()
    counts = clone.computed()
    assert len(counts) == TURNS
    assert set(counts.values()) == {1}


def inference(clone: ClusterClone) -> list[dict[str, str]]:
    """The inference jobs of this copy so far."""
    return [
        job
        for job in clone.cluster.jobs()
        if job["WorkDir"] == str(clone.path) and job["Comment"].startswith("rule_infer_")
    ]


def test_a_run_whose_head_is_killed_goes_on_with_the_same_command(clone: ClusterClone, local: Clone):
    head = clone.submit()
    clone.wait_for_the_middle(head)
    head.send_signal(signal.SIGKILL)
    head.communicate()
    assert clone.cluster.running("infer_")
    assert "jobs: 1 running" in clone.status()
    output = clone.finish(clone.submit())
    assert "Traceback" not in output
    check(clone, local)
    jobs = inference(clone)
    assert all(job["TresPerJob"] == "gres:gpu:1" and job["JOB_GRES"].startswith("gpu:") for job in jobs)
    assert all(job["TimeLimit"] == "00:10:00" for job in jobs)
    assert len([job for job in clone.cluster.jobs() if job["WorkDir"] == str(clone.path)]) <= 10
    assert "study smoke: 12 of 12 cells done, 0 running, 0 failed" in clone.status()
    assert "Nothing to be done" in clone.finish(clone.submit())
    assert clone.table() == (local.path / "figures" / "table4.tex").read_bytes()


def cancel(clone: ClusterClone) -> None:
    clone.cluster.run("scancel", *clone.cluster.running("infer_"))


def requeue(clone: ClusterClone) -> None:
    clone.cluster.run("scontrol", "requeue", *clone.cluster.running("infer_"))


def kill(clone: ClusterClone) -> None:
    os.kill(clone.inference_process(), signal.SIGKILL)


def lose_the_node(clone: ClusterClone) -> None:
    node = f"nodename={clone.cluster.node}"
    clone.cluster.run("scontrol", "update", node, "state=down", "reason=test")
    assert not clone.cluster.running("infer_")
    clone.cluster.run("scontrol", "update", node, "state=resume")


def drain_the_node(clone: ClusterClone) -> None:
    """No job starts on the node, not even the one that ran there."""
    node = f"nodename={clone.cluster.node}"
    clone.cluster.run("scontrol", "update", node, "state=drain", "reason=test")
    requeue(clone)
    time.sleep(15)  # longer than a requeued job is held back
    assert not clone.cluster.running("infer_")
    clone.cluster.run("scontrol", "update", node, "state=resume")


@FAULTS
@pytest.mark.parametrize("fault", [cancel, requeue, kill, lose_the_node, drain_the_node])
def test_a_fault_changes_nothing(fault: Callable, prepared: ClusterClone, local: Clone):
    head = prepared.submit()
    prepared.wait_for_the_middle(head)
    fault(prepared)
    prepared.finish(head)
    check(prepared, local)
    again = inference(prepared)
    assert len(again) > 1 or int(again[0]["Restarts"]) > 0
    # What is tried again may have run out of memory.
    memory = [int(job["MinMemoryNode"].removesuffix("M")) for job in sorted(again, key=lambda job: int(job["JobId"]))]
    assert memory == sorted(set(memory))


@FAULTS
def test_a_full_disk_stops_the_run_with_one_sentence_and_the_same_command_goes_on(prepared: ClusterClone, local: Clone):
    store = prepared.path / "results" / "store"
    store.mkdir()
    # The mount is seen in the cluster alone, as its head and its jobs see it.
    prepared.cluster.run("mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(store))
    output = prepared.finish(prepared.submit("--retries", "0"), status=1)
    assert "No space left on device" in output + prepared.logs()
    assert "Traceback" not in prepared.logs()
    prepared.cluster.run("mount", "-o", "remount,size=8m", str(store))
    prepared.finish(prepared.submit())
    check(prepared, local)


@FAULTS
def test_two_heads_at_once_share_the_work(prepared: ClusterClone, local: Clone):
    heads = [prepared.submit(), prepared.submit()]
    for head in heads:
        prepared.finish(head)
    check(prepared, local)


@FAULTS
def test_one_job_a_cell_gives_the_same_answers(prepared: ClusterClone, local: Clone):
    study = STUDY | {"tasks": ["retr_kv"], "methods": {"full": {}, "snapkv": {"budget": "1/8"}}}
    prepared.write_study("cells.yaml", study | {"execution": {"granularity": "cell"}})
    prepared.finish(prepared.submit(study="cells.yaml"))
    jobs = inference(prepared)
    assert len(jobs) == 4 == len({job["Comment"] for job in jobs})
    cells = Path("results", "smoke", "cells")
    found = [path for path in (prepared.path / cells).rglob("*.jsonl")]
    assert len(found) == 4
    assert all(path.read_bytes() == (local.path / path.relative_to(prepared.path)).read_bytes() for path in found)
