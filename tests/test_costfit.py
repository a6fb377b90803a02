"""The costs of a model are refit from what its finished run observed, and written without touching anything else."""

import json
from pathlib import Path

import pytest
import yaml

from scbench import places
from scbench.canonical import canonical_json, write_atomically
from scbench.costfit import fit, rewrite
from scbench.errors import UserError
from scbench.models import LOCK, Seconds
from scbench.study import read_study

STUDY = read_study(places.ROOT / "studies" / "smoke.yaml")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def lines(path: str, records: list[dict]) -> None:
    write_atomically(path, "".join(f"{canonical_json(record)}\n" for record in records))


def finished_run(load_seconds: float | None = 4.0) -> None:
    """Two sessions by full attention and SnapKV: 2 ms a token of a prompt, 30 ms a token of an answer."""
    for label in ("full", "snapkv"):
        turn = {"model": "minilm", "method": label, "task": "retr_kv", "mode": "multi_turn"}
        each = [turn | {"session": f"s{number}", "turn": 1} for number in range(2)]
        part = f"results/smoke/cells/minilm/{label}/retr_kv/multi_turn/0-2.jsonl"
        lines(part, [record | {"prompt_tokens": 250, "new_tokens": 9} for record in each])
        seen = {"host": "here", "started": "2026-01-01T00:00:00Z", "load_seconds": load_seconds}
        write_atomically(f"{part}.prov.json", json.dumps({"observation": seen}))
        # Prompts of other methods cost what their method does, and are left out.
        prompt = 0.5 if label == "full" else 9.0
        observed = [record | {"prompt_seconds": prompt, "decode_seconds": 0.3} for record in each]
        lines(f"{places.observations_directory('smoke')}/minilm-{label}.jsonl", observed)


def test_costs_are_what_was_observed():
    finished_run()
    assert fit(STUDY) == {"minilm": Seconds(load=4.0, prefill_1k=2.0, decode=0.03, basis="measured")}


def test_a_torn_line_is_left_out():
    finished_run()
    with open(f"{places.observations_directory('smoke')}/minilm-full.jsonl", "a") as file:
        file.write('{"model": "mini')
    assert fit(STUDY)["minilm"].decode == 0.03


def test_a_model_that_no_job_loaded_keeps_its_costs():
    finished_run(load_seconds=None)
    assert fit(STUDY) == {}


def test_without_a_run_there_is_nothing_to_fit():
    with pytest.raises(UserError, match="holds no observations; run smoke"):
        fit(STUDY)


def test_the_lock_changes_in_these_numbers_alone():
    before = LOCK.read_text()
    after = rewrite(before, {"llama_3_1_70b": Seconds(212.0, 0.71, 0.055, "measured")})
    changed = [pair for pair in zip(before.splitlines(), after.splitlines(), strict=True) if pair[0] != pair[1]]
    assert len(changed) == 1
    expected = yaml.safe_load(before)
    expected["llama_3_1_70b"]["seconds"] = {"load": 212, "prefill_1k": 0.71, "decode": 0.055, "basis": "measured"}
    assert yaml.safe_load(after) == expected
