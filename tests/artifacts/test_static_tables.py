"""Tables 1, 6 and 9: what the registries state, and nothing else."""

import json

import pandas as pd
import pytest

from scbench.artifacts import table1, table6, table9
from scbench.artifacts.board import read_board
from scbench.artifacts.registered import STAGES, read_registry
from scbench.artifacts.stamp import make_stamp
from scbench.methods import METHODS
from scbench.study import load_study, resolve
from scripts import make_table
from tests.artifacts.conftest import study_config
from tests.artifacts.tex_check import check_table, compile_table

BOTH = {"full": {}, "tri_shape+snapkv": {"tri_shape": {"budget": "1/4"}, "snapkv": {"budget": "1/8"}}}


def written(module, directory, **changes):
    study = load_study(study_config(**changes), "study.json")
    board = read_board(study)
    frame = module.frame(read_registry(study), board)
    name = module.__name__.rpartition(".")[2]
    tex, twin = module.write(frame, board, make_stamp(name, board, "0" * 64), directory / name)
    check_table(tex.read_text())
    return tex.read_text(), pd.read_csv(twin), study


def test_table_1_has_every_method_with_what_it_states_in_the_order_of_the_stages(tmp_path):
    tex, twin, _ = written(table1, tmp_path)
    assert set(twin["method"]) == set(METHODS)
    assert list(twin["stage"].map(STAGES.index)) == sorted(twin["stage"].map(STAGES.index))
    for row in twin.to_dict("records"):
        assert {name: row[name] for name in METHODS[row["method"]].complexity} == METHODS[row["method"]].complexity
        assert METHODS[row["method"]].title in tex
    assert r"$O(\alpha ^2 n^2)$" in tex and r"$O(km)$" in tex


def test_table_1_shows_which_methods_the_study_has(tmp_path):
    tex, twin, _ = written(table1, tmp_path, methods=BOTH)
    assert set(twin.loc[twin["in_study"], "method"]) == {"full", "tri_shape", "snapkv"}
    assert r"\textbf{Tri-shape}" in tex and r"\textbf{Quest}" not in tex


def test_a_changed_statement_changes_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(METHODS["quest"], "complexity", METHODS["quest"].complexity | {"decode": "O(m)"})
    tex, _, _ = written(table1, tmp_path)
    assert "$O(m)$" in tex


def test_table_9_has_every_setting_that_a_row_runs_with(tmp_path):
    tex, twin, study = written(table9, tmp_path)
    for row in study.methods[1:]:
        found = json.loads(twin.set_index("method")["settings"][row.label])
        assert found | {"method": row.method} == resolve(study, row)
    assert "budget 1/8, sink 16, local 112, last 32" in tex and "selection kv\\_head" in tex


def test_table_9_shows_the_parts_of_a_composition(tmp_path):
    tex, _, _ = written(table9, tmp_path, methods=BOTH)
    assert "tri shape: (budget 1/4" in tex and "snapkv: (budget 1/8" in tex


def test_table_9_of_full_attention_alone_says_so(tmp_path):
    tex, _, _ = written(table9, tmp_path, methods={"full": {}})
    assert "has no setting" in tex


def test_table_6_sets_the_study_below_what_the_paper_says_of_benchmarks(tmp_path):
    tex, twin, _ = written(table6, tmp_path, modes=["multi_turn"], tasks=["retr_kv", "en_sum"])
    rows = twin.set_index("benchmark")[list(table6.COLUMNS)]
    assert len(rows) == 8 and rows.loc["SCBench"].dropna().all()
    assert (rows.drop(index=["SCBench", "This study, fake"])[["multi_tasking", "multi_turn", "kv_reuse"]] == 0).all(
        None
    )
    assert rows.loc["This study, fake"].dropna().tolist() == [1, 0, 1, 0, 0, 1, 0, 1]
    assert "This study, fake" in tex


@pytest.mark.parametrize("module", [table1, table6, table9])
def test_they_compile(module, tmp_path):
    assert "Overfull" not in compile_table(written(module, tmp_path)[0], tmp_path)


def test_they_are_made_from_the_study_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.json").write_text(json.dumps(study_config()))
    make_table.main(["--name", "table1", "--config", "study.json", "--out", "table1.tex"])
    assert json.loads((tmp_path / "table1.tex.prov.json").read_text())["inputs"] == []
