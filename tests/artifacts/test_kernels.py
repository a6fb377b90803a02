"""The figure of the kernels: what was measured and nothing else, and how to measure where nothing was."""

import pandas as pd
import pytest
import yaml

from scbench import artifacts
from scbench.artifacts import ARTIFACTS, kernels
from scbench.artifacts.board import read_board
from scbench.artifacts.registered import read_registry
from scbench.errors import UserError
from scbench.study import load_study
from tests.artifacts.conftest import study_config
from tests.artifacts.test_sweep import written


def line(name, tokens, median, others, roofline=0.5):
    comparators = {other: {"milliseconds": {"median": time}, "speedup": time / median} for other, time in others}
    comparators["dense flash-attn"] = {"not_run": "flash-attn is not installed"}
    time = {"median": median, "low": median - 0.1, "high": median + 0.1}
    return {"name": name, "tokens": tokens, "milliseconds": time, "comparators": comparators, "roofline": roofline}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "measurements"
    monkeypatch.setattr(artifacts, "MEASUREMENTS", folder)
    monkeypatch.setattr(kernels, "MEASUREMENTS", folder)
    return folder


@pytest.fixture
def registry_and_board():
    study = load_study(study_config(), "study.json")
    return read_registry(study), read_board(study)


def test_without_a_measurement_it_names_the_command_and_draws_no_bar(folder, registry_and_board, tmp_path):
    frame = kernels.frame(*registry_and_board)
    assert not len(frame)
    paths = written(kernels, frame, registry_and_board[1], tmp_path)
    assert paths[2].read_text().count("\n") == 1
    assert "python -m scripts.bench_kernels" in kernels.NOTHING
    assert b"/Subtype /Image" not in paths[0].read_bytes()


def test_a_kernel_stands_beside_the_fastest_dense_attention_that_ran(folder, registry_and_board, tmp_path):
    folder.mkdir()
    lines = [
        line(
            "2-bit decode", 4096, 2.0, [("dense SDPA flash", 7.0), ("dense SDPA cuDNN", 5.0), ("same mask Flex", 1.0)]
        ),
        line("2-bit decode", 131072, 4.0, [("dense SDPA flash", 12.0)]),
        line("window scores", 4096, 3.0, [("reading K once", 1.0)]),
    ]
    about = {"device": "NVIDIA H200", "date": "2026-01-02"}
    (folder / "kernels-nvidia-h200.yaml").write_text(yaml.safe_dump(about | {"kernels": lines}))
    frame = kernels.frame(*registry_and_board)
    assert list(frame["best_dense"].fillna("")) == ["dense SDPA cuDNN", "dense SDPA flash", ""]
    assert list(frame["speedup"].fillna(0)) == [2.5, 3.0, 0]
    paths = written(kernels, frame, registry_and_board[1], tmp_path)
    shown = pd.read_csv(paths[2])
    assert list(shown["milliseconds"]) == [2.0, 4.0, 3.0]
    assert set(shown["device"]) == {"NVIDIA H200"}


@pytest.mark.parametrize("text", ["device: x\n", "[1, 2]\n", "a: [\n", "device: x\ndate: y\nkernels: [{name: z}]\n"])
def test_a_file_that_the_benchmark_did_not_write_is_refused(text, folder, registry_and_board):
    folder.mkdir()
    (folder / "kernels-x.yaml").write_text(text)
    with pytest.raises(UserError, match=r"resources/measurements/kernels-x\.yaml: .*python -m scripts\.bench_kernels"):
        kernels.frame(*registry_and_board)


def test_what_was_measured_is_part_of_its_identity():
    assert ARTIFACTS["kernels"].values == tuple(f"measurements/{name}" for name in artifacts.measured())
