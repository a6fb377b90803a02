"""What is timed of decoding is compared with float64 first, and reads what it says."""

import pytest
import torch

from kernels.benchmarks import decode

CPU = torch.device("cpu")


@pytest.mark.parametrize("entry", decode.BENCHMARKS, ids=lambda entry: entry.name)
def test_the_gate_compares_with_float64(entry, monkeypatch):
    monkeypatch.setattr(decode, "GATE_TOKENS", 333)
    gate = entry.gate(CPU)
    assert gate.difference <= gate.tolerance
    if "scores" not in entry.name:
        assert gate.difference > 0  # bfloat16 is not exact


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        # Shares of the dense KV: bits and 32 of scale and zero in groups of 32, of 16; and what is exact or scanned.
        ("2-bit decode", 3 / 16, 3 / 16 + 0.05),
        ("4-bit decode", 5 / 16, 5 / 16 + 0.05),
        ("8-bit decode", 9 / 16, 9 / 16 + 0.05),
        ("Quest decode with its choice", 1 / 16 + 1 / 4, 1 / 16 + 1 / 4 + 0.01),
        ("window scores", 1 / 2, 1 / 2 + 0.3),
    ],
)
def test_what_is_read_is_counted(name, low, high, monkeypatch):
    tokens = 4096 if "Quest" in name else 1024
    (entry,) = (each for each in decode.BENCHMARKS if each.name == name)
    problem = entry.build(tokens, CPU)
    dense = 2 * 2 * decode.KV_HEADS * decode.HEAD_DIM * tokens
    assert low <= problem.bytes / dense <= high
    problem.run()
