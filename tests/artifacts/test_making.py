import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from scbench.artifacts import ARTIFACTS
from scbench.artifacts.identity import digest
from scbench.errors import UserError
from scbench.methods import METHODS
from scbench.models import read_models
from scbench.study import read_study
from scbench.tasks import TASKS
from scripts import make_figure, make_table, show_table
from tests.artifacts.conftest import study_config
from tests.provenance.stable import stable_bytes

SMALL = {"methods": {"full": {}, "snapkv": {"budget": "1/8"}}, "data": {"scale": "mini", "tokens": 1024, "sessions": 1}}


@pytest.fixture
def study(make_board, make_scores, tmp_path, monkeypatch):
    """A working directory with a study's config and score files."""
    monkeypatch.chdir(tmp_path)
    Path("study.json").write_text(json.dumps(study_config(**SMALL)))
    scores = make_scores(make_board(**SMALL))
    files = []
    for method, part in scores.groupby("method"):
        files.append(f"scores/{method}.parquet")
        Path("scores").mkdir(exist_ok=True)
        part.to_parquet(files[-1])
    return ["--config", "study.json", "--scores", *files]


def sidecar(path):
    return json.loads(Path(f"{path}.prov.json").read_text())


@pytest.mark.parametrize(
    ("script", "name", "suffixes"),
    [(make_table, "table4", [".tex", ".csv"]), (make_figure, "figure3", [".pdf", ".png", ".csv"])],
)
def test_every_file_is_written_with_a_sidecar_that_holds(script, name, suffixes, study, capsys):
    script.main(["--name", name, *study, "--out", f"out/{name}{suffixes[0]}"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        f"out/{name}{end}" for end in suffixes
    ]
    for suffix in suffixes:
        path = Path(f"out/{name}{suffix}")
        found = sidecar(path)
        assert found["output"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert [entry["path"] for entry in found["inputs"]] == sorted(study[3:])
        for entry in found["inputs"]:
            assert entry["sha256"] == hashlib.sha256(Path(entry["path"]).read_bytes()).hexdigest()
        assert found["identity"]["artifact"] == name and found["identity"]["study"]["study"] == "fake"
        assert "observation" not in found["identity"]
        # A table that was pasted elsewhere leads back to its sidecar.
        assert suffix == ".csv" or found["lineage"].encode() in path.read_bytes()


def test_a_rerun_changes_no_byte_but_what_was_observed(study):
    files = []
    for _ in range(2):
        make_table.main(["--name", "table4", *study, "--out", "out/table4.tex"])
        files.append({path.name: stable_bytes(path) for path in Path("out").iterdir()})
    assert len(files[0]) == 4 and files[0] == files[1]


def lineage_after(study, **changes):
    Path("study.json").write_text(json.dumps(study_config(**(SMALL | changes))))
    make_table.main(["--name", "table4", *study, "--out", "table4.tex"])
    return sidecar("table4.tex")["lineage"]


def test_how_the_work_was_cut_into_jobs_is_not_in_the_lineage(study):
    before = lineage_after(study)
    assert lineage_after(study, execution={"granularity": "cell", "share_prefill": False}) == before


def test_settings_and_the_order_of_rows_are_in_the_lineage(study):
    methods = SMALL["methods"]
    lineages = {
        lineage_after(study),
        lineage_after(study, scoring="compat"),
        lineage_after(study, methods=dict(reversed(methods.items()))),
        lineage_after(study, methods=methods | {"snapkv": {"budget": "1/4"}}),
    }
    assert len(lineages) == 4


def rule_digests():
    return {name: digest(found, read_study("study.json")) for name, found in ARTIFACTS.items()}


def assert_all_differ(study, lineage, rules):
    assert lineage_after(study) != lineage
    assert all(found != rules[name] for name, found in rule_digests().items())


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Renamed"},
        {"description": "Renamed"},
        {"capability": "Renamed"},
        {"category": "semantic"},
        {"subtasks": ("retr_kv", "needle")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_a_reader_sees_of_a_task_is_in_the_lineage_and_in_the_rules_digest(change, study, monkeypatch):
    before = lineage_after(study), rule_digests()
    tasks = dict(TASKS) | {"retr_kv": dataclasses.replace(TASKS["retr_kv"], **change)}
    monkeypatch.setattr("scbench.artifacts.identity.TASKS", tasks)
    assert_all_differ(study, *before)


def test_a_methods_title_is_in_the_lineage_and_in_the_rules_digest(study, monkeypatch):
    before = lineage_after(study), rule_digests()
    monkeypatch.setattr(METHODS["full"], "title", "Renamed")
    assert_all_differ(study, *before)


def test_a_models_title_is_in_the_lineage_and_in_the_rules_digest(study, monkeypatch):
    before = lineage_after(study), rule_digests()
    models = {name: dataclasses.replace(model, title=f"New {name}") for name, model in read_models().items()}
    monkeypatch.setattr("scbench.study.read_models", lambda: models)
    assert_all_differ(study, *before)


def test_a_librarys_version_is_in_the_rules_digest_alone(study, monkeypatch):
    before, rule = lineage_after(study), digest(ARTIFACTS["table4"], read_study("study.json"))
    monkeypatch.setattr("scbench.artifacts.identity.version", lambda name: "0")
    assert digest(ARTIFACTS["table4"], read_study("study.json")) != rule
    assert lineage_after(study) == before


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        (make_table, ["--name", "table99", "--out", "x.tex"], "table99"),
        (make_table, ["--name", "figure3", "--out", "x.pdf"], "no such table"),
        (make_figure, ["--name", "table4", "--out", "x.tex"], "no such figure"),
        (make_table, ["--name", "table4", "--out", "x.pdf"], r"x\.pdf"),
        (make_table, ["--name", "table2", "--out", "x.tex"], "--scores: table2 is not made from it"),
        (
            make_table,
            ["--name", "table4", "--out", "x.tex", "--tokenizer", "t.json"],
            "--tokenizer: table4 is not made",
        ),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_written(script, arguments, message, study):
    before = set(Path.cwd().rglob("*"))
    with pytest.raises(UserError, match=message):
        script.main([*arguments, *study])
    assert set(Path.cwd().rglob("*")) == before


def test_no_scores_is_an_error(study):
    with pytest.raises(UserError, match="--scores: table4 is made from it"):
        make_table.main(["--name", "table4", "--config", "study.json", "--out", "x.tex"])


def test_an_output_directory_that_cannot_be_written_is_one_sentence(study):
    Path("file").write_text("in the way")
    with pytest.raises(UserError, match="file: cannot be written"):
        make_table.main(["--name", "table4", *study, "--out", "file/table4.tex"])


def test_show_table_prints_methods_by_categories_and_modes(study, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    make_table.main(["--name", "table4", *study, "--out", "table4.tex"])
    capsys.readouterr()
    show_table.main(["table4.csv"])
    shown = capsys.readouterr().out
    for expected in ("SnapKV", "No context", "1/8", "Multi-turn", "Multi-request", "RSem", "AVG"):
        assert expected in shown
    assert "Study fake on minilm, strict scoring, n = 60 turns a mode" in shown
