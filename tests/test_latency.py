"""What a method costs alone: measured for real on a small shape, taken up again, and refused where it cannot be."""

import json

import pytest
import torch
import yaml

from scbench import latency
from scbench.engines.random_weights import RandomWeightsEngine
from scbench.errors import UserError
from scbench.kv.hooks import Chunk
from scbench.latency import Protocol, wanted_bytes
from scbench.methods import METHODS
from scbench.places import ROOT
from scbench.study import Study, load_study, read_study
from scripts import measure_latency

SMALL = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
OPTIONS = ["--question", "5", "--answer", "4", "--repetitions", "2"]


def small_shape() -> dict:
    """Llama-3.1-8B's shape, every width of it small."""
    return json.loads((ROOT / "resources" / "shapes" / "llama_3_1_8b.json").read_text()) | SMALL


def config(methods: dict, tokens: int) -> dict:
    return {
        "study": "small",
        "models": ["llama_3_1_8b"],
        "methods": methods,
        "tasks": ["retr_kv"],
        "data": {"scale": "paper", "tokens": tokens, "sessions": 1, "turns": 3},
    }


@pytest.fixture
def command(tmp_path, monkeypatch):
    """command(methods, tokens=..., options=...): the command on that study; what it wrote, and how often it loaded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(latency, "SHAPES", tmp_path)
    (tmp_path / "llama_3_1_8b.json").write_text(json.dumps(small_shape()))
    loads = []
    load = latency.load
    monkeypatch.setattr(latency, "load", lambda *args: loads.append(1) or load(*args))

    def run(methods, tokens=200, options=OPTIONS):
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(config(methods, tokens), sort_keys=False))
        measure_latency.main(["--config", "study.yaml", "--out", "out.yaml", *options])
        return yaml.safe_load((tmp_path / "out.yaml").read_text()), len(loads)

    return run


def test_a_thousand_tokens_are_measured_method_by_method_beside_full_attention(command, capsys):
    found, _ = command({"full": {}, "snapkv": {"budget": "1/8"}, "quest": {"budget": "1/8"}}, tokens=1024)
    assert (found["study"], found["model"], found["weights"]) == ("small", "llama_3_1_8b", "random")
    assert found["protocol"] == dict(tokens=1024, turns=3, question=5, answer=4, warm_ups=1, repetitions=2)
    assert found["attention"] == "SDPA" and found["versions"]["torch"] and found["date"] and found["device"]
    full, snapkv, quest = found["methods"]
    for line in found["methods"]:
        for name in ("first_token_seconds", "next_token_seconds", "seconds_per_token", "seconds_per_turn"):
            assert 0 < line[name]["low"] <= line[name]["median"] <= line[name]["high"], (line["label"], name)
        assert line["first_token_seconds"]["median"] < 3 * line["seconds_per_turn"]["high"]
    # What the last turn holds, without its answer: two layers of two KV heads, 16 channels, keys and values, float32.
    assert full["kv_bytes"] == 2 * full["kv_bytes_dense"] == (1024 - 4) * 2 * 2 * 2 * 16 * 4
    assert snapkv["kv_bytes"] < full["kv_bytes"] / 4 < full["kv_bytes"] < quest["kv_bytes"]
    assert "snapkv: first token" in capsys.readouterr().out


def test_what_was_measured_is_not_measured_again_and_a_change_is(command):
    first, loads = command({"full": {}, "snapkv": {"budget": "1/8"}})
    again, loads_again = command({"full": {}, "snapkv": {"budget": "1/8"}})
    assert (loads, loads_again) == (1, 1) and first["methods"] == again["methods"]
    changed, loads = command({"full": {}, "snapkv": {"budget": "1/4"}})
    assert loads == 2
    assert changed["methods"][0] == first["methods"][0] and changed["methods"][1] != first["methods"][1]


def test_a_measurement_is_of_these_settings_this_code_and_this_machine(monkeypatch):
    study = load_study(config({"full": {}, "kivi": {"bits": 2}}, 200), "study.yaml")
    protocol = Protocol(200, 3, 5, 4, 1, 2)

    def key(study: Study = study, row: int = 0, protocol: Protocol = protocol) -> str:
        return latency.kept_in(study, study.models[0], study.methods[row], protocol).stem

    base = key()
    assert key() == base
    assert len({base, key(row=1), key(protocol=Protocol(200, 3, 5, 4, 1, 3))}) == 3
    digest = latency.codedigest.digest
    monkeypatch.setattr(latency.codedigest, "digest", lambda modules: digest(modules) + "x")
    assert key() != base
    monkeypatch.setattr(latency.codedigest, "digest", digest)
    monkeypatch.setattr(latency.cellkey, "machine", lambda study: {"device": "another"})
    assert key() != base


def test_memory_that_runs_out_is_a_result_for_now_and_the_other_methods_go_on(command, monkeypatch):
    def greedy(method, chunk: Chunk) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of")

    methods = {"full": {}, "a_shape": {"budget": "1/8"}, "snapkv": {"budget": "1/8"}}
    with monkeypatch.context() as patch:
        patch.setattr(METHODS["a_shape"], "encode", greedy)
        found, _ = command(methods)
    full, a_shape, snapkv = found["methods"]
    assert a_shape["out_of_memory"]["wanted_bytes"] == 2.5 * 2**30
    assert full["seconds_per_turn"] and snapkv["seconds_per_turn"]
    again, _ = command(methods)
    assert again["methods"][1]["seconds_per_turn"] and again["methods"][0] == full


def test_the_bytes_that_were_wanted_are_read_from_what_pytorch_says():
    with pytest.raises(RuntimeError) as on_a_cpu:
        torch.empty(2**60, dtype=torch.uint8)
    assert wanted_bytes(on_a_cpu.value) == 2**60
    assert wanted_bytes(RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has")) == 20 * 2**20
    assert wanted_bytes(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`")) == 0
    assert wanted_bytes(RuntimeError("shapes cannot be multiplied")) is None


def test_an_error_that_is_not_about_memory_ends_the_command(command, monkeypatch):
    def wrong(method, chunk: Chunk) -> torch.Tensor:
        raise RuntimeError("a wrong launch")

    monkeypatch.setattr(METHODS["a_shape"], "encode", wrong)
    with pytest.raises(RuntimeError, match="a wrong launch"):
        command({"a_shape": {"budget": "1/8"}})


def test_turns_follow_one_another_and_no_token_ends_an_answer():
    session = Protocol(200, 3, 5, 4, 1, 2).session(7, 50)
    assert len(session.first) + 2 * (5 + 4) + 4 == 200
    assert [len(query) for query in session.queries] == [0, 5, 5]
    assert session.max_new_tokens == (4, 4, 4) and not session.stop_ids
    assert session.first != Protocol(200, 3, 5, 4, 1, 2).session(8, 50).first
    assert max(session.first) < 50


def test_a_drawn_model_is_the_same_each_time_and_of_the_shape_of_llama_3_1():
    spec = {"name": "small", "shape": small_shape()}
    one, two = (RandomWeightsEngine(spec, threads=1, device="cpu", dtype="float32") for _ in range(2))
    assert all(map(torch.equal, one.model.parameters(), two.model.parameters()))
    assert (one.shape.layers, one.shape.query_heads, one.shape.kv_heads, one.shape.head_dim) == (2, 4, 2, 16)
    study = read_study(ROOT / "studies" / "latency.yaml")
    shape = latency.shape_of(study.models[0])
    with torch.device("meta"):
        from transformers import AutoConfig, AutoModelForCausalLM

        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**shape))
    assert sum(weights.numel() for weights in model.parameters()) == 8_030_261_248
    assert study.context_tokens == 131072 and study.data.turns == 5
    assert latency.seconds(study) > 600


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--answer", "1"], "answer: 1 is below 2"),
        (["--repetitions", "0"], "repetitions: 0 is below 1"),
        (["--answer", "90"], r"data.tokens: 200 leaves no context beside 3 turns of 64 \+ 90"),
        (["--model", "minilm"], "--model: 'minilm' is unknown"),
        ([*OPTIONS, "--methods", "kivi"], "--methods: 'kivi' is unknown"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_loaded(options, message, command):
    with pytest.raises(UserError, match=message):
        command({"full": {}}, options=options)


@pytest.mark.parametrize(
    ("name", "message"),
    [("jamba", "jamba: latency is measured of the engine transformers"), ("llama_3_1_70b", "needs 4 GPUs")],
)
def test_models_that_one_process_cannot_run_by_the_engine_transformers_are_refused(name, message):
    with pytest.raises(UserError, match=message):
        measure_latency.main(["--config", str(ROOT / "studies" / "paper.yaml"), "--model", name])


def test_a_model_without_files_and_without_a_shape_is_refused(command, tmp_path):
    (tmp_path / "llama_3_1_8b.json").unlink()
    with pytest.raises(UserError, match=r"no pinned files, and there is no llama_3_1_8b\.json in resources/shapes"):
        command({"full": {}})
