"""A study file is taken as it is meant, or refused in one sentence: file, key, value, remedy."""

import copy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scbench.errors import UserError
from scbench.methods import METHODS
from scbench.models import read_models
from scbench.places import ROOT
from scbench.schema import read_yaml
from scbench.study import FLOOR, PAPER_METHODS, Study, load_study, read_study, resolve, starts_dense, twins

STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "studies").glob("*.yaml"))]
SMOKE = read_yaml(ROOT / "studies" / "smoke.yaml")


def changed(path: str, value: object) -> dict:
    """The smoke study with the key at the dotted `path` set to `value`."""
    config = copy.deepcopy(SMOKE)
    *parents, last = path.split(".")
    place = config
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    return config


def refusal(config: object) -> str:
    with pytest.raises(UserError) as caught:
        load_study(config, "my.yaml")
    message = str(caught.value)
    assert message.startswith("my.yaml: "), message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_a_shipped_study_is_valid_and_survives_resolving(path: Path):
    study = read_study(path)
    again = load_study(study.resolved(), "again")
    assert again.resolved() == study.resolved()
    assert yaml.safe_load(yaml.safe_dump(study.resolved())) == study.resolved()


def test_defaults_are_filled_in_at_every_level():
    study = load_study({key: SMOKE[key] for key in ("study", "models", "methods", "tasks", "data")}, "my.yaml")
    assert study.modes == ("multi_turn", "multi_request")
    assert study.floor is True
    assert (study.execution.granularity, study.execution.share_prefill) == ("shard", True)
    assert (study.data.source, study.data.order, study.data.seed) == ("build", "published", 0)


def test_the_label_is_the_method_unless_another_is_named():
    config = changed("methods", {"snapkv": {}, "snap_small": {"method": "snapkv", "budget": "1/16"}})
    rows = load_study(config, "my.yaml").methods
    assert [(row.label, row.method) for row in rows] == [("snapkv", "snapkv"), ("snap_small", "snapkv")]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("methds", {}, ["methds", "did you mean 'methods'?"]),
        ("execution.granularty", "cell", ["execution.granularty", "'cell'", "granularity"]),
        ("data.sessions", 0, ["data.sessions", "0", "1 or more"]),
        ("data.tokens", "many", ["data.tokens", "'many'", "integer"]),
        ("data.scale", "tiny", ["data.scale", "'tiny'", "mini, paper"]),
        ("modes", ["multi_turm"], ["modes.0", "'multi_turm'", "did you mean 'multi_turn'?"]),
        ("modes", [], ["modes", "at least 1"]),
        ("tasks", ["retr_vk"], ["tasks", "'retr_vk'", "did you mean 'retr_kv'?"]),
        ("tasks", ["retr_kv", "retr_kv"], ["tasks", "once"]),
        ("models", ["minllm"], ["models", "'minllm'", "did you mean 'minilm'?"]),
        ("models", [{"name": "minllm"}], ["models", "'minllm'", "did you mean 'minilm'?"]),
        ("models", [{"source": "train"}], ["models.0", "'name' is missing"]),
        ("models", [{"name": "minilm", "sorce": "train"}], ["models.0.sorce", "did you mean 'source'?"]),
        ("models", [{"name": "minilm", "source": "tran"}], ["models.0.source", "'tran'", "did you mean 'train'?"]),
        ("models", [3], ["models.0", "3", "a name, or"]),
        (
            "models",
            ["minilm", {"name": "minilm", "source": "train"}],
            ["models.1", "minilm stands twice", "name it once"],
        ),
        (
            "models",
            ["minilm", {"name": "llama_3_1_8b", "source": "train"}],
            ["models.1.source", "'train'", "llama_3_1_8b has no recipe", "trained here: minilm", "leave source out"],
        ),
        ("models", [{"name": "minilm", "methods": ["snapvk"]}], ["models.0.methods", "'snapvk'", "mean 'snapkv'?"]),
        ("models", [{"name": "minilm", "methods": [FLOOR]}], ["models.0.methods", FLOOR, "allowed: full, snapkv"]),
        ("models", [{"name": "minilm", "methods": []}], ["models.0.methods", "[]", "give at least 1"]),
        ("models", [{"name": "minilm", "methods": ["full", "full"]}], ["models.0.methods", "name each once"]),
        ("models", [{"name": "minilm", "methods": "full"}], ["models.0.methods", "'full'", "give a list"]),
        ("models", [{"name": "minilm", "methods": ["full"]}], ["methods.snapkv", "no model runs it", "name it there"]),
        ("models", ["minilm", {"name": "jamba", "methods": ["full"]}], ["models.1.methods", "full", "one row"]),
        ("methods", {"snapvk": {}}, ["methods.snapvk.method", "'snapvk'", "did you mean 'snapkv'?"]),
        ("methods", {"mine": {"method": "nothing"}}, ["methods.mine.method", "'nothing'", "snapkv"]),
        ("methods", {"snapkv": {"windw": 3}}, ["methods.snapkv", "windw", "window"]),
        ("methods", {"snapkv": {"budget": 100_000}}, ["methods.snapkv", "budget", "100000", "256"]),
        ("methods", {"quest": {"budget": 100_000}}, ["methods.quest", "budget", "100000", "256"]),
        ("methods", {"snapkv": {"budget": 0}}, ["methods.snapkv", "budget", "0"]),
        ("methods", {"snapkv": 3}, ["methods.snapkv", "3", "keys and values"]),
        ("methods", {FLOOR: {"method": "full"}}, [f"methods.{FLOOR}", "floor"]),
        ("study", "../elsewhere", ["study", "'../elsewhere'", "match"]),
        ("study", "store", ["study", "'store'", "choose another"]),
        ("data.tokens", 8, ["data.tokens", "8"]),
        ("data.tokens", 100_000, ["data.tokens", "100000", "minilm"]),
        ("data.tokens", None, ["data.tokens", "mini", "number"]),
        ("data.source", "published", ["data.scale", "mini", "published sessions", "set it to paper"]),
        ("data", {"source": "published", "scale": "paper", "tokens": 512}, ["data.tokens", "512", "set it to null"]),
        ("data", {"source": "published", "scale": "paper", "order": "balanced"}, ["data.order", "balanced"]),
        ("data.published", ["en_sum"], ["data.scale", "mini", "published sessions", "data.published: []"]),
        ("data", {"scale": "paper", "published": ["en_sun"]}, ["data.published", "'en_sun'", "did you mean 'en_sum'?"]),
        ("data.mirror", "", ["data.mirror", "''"]),
        ("study", "raw", ["study", "'raw'", "choose another"]),
        ("execution.max_shard_minutes", 0, ["execution.max_shard_minutes", "0", "more than 0"]),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(path: str, value: object, words: list[str]):
    message = refusal(changed(path, value))
    for word in words:
        assert word in message, message


