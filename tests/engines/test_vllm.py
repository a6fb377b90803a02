"""The vLLM engine says what ours says, in vLLM's own words.

Where vLLM is installed, it runs. Everywhere, the engine runs over a stand-in that takes and gives what vLLM's published
signatures have, recorded in vllm_signatures.json from the source of the version that is named there.
"""

import dataclasses
import inspect
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM

from scbench import engines
from scbench.engines.machine import Machine
from scbench.engines.vllm import INSTALL, MARGIN, llm_options, sampling_options
from scbench.errors import UserError
from scbench.methods import make
from scbench.modes import FULL, Request, run_session
from scbench.places import ROOT
from scbench.schema import read_yaml
from scbench.study import load_study
from tests.conformance.models import END, encoded, save_model

SIGNATURES = json.loads((Path(__file__).parent / "vllm_signatures.json").read_text())
INSTALLED = find_spec("vllm") is not None
CPU = dict(threads=1, device="cpu", dtype="float32")
BLOCK = 16
# vLLM's kernels for a CPU take heads of 32 channels at the least.
WIDE = {"head_dim": 64, "max_position_embeddings": 512}
ASKED = [("multi_turn", "golden"), ("multi_turn", "generated"), ("multi_request", "golden")]


class LLM:
    """Greedy decoding by transformers, and a cache of prefixes in whole blocks."""

    def __init__(self, **options):
        assert not options.keys() - set(SIGNATURES["LLM"])
        self.options = options
        self.model = AutoModelForCausalLM.from_pretrained(options["model"], dtype=torch.float32).eval()
        self.cached = set()
        cache, model = SimpleNamespace(block_size=BLOCK), SimpleNamespace(max_model_len=options["max_model_len"])
        self.llm_engine = SimpleNamespace(vllm_config=SimpleNamespace(cache_config=cache, model_config=model))

    def reset_prefix_cache(self):
        self.cached.clear()
        return True

    def generate(self, prompts, sampling_params, *, use_tqdm):
        [prompt] = prompts
        assert not prompt.keys() - set(SIGNATURES["TokensPrompt"])
        ids, said = prompt["prompt_token_ids"], []
        found = 0
        while found + BLOCK < len(ids) and tuple(ids[: found + BLOCK]) in self.cached:
            found += BLOCK
        while len(said) < sampling_params.max_tokens and not set(said[-1:]) & set(sampling_params.stop_token_ids):
            with torch.inference_mode():
                said.append(int(self.model(torch.tensor([[*ids, *said]])).logits[0, -1].argmax()))
        whole = [*ids, *said]
        self.cached |= {tuple(whole[:stop]) for stop in range(BLOCK, len(whole), BLOCK)}
        output = {"outputs": [SimpleNamespace(token_ids=said)], "num_cached_tokens": found}
        assert not output.keys() - set(SIGNATURES["RequestOutput"])
        assert "token_ids" in SIGNATURES["CompletionOutput"]
        assert "first_token_latency" in SIGNATURES["RequestStateStats"]
        return [SimpleNamespace(**output, metrics=SimpleNamespace(first_token_latency=0.0))]


class SamplingParams(SimpleNamespace):
    def __init__(self, **options):
        assert not options.keys() - set(SIGNATURES["SamplingParams"])
        super().__init__(**options)


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model"), **WIDE) | {"context": 512}


@pytest.fixture(scope="module", params=["stand-in", "vllm"] if INSTALLED else ["stand-in"])
def both(request, spec):
    """vLLM's engine, and ours, of one checkpoint."""
    with pytest.MonkeyPatch.context() as patched:
        if request.param == "stand-in":
            _stand_in(patched)
        theirs = engines.load(spec | {"engine": "vllm"}, **CPU)
    return theirs, engines.load(spec, **CPU)


def _stand_in(patched, device="cpu"):
    vllm, platforms = ModuleType("vllm"), ModuleType("vllm.platforms")
    vllm.LLM, vllm.SamplingParams = LLM, SamplingParams
    platforms.current_platform = SimpleNamespace(device_type=device)
    patched.setitem(sys.modules, "vllm", vllm)
    patched.setitem(sys.modules, "vllm.platforms", platforms)


def answers(engine, mode, history="golden", context=50, **how):
    session = encoded(context=context, **how)
    ran = run_session(engine, session, [Request(FULL, mode, "")], share_prefill=True, history=history)
    return session[mode], next(ran)[1]


@pytest.mark.parametrize(("mode", "history"), ASKED)
def test_it_says_what_our_engine_says(both, mode, history):
    theirs, ours = (answers(engine, mode, history, limits=(9, 4, 12))[1] for engine in both)
    for name in ("token_ids", "prediction", "finish", "new_tokens", "prompt_tokens", "kv_bytes_dense"):
        assert [getattr(output, name) for output in theirs] == [getattr(output, name) for output in ours], name
    for name in ("keys_attended", "bytes_read"):
        assert [getattr(output, name) for output in theirs] == [getattr(output, name) for output in ours], name


@pytest.mark.parametrize(("mode", "history"), ASKED)
def test_what_was_computed_before_in_a_dialogue_is_found_in_whole_blocks(both, mode, history):
    block = both[0]._block  # 128 tokens on a CPU
    session, outputs = answers(both[0], mode, history, context=280)
    first, *later = [output.tokens_prefilled for output in outputs]
    assert first == len(session.first + session.queries[0])
    for before, output, computed in zip(outputs, outputs[1:], later, strict=False):
        # A generated answer is found too where it is the history.
        least = -before.new_tokens if history == "generated" else 0
        assert least <= computed - output.prompt_tokens < block
    assert [output.kv_bytes % (block * 3 * 2 * 2 * 64 * 4) for output in outputs] == [0, 0, 0]


