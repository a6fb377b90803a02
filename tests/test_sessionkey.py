"""Sessions are built again when, and only when, something that decides them changed."""

import copy
import dataclasses
import json
from pathlib import Path

import pytest

from scbench import codedigest, sessionkey
from scbench.places import ROOT
from scbench.schema import read_yaml
from scbench.study import Study, load_study
from scripts.build_sessions import build

MINI = read_yaml(ROOT / "config.yaml")


def study_of(**changes: object) -> Study:
    """The configured study with `changes` of `data.<key>`, and of other keys as they are named."""
    config = copy.deepcopy(MINI)
    for key, value in changes.items():
        place = config["data"] if key in config["data"] else config
        place[key] = value
    return load_study(config, "my.yaml")


@pytest.mark.parametrize("change", [{"seed": 1}, {"sessions": 3}, {"tokens": 512}, {"order": "balanced"}])
def test_the_data_settings_decide(change: dict):
    assert sessionkey.digest(study_of(**change), "retr_kv") != sessionkey.digest(study_of(), "retr_kv")


def test_methods_and_scoring_do_not():
    other = study_of(models=["minilm"], methods={"full": {}}, scoring="compat", modes=["multi_turn"])
    assert sessionkey.digest(other, "retr_kv") == sessionkey.digest(study_of(), "retr_kv")


def test_the_published_number_of_sessions_decides(monkeypatch: pytest.MonkeyPatch):
    study = study_of()
    study = dataclasses.replace(study, data=dataclasses.replace(study.data, sessions=None))
    before = sessionkey.digest(study, "retr_kv")
    monkeypatch.setitem(sessionkey.session_count.__globals__["PUBLISHED"], "retr_kv", (7, 125_000))
    assert sessionkey.digest(study, "retr_kv") != before


def test_where_the_same_bytes_come_from_does_not_decide():
    published = {"source": "published", "scale": "paper", "tokens": None, "order": "published", "mirror": None}
    one, other = (study_of(data=published | {"mirror": mirror}) for mirror in ("mirror", "http://host/mirror"))
    assert sessionkey.digest(one, "zh_qa") == sessionkey.digest(other, "zh_qa")


def test_the_commit_of_the_published_set_decides(monkeypatch: pytest.MonkeyPatch):
    study, plain = study_of(data={"source": "published", "scale": "paper"}), sessionkey.source
    before = sessionkey.digest(study, "zh_qa")
    monkeypatch.setattr(sessionkey, "source", lambda name: dataclasses.replace(plain(name), revision="other"))
    assert sessionkey.digest(study, "zh_qa") != before


@pytest.mark.parametrize(
    ("edited", "decides"),
    [
        ("scbench.published.plain", True),
        ("scbench.published.rows", True),
        ("scbench.sessions", True),
        ("scbench.tasks.zh_qa", False),
        ("scbench.raw.download", False),
    ],
)
def test_the_readers_code_decides_published_sessions(edited: str, decides: bool, monkeypatch: pytest.MonkeyPatch):
    study, plain = study_of(data={"source": "published", "scale": "paper"}), codedigest.module_digest
    before = sessionkey.digest(study, "zh_qa")
    monkeypatch.setattr(codedigest, "module_digest", lambda name: "edited" if name == edited else plain(name))
    assert (sessionkey.digest(study, "zh_qa") != before) == decides


@pytest.mark.parametrize("library", ["tokenizers", "pyarrow"])
def test_the_versions_of_the_libraries_decide(library: str, monkeypatch: pytest.MonkeyPatch):
    before, plain = sessionkey.digest(study_of(), "retr_kv"), sessionkey.version
    monkeypatch.setattr(sessionkey, "version", lambda name: "0" if name == library else plain(name))
    assert sessionkey.digest(study_of(), "retr_kv") != before


@pytest.mark.parametrize(
    ("edited", "decides"),
    [
        ("scbench.tasks.retr_kv", True),
        ("scbench.sessions", True),
        ("scripts.build_sessions", True),
        ("scbench.tasks.zh_qa", False),
        ("scbench.costs", False),
    ],
)
def test_the_builders_code_decides(edited: str, decides: bool, monkeypatch: pytest.MonkeyPatch):
    before, plain = sessionkey.digest(study_of(), "retr_kv"), codedigest.module_digest
    monkeypatch.setattr(codedigest, "module_digest", lambda name: "edited" if name == edited else plain(name))
    assert (sessionkey.digest(study_of(), "retr_kv") != before) == decides


def test_the_sidecar_holds_what_decides_and_the_versions(tmp_path: Path):
    study, out = study_of(sessions=1), tmp_path / "retr_kv.parquet"
    build(study, "retr_kv", out)
    sidecar = json.loads(Path(f"{out}.prov.json").read_text())
    assert sidecar["identity"] == sessionkey.fields(study, "retr_kv")
    assert set(sidecar["versions"]) == {"python", "pyarrow", "tokenizers"}