def test_a_missing_key_is_named_with_what_it_is_for():
    config = {key: value for key, value in SMOKE.items() if key != "tasks"}
    assert "the key 'tasks' is missing" in refusal(config)


@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_a_file_that_is_no_mapping_is_refused(value: object):
    assert "keys and values" in refusal(value)


@given(st.text(min_size=1, max_size=12).filter(lambda key: key not in SMOKE), st.integers())
def test_no_unknown_key_is_let_through(key: str, value: int):
    schema = read_yaml(ROOT / "resources" / "schemas" / "config.schema.yaml")
    if key not in schema["properties"]:
        refusal(copy.deepcopy(SMOKE) | {key: value})


def test_yaml_that_cannot_be_read_names_the_file(tmp_path: Path):
    broken = tmp_path / "broken.yaml"
    broken.write_text("study: [")
    twice = tmp_path / "twice.yaml"
    twice.write_text("study: a\nstudy: b\n")
    for path, word in [(broken, "not valid YAML"), (twice, "twice"), (tmp_path / "none.yaml", "cannot be read")]:
        with pytest.raises(UserError, match=word) as caught:
            read_study(path)
        assert str(caught.value).startswith(str(path))


def test_a_share_means_the_same_however_it_is_written():
    studies = [load_study(changed("methods", {"snapkv": {"budget": budget}}), "my.yaml") for budget in ("1/8", 0.125)]
    first, second = (resolve(study, study.methods[0]) for study in studies)
    assert first == second


def test_every_method_that_exists_says_whether_it_starts_dense():
    for name in METHODS:
        assert starts_dense(name) is METHODS[name].starts_dense
        assert PAPER_METHODS.get(name, starts_dense(name)) is starts_dense(name)


def test_what_cannot_run_yet_is_listed():
    config = changed("methods", {"full": {}, "later": {"method": "quest", "budget": "1/8"}})
    pending = load_study(config, "my.yaml").pending
    assert any("quest" in text for text in pending) is ("quest" not in METHODS)


def test_a_model_is_pinned_or_trained_here_and_resolving_says_which():
    locked, train = ({"name": "minilm", "source": source} for source in ("locked", "train"))
    studies = [load_study(changed("models", [entry]), "my.yaml") for entry in ("minilm", {"name": "minilm"}, locked)]
    assert {repr(study.resolved()) for study in studies} == {repr(studies[0].resolved())}
    assert studies[0].resolved()["models"] == ["minilm"]
    assert studies[0].models[0].files

    study = load_study(changed("models", [train]), "my.yaml")
    assert study.resolved()["models"] == [train]
    assert load_study(study.resolved(), "again").models == study.models
    assert study.models[0].path == "results/models/minilm"
    assert study.models[0].awaited


def test_a_model_that_is_trained_here_needs_no_pinned_files():
    assert load_study(changed("models", [{"name": "minilm", "source": "train"}]), "my.yaml").pending == ()


