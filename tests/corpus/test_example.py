"""The example of one's own documents, through the workflow to Table 4 on the bundled model."""

import shutil

import pandas as pd
import pytest

from scbench.errors import UserError
from scbench.places import ROOT
from scbench.plan import make_plan
from scbench.schema import read_yaml
from scbench.study import load_study
from tests.e2e.test_workflow import Clone

EXAMPLE = read_yaml(ROOT / "examples" / "village" / "study.yaml")


def test_the_example_has_a_score_in_table_4(tmp_path):
    clone = Clone(tmp_path / "clone")
    shutil.copytree(ROOT / "examples", clone.path / "examples")
    changes = {"methods": {"full": {}}, "modes": ["multi_turn"], "floor": False, "check_baseline": False}
    clone.write_study("village.yaml", EXAMPLE | changes)
    clone.build("figures/table4.csv", study="village.yaml")
    table = pd.read_csv(clone.path / "figures" / "table4.csv").query("profile == 'strict'").set_index("method")
    assert table.loc["full", "multi_turn_semantic_n"] == 30
    assert table.loc["full", "multi_turn_semantic"] > 40


def test_a_document_that_is_missing_is_named_before_any_job(tmp_path):
    folder = shutil.copytree(ROOT / "examples" / "village", tmp_path / "village")
    study = load_study(EXAMPLE | {"data": EXAMPLE["data"] | {"corpus": str(folder)}}, "study.yaml")
    assert {unit.stop for shard in make_plan(study).shards for unit in shard.units} == {1, 2}
    (folder / "books" / "spring.txt").unlink()
    (folder / "questions.yaml").touch()
    with pytest.raises(UserError, match=r"questions\.yaml: entry 16: document: 'books/spring\.txt' is no file in"):
        make_plan(study)
