"""The search for head patterns: what it measures, what it writes, and where a file of it may be used."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scbench import cellkey, patternsearch
from scbench.canonical import digest_file
from scbench.compute import Computer
from scbench.errors import UserError
from scbench.methods import make
from scbench.models import Model, read_models
from scbench.patternsearch import CANDIDATES, Searching, best
from scbench.places import ROOT
from scbench.plan import make_plan
from scbench.schema import read_yaml
from scbench.study import Study, load_study
from scripts import search_patterns
from tests.conformance.drive import Drive

TOKENS = 256


def pattern_file(path: Path, heads: list, **more) -> str:
    model = read_models()["minilm"]
    path.write_text(json.dumps({"model": model.name, "files": dict(model.files), "patterns": heads} | more))
    return str(path)


def study(patterns: str | None = None, **more) -> Study:
    """The smoke study with MInference alone."""
    settings = {"patterns": patterns} if patterns else {}
    config = copy.deepcopy(read_yaml(ROOT / "studies" / "smoke.yaml"))
    return load_study(config | {"methods": {"minference": settings}, "floor": False} | more, "my.yaml")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The patterns of the bundled model."""
    out = tmp_path_factory.mktemp("patterns") / "minilm-256.json"
    search_patterns.main(["--model", "minilm", "--tokens", str(TOKENS), "--device", "cpu", "--out", str(out)])
    return out


def test_an_error_is_the_distance_of_the_method_from_exact_attention(tmp_path: Path):
    tried = make("minference", {"budget": 1 / 8}, 200)
    search = Drive(Searching(budget=1.0, tried=tried), 200, kv_heads=2, group=2)
    exact = search.prefill([200])
    assert torch.equal(exact, Drive(make("full", {}, 200), 200, kv_heads=2, group=2).prefill([200]))
    (errors,), (keys,) = search.store.method.errors, search.store.method.keys
    for number, candidate in enumerate(CANDIDATES):
        path = pattern_file(tmp_path / "all.json", [[vars(candidate)] * 4])
        run = Drive(make("minference", {"budget": 1 / 8, "patterns": path}, 200), 200, kv_heads=2, group=2)
        distance = (run.prefill([200]) - exact)[0].double().norm(dim=(1, 2)) / exact[0].double().norm(dim=(1, 2))
        assert [head[number] for head in errors] == pytest.approx(distance.tolist(), rel=1e-4)
        assert run.store.counters.keys_attended == round(sum(head[number] for head in keys) / 4)


def test_a_head_gets_the_candidate_that_is_nearest():
    assert best([0.5, 0.2, 0.3, 0.2, 0.9, 0.9, 0.9]) == CANDIDATES[1]


def test_a_head_that_looks_near_is_a_stream_and_one_that_looks_at_columns_is_not():
    run = Drive(Searching(budget=1.0, tried=make("minference", {}, 512)), 512, kv_heads=2, group=1)
    run.q[0], run.k[0] = 0.01 * run.q[0], 0.01 * run.k[0]
    near = torch.arange(run.q.shape[3]) * 0.005
    run.q[0][0, 0, :, :2] = run.k[0][0, 0, :, :2] = 40 * torch.stack([near.cos(), near.sin()], dim=1)
    run.q[0][0, 1, :, 0], run.k[0][0, 1, ::37, 0] = 8.0, 8.0
    run.prefill([512])
    (errors,) = run.store.method.errors
    stream, columns = 0, 4
    assert errors[0][stream] < 0.01 < errors[0][columns]
    assert errors[1][columns] < 0.05 < errors[1][stream]


