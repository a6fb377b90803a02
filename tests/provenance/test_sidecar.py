import hashlib
import json
import os
from pathlib import Path

import pytest

from scbench import codedigest
from scbench.errors import UserError
from scbench.places import ROOT
from scbench.provenance import lineage, record, short, short_digest, sidecar_path
from tests.provenance.stable import stable_bytes

IDENTITY = {"study": "mini", "seed": 7, "methods": {"snapkv": {"budget": 0.125}}}


@pytest.fixture
def run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/a.parquet").write_bytes(b"alpha")
    Path("in/b.parquet").write_bytes(b"beta")
    Path("out.tex").write_bytes(b"a table")
    return tmp_path


def sidecar(output: str = "out.tex") -> dict:
    return json.loads(sidecar_path(output).read_text())


def test_output_and_inputs_are_recorded_by_path_size_and_sha256(run_directory: Path):
    record(["out.tex"], ["in/b.parquet", "in/a.parquet"], IDENTITY)
    assert sidecar()["output"] == {
        "path": "out.tex",
        "bytes": 7,
        "sha256": hashlib.sha256(b"a table").hexdigest(),
    }
    assert sidecar()["inputs"] == [
        {"path": "in/a.parquet", "bytes": 5, "sha256": hashlib.sha256(b"alpha").hexdigest()},
        {"path": "in/b.parquet", "bytes": 4, "sha256": hashlib.sha256(b"beta").hexdigest()},
    ]
    assert sidecar()["identity"] == IDENTITY


def test_absolute_paths_are_recorded_relative_to_the_working_directory(run_directory: Path):
    record([run_directory / "out.tex"], [run_directory / "in" / "a.parquet"], IDENTITY)
    assert sidecar()["output"]["path"] == "out.tex"
    assert sidecar()["inputs"][0]["path"] == "in/a.parquet"


def test_lineage_is_the_hash_of_identity_and_sorted_input_digests(run_directory: Path):
    record(["out.tex"], ["in/a.parquet", "in/b.parquet"], IDENTITY)
    parents = sorted(hashlib.sha256(data).hexdigest() for data in (b"alpha", b"beta"))
    text = json.dumps({"identity": IDENTITY, "parents": parents}, sort_keys=True, separators=(",", ":"))
    assert sidecar()["lineage"] == hashlib.sha256(text.encode()).hexdigest()


def test_lineage_is_known_before_the_output_exists(run_directory: Path):
    before = lineage(IDENTITY, ["in/b.parquet", "in/a.parquet"])
    record(["out.tex"], ["in/a.parquet", "in/b.parquet"], IDENTITY)
    assert sidecar()["lineage"] == before


@pytest.mark.parametrize("change", ["input", "identity", "fewer inputs"])
def test_lineage_changes_with(run_directory: Path, change: str):
    before = lineage(IDENTITY, ["in/a.parquet", "in/b.parquet"])
    identity, inputs = dict(IDENTITY), ["in/a.parquet", "in/b.parquet"]
    if change == "input":
        Path("in/a.parquet").write_bytes(b"alphA")
    elif change == "identity":
        identity["seed"] = 8
    else:
        inputs.pop()
    assert lineage(identity, inputs) != before


def test_lineage_does_not_depend_on_where_or_when_the_inputs_lie(run_directory: Path):
    before = lineage(IDENTITY, ["in/a.parquet"])
    Path("elsewhere").mkdir()
    os.rename("in/a.parquet", "elsewhere/renamed.parquet")
    os.utime("elsewhere/renamed.parquet", (0, 0))
    assert lineage(IDENTITY, ["elsewhere/renamed.parquet"]) == before


def test_a_rerun_leaves_the_same_bytes_but_for_what_was_observed(run_directory: Path):
    record(["out.tex"], ["in/a.parquet", "in/b.parquet"], IDENTITY, libraries=["numpy"])
    before = stable_bytes(sidecar_path("out.tex"))
    os.utime("out.tex", (0, 0))
    record(["out.tex"], ["in/b.parquet", "in/a.parquet"], dict(reversed(IDENTITY.items())), libraries=["numpy"])
    assert stable_bytes(sidecar_path("out.tex")) == before


