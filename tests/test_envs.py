"""The environments are what the locks say: every pin, and nothing else."""

from pathlib import Path

import pytest
import yaml

from scbench.errors import UserError
from scbench.places import ROOT
from scripts import make_envs

PINS = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and not line.startswith("#")]


def test_the_files_are_those_that_the_locks_make():
    make_envs.main(["--check"])
    made = {path.relative_to(ROOT).as_posix() for path, _ in make_envs.environments(ROOT)}
    assert made == {path.relative_to(ROOT).as_posix() for path in (ROOT / "envs").iterdir() if path.suffix != ".sif"}


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_a_conda_environment_holds_every_pin(name: str):
    packages = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())["dependencies"]
    assert packages[:2] == [f"python={make_envs.PYTHON}", "pip"]
    assert [pin for pin in packages[2]["pip"] if not pin.startswith("--")] == PINS


def test_the_container_installs_every_pin():
    text = (ROOT / "envs" / "scbench.def").read_text()
    assert text.split("<<'END'\n")[1].split("\nEND\n")[0].splitlines() == PINS
    assert "--nv" in text


def test_a_lock_that_changed_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(make_envs, "ROOT", tmp_path)
    (tmp_path / "requirements.lock").write_text("# a remark\nnumpy==2.4.6\n")
    make_envs.main([])
    make_envs.main(["--check"])
    (tmp_path / "requirements.lock").write_text("numpy==2.4.7\n")
    with pytest.raises(UserError, match=r"envs/cpu\.yaml: is not what its lock says; run"):
        make_envs.main(["--check"])
