"""A study of ten times the paper's cells is planned, looked up and laid out for Snakemake in a minute and 2 GiB."""

import os
import resource
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from scbench import cellkey
from scbench.canonical import canonical_json, digest_text
from scbench.places import ROOT
from scbench.plan import make_plan
from scbench.schema import read_yaml
from scbench.store import Store
from scbench.study import read_study
from tests.e2e.test_workflow import Clone

TIMES = 10
CELLS = 17_760
FINISHED = 200  # cells that the store holds


def store_of(root: Path, keys: list[str]) -> None:
    """A store as `Store.publish` leaves it, with one session in each cell."""
    for key in keys:
        line = canonical_json({"session": "s", "turns": [{"prediction": "x"}]}) + "\n"
        (root / key[:2]).mkdir(parents=True, exist_ok=True)
        (root / key[:2] / f"{key}.jsonl").write_text(line)
        manifest = {"key": key, "fields": {}, "sessions": {"s": digest_text(line)}}
        (root / key[:2] / f"{key}.json").write_text(canonical_json(manifest) + "\n")


def test_the_plan_and_the_look_up_in_the_store(tmp_path: Path):
    started = time.process_time()
    paper = read_study(ROOT / "studies" / "paper.yaml")
    models = [replace(model, name=f"{model.name}_{number}") for number in range(TIMES) for model in paper.models]
    study = replace(paper, models=tuple(models), main_models=(), both_histories=False)
    plan = make_plan(study)
    assert len(plan.cells) == CELLS
    machine = cellkey.machine(replace(study, execution=replace(study.execution, device="cpu")))
    # Copies of a model that is not pinned have its keys; here they are models of their own.
    keys = [cellkey.key(study, cell, machine | {"copy": cell.model.name}) for cell in plan.cells]
    finished = set(keys[:FINISHED])
    store_of(tmp_path, sorted(finished))
    store = Store(tmp_path)
    store.refresh(keys)
    assert {key for key in keys if store.get(key, "s") is not None} == finished
    assert time.process_time() - started < 60


@pytest.mark.skipif("SCBENCH_TEST_FAULTS" not in os.environ, reason="minutes; run once by `make test-cluster`")
def test_the_dry_run(tmp_path: Path):
    clone = Clone(tmp_path / "clone")
    lock = clone.path / "resources" / "models.lock.yaml"
    known, paper = read_yaml(lock), read_yaml(ROOT / "studies" / "paper.yaml")
    copies = {f"{name}_{number}": known[name] for number in range(TIMES) for name in paper["models"]}
    lock.write_text(yaml.safe_dump(known | copies, sort_keys=False))
    large = {key: value for key, value in paper.items() if key not in ("main_models", "both_histories")}
    clone.write_study("large.yaml", large | {"models": list(copies)})
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = clone.start("-n", "figures/table4.tex", "--configfile=large.yaml")
    output, _ = process.communicate(timeout=900)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process.returncode == 0, output
    assert f"{CELLS} cells" in output
    # Of the processor, as a machine that is busy makes every process wait.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 60
    assert after.ru_maxrss <= 2 * 1024 * 1024