def test_costs_do_not_depend_on_what_ran_before(both):
    engine, _ = both
    session = encoded(context=50)
    requests = [Request(FULL, mode, mode) for mode in session]
    seen = []
    for order in (requests, requests[::-1], requests[1:]):
        ran = run_session(engine, session, order, share_prefill=True, history="golden")
        seen.append({request.mode: [output.tokens_prefilled for output in outputs] for request, outputs in ran})
    assert seen[0] == seen[1]
    assert seen[2].items() <= seen[0].items()


def test_an_answer_ends_with_a_stop_token_even_as_the_last_one_allowed(both):
    _, free = answers(both[0], "multi_request", limits=(6, 6, 6), stop=frozenset())
    third = free[0].token_ids[2]
    for limit in (6, 3):
        theirs, ours = (
            answers(engine, "multi_request", limits=(limit,) * 3, stop=frozenset({third}))[1] for engine in both
        )
        assert (theirs[0].finish, theirs[0].token_ids) == (ours[0].finish, ours[0].token_ids)
        assert theirs[0].finish == "eos"


def test_a_prompt_beyond_the_room_is_refused(both):
    talk = both[0].start(FULL, 9000)
    talk.prefill([5] * 9000)
    with pytest.raises(UserError, match=r"a prompt of 9000 tokens with 5 to answer is above the \d+"):
        talk.answer(5, {END})


def test_rotary_settings_of_the_lock_and_gpus_reach_it(spec):
    rope = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
    config = SimpleNamespace(rope_parameters={"rope_theta": 1e4} | rope, max_position_embeddings=128)
    options = llm_options(spec | {"rope": rope, "gpus": 4}, Machine(torch.device("cuda"), "bfloat16", 1), config)
    assert options["hf_overrides"] == {"rope_parameters": {"rope_theta": 1e4} | rope}
    assert options["tensor_parallel_size"] == 4
    assert not options.keys() - set(SIGNATURES["LLM"])


@pytest.mark.parametrize(
    ("positions", "rope", "room", "positions_there"),
    [
        (512, {"rope_type": "default"}, 512 + MARGIN, 512 + MARGIN),
        (512, {"rope_type": "llama3", "factor": 8.0}, 512 + MARGIN, 512 + MARGIN),
        (2**20, {"rope_type": "default"}, 512 + MARGIN, 2**20),
        (128, {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}, 512, 128),
        (512, {"rope_type": "linear", "factor": 2.0}, 512, 512),
    ],
    ids=["default", "llama3", "longer", "yarn", "linear"],
)
def test_room_is_made_for_positions_that_vllm_has_frequencies_of(spec, positions, rope, room, positions_there):
    config = SimpleNamespace(rope_parameters=rope, max_position_embeddings=positions)
    options = llm_options(spec, Machine(torch.device("cpu"), "float32", 1), config)
    there = {"max_position_embeddings": positions} | options.get("hf_overrides", {})
    assert (options["max_model_len"], there) == (room, {"max_position_embeddings": positions_there})


def test_a_vllm_for_another_device_is_refused(spec, monkeypatch):
    _stand_in(monkeypatch, device="cuda")
    with pytest.raises(UserError, match=r"execution\.device: cpu, but the vllm .* computes on 'cuda'"):
        engines.load(spec | {"engine": "vllm"}, **CPU)


def test_without_vllm_there_is_one_sentence_with_what_to_do(spec, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match=r"execution\.engine: vllm, which cannot be imported") as caught:
        engines.load(spec | {"engine": "vllm"}, **CPU)
    assert INSTALL in str(caught.value)
    assert f"vllm=={SIGNATURES['vllm']}" in INSTALL


@pytest.mark.parametrize("name", ["snapkv", "a_shape", "quest"])
def test_methods_that_act_on_kv_are_refused_by_engine_and_study(both, name):
    with pytest.raises(UserError, match=rf"{name} acts on the KV cache .*vllm keeps that cache to itself"):
        both[0].start(make(name, {}, 128), 100)
    config = read_yaml(ROOT / "studies" / "smoke.yaml") | {"execution": {"engine": "vllm"}}
    load_study(config | {"methods": {"full": {}, "llmlingua2": {}}}, "my.yaml")
    with pytest.raises(UserError, match=rf"my\.yaml: methods\.{name}: {name} acts on the KV cache"):
        load_study(config | {"methods": {"full": {}, name: {}}}, "my.yaml")


@pytest.mark.skipif(not INSTALLED, reason="vllm is not installed; the recorded signatures stand in for it")
def test_the_installed_vllm_has_the_recorded_names_that_we_use(spec):
    import vllm
    from vllm.engine.arg_utils import EngineArgs

    config = SimpleNamespace(rope_parameters={}, max_position_embeddings=512)
    taken = {field.name for field in dataclasses.fields(EngineArgs)} | set(inspect.signature(vllm.LLM).parameters)
    assert (
        llm_options(spec | {"rope": {"factor": 4.0}}, Machine(torch.device("cpu"), "float32", 1), config).keys()
        <= taken
    )
    inspect.signature(vllm.SamplingParams).bind(**sampling_options(4, {1}))
    inspect.signature(vllm.LLM.generate).bind(None, [], None, use_tqdm=False)
    inspect.signature(vllm.LLM.reset_prefix_cache).bind(None)
