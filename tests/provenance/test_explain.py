"""A number in words where the artifact compares a study with one beside it: each has the cell of that name."""

import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd

from scbench.provenance.explain import explain
from scbench.provenance.graph import Node
from scbench.provenance.verdicts import Verdict

CELL = ("minilm", "full", "math_find", "multi_turn")


def nodes_of(study: str, prediction: str, score: float, root: Path) -> list[Node]:
    """A cell with one turn, and its score, of `study` below `root`."""
    model, label, task, mode = CELL
    record = {"session": "s0", "turn": 1, "subtask": task, "prediction": prediction, "golds": ["7"]}
    cell, scores = root / f"{study}.jsonl", root / f"{study}.parquet"
    cell.write_text(json.dumps(record) + "\n")
    row = {"study": study, "model": model, "method": label, "task": task, "mode": mode, "session": "s0", "turn": 1}
    pd.DataFrame([row | {"score_strict": score}]).to_parquet(scores)
    identity = {"study": study, "model": model, "label": label, "task": task, "first": 0, "stop": 1}
    return [Node(cell.name, "cells", {"identity": identity | {"fields": {"mode": mode}}}), Node(scores.name, "scores")]


def test_each_study_has_its_own_turns_and_mean(tmp_path: Path):
    nodes = [*nodes_of("mini", "7", 1.0, tmp_path), *nodes_of("mini-prompts-1", "8", 0.0, tmp_path)]
    project = SimpleNamespace(place=lambda path: tmp_path / path)
    report = SimpleNamespace(graph={node.path: node for node in nodes}, project=project, verdict=Verdict.OK)
    said = explain(report, "/".join(CELL))
    assert said.startswith("minilm/full/math_find/multi_turn: 2 cells, verdict of the lineage OK")
    first, second = (said.index(f"study {name}\n") for name in ("mini", "mini-prompts-1"))
    assert '1.000  said "7"  gold' in said and '0.000  said "8"  gold' in said
    assert "math_find: 100.00 percent (strict scoring), from 1 turns" in said[first:second]
    assert "math_find: 0.00 percent (strict scoring), from 1 turns" in said[second:]
