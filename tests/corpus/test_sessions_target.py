"""`snakemake sessions`: all that needs no network, at the paper's scale, the same bytes every time."""

import json
import os
from pathlib import Path

import pytest
import yaml

from scbench import sessionkey
from scbench.canonical import digest_file
from scbench.costs import session_count
from scbench.places import ROOT
from scbench.raw.needs import BUILD, PUBLISHED, needs
from scbench.schema import read_yaml
from scbench.sessions import read_sessions
from scbench.study import load_study
from scripts.build_sessions import sessions_of, write_sessions
from tests.e2e.test_workflow import Clone

PAPER = read_yaml(ROOT / "studies" / "paper.yaml")


def paper(**data):
    return load_study(PAPER | {"data": PAPER["data"] | data}, "paper.yaml")


def test_the_counts_are_the_papers():
    study = paper()
    assert {task: session_count(study, task) for task in study.tasks} == {
        "retr_kv": 100, "retr_prefix_suffix": 100, "retr_multihop": 90, "code_repoqa": 88, "en_qa": 69, "zh_qa": 35,
        "en_multichoice": 58, "icl_manyshot": 54, "math_find": 100, "en_sum": 70, "mix_sum_niah": 70,
        "mix_repoqa_kv": 88,
    }  # fmt: skip


def test_what_no_public_source_has_is_taken_from_the_published_set():
    study = paper()
    for task in study.tasks:
        sources = {source for source, _ in needs(study, task)}
        assert (PUBLISHED in sources) is (task in ("en_sum", "mix_sum_niah")), task
    assert all({source for source, _ in needs(paper(source="published"), task)} == {PUBLISHED} for task in study.tasks)


def test_the_source_of_one_task_decides_no_other():
    both, one = paper(), paper(published=["en_sum"])
    assert sessionkey.fields(both, "retr_kv") == sessionkey.fields(one, "retr_kv")
    assert sessionkey.fields(both, "mix_sum_niah") != sessionkey.fields(one, "mix_sum_niah")


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A copy of the repository, and a mirror that holds BIG-Bench-Hard alone: the real one, or files of its form.

    Of files that were made up, the copy's lock has the sha256.
    """
    copy = Clone(tmp_path / "clone")
    if mirror := os.environ.get("SCBENCH_TEST_MIRROR"):
        os.symlink(Path(mirror), tmp_path / "clone" / "mirror")
        return copy
    folder = tmp_path / "clone" / "mirror" / "bbh"
    folder.mkdir(parents=True)
    lock = copy.path / "resources" / "raw.lock.yaml"
    entries = yaml.safe_load(lock.read_text())
    for _, name in BUILD["icl_manyshot"]:
        rows = [{"input": f"{name} {n}?\n(A) odd\n(B) even", "target": "(A)" if n % 2 else "(B)"} for n in range(250)]
        path = folder / name
        path.write_text(json.dumps({"examples": rows}))
        entries["bbh"]["files"][name] = {"sha256": digest_file(path), "bytes": path.stat().st_size}
    lock.write_text(yaml.safe_dump(entries, sort_keys=False))
    return copy


def test_what_needs_no_network_is_built_and_the_rest_is_named(clone, tmp_path):
    tasks = ["retr_kv", "icl_manyshot", "en_qa", "en_sum"]
    config = PAPER | {
        "methods": {"full": {}},
        "tasks": tasks,
        "data": PAPER["data"] | {"sessions": 2, "mirror": "mirror"},
    }
    clone.write_study("paper.yaml", config)
    output = clone.snakemake("sessions", "--profile", "local", "--cores", "2", "--configfile=paper.yaml")
    assert "neither here nor in data.mirror: en_qa, en_sum" in output
    made = sorted((clone.path / "results" / "paper" / "sessions").glob("*.parquet"))
    assert [path.stem for path in made] == ["icl_manyshot", "retr_kv"]
    assert [session.meta["subtask"] for session in read_sessions(made[0])] == [
        Path(BUILD["icl_manyshot"][0][1]).stem
    ] * 2
    # Once more, by another process.
    study = load_study(config, "paper.yaml")
    for path in made:
        raw = [clone.path / "results" / "raw" / source / file for source, file in BUILD.get(path.stem, ())]
        write_sessions(tmp_path / path.name, sessions_of(study, path.stem, raw))
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
