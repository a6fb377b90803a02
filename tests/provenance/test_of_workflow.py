"""The audit of what the workflow really made, by the command, in clones and bundles, with a Python and nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from rocrate.rocrate import ROCrate

from scbench.stats import per_task
from tests.e2e.test_workflow import Clone
from tests.provenance.conftest import FIGURE, OFFERED, TABLE, bare_audit

CELL = "results/smoke/cells/minilm/snapkv/retr_kv/multi_turn/0-3.jsonl"


def command(where: Path, *arguments: str, status: int = 0) -> str:
    """Output of `python -m scripts.<arguments>` in `where`, with the project's packages."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    process = subprocess.run(
        [sys.executable, "-m", f"scripts.{arguments[0]}", *arguments[1:]],
        cwd=where,
        env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert "Traceback" not in process.stderr, process.stderr
    assert process.returncode == status, process.stdout + process.stderr
    return process.stdout + process.stderr


def test_a_clean_run_is_ok_with_a_bare_python_and_shows_where_it_came_from(built: Clone):
    status, output = bare_audit(built.path, *OFFERED, "--strict")
    assert status == 0, output
    for words in (
        "results/smoke/scores/minilm/snapkv.parquet  OK",
        "2 cells  OK",
        "results/smoke/sessions/retr_kv.parquet  OK",
        "model minilm  OK  model.safetensors",
        "torch 2.",
        "seed 0",
        "all 36 turns timed",
    ):
        assert words in output
    assert re.search(r"^CPU hours +0\.\d{3}", output, re.MULTILINE)
    assert re.search(r"^ledger +\d+ lines, .* OK$", output, re.MULTILINE)
    assert "Not checked here" not in output


def test_every_kind_of_file_has_its_sidecar_and_carries_its_lineage(built: Clone):
    for path in built.path.glob("results/smoke/*/**/*"):
        kept = path.is_file() and path.parent.name not in ("progress", "observations")
        if kept and not path.name.endswith(".prov.json"):
            assert Path(f"{path}.prov.json").is_file(), path
    for name in ("table4.tex", "figure3.png", "figure3.pdf"):
        sidecar = json.loads((built.path / f"results/smoke/artifacts/{name}.prov.json").read_text())
        assert sidecar["lineage"].encode() in (built.path / "results/smoke/artifacts" / name).read_bytes()
        assert {"command", "commit", "hardware", "host", "lock", "started", "finished"} <= set(sidecar["observation"])


def test_a_clone_on_another_path_is_ok_and_what_is_changed_in_it_is_found(copied: Path):
    assert bare_audit(copied, TABLE, "--strict")[0] == 0
    assert bare_audit(copied.parent, str(copied / TABLE))[0] == 1  # no scripts there: the command runs in a clone
    assert bare_audit(copied, str(copied / TABLE), "--fast")[0] == 0

    shutil.rmtree(copied / ".snakemake")
    helper = copied / "scbench/kv/attention.py"
    source = helper.read_text()
    helper.write_text(f"# a remark\n{source}")
    assert bare_audit(copied, TABLE)[0] == 0
    helper.write_text(f"{source}\nWARPS = 4\n")
    status, output = bare_audit(copied, TABLE)
    assert status == 13 and "code.core: scbench/kv/attention.py is another one today" in output
    helper.write_text(source)

    lock = copied / "resources/models.lock.yaml"
    pinned = lock.read_text()
    weights = re.search(r"model.safetensors: ([0-9a-f]{64})", pinned)[1]
    lock.write_text(pinned.replace(weights, "1" * 64))
    status, output = bare_audit(copied, TABLE)
    assert status == 13 and "model.model.safetensors was" in output
    lock.write_text(pinned)

    template = copied / "resources/templates/table4.tex.j2"
    template.write_text(template.read_text() + "% more\n")
    status, output = bare_audit(copied, TABLE)
    assert status == 13 and "the template table4.tex.j2 is another one today" in output


def test_a_number_is_explained_by_its_turns(built: Clone):
    scores = pd.read_parquet(built.path / "results/smoke/scores/minilm/snapkv.parquet")
    score = per_task(scores).set_index(["task", "mode"]).loc[("retr_kv", "multi_turn"), "score"]
    output = command(built.path, "audit", TABLE, "--why", "minilm/snapkv/retr_kv/multi_turn")
    assert f"retr_kv: {score:.2f} percent (strict scoring), from 6 turns" in output
    cells = [json.loads(line) for line in (built.path / CELL).read_text().splitlines()]
    for record in cells:
        shown = f"said {json.dumps(record['prediction'])}  gold {json.dumps(record['golds'][0])}"
        assert re.search(rf"{record['session']} turn {record['turn']}  [01]\.\d+  {re.escape(shown)}", output)
    status, bare = bare_audit(built.path, TABLE, "--why", "minilm/snapkv/retr_kv/multi_turn")
    assert status == 0 and "No scores: pyarrow is not installed" in bare and shown in bare
    status, output = bare_audit(built.path, TABLE, "--why", "minilm/snapkv/retr_kx/multi_turn")
    assert status == 1 and "did you mean minilm/snapkv/retr_kv/multi_turn" in output


