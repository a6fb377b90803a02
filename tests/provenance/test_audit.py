"""Everything that can be wrong with a result has a verdict, and nothing that is right has one."""

import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from scbench import codedigest
from scbench.canonical import canonical_json
from scbench.errors import UserError
from scbench.provenance import current, record
from scbench.provenance.audit import audit
from scbench.provenance.ledger import fold
from scbench.provenance.page import as_html
from scbench.provenance.render import as_dot, as_json, as_text
from scbench.provenance.settings import record_study
from scbench.provenance.sidecar import seal, sidecar_path
from scbench.provenance.verdicts import Verdict
from tests.provenance.conftest import ARTIFACT, CELL, FIGURE, SCORES, SESSIONS, TABLE, Project, findings, reseal

NAN = (
    canonical_json(
        {"schema": "scbench-provenance/2", "output": {"path": "x", "bytes": 1, "sha256": "0" * 64}, "inputs": []}
        | {"identity": {}, "versions": {}, "observation": {"x": "NaN"}, "lineage": "0" * 64, "seal": ""}
    )
    .replace('"NaN"', "NaN")
    .encode()
)
LEDGER = Path("results/provenance/ledger.jsonl")


def one_finding(project: Project, **options) -> tuple[str, str, str]:
    """The only thing that an audit finds; the verdict of the whole is that of this finding."""
    report = project.audit(**options)
    found = findings(report)
    assert len(found) == 1, found
    assert report.verdict.title == found[0][0]
    return found[0]


def flip(path: str, at: int = 20) -> None:
    """Change one byte and put the old times back."""
    stat = os.stat(path)
    data = bytearray(Path(path).read_bytes())
    data[at] ^= 1
    with open(path, "r+b") as file:
        file.write(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def edit_sidecar(path: str, change) -> None:
    sidecar = sidecar_path(path)
    found = json.loads(sidecar.read_text())
    change(found)
    sidecar.write_text(canonical_json(found) + "\n")


def edit_ledger(change) -> None:
    lines = LEDGER.read_text().splitlines(keepends=True)
    change(lines)
    LEDGER.write_text("".join(lines))


def test_a_clean_project_is_ok(project: Project):
    report = project.audit(strict=True)
    assert findings(report) == []
    assert report.verdict is Verdict.OK and report.verdict.status == 0
    kinds = [node.kind for node in report.graph.values()]
    assert {kind: kinds.count(kind) for kind in ("scores", "cells", "sessions", "models", "studies")} == {
        "scores": 2,
        "cells": 8,
        "sessions": 2,
        "models": 1,
        "studies": 1,
    }


@pytest.mark.parametrize("fast", [False, True])
def test_a_flipped_byte_with_its_old_time_is_tampered(project: Project, fast: bool):
    assert project.audit().verdict is Verdict.OK  # what --fast remembers
    flip(CELL)
    verdict, path, reason = one_finding(project, fast=fast)
    assert (verdict, path) == ("TAMPERED", CELL) and "its record says" in reason


def test_a_line_appended_to_the_table_is_tampered(project: Project):
    with open(TABLE, "a") as file:
        file.write("another row \\\\\n")
    assert one_finding(project)[:2] == ("TAMPERED", TABLE)


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found["identity"]["fields"].update(dtype="float64"),
        lambda found: found["observation"].update(host="another"),
        lambda found: found["output"].update(sha256="0" * 64),
        lambda found: found["inputs"].clear(),
    ],
)
def test_an_edited_sidecar_is_tampered(project: Project, change):
    edit_sidecar(CELL, change)
    report = project.audit()
    assert report.verdict is Verdict.TAMPERED
    assert ("TAMPERED", CELL) in [found[:2] for found in findings(report)]


