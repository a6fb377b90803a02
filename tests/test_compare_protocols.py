"""The measurement of both protocols: what it refuses, and that its report holds what was counted."""

import dataclasses
import json

import pytest

from scbench import places
from scbench.errors import UserError
from scbench.models import read_models
from scbench.study import Row, read_study
from scripts import compare_protocols


@pytest.fixture
def study():
    return dataclasses.replace(read_study(places.ROOT / "studies" / "smoke.yaml"), tasks=("retr_kv",))


def test_a_report_holds_both_protocols(study, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(compare_protocols, "read_study", lambda _: study)
    out = tmp_path / "protocols.json"
    compare_protocols.main(["--config", "smoke.yaml", "--methods", "full", "no_context", "--out", str(out)])
    report = json.loads(out.read_text())
    assert (report["sessions"], list(report["rows"])) == (1, ["full", "no_context"])
    turns = study.data.turns * len(study.modes)
    assert all((row["answers"], row["answers_alike"]) == (turns, turns) for row in report["rows"].values())
    ours, authors = report["ours"], report["authors"]
    assert ours["decode_tokens"] == authors["decode_steps"] > ours["decode_steps"] > 0
    assert authors["prefill_tokens"] > ours["prefill_tokens"] > 0
    for clock in ("wall", "cpu"):
        name = f"{clock}_seconds_per_session"
        assert report[f"ratio_{clock}"] == pytest.approx(authors[name] / ours[name], rel=0.01)
    assert "full" in capsys.readouterr().out


def test_rows_that_the_published_protocol_has_no_way_to_run_are_left_out(study):
    rows = (Row("full", "full", {}), Row("blend", "cacheblend", {}), Row("grown", "kivi", {"bits": 2, "grow": True}))
    able, left_out = compare_protocols._rows(dataclasses.replace(study, methods=rows), None)
    assert [row.label for row in able] == ["full", "no_context"]
    assert list(left_out) == ["blend", "grown"]
    with pytest.raises(UserError, match="nothing to compare; cacheblend: "):
        compare_protocols._rows(dataclasses.replace(study, methods=rows), ["blend"])


@pytest.mark.parametrize(
    ("changes", "labels", "count", "message"),
    [
        ({}, ["snapvk"], 1, "snapvk"),
        ({"history": "generated"}, None, 1, "history generated.*golden"),
        ({"query_aware": True}, None, 1, "query_aware True"),
    ],
)
def test_what_cannot_be_compared_is_refused(study, changes, labels, count, message):
    with pytest.raises(UserError, match=message):
        compare_protocols.compare(dataclasses.replace(study, **changes), count, labels)


@pytest.mark.parametrize("name", ["jamba", "qwen2_5_72b"])
def test_models_that_one_process_cannot_run_are_refused(study, name):
    with pytest.raises(UserError, match=f"engine transformers in one process, but its first model, {name}, has"):
        compare_protocols.compare(dataclasses.replace(study, models=(read_models()[name],)), 1)


def test_no_sessions_are_refused():
    with pytest.raises(UserError, match=r"--sessions 0"):
        compare_protocols.main(["--config", "config.yaml", "--sessions", "0", "--out", "x.json"])