def test_a_replay_gives_the_recorded_answers_and_finds_the_one_that_is_another(copied: Path):
    cell = copied / CELL
    first, *others = cell.read_text().splitlines(keepends=True)
    record = json.loads(first)
    cell.write_text("".join([json.dumps(record | {"prediction": "another"}) + "\n", *others]))
    output = command(copied, "audit", TABLE, "--replay", "3", status=10)
    assert "replay: 3 sessions, 36 turns, 35 as recorded, 1 not" in output
    said = json.dumps(["another", record["prediction"]])
    assert f"NOT-REPRODUCED  {CELL}: {record['session']} turn 1: recorded and replayed {said}" in output


def test_a_bundle_is_ok_on_another_machine(built: Clone, tmp_path: Path):
    archive = tmp_path / "bundle.zip"
    said = command(built.path, "bundle", TABLE, FIGURE, "--out", str(archive))
    assert "verdict OK" in said
    there = tmp_path / "other machine"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(there)
    status, output = bare_audit(there, TABLE, FIGURE, "--strict")
    assert status == 0, output
    again = tmp_path / "again.zip"
    command(built.path, "bundle", TABLE, FIGURE, "--out", str(again))
    assert again.read_bytes() == archive.read_bytes()
    with open(there / CELL, "a") as file:
        file.write("{}\n")
    assert bare_audit(there, TABLE)[0] == 10
    names = {entity.id: entity for entity in ROCrate(there).get_entities()}
    described = {TABLE, FIGURE, CELL, "results/smoke/scores/minilm/full.parquet"}
    assert described | {"resources/minilm/model.safetensors"} <= set(names)


def test_what_is_not_ok_is_bundled_on_request_alone(copied: Path):
    with open(copied / TABLE, "a") as file:
        file.write("more")
    assert "TAMPERED" in command(copied, "bundle", TABLE, "--out", "x.zip", status=1)
    command(copied, "bundle", TABLE, "--out", "x.zip", "--any")
    assert (copied / "x.zip").is_file()


def test_the_crate_holds_every_artifact_and_its_lineage(copied: Path):
    command(copied, "make_crate", *OFFERED, "--out", "figures/ro-crate-metadata.json")
    crate = ROCrate(copied / "figures")
    audited = json.loads(bare_audit(copied, *OFFERED, "--format", "json")[1])
    described = {entity["sha256"] for entity in crate.get_entities() if entity.get("sha256")}
    for node in audited["nodes"]:
        assert set(node["sha256"].values()) <= described, node["path"]
    profiles = {entity.id for entity in crate.root_dataset["conformsTo"]}
    assert "https://w3id.org/ro/wfrun/provenance/0.5" in profiles
    actions = [entity for entity in crate.get_entities() if entity.type == "CreateAction"]
    made = {result.id for action in actions for result in action["result"]}
    assert {Path(path).name for path in OFFERED} <= made
    named = {result["name"] for action in actions for result in action["result"]}
    assert {node["path"] for node in audited["nodes"] if node["lineage"]} == named
    assert crate.mainEntity["name"] == "Snakefile"
    assert str(copied) not in (copied / "figures/ro-crate-metadata.json").read_text()
    assert "call it figures/ro-crate-metadata.json" in command(
        copied, "make_crate", TABLE, "--out", "figures/crate.json", status=1
    )


def test_the_workflow_offers_the_crate_and_the_page(built: Clone):
    jobs = built.jobs("figures/ro-crate-metadata.json", "figures/lineage.html")
    assert jobs["crate"] == jobs["lineage"] == 1


@pytest.mark.parametrize("form", ["json", "dot", "html"])
def test_every_format_is_whole(built: Clone, form: str):
    status, output = bare_audit(built.path, TABLE, "--format", form)
    assert status == 0
    if form == "json":
        assert json.loads(output)["verdict"] == "OK"
    if form == "html":
        assert output.count("<details") == output.count("</details>")
        assert "<script" not in output and "src=" not in output
    assert CELL in output