def test_a_sidecar_whose_own_digests_fit_again_is_caught_by_the_ledger_and_by_its_readers(project: Project):
    reseal(CELL, lambda found: found["identity"]["fields"].update(note="nicer"))
    assert {found[:2] for found in findings(project.audit())} == {("LEDGER-BROKEN", CELL), ("STALE", SCORES)}
    LEDGER.unlink()
    LEDGER.with_name("ledger.head").unlink()
    assert one_finding(project)[:2] == ("STALE", SCORES)


def test_an_observation_that_was_edited_cleverly_is_caught_by_the_ledger(project: Project):
    reseal(CELL, lambda found: found["observation"].update(host="another"))
    assert one_finding(project)[:2] == ("LEDGER-BROKEN", CELL)


def test_a_replaced_input_is_tampered_and_one_that_was_made_again_leaves_its_readers_stale(project: Project):
    Path(SESSIONS).write_bytes(b"retr_kv: other cont")
    assert one_finding(project)[:2] == ("TAMPERED", SESSIONS)
    project.sessions("retr_kv", "another context")
    fold()
    found = findings(project.audit())
    assert {verdict for verdict, _, _ in found} == {"STALE"}
    assert [path for _, path, _ in found] == [path for path in sorted(project.audit().graph) if "/retr_kv/" in path]
    assert all(f"another {SESSIONS}" in reason for _, _, reason in found)


def test_an_input_without_a_record_leaves_its_reader_stale_when_it_changes(project: Project):
    Path("raw.txt").write_text("as fetched")
    path = project.write("results/tiny/sessions/zh_qa.parquet", "made from raw")
    record([path], ["raw.txt"], {"task": "zh_qa"})
    fold()
    assert project.audit(path).verdict is Verdict.OK
    Path("raw.txt").write_text("as edited")
    assert [found[:2] for found in findings(project.audit(path))] == [("STALE", path)]
    Path("raw.txt").unlink()
    assert [found[:2] for found in findings(project.audit(path))] == [("MISSING", "raw.txt")]


def test_replaced_weights_are_tampered_and_a_new_training_leaves_the_cells_outdated(project: Project):
    weights = Path("results/models/minilm/config.json")
    weights.write_bytes(b"wEights")
    verdict, _, reason = one_finding(project)
    assert verdict == "TAMPERED" and str(weights) in reason
    Path("results/models/minilm/training.json").write_text(json.dumps({"files": {"config.json": "1" * 64}}))
    verdict, _, reason = one_finding(project)
    assert verdict == "OUTDATED" and "model.config.json" in reason


def test_a_changed_module_is_outdated_and_a_comment_is_not(project: Project, monkeypatch: pytest.MonkeyPatch):
    tree = project.root / "code"
    for module in ("scbench/__init__.py", "scbench/canonical.py"):
        (tree / module).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(codedigest.ROOT / module, tree / module)
    monkeypatch.setattr(codedigest, "ROOT", tree)
    helper = tree / "scbench/canonical.py"
    source = helper.read_text()

    helper.write_text(f"# a remark\n{source}")
    current._modules.cache_clear()
    assert project.audit().verdict is Verdict.OK
    helper.write_text(f"{source}\nMORE = 1\n")
    current._modules.cache_clear()
    report = project.audit()
    assert report.verdict is Verdict.OUTDATED
    assert all("scbench/canonical.py is another one today" in reason for _, _, reason in findings(report))
    helper.unlink()
    current._modules.cache_clear()
    assert project.audit().verdict is Verdict.OUTDATED
    current._modules.cache_clear()


def test_an_edited_manifest_of_the_code_is_not_believed(project: Project):
    for path in Path("results/provenance/code").glob("*.json"):
        found = json.loads(path.read_text())
        found["sources"]["scbench.canonical"] = "0" * 64
        path.write_text(canonical_json(found))
    report = project.audit()
    assert any("which modules that was is not on record here" in note for node in report.nodes for note in node.notes)
    assert project.audit(strict=True).verdict is Verdict.MISSING


