"""The table of latencies and the seconds of Figure pareto: what was measured of the study, and nothing else."""

import pandas as pd
import pytest
import yaml

from scbench.artifacts import ARTIFACTS, latency, measured, pareto
from scbench.artifacts.board import read_board
from scbench.artifacts.registered import read_registry
from scbench.artifacts.stamp import make_stamp
from scbench.errors import UserError
from scbench.study import load_study
from tests.artifacts.conftest import study_config
from tests.artifacts.tex_check import check_table, compile_table


def line(label, budget, turn, peak=2**31):
    def spread(median):
        return {"median": median, "low": median * 0.9, "high": median * 1.1}

    return {
        "label": label,
        "budget": budget,
        "first_token_seconds": spread(turn * 4),
        "next_token_seconds": spread(turn / 10),
        "seconds_per_token": spread(turn / 1000),
        "seconds_per_turn": spread(turn),
        "peak_bytes": peak,
        "kv_bytes": 3 * 2**20,
        "kv_bytes_dense": 6 * 2**20,
    }


LINES = [
    line("full", "", 2.0),
    line("snapkv", "1/8", 0.5),
    {"label": "kivi", "budget": "1/8, bits 2", "out_of_memory": {"wanted_bytes": 2**30, "peak_bytes": 2**32}},
    {"label": "a_shape", "budget": "1/8", "left_out": "for a reason"},
]
ABOUT = {"study": "fake", "model": "minilm", "weights": "random", "device": "NVIDIA H200", "date": "2026-01-02"}
ABOUT |= {"dtype": "bfloat16", "attention": "SDPA", "memory": "allocated on the GPU"}
ABOUT |= {"protocol": {"tokens": 131072, "turns": 5, "repetitions": 3}, "methods": LINES}


@pytest.fixture
def keep(tmp_path, monkeypatch):
    """keep(<name>=..., ...): a measurement with these changes, as the command writes it; none before the first call."""
    folder = tmp_path / "measurements"
    folder.mkdir()
    for module in ("", ".timed"):
        monkeypatch.setattr(f"scbench.artifacts{module}.MEASUREMENTS", folder)

    def write(name="fake-minilm-nvidia-h200", **changes):
        (folder / f"latency-{name}.yaml").write_text(yaml.safe_dump(ABOUT | changes))

    return write


@pytest.fixture
def table(tmp_path):
    """table(): the frame, and the table as LaTeX."""
    study = load_study(study_config(), "study.json")
    board = read_board(study)

    def make():
        frame = latency.frame(read_registry(study), board)
        tex, csv = latency.write(frame, board, make_stamp("latency", board, "a" * 64), tmp_path / "latency")
        check_table(tex.read_text())
        assert list(pd.read_csv(csv)["method"]) == list(frame["method"])
        return frame.set_index("method"), tex.read_text()

    return make


def test_without_a_measurement_it_names_the_command_and_shows_no_number(keep, table):
    keep(study="another")
    frame, tex = table()
    assert set(frame.index) == {"full", "a_shape", "tri_shape", "streaming_llm", "snapkv", "kivi"}
    assert frame["seconds_per_turn"].isna().all()
    assert "python -m scripts.measure{\\_}latency" in tex.replace("\\_", "{\\_}")
    assert "SnapKV" not in tex and tex.count(r" \\") == 1, "a sentence and no dashes"


def test_methods_stand_beside_full_attention_with_their_spread(keep, table):
    keep()
    frame, tex = table()
    assert frame.loc["snapkv", "ratio"] == 0.25
    assert r"SnapKV & 1/8 & 2.00 $\pm$ 0.20 & 0.0500 $\pm$ 0.0050 & 0.500 $\pm$ 0.050 & 0.500 $\pm$ 0.050 & 0.25" in tex
    assert "2.00 GiB & 3.00 MiB" in tex
    assert "random weights, bfloat16, NVIDIA H200, 131,072 tokens, 5 turns, 3 repetitions, 2026-01-02" in tex
    assert frame.loc["snapkv", ["seconds_per_turn_low", "seconds_per_turn_high"]].tolist() == [0.45, 0.55]


def test_what_is_not_there_is_said(keep, table):
    keep()
    frame, tex = table()
    assert "KIVI on NVIDIA H200: out of memory, 1.00 GiB more were wanted" in tex
    assert "A-shape on NVIDIA H200 was left out: for a reason" in tex
    assert "Not measured: Tri-shape, StreamingLLM" in tex
    assert frame["ratio"].notna().sum() == 2


def test_a_row_that_has_another_budget_now_is_not_measured(keep, table):
    keep(methods=[line("full", "", 2.0), line("snapkv", "1/4", 0.5)])
    frame, _ = table()
    assert pd.isna(frame.loc["snapkv", "seconds_per_turn"])


def test_two_devices_stand_apart(keep, table):
    keep()
    keep("fake-minilm-cpu", device="a CPU", methods=[line("full", "", 20.0)])
    frame, tex = table()
    assert list(frame.loc["full", "device"]) == ["a CPU", "NVIDIA H200"]
    assert tex.count("\\multicolumn") == 3  # and what was measured on neither


def test_it_compiles(keep, table, tmp_path):
    keep()
    assert "Overfull" not in compile_table(table()[1], tmp_path)


@pytest.mark.parametrize("changes", [{"protocol": 3}, {"methods": [{"label": "full"}]}])
def test_a_file_that_the_command_did_not_write_is_refused(changes, keep, table):
    keep(**changes)
    with pytest.raises(UserError, match=r"resources/measurements/latency-fake-.*python -m scripts\.measure_latency"):
        table()


def test_pareto_takes_its_seconds_from_it(keep, scores, board, tmp_path):
    def drawn():
        frame = pareto.frame(scores, board)
        pareto.write(frame, board, make_stamp("pareto", board, "0" * 64), tmp_path / "pareto")
        return frame[frame["profile"] == board.profile].set_index(["method", "mode"])["seconds"]

    assert drawn().isna().all()
    assert "not measured" in pareto._timing(pareto.frame(scores, board), board)[0]
    keep(
        "fake-minilm-cpu",
        device="a CPU",
        date="2025-01-02",
        methods=[line("full", "", 20.0), line("snapkv", "1/8", 40)],
    )
    keep()
    seconds = drawn()
    assert seconds["full", "multi_turn"] == 1 and seconds["snapkv", "multi_turn"] == 0.25
    assert seconds.xs("multi_request", level="mode").isna().all()
    assert pd.isna(seconds["kivi", "multi_turn"])


def test_what_was_measured_is_part_of_what_shows_it():
    for name in ("latency", "pareto"):
        assert ARTIFACTS[name].values == tuple(f"measurements/{file}" for file in measured("latency"))
