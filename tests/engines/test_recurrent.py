"""Models without a plain KV cache answer what transformers' own loop says, encode each dialogue anew, and say so."""

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache

from scbench import engines
from scbench.artifacts.board import read_board
from scbench.costs import session_seconds
from scbench.engines import recurrent
from scbench.errors import UserError
from scbench.methods import make
from scbench.modes import FULL, Request, run_session
from scbench.places import ROOT
from scbench.plan import make_plan
from scbench.study import read_study
from tests.conformance.models import BEGIN, END, VOCABULARY, encoded, save_model, save_tokenizer, tokens

SHARED = dict(
    vocab_size=VOCABULARY, hidden_size=32, bos_token_id=BEGIN, eos_token_id=END, pad_token_id=0, initializer_range=0.3
)
# Jamba's attention layer is its second of three; 2 KV heads of 8 channels.
CONFIGS = {
    "Mamba2": dict(num_hidden_layers=3, num_heads=8, head_dim=8, n_groups=2, state_size=8, chunk_size=16),
    "Jamba": dict(
        num_hidden_layers=3,
        intermediate_size=48,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_layer_period=3,
        attn_layer_offset=1,
        num_experts=3,
        num_experts_per_tok=2,
        mamba_d_state=4,
        mamba_dt_rank=4,
    ),
}
ATTENTION_LAYERS = {"Mamba2": 0, "Jamba": 1}
CPU = dict(threads=1, device="cpu", dtype="float32")


def save_recurrent(directory, family):
    """A random model of `family` as a checkpoint in `directory`; its entry of the lock, as engines load it."""
    torch.manual_seed(3)
    config = getattr(transformers, f"{family}Config")(**SHARED | CONFIGS[family])
    getattr(transformers, f"{family}ForCausalLM")(config).save_pretrained(directory)
    save_tokenizer(directory)
    return {"name": family.lower(), "path": str(directory), "engine": "recurrent"}


@pytest.fixture(scope="module", params=CONFIGS)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def both(family, tmp_path_factory):
    """An engine, and the same checkpoint as plain transformers loads it."""
    spec = save_recurrent(tmp_path_factory.mktemp(family), family)
    return engines.load(spec, **CPU), AutoModelForCausalLM.from_pretrained(spec["path"], dtype=torch.float32).eval()


def generated(plain, ids, limit):
    """The tokens of a plain `generate` after `ids`, the end token left out."""
    with torch.inference_mode():
        whole = plain.generate(torch.tensor([ids]), max_new_tokens=limit, do_sample=False, eos_token_id=END)
    answer = whole[0, len(ids) :].tolist()
    return tuple(answer[:-1] if answer[-1] == END else answer)


def answers(engine, mode, history="golden", **how):
    session = encoded(context=50, **how)
    ran = run_session(engine, session, [Request(FULL, mode, "")], share_prefill=True, history=history)
    return session[mode], next(ran)[1]


def dialogues(session, outputs, history):
    """What each turn was asked, as one prompt."""
    if session.mode == "multi_request":
        return [session.first + query for query in session.queries]
    said = session.answers if history == "golden" else [output.token_ids for output in outputs]
    prompts = [session.first]
    for answer, query in zip(said, session.queries[1:], strict=False):
        prompts.append(prompts[-1] + answer + query)
    return prompts


ASKED = [("multi_turn", "golden"), ("multi_turn", "generated"), ("multi_request", "golden")]


@pytest.mark.parametrize(("mode", "history"), ASKED)
def test_answers_are_those_of_a_plain_generate_loop(both, mode, history):
    engine, plain = both
    session, outputs = answers(engine, mode, history, limits=(9, 4, 12))
    prompts = dialogues(session, outputs, history)
    expected = [generated(plain, ids, limit) for ids, limit in zip(prompts, (9, 4, 12), strict=True)]
    assert [output.token_ids for output in outputs] == expected
    assert len(set(expected)) > 1, "the random model should not say the same whatever it is asked"


@pytest.mark.parametrize(("mode", "history"), ASKED)
def test_every_turn_encodes_the_whole_dialogue_and_says_so(both, mode, history):
    engine, _ = both
    before = engine.counters.prefill_tokens
    session, outputs = answers(engine, mode, history)
    lengths = [len(prompt) for prompt in dialogues(session, outputs, history)]
    assert [output.tokens_prefilled for output in outputs] == lengths
    assert engine.counters.prefill_tokens - before == sum(lengths)


@pytest.mark.parametrize("mode", ["multi_turn", "multi_request"])
def test_prompt_tokens_are_what_each_turn_fed(both, mode):
    session, outputs = answers(both[0], mode)
    fed = [len(query) for query in session.queries]
    if mode == "multi_turn":
        fed[1:] = [len(answer) + count for answer, count in zip(session.answers, fed[1:], strict=False)]
    fed[0] += len(session.first)
    assert [output.prompt_tokens for output in outputs] == fed