def test_a_changed_study_is_outdated_in_the_field_that_changed(project: Project):
    study = json.loads(Path("results/tiny/study.json").read_text())
    study["methods"]["snapkv"]["budget"] = "1/4"
    project.write("results/tiny/study.json", json.dumps(study))
    record_study("results/tiny/study.json", ["config.yaml"])
    fold()
    verdict, path, reason = one_finding(project)
    assert (verdict, path) == ("OUTDATED", ARTIFACT)
    assert reason == 'methods.snapkv.budget was null, the study says "1/4" today'


def test_an_edited_study_file_is_outdated_and_an_edited_remark_in_it_is_not(project: Project):
    Path("config.yaml").write_text("# new\n\nseed: 0   # another remark\n")
    assert project.audit().verdict is Verdict.OK
    Path("config.yaml").write_text("seed: 1\n")
    verdict, path, reason = one_finding(project)
    assert (verdict, path) == ("OUTDATED", "results/tiny/study.json") and "config.yaml" in reason


def test_a_library_that_the_lock_pins_otherwise_today_is_outdated(project: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(current, "_lock_pins", lambda: {"": "another lock", "fastlib": "1.0"})
    assert project.audit().verdict is Verdict.OK
    monkeypatch.setattr(current, "_lock_pins", lambda: {"": "another lock", "fastlib": "2.0"})
    report = project.audit()
    assert report.verdict is Verdict.OUTDATED
    assert {reason for _, _, reason in findings(report)} == {"fastlib was 1.0, requirements.lock pins 2.0 today"}


def test_without_snakemakes_own_records_the_audit_is_the_same(project: Project):
    Path(".snakemake/metadata").mkdir(parents=True)
    shutil.rmtree(".snakemake")
    assert project.audit().verdict is Verdict.OK
    flip(SCORES, at=1)
    assert one_finding(project)[:2] == ("TAMPERED", SCORES)


def test_what_a_failed_job_left_has_no_record_or_another_ones(project: Project):
    Path(f"{SCORES}.prov.json").unlink()
    assert one_finding(project)[:2] == ("MISSING", SCORES)
    project.scores("snapkv")
    Path(SCORES).write_bytes(b"half of")
    assert ("TAMPERED", SCORES) in [found[:2] for found in findings(project.audit())]
    Path(SCORES).unlink()
    assert ("MISSING", SCORES) in [found[:2] for found in findings(project.audit())]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lines: lines.pop(3), "line 4 does not follow the line before it: one is missing"),
        (lambda lines: lines.pop(), "1 lines are missing from its end"),
        (lambda lines: lines.pop(0), "line 1 does not follow"),
        (lambda lines: lines.insert(2, lines[5]), "line 3 does not follow"),
        (lambda lines: lines.__setitem__(4, lines[4].replace("results", "rEsults")), "line 5 is edited"),
        (lambda lines: lines.clear(), "lines are missing from its end"),
    ],
)
def test_a_ledger_that_was_changed_is_broken(project: Project, change, reason: str):
    edit_ledger(change)
    verdict, path, found = one_finding(project)
    assert (verdict, path) == ("LEDGER-BROKEN", str(LEDGER)) and reason in found
    with pytest.raises(UserError, match="begins a new one"):
        fold()


def test_cells_of_one_table_from_different_environments_are_mixed(project: Project):
    project.cell("snapkv", "retr_kv", "multi_turn", libraries={"fastlib": "2.0"}, machine={"device": "NVIDIA H100"})
    project.finish()
    report = project.audit()
    assert report.verdict is Verdict.MIXED
    reasons = [reason for _, path, reason in findings(report) if path == ARTIFACT]
    assert any("libraries.fastlib: 1.0 in 7, 2.0 in 1" in reason and CELL in reason for reason in reasons)
    assert any("machine.device" in reason for reason in reasons)


def test_other_prompts_within_a_study_are_mixed(project: Project):
    project.cell("snapkv", "retr_kv", "multi_turn", prompts="compat")
    project.finish()
    reasons = [reason for verdict, _, reason in findings(project.audit()) if verdict == "MIXED"]
    assert len(reasons) == 1 and "prompts of tiny: clean in 7, compat in 1" in reasons[0]