def test_the_file_says_what_it_was_made_from(found: Path):
    held, model = json.loads(found.read_text()), read_models()["minilm"]
    assert (held["model"], held["files"], held["tokens"]) == ("minilm", dict(model.files), TOKENS)
    assert len(held["session"]["digest"]) == 64
    assert held["session"]["split"] == "train"
    config = json.loads((model.directory / "config.json").read_text())
    shape = (config["num_hidden_layers"], config["num_attention_heads"], len(CANDIDATES))
    assert tuple(torch.tensor(held["errors"]).shape) == tuple(torch.tensor(held["keys_per_row"]).shape) == shape
    assert held["patterns"] == [[vars(best(head)) for head in layer] for layer in held["errors"]]
    assert json.loads(Path(f"{found}.prov.json").read_text())["identity"] == patternsearch.fields(model, TOKENS)


def test_every_candidate_sees_about_as_many_keys(found: Path):
    held = json.loads(found.read_text())
    tokens, kept = held["session"]["prompt_tokens"], round(TOKENS * held["budget"])
    a_shape = sum(min(i + 1, kept) for i in range(tokens)) / tokens
    keys = torch.tensor(held["keys_per_row"])
    assert ((keys / a_shape - 1).abs() < 0.25).all()


def test_a_study_computes_with_the_file_and_keeps_its_results_apart(found: Path):
    given = study(str(found))
    logits = []
    for other in (given, study()):
        talk = Computer(other, other.models[0]).engine.start(make("minference", other.methods[0].settings, TOKENS), 200)
        talk.prefill(range(3, 203))
        logits.append(talk.logits)
    assert not torch.equal(*logits)
    with_file, without = (cellkey.fields(other, make_plan(other).cells[0]) for other in (given, study()))
    assert with_file["method"]["patterns_sha256"] == digest_file(found)
    assert with_file != without


def test_patterns_of_another_model_are_refused_when_the_study_is_read(tmp_path: Path):
    path = pattern_file(tmp_path / "other.json", [[{"kind": "stream"}]], model="llama_3_1_8b")
    with pytest.raises(UserError, match=r"methods\.minference: minference\.patterns: .* of llama_3_1_8b, and"):
        study(path)


def test_so_are_patterns_of_other_weights(tmp_path: Path):
    files = dict(read_models()["minilm"].files) | {"model.safetensors": "0" * 64}
    path = pattern_file(tmp_path / "old.json", [[{"kind": "stream"}]], files=files)
    with pytest.raises(UserError, match=r"model\.safetensors had sha256 000000000000 and now has .* search again"):
        study(path)


def test_weights_that_are_trained_in_the_run_are_looked_at_when_they_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = pattern_file(tmp_path / "pinned.json", [[{"kind": "stream"}]])
    given = study(path, models=[{"name": "minilm", "source": "train"}])
    trained = replace(given.models[0], files={"model.safetensors": "1" * 64})
    monkeypatch.setattr(Model, "verify", lambda model: None)
    with pytest.raises(UserError, match=r"was searched on other files of minilm"):
        Computer(given, trained)


def test_a_part_of_a_composition_is_looked_at_too(tmp_path: Path):
    path = pattern_file(tmp_path / "other.json", [[{"kind": "stream"}]], model="llama_3_1_8b")
    config = copy.deepcopy(read_yaml(ROOT / "studies" / "smoke.yaml"))
    config["methods"] = {"both": {"method": "minference+snapkv", "minference": {"patterns": path}}}
    with pytest.raises(UserError, match=r"methods\.both: minference\.patterns: "):
        load_study(config, "my.yaml")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "minllm", "--tokens", "256"], r"--model: 'minllm' is unknown; did you mean 'minilm'"),
        (["--model", "minilm", "--tokens", "5000"], r"--tokens 5000 is above the \d+ that minilm can take"),
        (["--model", "llama_3_1_8b", "--tokens", "256"], r"tokenizer\.json: missing"),
        (["--model", "jamba", "--tokens", "256"], r"--model jamba: engine recurrent, .* no heads to search"),
    ],
)
def test_what_cannot_be_searched_is_refused(arguments: list[str], words: str, tmp_path: Path):
    with pytest.raises(UserError, match=words):
        search_patterns.main([*arguments, "--out", str(tmp_path / "out.json")])
