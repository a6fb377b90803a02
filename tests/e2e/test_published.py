"""The published set as a user gets it: fetched through the workflow, checked, made into sessions, or refused."""

import json
import re
from pathlib import Path

import yaml

from scbench.raw.needs import CONFIGS
from scbench.sessions import read_sessions
from tests.e2e.test_workflow import STUDY, Clone
from tests.published.made import ROWS, write_parquet

HERE, MISSING = "math_find", "mix_repoqa_kv"


def test_what_a_mirror_has_becomes_sessions_and_what_it_lacks_is_named(tmp_path: Path):
    clone = Clone(tmp_path / "clone")
    lock = clone.path / "resources" / "raw.lock.yaml"
    entries = yaml.safe_load(lock.read_text())
    for file in entries["scbench"]["files"].values():
        file |= {"sha256": None, "bytes": None}  # the rows are made here
    lock.write_text(yaml.safe_dump(entries, sort_keys=False))
    data = {"source": "published", "scale": "paper", "sessions": 2, "mirror": "mirror"}
    clone.write_study("published.yaml", STUDY | {"study": "published", "tasks": [HERE, MISSING], "data": data})
    raw = f"scbench/{CONFIGS[HERE]}/test-00000-of-00001.parquet"
    write_parquet(clone.path / "mirror" / raw, HERE, [ROWS[HERE]] * 2)

    here, missing = (f"results/published/sessions/{task}.parquet" for task in (HERE, MISSING))
    clone.build("-k", here, missing, study="published.yaml", status=1)

    sessions = read_sessions(clone.path / here)
    assert [session.turns[0].query for session in sessions] == [ROWS[HERE]["multi_turns"][0]["input"]] * 2
    [parent] = json.loads((clone.path / f"{here}.prov.json").read_text())["inputs"]
    assert parent["path"] == f"results/raw/{raw}"
    assert json.loads((clone.path / "results/raw/scbench/fetched.json").read_text()).keys() == {raw.split("/", 1)[1]}
    assert re.search(r"error: mirror/scbench/scbench_repoqa_and_kv/.*: cannot be read from the mirror", clone.logs())
    assert not (clone.path / missing).exists()
    assert not (clone.path / f"results/raw/scbench/{CONFIGS[MISSING]}").exists()
