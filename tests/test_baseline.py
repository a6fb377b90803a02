"""A mini study starts from full attention that works: what is asked, what is enough, what is said where it is not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from scbench import baseline
from scbench.baseline import FLOORS, QUERIES, Floor, Reached
from scbench.canonical import digest_file
from scbench.compute import Computer
from scbench.errors import UserError
from scbench.journal import Turns
from scbench.models import Model
from scbench.places import ROOT
from scbench.plan import Cell
from scbench.progress import Progress
from scbench.schema import read_yaml
from scbench.sessions import Session
from scbench.study import Study, load_study, read_study
from scbench.tasks import TASKS, Scale
from scbench.tasks.base import belongs
from scripts import check_baseline

SMOKE = read_yaml(ROOT / "studies" / "smoke.yaml")
KV, NEEDLE = FLOORS


def study_of(**changes: object) -> Study:
    """The smoke study with some keys of `data`, or of its top, changed."""
    data = {key: value for key, value in changes.items() if key in ("tokens", "seed", "sessions", "turns")}
    top = {key: value for key, value in changes.items() if key not in data}
    return load_study(SMOKE | {"data": SMOKE["data"] | data} | top, "my.yaml")


class FakeModel:
    """Answers the first `right` queries and keeps what it was asked; cuts sessions of more than `holds` turns."""

    def __init__(self, right: int, holds: int = 100) -> None:
        self.right = right
        self.holds = holds
        self.sessions: list[Session] = []

    def probe(self, session: Session, subtask: str) -> Turns:
        cut = len(session.turns) > self.holds
        if not cut or self.holds < baseline.FEWEST_TURNS:
            self.sessions.append(session)
        answers = []
        for turn in [turn for turn in session.turns if turn.subtask == subtask]:
            said = turn.golds[0] if self.right > 0 else "nothing"
            self.right -= 1
            answers.append({"prediction": said, "dropped_tokens": 9 * cut, "evidence_kept": not cut})
        return answers


def measure(model: FakeModel, floor: Floor, tokens: int, tmp_path: Path) -> Reached:
    # As coarse as the bundled tokenizer is on these texts.
    scale = Scale(name="mini", tokens=tokens, count=lambda text: len(text) // 6 + 1)
    with Progress(tmp_path / "progress.json", "check") as progress:
        return baseline.measure(model, scale, floor, progress)


@pytest.mark.parametrize("tokens", [96, 256, 1024])
@pytest.mark.parametrize("floor", FLOORS, ids=lambda floor: floor.subtask)
def test_250_queries_are_asked_at_any_length(floor: Floor, tokens: int, tmp_path: Path):
    model = FakeModel(right=200)
    reached = measure(model, floor, tokens, tmp_path)
    assert QUERIES >= 250
    assert (reached.queries, reached.right, reached.accuracy) == (QUERIES, 200, 200 / QUERIES)
    asked = [turn for session in model.sessions for turn in session.turns if turn.subtask == floor.subtask]
    assert len(asked) >= QUERIES
    assert len({session.digest for session in model.sessions}) == len(model.sessions)
    assert json.loads((tmp_path / "progress.json").read_text())["done"] == QUERIES


def test_the_sessions_are_no_studys_own_and_held_out_from_training(tmp_path: Path):
    model = FakeModel(right=QUERIES)
    measure(model, KV, 256, tmp_path)
    schema = read_yaml(ROOT / "resources" / "schemas" / "config.schema.yaml")
    assert schema["properties"]["data"]["properties"]["seed"]["minimum"] > baseline.SEED
    keys = [turn.query.split('"')[1] for session in model.sessions for turn in session.turns]
    assert all(belongs(key, "eval") for key in keys)


def test_a_session_has_fewer_turns_where_the_model_would_lose_some_of_it(tmp_path: Path):
    model = FakeModel(right=10_000, holds=4)
    reached = measure(model, NEEDLE, 1024, tmp_path)
    assert {len(session.turns) for session in model.sessions} == {4}
    assert (reached.right, reached.cut_off) == (QUERIES, 0)


def test_what_cannot_be_held_at_all_is_counted_and_said(tmp_path: Path):
    reached = measure(FakeModel(right=0, holds=1), KV, 256, tmp_path)
    assert reached.cut_off == QUERIES
    assert f"{QUERIES} of them cut off" in baseline.said(reached)


@pytest.mark.parametrize("floor", FLOORS, ids=lambda floor: floor.subtask)
def test_the_accuracy_itself_is_held_against_the_floor_not_its_interval(floor: Floor, tmp_path: Path):
    study = study_of()
    enough = -int(-floor.share * QUERIES // 1)
    above = measure(FakeModel(right=enough), floor, 256, tmp_path)
    below = measure(FakeModel(right=enough - 1), floor, 256, tmp_path)
    assert below.low < floor.share < above.high and above.low < floor.share < below.high
    baseline.judge(study, study.models[0], [above])
    with pytest.raises(UserError):
        baseline.judge(study, study.models[0], [below])


def test_the_sentence_says_which_model_and_task_what_was_reached_and_what_to_do(tmp_path: Path):
    study = study_of(tokens=1024)
    kv, needle = (measure(FakeModel(right=right), floor, 1024, tmp_path) for floor, right in ((KV, 100), (NEEDLE, 237)))
    with pytest.raises(UserError) as caught:
        baseline.judge(study, study.models[0], [kv, needle])
    message = str(caught.value)
    assert "\n" not in message
    for words in (
        "minilm",
        "data.tokens 1024",
        "40.0% of 250 retr_kv queries",
        "34.1% to 46.2%",
        "floor is 70%",
        "94.8% of 250 needle queries of mix_sum_niah",
        "floor is 95%",
        "the weights, the kernels or the libraries are broken",
        "longer than the model was trained for",
        "retrain",
        "lower data.tokens",
        "check_baseline: false",
    ):
        assert words in message, message
    with pytest.raises(UserError) as caught:
        baseline.judge(replace(study, prompts="compat"), study.models[0], [kv, replace(needle, accuracy=0.96)])
    assert "prompts: compat" in str(caught.value)
    assert "needle" not in str(caught.value)


@pytest.mark.parametrize(
    ("right", "queries", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_wilsons(right: int, queries: int, low: float, high: float):
    """The examples of Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    assert baseline.interval(right, queries) == pytest.approx((low, high), abs=5e-5)


