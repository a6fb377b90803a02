"""The thin commands: sessions are built, artifacts are offered with their lineage, plans are printed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from scbench import places
from scbench.artifacts import ARTIFACTS
from scbench.errors import UserError
from scbench.models import Model
from scbench.places import ROOT
from scbench.progress import Progress
from scbench.provenance import record
from scbench.sessions import read_sessions, write_sessions
from scbench.shard import ShardRun
from scbench.status import StudyStatus, study_status
from scbench.study import Study, load_study, read_study
from scripts import build_sessions, demo, offer, plan
from tests.test_infer import FakeComputer, plan_of, sessions


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """The first model of the smoke study, with a tokenizer of a token a word."""
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    entry = read_study(ROOT / "studies" / "smoke.yaml").models[0]
    return replace(entry, path=str(tmp_path), files={"tokenizer.json": "0" * 64, "model.safetensors": "1" * 64})


@pytest.fixture
def study(model: Model) -> Study:
    return replace(read_study(ROOT / "studies" / "smoke.yaml"), models=(model,))


def test_sessions_are_counted_in_tokens_of_the_first_model(study: Study, tmp_path: Path):
    out = tmp_path / "retr_kv.parquet"
    build_sessions.build(study, "retr_kv", out)
    sessions = read_sessions(out)
    assert [len(session.turns) for session in sessions] == [2, 2]
    count = build_sessions.token_counter(study.models[0])
    assert all(0.8 * 256 <= count(session.context) <= 256 for session in sessions)
    identity = json.loads(Path(f"{out}.prov.json").read_text())["identity"]
    assert identity["tokenizer"] == {"tokenizer.json": "0" * 64}


def test_more_sessions_begin_with_the_same_ones(study: Study, tmp_path: Path):
    few, many = tmp_path / "few.parquet", tmp_path / "many.parquet"
    build_sessions.build(study, "retr_kv", few)
    build_sessions.build(replace(study, data=replace(study.data, sessions=5)), "retr_kv", many)
    assert [session.digest for session in read_sessions(many)][:2] == [session.digest for session in read_sessions(few)]


def test_a_model_without_a_tokenizer_is_refused(study: Study, tmp_path: Path):
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"tokenizer\.json: missing"):
        build_sessions.build(study, "retr_kv", tmp_path / "out.parquet")


def test_a_place_that_cannot_be_written_is_one_sentence(study: Study, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.*cannot be written"):
        build_sessions.build(study, "retr_kv", tmp_path / "file" / "retr_kv.parquet")


def test_an_offer_copies_files_that_lead_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    artifacts = {Path("results/table4.tex"): b"\\begin{table}", Path("results/table4.csv"): b"method\n"}
    asked = [*map(str, artifacts), "--to", "figures"]
    with pytest.raises(UserError, match="build the artifact first"):
        offer.main(asked)
    Path("results").mkdir()
    for artifact, content in artifacts.items():
        artifact.write_bytes(content)
    record(artifacts, [], {"study": "mini"})
    offer.main(asked)
    for artifact, content in artifacts.items():
        assert Path("figures", artifact.name).read_bytes() == content
        sidecar = json.loads(Path(f"figures/{artifact.name}.prov.json").read_text())
        assert [entry["path"] for entry in sidecar["inputs"]] == [artifact.as_posix()]
        assert sidecar["identity"]["lineage"] == json.loads(Path(f"{artifact}.prov.json").read_text())["lineage"]


def test_the_demo_ends_with_one_line_for_each_kind_of_artifact():
    lines = list(demo.built())
    assert len(lines) == len({artifact.kind for artifact in ARTIFACTS.values()})
    named = [name for line in lines for name in line.partition(": ")[2].split(", ")]
    assert sorted(named) == sorted(ARTIFACTS)


def test_a_second_demo_says_that_nothing_is_to_be_computed_and_keeps_the_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    study_plan, spent = plan_of(), []
    shard = study_plan.shards[0]
    monkeypatch.chdir(tmp_path)
    write_sessions(places.sessions_file("smoke", "retr_kv"), sessions())
    monkeypatch.setattr(demo, "read_study", lambda _: study_plan.study)
    monkeypatch.setattr(demo, "make_plans", lambda _: [study_plan])
    monkeypatch.setattr(demo.show_table, "show", lambda *_: None)

    def workflow(statuses: list[StudyStatus], *_: object) -> None:
        """What Snakemake does: it runs the jobs that are not done."""
        spent.append(statuses[0].hours("spent", gpu=False))
        demo.LOG.parent.mkdir(parents=True, exist_ok=True)
        demo.LOG.write_text(demo.NOTHING if statuses[0].is_done else "7 of 7 steps (100%) done")
        if not statuses[0].is_done:
            with Progress(places.progress_file("smoke", shard.name), shard.name) as progress:
                ShardRun(study_plan.study, shard, FakeComputer, progress).run()

    monkeypatch.setattr(demo, "_snakemake", workflow)
    demo.main([])
    first = capsys.readouterr().out
    demo.main([])
    second = capsys.readouterr().out
    assert "Nothing to" not in first and "Built in" in first
    assert "Nothing to compute: all cells are finished" in second and "Nothing to be done (" in second
    assert spent[0] == 0 < spent[1] == study_status(study_plan).hours("spent", gpu=False)


def test_the_demo_counts_what_was_done_before_until_a_job_says_so_itself(tmp_path: Path):
    path = tmp_path / "job.json"
    assert demo._done(path, 3, 0) == 3
    path.write_text('{"done": 5}')
    assert demo._done(path, 3, path.stat().st_mtime + 1) == 3
    assert demo._done(path, 3, path.stat().st_mtime) == 5


def test_the_demo_tells_of_the_steps_behind_inference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(demo, "LOG", tmp_path / "demo.log")
    demo.LOG.write_text("Select jobs to execute...\n")
    assert demo._steps() == ""
    demo.LOG.write_text("1 of 9 steps (11%) done\nFinished jobid: 3\n2 of 9 steps (22%) done\n")
    assert demo._steps() == "; 2 of 9 steps of the workflow"


@pytest.mark.parametrize(("number", "words"), [(1, "1 mode"), (2, "2 modes"), (1776, "1,776 modes")])
def test_numbers_of_things_are_grammatical(number: int, words: str):
    assert plan.count(number, "mode") == words


def test_the_plan_is_printed_with_its_totals_and_what_is_missing(capsys: pytest.CaptureFixture[str]):
    plan.main([str(ROOT / "studies" / "paper.yaml")])
    printed = " ".join(capsys.readouterr().out.split())
    assert "74 rows x 12 tasks x 2 modes = 1,776 cells" in printed
    for model in load_study(read_study(ROOT / "studies" / "paper.yaml").resolved(), "again").models:
        assert model.name in printed
    assert "not available yet" in printed