def test_another_lock_alone_is_mixed_too(project: Project):
    project.lock = "f" * 64
    project.cell("snapkv", "retr_kv", "multi_turn")
    project.finish()
    verdict, path, reason = one_finding(project)
    assert (verdict, path) == ("MIXED", ARTIFACT) and "the environment lock" in reason


def test_sessions_of_different_seeds_are_mixed(project: Project):
    project.data = project.data | {"seed": 1}
    project.sessions("en_qa")
    project.data = project.data | {"seed": 0}
    for method in ("full", "snapkv"):
        for mode in ("multi_turn", "multi_request"):
            project.cell(method, "en_qa", mode)
    project.finish()
    assert "MIXED" in {verdict for verdict, _, reason in findings(project.audit()) if "data.seed" in reason}


def test_a_table_without_a_planned_cell_is_partial(project: Project):
    Path(CELL).unlink()
    sidecar_path(CELL).unlink()
    project.finish()
    verdict, path, reason = one_finding(project)
    assert (verdict, path) == ("PARTIAL", ARTIFACT)
    assert reason == "1 of 8 planned cells are absent or not whole: minilm/snapkv/retr_kv/multi_turn"


def test_what_names_no_fixed_version_is_unpinned(project: Project):
    reseal(SESSIONS, lambda found: found["identity"].update(raw={"revision": "main"}))
    found = findings(project.audit(SESSIONS))
    assert ("UNPINNED", SESSIONS, "raw.revision is 'main', which names no fixed version") in found
    for method in ("full", "snapkv"):
        project.cell(method, "retr_kv", "multi_turn", model={})
    project.finish()
    assert "no file of the model is pinned by its sha256" in [reason for _, _, reason in findings(project.audit())]


def test_uncommitted_code_is_unpinned(project: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "scbench.provenance.observation.commit", lambda: {"sha": "1" * 40, "dirty": True, "diff": "2" * 64}
    )
    project.sessions("en_qa")
    fold()
    found = findings(project.audit("results/tiny/sessions/en_qa.parquet"))
    assert [(verdict, reason) for verdict, _, reason in found] == [
        ("UNPINNED", "made with uncommitted edits of the code (diff 222222222222)")
    ]


def test_every_verdict_has_a_status_of_its_own_apart_from_errors():
    statuses = [verdict.status for verdict in Verdict]
    assert len(set(statuses)) == len(statuses)
    assert Verdict.OK.status == 0 and all(status >= 10 for status in statuses if status)


def test_touched_files_are_ok(project: Project):
    for path in Path().rglob("*"):
        os.utime(path, (1, 1))
    assert project.audit(strict=True).verdict is Verdict.OK
    assert project.audit(fast=True).verdict is Verdict.OK


def test_a_copy_in_another_place_is_ok_from_any_directory(project: Project, tmp_path: Path, monkeypatch):
    there = shutil.copytree(project.root, tmp_path / "on another path")
    monkeypatch.chdir(tmp_path)
    report = audit([there / TABLE], strict=True)
    assert report.verdict is Verdict.OK
    shutil.rmtree(project.root)
    assert audit([there / TABLE], fast=True).verdict is Verdict.OK


def test_results_on_another_disk_are_ok(project: Project, tmp_path: Path):
    shutil.move("results", tmp_path / "scratch")
    os.symlink(tmp_path / "scratch", "results")
    assert project.audit(strict=True).verdict is Verdict.OK