def test_the_key_and_paper_scale_leave_the_check_out():
    assert baseline.applies(study_of())
    assert baseline.floors(study_of()) == list(FLOORS)
    assert baseline.floors(study_of(check_baseline=False)) == []
    assert baseline.floors(read_study(ROOT / "studies" / "paper.yaml")) == []


def test_a_length_that_holds_no_needles_is_checked_with_look_ups_alone():
    assert baseline.floors(study_of(tokens=64, tasks=["retr_kv"])) == [KV]


SAME = [{"seed": 7}, {"sessions": 9}, {"turns": 3}, {"tasks": ["retr_kv"]}, {"methods": {"full": {}}}]
SAME += [{"history": "generated"}, {"execution": {"granularity": "cell"}}, {"scoring": "compat"}]


@pytest.mark.parametrize("change", SAME, ids=lambda change: next(iter(change)))
def test_what_does_not_touch_the_check_does_not_repeat_it(change: dict):
    one, other = study_of(), study_of(**change)
    assert baseline.digest(one, one.models[0]) == baseline.digest(other, other.models[0])


@pytest.mark.parametrize(
    "change",
    [{"tokens": 320}, {"prompts": "compat"}, {"execution": {"dtype": "bfloat16"}}],
    ids=lambda change: str(change),
)
def test_what_may_break_the_baseline_repeats_the_check(change: dict):
    one, other = study_of(), study_of(**change)
    assert baseline.digest(one, one.models[0]) != baseline.digest(other, other.models[0])


def test_other_weights_repeat_the_check():
    study = study_of()
    other = replace(study.models[0], files=study.models[0].files | {"model.safetensors": "0" * 64})
    assert baseline.digest(study, study.models[0]) != baseline.digest(study, other)


@pytest.fixture(scope="module")
def computer() -> Computer:
    study = study_of()
    return Computer(study, study.models[0])


def test_a_probe_answers_as_the_study_does_and_decodes_nothing_else(computer: Computer):
    study = study_of()
    session = TASKS["mix_sum_niah"].build(Scale(tokens=256, turns=4), 0, 0)
    cell = Cell(study.models[0], baseline.FULL, "mix_sum_niah", "multi_turn")
    ((_, turns, _),) = computer.compute(session, [cell])
    before = computer.counters["decode_tokens"]
    assert computer.probe(session, "needle") == turns[1::2]
    assert computer.counters["decode_tokens"] - before == sum(turn["new_tokens"] for turn in turns[1::2])


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So few queries that a test can ask them, in an empty working directory."""
    monkeypatch.setattr(baseline, "QUERIES", 30)
    monkeypatch.chdir(tmp_path)


def scrambled(model: Model, directory: Path) -> Model:
    """`model` with the rows of its matrices in another order, pinned as it then is."""
    for name in model.files:
        (directory / name).write_bytes((model.directory / name).read_bytes())
    weights = load_file(directory / "model.safetensors")
    generator = torch.Generator().manual_seed(0)
    mixed = {name: weight[torch.randperm(len(weight), generator=generator)] for name, weight in weights.items()}
    save_file(
        {name: weight.contiguous() for name, weight in mixed.items()}, directory / "model.safetensors", {"format": "pt"}
    )
    return replace(model, path=str(directory), files={name: digest_file(directory / name) for name in model.files})


def test_the_bundled_model_passes_and_leaves_its_result(few: None):
    check_baseline.main(["--config", str(ROOT / "studies" / "smoke.yaml"), "--model", "minilm", "--out", "minilm.json"])
    result = json.loads(Path("minilm.json").read_text())
    assert (result["model"], result["tokens"]) == ("minilm", 256)
    assert result["files"] == dict(study_of().models[0].files)
    assert [(task["subtask"], task["queries"], task["floor"]) for task in result["tasks"]] == [
        ("retr_kv", 30, 0.70),
        ("needle", 30, 0.95),
    ]
    for task in result["tasks"]:
        assert task["floor"] <= task["accuracy"] == task["right"] / 30
        assert 0 <= task["low"] < task["accuracy"] <= task["high"] <= 1
    sidecar = json.loads(Path("minilm.json.prov.json").read_text())
    assert sidecar["identity"]["floors"] == [{"task": f.task, "subtask": f.subtask, "share": f.share} for f in FLOORS]


def test_scrambled_weights_are_refused_and_leave_no_result(few: None, tmp_path: Path):
    study = study_of()
    (tmp_path / "model").mkdir()
    model = scrambled(study.models[0], tmp_path / "model")
    with pytest.raises(UserError, match=r"minilm fails with full attention.*retr_kv queries.*needle queries"):
        check_baseline.check(replace(study, models=(model,)), model, "minilm.json")
    assert not Path("minilm.json").exists()


def test_a_model_that_the_study_does_not_have_is_refused(few: None):
    with pytest.raises(UserError, match=r"models: 'minillm' is unknown; did you mean 'minilm'\?"):
        check_baseline.main(["--config", str(ROOT / "config.yaml"), "--model", "minillm", "--out", "out.json"])
