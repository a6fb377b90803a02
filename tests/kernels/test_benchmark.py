"""No figure before the kernel is right, none without a GPU, and what cannot run beside it is said."""

import math
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
import yaml

from kernels import benchmark
from kernels.benchmark import Benchmark, CannotMeasureError, Gate, Problem, Time, measure
from kernels.benchmarks import BENCHMARKS, prefill
from scbench.errors import UserError
from scripts import bench_kernels

CPU = torch.device("cpu")


def refused():
    raise RuntimeError("no such back end\nand more of it")


def entry(difference=0.0):
    problem = Problem(lambda: "ours", {"slow": lambda: "slow", "gone": "not installed", "odd": refused}, 4e9, 2e6)
    return Benchmark("a kernel", "kernels.a", lambda tokens, device: problem, lambda device: Gate(difference, 1e-2))


def clock(run):
    """Two milliseconds for ours, six for what is slow."""
    return Time(6.0, 5.0, 7.0) if run() == "slow" else Time(2.0, 1.9, 2.1)


def test_a_line_holds_the_time_what_it_achieves_and_the_others():
    line = measure(entry(), 4096, CPU, clock)
    assert line["milliseconds"] == {"median": 2.0, "low": 1.9, "high": 2.1}
    assert line["tflops"] == pytest.approx(2.0)
    assert line["gigabytes_per_second"] == pytest.approx(1.0)
    assert line["comparators"]["slow"]["speedup"] == 3.0
    assert line["comparators"]["gone"] == {"not_run": "not installed"}
    assert line["comparators"]["odd"] == {"not_run": "no such back end"}
    assert "roofline" not in line  # of a device that nobody wrote down
    assert yaml.safe_load(yaml.safe_dump(line)) == line


@pytest.mark.parametrize("difference", [0.1, math.nan])
def test_nothing_is_timed_before_it_is_right(difference):
    with pytest.raises(CannotMeasureError, match="a kernel: differs from float64"):
        measure(entry(difference), 4096, CPU, lambda run: pytest.fail("timed"))


def test_the_roofline_is_the_larger_of_arithmetic_and_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    peaks = benchmark.PEAKS["NVIDIA H200"]
    for flops, moved in ((peaks.flops * 1e-3, 1.0), (1.0, peaks.bandwidth * 1e-3)):
        some = entry()
        problem = replace(some.build(1, CPU), flops=flops, bytes=moved)
        line = measure(replace(some, build=lambda tokens, device, p=problem: p), 1, torch.device("cuda"), clock)
        assert line["roofline"] == pytest.approx(0.5)  # one millisecond of work in two


@pytest.mark.parametrize("entry", BENCHMARKS, ids=lambda entry: entry.name)
def test_every_entry_names_a_kernel(entry):
    assert find_spec(entry.kernel)


@pytest.mark.parametrize("entry", prefill.BENCHMARKS, ids=lambda entry: entry.name)
def test_the_gate_compares_with_float64(entry, monkeypatch):
    monkeypatch.setattr(prefill, "GATE_TOKENS", 333)
    gate = entry.gate(CPU)
    assert 0 < gate.difference <= gate.tolerance  # bfloat16 is not exact


@pytest.mark.parametrize("entry", prefill.BENCHMARKS, ids=lambda entry: entry.name)
def test_the_work_that_is_counted_and_compared_is_the_mask(entry):
    tokens, budget = 512, 256
    q, k, v = prefill.drawn(4, 2, tokens, tokens, 16, torch.float32)
    work = entry.build.args[0](q, k, v, budget)
    h, i, j = torch.arange(4)[:, None, None], torch.arange(tokens)[:, None], torch.arange(tokens)
    seen = work.mask(torch.tensor(0), h, i, j).expand(4, -1, -1)
    assert int(seen.sum()) == work.pairs
    assert torch.allclose(work.reference(), prefill.blocks.attention(q, k, v, seen, prefill.SCALING)[0])


def test_without_a_gpu_the_command_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="no GPU that PyTorch can use"):
        bench_kernels.main([])


@pytest.fixture
def command(tmp_path, monkeypatch):
    """command(entries, *arguments): the command with a clock of ours on those entries; name -> milliseconds on file."""
    out = tmp_path / "kernels.yaml"
    monkeypatch.setattr(benchmark, "device_at_hand", lambda: CPU)
    monkeypatch.setattr(benchmark, "clock_on_cuda", clock)

    def run(entries, *arguments, date="2026-01-02"):
        monkeypatch.setattr("kernels.benchmarks.BENCHMARKS", entries)
        monkeypatch.setattr(benchmark, "circumstances", lambda: {"device": "one", "date": date})
        bench_kernels.main(["--out", str(out), *arguments])
        return on_file()

    def on_file():
        return {line["name"]: line["milliseconds"]["median"] for line in yaml.safe_load(out.read_text())["kernels"]}

    run.on_file = on_file
    return run


def test_a_part_that_is_measured_again_leaves_the_rest(command, monkeypatch):
    entries = [replace(entry(), name=name, lengths=[4096]) for name in ("one", "two")]
    assert command(entries) == {"one": 2.0, "two": 2.0}
    monkeypatch.setattr(benchmark, "clock_on_cuda", lambda run: Time(5.0, 4.0, 6.0))
    assert command(entries, "--only", "two") == {"one": 2.0, "two": 5.0}
    with pytest.raises(UserError, match=r"kernels\.yaml: was measured on another day.*--out"):
        command(entries, "--only", "one", date="2026-01-03")
    assert command(entries, date="2026-01-03") == {"one": 5.0, "two": 5.0}


def test_a_kernel_that_is_wrong_or_a_run_that_stops_loses_no_other(command):
    right, wrong = (replace(entry(off), name=name, lengths=[1, 2]) for off, name in ((0.0, "right"), (0.1, "wrong")))
    with pytest.raises(UserError, match=r"^wrong: differs from float64"):
        command([wrong, right])
    assert set(command.on_file()) == {"right"}
    broken = replace(right, name="broken", build=lambda tokens, device: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        command([right, broken])
    assert set(command.on_file()) == {"right"}


@pytest.mark.parametrize(
    ("arguments", "message"), [(["--only", "zz"], "known: A-shape"), (["--tokens", "0"], "at least 1")]
)
def test_what_nobody_can_measure_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        bench_kernels.main(arguments)
