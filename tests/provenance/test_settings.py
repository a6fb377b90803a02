"""What counts as another study file."""

import json
import os
from pathlib import Path

import pytest

from scbench.provenance.settings import record_study, settings_digest

STUDY = 'study: mini\nmodels: [minilm]  # the bundled one\nnote: "a # in quotes"\n'


@pytest.fixture
def digest(tmp_path: Path):
    def of(text: str) -> str:
        (tmp_path / "study.yaml").write_text(text)
        return settings_digest(tmp_path / "study.yaml")

    return of


@pytest.mark.parametrize(
    "edited",
    [
        "# a heading\n\n" + STUDY,
        STUDY.replace("the bundled one", "bundled"),
        STUDY.replace("  # the bundled one", "   "),
        STUDY.replace("\n", "\r\n"),
    ],
)
def test_remarks_and_blank_lines_say_nothing(digest, edited: str):
    assert digest(edited) == digest(STUDY)


@pytest.mark.parametrize("change", [("mini", "maxi"), ("[minilm]", "[minilm_l]"), ("a # in", "a # out of")])
def test_values_do(digest, change: tuple[str, str]):
    assert digest(STUDY.replace(*change)) != digest(STUDY)


def test_a_study_that_says_the_same_keeps_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(STUDY)
    Path("study.json").write_text("{}")
    record_study("study.json", ["study.yaml"])
    before = Path("study.json.prov.json").read_bytes()
    assert list(json.loads(before)["identity"]["config"]) == ["study.yaml"]
    os.utime("study.yaml", (1, 1))
    record_study("study.json", ["study.yaml"])
    assert Path("study.json.prov.json").read_bytes() == before
    Path("study.yaml").write_text(STUDY.replace("mini", "maxi"))
    record_study("study.json", ["study.yaml"])
    assert Path("study.json.prov.json").read_bytes() != before