def test_costs_are_those_of_the_librarys_cache(both, family):
    engine, plain = both
    session, outputs = answers(engine, "multi_request", limits=(4, 4, 4), stop=frozenset())
    cache = DynamicCache(config=plain.config)
    keyword = "cache_params" if family == "Mamba2" else "past_key_values"
    with torch.inference_mode():
        plain(torch.tensor([session.first + session.queries[0]]), use_cache=True, **{keyword: cache})
    states = sum(
        state.nbytes
        for layer in cache.layers
        if hasattr(layer, "recurrent_states")
        for state in (*layer.conv_states.values(), *layer.recurrent_states.values())
    )
    row = 2 * 2 * 8 * 4 * ATTENTION_LAYERS[family]  # keys and values, KV heads, channels, bytes
    for query, output in zip(session.queries, outputs, strict=True):
        length = len(session.first + query)
        assert output.kv_bytes == states + row * length
        assert output.kv_bytes_dense == output.kv_bytes // 2
        seen = [length + step for step in (1, 2, 3)]
        assert output.keys_attended == ATTENTION_LAYERS[family] * sum(seen)
        assert output.bytes_read == 3 * states + row * sum(seen)
    assert states > 0
    assert engine.shape.dense_bytes_per_token == row // 2


def test_sharing_changes_nothing_and_costs_nothing(both):
    engine, _ = both
    session = encoded(context=50)
    requests = [Request(FULL, mode, mode) for mode in session]
    seen = []
    for share in (True, False):
        before = engine.counters.prefill_tokens
        ran = run_session(engine, session, requests, share_prefill=share, history="golden")
        seen.append([output.token_ids for _, outputs in ran for output in outputs])
        seen.append(engine.counters.prefill_tokens - before)
    assert seen[:2] == seen[2:]


def test_an_answer_stops_at_a_stop_token(both):
    engine, _ = both
    _, free = answers(engine, "multi_request", limits=(6, 6, 6), stop=frozenset())
    assert [(output.finish, output.new_tokens) for output in free] == [("length", 6)] * 3
    third = free[0].token_ids[2]
    _, stopped = answers(engine, "multi_request", limits=(6, 6, 6), stop=frozenset({third}))
    assert stopped[0].finish == "eos"
    assert stopped[0].token_ids == free[0].token_ids[: free[0].token_ids.index(third)]


def test_an_answer_needs_something_fed_before(both):
    talk = both[0].start(FULL, 0)
    talk.seal()
    with pytest.raises(RuntimeError, match="nothing was fed"):
        talk.answer(5, ())


def test_a_model_with_attention_alone_is_refused(tmp_path):
    spec = save_model(tmp_path) | {"engine": "recurrent"}
    with pytest.raises(UserError, match=r"models\.llama\.engine: recurrent, but llama has attention in every layer"):
        engines.load(spec, **CPU)


def test_a_gpu_without_the_kernels_is_refused_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(recurrent, "find_spec", lambda name: None)
    spec = {"name": "m", "path": "nowhere", "engine": "recurrent"}
    with pytest.raises(UserError, match=r"models\.m: .*mamba-ssm and causal-conv1d.*pip install"):
        engines.load(spec, threads=1, device="cuda", dtype="bfloat16")


@pytest.mark.parametrize("name", ["snapkv", "a_shape", "quest", "cacheblend", "tri_shape+snapkv"])
def test_methods_that_act_on_kv_are_refused(both, name):
    with pytest.raises(UserError, match=rf"{name.split('+')[0]}.*acts on the KV cache"):
        both[0].start(make(name, {}, 128), 100)


def test_prompts_of_one_token_and_more_than_a_chunk(both):
    engine, plain = both
    for count in (1, 2, 15, 16, 17, 40):
        done = engine.complete(tokens(count), 5, {END})
        assert done.token_ids == generated(plain, tokens(count), 5), count


def test_plans_count_an_encoding_for_each_turn_and_tables_say_so():
    study = read_study(ROOT / "studies" / "paper.yaml")
    assert not any("engine" in text for text in study.pending)
    titles = "Jamba-1.5-Mini, Codestral-Mamba"
    assert any(text.startswith(f"{titles}: the dialogue was encoded anew") for text in read_board(study).caveats)
    model = next(model for model in study.models if model.encodes_each_turn)
    units = [
        unit
        for shard in make_plan(study).shards
        for unit in shard.units
        if (unit.model, unit.task) == (model, "retr_kv")
    ]
    assert {unit.modes for unit in units} == {("multi_turn", "multi_request")}
    each = session_seconds(study, model, "retr_kv", cells=2, prefills=2 * study.data.turns)
    sessions = sum(unit.stop - unit.first for unit in units)
    assert sum(unit.seconds for unit in units) == pytest.approx(sessions * each)