def test_an_observation_is_kept_apart_and_the_seal_is_over_it_too(run_directory: Path):
    record(["out.tex"], ["in/a.parquet"], IDENTITY)
    before = sidecar()
    record(["out.tex"], ["in/a.parquet"], IDENTITY, {"host": "node7", "turns": 3})
    after = sidecar()
    assert (after["observation"]["host"], after["observation"]["turns"]) == ("node7", 3)
    assert {"command", "started", "finished", "peak_bytes", "hardware", "commit", "lock"} <= set(before["observation"])
    assert before.pop("observation") != after.pop("observation")
    assert before.pop("seal") != after.pop("seal")
    assert after == before


def test_the_whole_lock_and_the_whole_environment_are_on_record(run_directory: Path):
    record(["out.tex"], ["in/a.parquet"], IDENTITY)
    seen = sidecar()["observation"]
    assert seen["lock"] == hashlib.sha256((ROOT / "requirements.lock").read_bytes()).hexdigest()
    environment = json.loads(Path(f"results/provenance/environments/{seen['environment']}.json").read_text())
    assert any(name.startswith("torch-") for name in environment["distributions"])


def test_the_lineage_of_an_input_enters_that_of_its_output(run_directory: Path):
    def recorded(seed: int) -> str:
        record(["in/a.parquet"], [], {"seed": seed})
        record(["out.tex"], ["in/a.parquet"], IDENTITY)
        assert sidecar()["inputs"][0]["lineage"] == json.loads(sidecar_path("in/a.parquet").read_text())["lineage"]
        return sidecar()["lineage"]

    # Of the same bytes, and yet from something else.
    assert recorded(1) == recorded(1) != recorded(2)


def test_an_input_whose_sidecar_cannot_be_read_counts_by_its_bytes(run_directory: Path):
    before = lineage(IDENTITY, ["in/a.parquet"])
    sidecar_path("in/a.parquet").write_text("{}")
    assert lineage(IDENTITY, ["in/a.parquet"]) == before


def test_the_code_behind_a_digest_is_on_record(run_directory: Path):
    code = codedigest.digest(["scbench.canonical"])
    record(["out.tex"], [], {"code": {"core": code}})
    kept = sidecar()["observation"]["code"][code]
    manifest = json.loads(Path(f"results/provenance/code/{kept}.json").read_text())
    assert list(manifest["modules"]) == ["scbench.canonical"]


def test_every_output_gets_its_own_sidecar_with_one_lineage(run_directory: Path):
    Path("out.csv").write_bytes(b"1,2")
    written = record(["out.tex", "out.csv"], ["in/a.parquet"], IDENTITY)
    assert sorted(path.name for path in written) == ["out.csv.prov.json", "out.tex.prov.json"]
    assert sidecar("out.csv")["output"]["sha256"] == hashlib.sha256(b"1,2").hexdigest()
    assert sidecar("out.csv")["lineage"] == sidecar("out.tex")["lineage"]


def test_versions_name_python_and_the_libraries_asked_for(run_directory: Path):
    record(["out.tex"], [], IDENTITY, libraries=["numpy", "no-such-distribution"])
    versions = sidecar()["versions"]
    assert set(versions) == {"python", "numpy", "no-such-distribution"}
    assert versions["python"] and versions["numpy"]
    assert versions["no-such-distribution"] is None


@pytest.mark.parametrize("missing", ["out", "in"])
def test_a_missing_file_is_named_and_nothing_is_written(run_directory: Path, missing: str):
    outputs = ["out.tex", "gone.tex"] if missing == "out" else ["out.tex"]
    inputs = ["in/a.parquet", "in/gone.parquet"] if missing == "in" else ["in/a.parquet"]
    with pytest.raises(UserError, match=r"gone\.(tex|parquet)"):
        record(outputs, inputs, IDENTITY)
    assert not list(run_directory.glob("**/*.prov.json"))


def test_no_outputs_is_an_error(run_directory: Path):
    with pytest.raises(ValueError, match="no outputs"):
        record([], ["in/a.parquet"], IDENTITY)


def test_an_output_cannot_be_its_own_input(run_directory: Path):
    with pytest.raises(ValueError, match="both an output and an input"):
        record(["out.tex"], [run_directory / "out.tex"], IDENTITY)


def test_short_digest_is_a_prefix_of_the_files_sha256(run_directory: Path):
    full = hashlib.sha256(b"alpha").hexdigest()
    assert short_digest("in/a.parquet") == short(full) == full[:12]