def test_a_carried_lineage_that_is_not_the_records_is_tampered(project: Project):
    text = Path(ARTIFACT).read_text()
    other = text.replace("Lineage: ", "Lineage: 0", 1)[: len(text)]
    found = json.loads(sidecar_path(ARTIFACT).read_text())
    project.write(ARTIFACT, other)
    found["output"] |= {"sha256": hashlib.sha256(other.encode()).hexdigest()}
    found["seal"] = seal(found)
    sidecar_path(ARTIFACT).write_text(canonical_json(found))
    reasons = [
        reason for verdict, path, reason in findings(project.audit()) if (verdict, path) == ("TAMPERED", ARTIFACT)
    ]
    assert len(reasons) == 1 and reasons[0].startswith("carries lineage 0")


def test_a_cell_is_audited_by_itself(project: Project):
    flip(CELL)
    other = project.audit(cell="minilm/snapkv/en_qa/multi_turn")
    assert other.verdict is Verdict.OK
    assert [node.path for node in other.graph.values() if node.kind == "cells"] == [CELL.replace("retr_kv", "en_qa")]
    assert project.audit(cell="minilm/snapkv/retr_kv/multi_turn").verdict is Verdict.TAMPERED
    with pytest.raises(UserError, match="did you mean minilm/snapkv/en_qa/multi_turn"):
        project.audit(cell="minilm/snapvk/en_qa/multi_turn")


