"""`python -m scripts.fetch_raw` fetches a source, a file of it, or lists what is known."""

from pathlib import Path

import pytest

from scbench.errors import UserError
from scbench.places import ROOT
from scbench.raw import checked_file
from scbench.raw.lock import Source
from scbench.schema import read_yaml
from scripts import fetch_raw
from tests.raw.conftest import UNKNOWN
from tests.raw.server import Server


def test_a_source_is_fetched_whole(of: Source, server: Server, capsys: pytest.CaptureFixture[str]):
    fetch_raw.main(["--source", "made", "--mirror", server.url])
    assert capsys.readouterr().out.split() == [str(of.path(name)) for name in of.files]
    assert checked_file("made", "unknown.json").read_bytes() == UNKNOWN


def test_the_mirror_stands_in_the_study(of: Source, server: Server, tmp_path: Path):
    study = read_yaml(ROOT / "config.yaml")
    study["data"]["mirror"] = server.url
    (tmp_path / "study.json").write_text(repr(study).replace("None", "null").replace("True", "true"))
    fetch_raw.main(["--config", "study.json", "--source", "made", "--file", "unknown.json"])
    assert of.path("unknown.json").is_file()
    assert [asked["path"] for asked in server.asked] == ["/made/unknown.json"]


def test_the_list_names_every_file_of_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    fetch_raw.main(["--list"])
    printed = capsys.readouterr().out
    assert all(file in printed for source in fetch_raw.read_sources().values() for file in source.files)
    assert list(tmp_path.iterdir()) == []


def test_a_source_must_be_named(of: Source):
    with pytest.raises(UserError, match=r"^--source: missing; name one of "):
        fetch_raw.main([])
