"""Every outside input is named with its commit and licence, and a wrong lock is refused in one sentence."""

import copy
from pathlib import Path

import pytest
import yaml

from scbench.errors import UserError
from scbench.places import ROOT
from scbench.raw import needs, read_sources, source
from scbench.raw.lock import LOCK
from scbench.schema import read_yaml
from scbench.study import load_study
from scbench.tasks import TASKS

FILES = {"x": {"sha256": None, "bytes": 3}}
ENTRY = {"title": "t", "url": "https://a.b/c", "revision": "v1", "licence": "MIT", "files": FILES}


def written(tmp_path: Path, **changes: object) -> Path:
    entry = {key: value for key, value in (copy.deepcopy(ENTRY) | changes).items() if value is not ...}
    (tmp_path / "raw.lock.yaml").write_text(yaml.safe_dump({"made": entry}))
    return tmp_path / "raw.lock.yaml"


def test_the_inputs_of_the_paper_are_named():
    sources = read_sources()
    assert {"scbench", "infinitebench", "repoqa", "bbh", "llmlingua2"} <= set(sources)
    assert all(source.licence and source.revision and source.files for source in sources.values())
    assert sources["scbench"].revision == "283310bb8c5ba6909dd9a6b1be087d2937f76f6d"
    assert all(file.sha256 for file in sources["bbh"].files.values())


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_its_published_file(task: str):
    config = read_yaml(ROOT / "config.yaml")
    config["data"] = {"source": "published", "scale": "paper"}
    [(name, file)] = needs(load_study(config, "my.yaml"), task)
    assert file in source(name).files


def test_every_published_file_belongs_to_one_task():
    config = read_yaml(ROOT / "config.yaml")
    config["data"] = {"source": "published", "scale": "paper"}
    study = load_study(config, "my.yaml")
    assert {file for task in TASKS for _, file in needs(study, task)} == set(source("scbench").files)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"licence": ...}, r"made: the key 'licence' is missing"),
        ({"url": "http://a.b"}, r"made\.url: 'http://a\.b' is not allowed"),
        ({"files": {}}, r"made\.files"),
        ({"files": {"../x": {"sha256": None, "bytes": None}}}, r"made\.files: '\.\./x' is not allowed"),
        ({"files": {"x": {"sha256": "abc", "bytes": None}}}, r"made\.files\.x\.sha256: 'abc' is not allowed"),
        ({"url": "hf://made"}, r"made\.url: 'hf://made' is not allowed \(https address of the folder"),
        ({"mirror": "x"}, r"made\.mirror: unknown key"),
    ],
)
def test_a_wrong_lock_is_refused(tmp_path: Path, changes: dict, sentence: str):
    with pytest.raises(UserError, match=rf"^raw\.lock\.yaml: {sentence}"):
        read_sources(written(tmp_path, **changes))


def test_names_that_are_not_there_are_refused():
    with pytest.raises(UserError, match=rf"^{LOCK.name}: source: 'bhb' is unknown; did you mean 'bbh'\?"):
        source("bhb")
    with pytest.raises(UserError, match=r"bbh\.files: 'dates\.json' is unknown"):
        source("bbh").file("dates.json")