def test_a_hundred_cells_take_their_share_of_a_minute_for_2500(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("scbench.provenance.observation.commit", lambda: None)
    many = Project(tmp_path)
    many.methods = {f"method{number}": {"method": "full"} for number in range(25)}
    many.padding = "x" * 2**18
    many.build()
    started = time.process_time()
    report = many.audit()
    # Of both processors together; 60 s on two of them are 120.
    assert time.process_time() - started <= 120 * 100 / 2500
    started = time.process_time()
    assert many.audit(fast=True).verdict is report.verdict
    assert time.process_time() - started <= 1
    assert sum(node.kind == "cells" for node in report.graph.values()) == 100


# Bad input: a verdict or a sentence.


def test_an_artifact_without_a_sidecar_is_missing_one(project: Project):
    sidecar_path(TABLE).unlink()
    assert one_finding(project)[:2] == ("MISSING", TABLE)


@pytest.mark.parametrize(
    ("content", "verdict", "reason"),
    [
        (b"not json", "TAMPERED", "not JSON"),
        (b"", "TAMPERED", "not JSON"),
        (b"[" * 100_000, "TAMPERED", "not JSON"),
        (b"\xff\xfe{}", "TAMPERED", "not JSON"),
        (b"[1, 2]", "TAMPERED", "schema"),
        (b'{"schema": "scbench-provenance/2"}', "TAMPERED", "lacks"),
        (NAN, "TAMPERED", "not canonical JSON"),
        (b'{"schema": "scbench-provenance/9"}', "OUTDATED", "newer version of this repository"),
        (b'{"schema": "scbench-provenance/1"}', "OUTDATED", "make it again"),
    ],
)
@pytest.mark.parametrize("path", [TABLE, CELL])
def test_a_sidecar_that_is_none_has_a_verdict(project: Project, path: str, content: bytes, verdict: str, reason: str):
    sidecar_path(path).write_bytes(content)
    (found,) = [found for found in findings(project.audit()) if found[1] == path]
    assert found[0] == verdict and reason in found[2]


@pytest.mark.parametrize("path", [TABLE, ARTIFACT, CELL, SESSIONS, "results/tiny/study.json"])
def test_an_odd_sidecar_never_ends_in_a_traceback(project: Project, path: str):
    nested = [{"fields": 1}, {"fields": {"model": 3, "code": 4}}, {"fields": {"mode": []}}, {"config": 5}, {"data": 7}]
    nested += [{"board": 1}, {"board": {"lines": [1], "modes": 2}}, {"study": []}, {"tasks": [1]}, {"code": {"x": 1}}]
    for value in (None, 1, [[]], *nested):
        identity = value if isinstance(value, dict) else {"x": value}
        observation = {"computed": value, "commit": value, "model": value, "hardware": value, "slurm": value}
        reseal(path, lambda found, new=(identity, observation): found.update(identity=new[0], observation=new[1]))
        report = project.audit()
        assert report.verdict is not Verdict.OK
        for form in (as_text, as_json, as_dot, as_html):
            assert form(report)


@pytest.mark.parametrize(
    "path", ["", ".", "/", "a" * 300, "a/" * 3000, "x\0y", "figures", "\x1b[2Jfile", "repository:"]
)
def test_an_odd_path_in_a_sidecar_is_no_traceback(project: Project, path: str):
    reseal(SESSIONS, lambda found: found["inputs"].append({"path": path, "bytes": 1, "sha256": "0" * 64}))
    text = as_text(project.audit(SESSIONS))
    assert text.splitlines()[-1].startswith("LEDGER-BROKEN") and "\x1b" not in text


def test_a_file_outside_of_every_project_is_a_sentence(project: Project, tmp_path: Path):
    (tmp_path / "alone.tex").write_text("a table")
    for path, words in [(tmp_path / "alone.tex", "outside of every project"), (tmp_path / "gone.tex", "no such file")]:
        with pytest.raises(UserError, match=words):
            audit([path])
    with pytest.raises(UserError, match="a directory"):
        audit([tmp_path])


@pytest.mark.parametrize("path", ["../secret", "/etc/hostname", "results/../../secret"])
def test_nothing_outside_of_the_project_is_read(project: Project, tmp_path: Path, path: str, monkeypatch):
    (tmp_path / "secret").write_text("secret")
    reseal(SESSIONS, lambda found: found["inputs"].append({"path": path, "bytes": 6, "sha256": "0" * 64}))
    opened = []

    def watched(name: Path, *rest: str):
        opened.append(str(name))
        return open(name, *rest)

    monkeypatch.setattr("scbench.provenance.project.open", watched, raising=False)
    report = project.audit(SESSIONS)
    assert opened and not [name for name in opened if "secret" in name or "hostname" in name]
    assert f"{path} lies outside of the project, so that it is not read" in report.graph[path].notes
    assert project.audit(SESSIONS, strict=True).graph[path].verdict is Verdict.MISSING


def test_a_symbolic_link_is_followed_within_the_project_alone(project: Project, tmp_path: Path):
    data = Path(TABLE).read_bytes()
    (tmp_path / "outside.tex").write_bytes(data)
    Path(TABLE).unlink()
    os.symlink(tmp_path / "outside.tex", TABLE)
    verdict, path, reason = one_finding(project)
    assert (verdict, path) == ("MISSING", TABLE) and "symbolic link that leads out" in reason
    Path(TABLE).unlink()
    os.symlink(Path(ARTIFACT).absolute(), TABLE)
    assert project.audit().verdict is Verdict.OK
    Path(TABLE).unlink()
    os.symlink("nowhere", TABLE)
    assert one_finding(project)[:2] == ("MISSING", TABLE)


def test_what_is_no_file_is_not_opened(project: Project):
    Path(CELL).unlink()
    os.mkfifo(CELL)
    assert one_finding(project)[:2] == ("MISSING", CELL)


def test_a_huge_file_is_told_by_its_size(project: Project):
    with open(TABLE, "r+b") as file:
        file.truncate(2**40)
    with open(sidecar_path(FIGURE), "wb") as file:
        file.truncate(2**40)
    Path(FIGURE).write_bytes(b"")
    started = time.monotonic()
    assert one_finding(project)[:2] == ("TAMPERED", TABLE)
    (found,) = findings(project.audit(FIGURE))
    assert found[0] == "TAMPERED" and "larger than" in found[2]
    assert time.monotonic() - started < 10


def test_lineages_that_turn_in_a_circle_end(project: Project):
    reseal(SESSIONS, lambda found: found["inputs"].append({"path": CELL, "bytes": 1, "sha256": "0" * 64}))
    report = project.audit()
    assert report.verdict is Verdict.LEDGER_BROKEN
    assert as_text(report)