def test_a_context_longer_than_a_model_was_trained_for_is_refused_wherever_its_files_come_from():
    context = read_models()["minilm"].context
    for model in ("minilm", {"name": "minilm", "source": "train"}):
        config = changed("models", [model])
        config["data"]["tokens"] = context
        assert load_study(config, "my.yaml").context_tokens == context
        config["data"]["tokens"] = context + 1
        assert f"data.tokens: {context + 1} is above the {context} tokens that minilm can take" in refusal(config)


def test_a_recipe_that_cannot_be_read_is_refused_before_any_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    broken = tmp_path / "broken.yaml"
    broken.write_text("stages: [")
    models = {"minilm": replace(read_models()["minilm"], recipe=str(broken))}
    monkeypatch.setattr("scbench.study.read_models", lambda: models)
    with pytest.raises(UserError, match=r"broken\.yaml: not valid YAML"):
        load_study(changed("models", [{"name": "minilm", "source": "train"}]), "my.yaml")


def test_a_model_that_is_itself_the_method_has_one_row_and_the_floor():
    study = load_study(changed("models", ["minilm", "jamba"]), "my.yaml")
    minilm, jamba = study.models
    assert [row.label for row in study.rows(minilm)] == ["full", "snapkv", "a_shape", FLOOR]
    assert [row.label for row in study.rows(jamba)] == ["full", FLOOR]
    assert [row.with_context for row in study.rows(jamba)] == [True, False]


def limited(labels: list[str]) -> Study:
    """The smoke study with a second model that runs these rows alone."""
    return load_study(changed("models", ["minilm", {"name": "minilm_l", "methods": labels}]), "my.yaml")


def test_a_model_runs_the_rows_it_is_limited_to_in_the_studys_order_and_the_floor():
    study = limited(["a_shape", "full"])
    minilm, large = study.models
    assert [row.label for row in study.rows(minilm)] == ["full", "snapkv", "a_shape", FLOOR]
    assert [row.label for row in study.rows(large)] == ["full", "a_shape", FLOOR]
    assert study.rows(large) == tuple(row for row in study.rows(minilm) if row.label != "snapkv")
    assert study.resolved() == limited(["full", "a_shape"]).resolved()
    assert study.resolved()["models"] == ["minilm", {"name": "minilm_l", "methods": ["full", "a_shape"]}]


def test_a_row_is_checked_against_the_models_that_run_it():
    config = changed("methods", {"full": {}, "llmlingua2": {"budget": "1/2"}})
    assert "trained on what minilm, minilm_l read, not for llama_3_1_8b" in refusal(
        config | {"models": ["minilm", "llama_3_1_8b"]}
    )
    apart = ["minilm", {"name": "llama_3_1_8b", "methods": ["full"]}]
    assert len(load_study(config | {"models": apart}, "my.yaml").models) == 2


def test_both_histories_run_on_what_the_first_model_runs():
    models = [{"name": "minilm_l", "methods": ["full", "snapkv"]}, "minilm"]
    config = changed("models", models) | {"both_histories": True}
    (other,) = twins(load_study(config, "my.yaml"))
    assert [(model.name, row.label) for model in other.models for row in other.rows(model)] == [("minilm_l", "full")]
    assert load_study(other.resolved(), "again").resolved() == other.resolved()


def test_the_lock_holds_the_papers_models_and_the_bundled_one():
    models = read_models()
    paper = read_study(ROOT / "studies" / "paper.yaml")
    assert {model.name for model in paper.models} | {"minilm"} <= set(models)
    assert len(paper.models) == 8


def test_weights_that_are_not_those_of_the_lock_are_refused(tmp_path: Path):
    model = read_models()["minilm"]
    (tmp_path / "model.safetensors").write_bytes(b"other")
    here = str(tmp_path)
    with pytest.raises(UserError, match=r"model\.safetensors: has sha256 .* pins minilm"):
        replace(model, path=here, files={"model.safetensors": "0" * 64}).verify()
    with pytest.raises(UserError, match=r"tokenizer\.json: missing"):
        replace(model, path=here, files={"tokenizer.json": "0" * 64}).verify()
    with pytest.raises(UserError, match=r"minilm\.files is empty"):
        replace(model, files={}).verify()


def test_reading_and_planning_a_study_needs_no_heavy_library():
    code = (
        "import sys\n"
        "from scbench import cellkey, sessionkey\n"
        "from scbench.plan import make_plan\n"
        "from scbench.schema import read_yaml\n"
        "from scbench.study import load_study, read_study\n"
        "plan = make_plan(read_study('studies/paper.yaml'))\n"
        "[cellkey.fields(plan.study, cell) for cell in plan.cells[:30]]\n"
        "study = {'models': [{'name': 'minilm', 'source': 'train'}]}\n"
        "plan = make_plan(load_study(read_yaml('studies/smoke.yaml') | study, 'train'))\n"
        "[cellkey.fields(plan.study, cell) for cell in plan.cells]\n"
        "sessionkey.digest(plan.study, 'retr_kv')\n"
        "print([name for name in ('torch', 'transformers', 'pandas') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
