"""What the kernels cost: each beside what people use for the same work, on the GPU at hand.

A time is the median of repetitions, each with a cold L2 cache, by CUDA events. No figure of a kernel is taken before
the kernel was right on this device.
"""

import importlib.util
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from statistics import quantiles
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from kernels import flash

QUERY_HEADS, KV_HEADS, HEAD_DIM = 32, 8, 128
"""The attention of Llama-3.1-8B."""

LENGTHS = (4096, 8192, 16384, 32768, 65536, 131072)

REPETITIONS, WARM_UPS = 20, 3

FLUSHED_BYTES = 2**28
"""Written before each repetition: several times the L2 cache (50 MB on H100 and H200)."""

LIBRARIES = ("torch", "triton", "flash-attn", "flash-attn-4", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13")

Run = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Peaks:
    """What a chip can do: dense bf16 FLOP/s on its tensor cores, bytes/s from its memory (NVIDIA's data sheets)."""

    flops: float
    bandwidth: float


PEAKS: Mapping[str, Peaks] = {
    "NVIDIA H100 80GB HBM3": Peaks(989e12, 3.35e12),
    "NVIDIA H200": Peaks(989e12, 4.8e12),
}
"""By the name that the driver gives; a device that is not here gets no fraction of its roofline."""


class CannotMeasureError(Exception):
    """Nothing can be measured here, or what was to be measured is wrong; the message says which."""


@dataclass(frozen=True, slots=True)
class Gate:
    """How far a kernel is from its float64 reference on this device, and how far it may be."""

    difference: float
    tolerance: float


@dataclass(frozen=True, slots=True)
class Problem:
    """One kernel's work at one size, on the device: what runs, what else does the work, and the least it takes.

    comparators: name -> the same attention, or the dense attention that it stands in for ("dense ..."), or a string
    that says why it cannot run. flops: of the products that cannot be avoided; bytes: read and written once.
    """

    run: Run
    comparators: Mapping[str, Run | str]
    flops: float
    bytes: float


@dataclass(frozen=True, slots=True)
class Benchmark:
    """An entry: `build` makes the problem of so many tokens on a device, `gate` compares a small one with float64."""

    name: str
    kernel: str
    build: Callable[[int, torch.device], Problem]
    gate: Callable[[torch.device], Gate]
    lengths: Sequence[int] = LENGTHS


@dataclass(frozen=True, slots=True)
class Time:
    """Milliseconds: the median of the repetitions and their quartiles."""

    median: float
    low: float
    high: float


def measure(benchmark: Benchmark, tokens: int, device: torch.device, clock: Callable[[Run], Time]) -> dict[str, Any]:
    """One line of the results; `clock` times a run. Raises CannotMeasureError where the kernel is not right here."""
    gate = benchmark.gate(device)
    if not gate.difference <= gate.tolerance:  # a NaN fails too
        raise CannotMeasureError(
            f"{benchmark.name}: differs from float64 by {gate.difference:.2e}, above {gate.tolerance:.0e}; it is "
            "timed once it is right"
        )
    problem = benchmark.build(tokens, device)
    time = clock(problem.run)
    seconds = time.median / 1000
    line = {
        "name": benchmark.name,
        "kernel": benchmark.kernel,
        "tokens": tokens,
        "gate": asdict(gate),
        "milliseconds": asdict(time),
        "tflops": problem.flops / seconds / 1e12,
        "gigabytes_per_second": problem.bytes / seconds / 1e9,
        "comparators": {name: _compared(run, time, clock) for name, run in problem.comparators.items()},
    }
    if device.type == "cuda" and (peaks := PEAKS.get(torch.cuda.get_device_name(device))):
        line["roofline"] = max(problem.flops / peaks.flops, problem.bytes / peaks.bandwidth) / seconds
    return line


def _compared(run: Run | str, ours: Time, clock: Callable[[Run], Time]) -> dict[str, Any]:
    if isinstance(run, str):
        return {"not_run": run}
    try:
        time = clock(run)
    except Exception as error:  # others' code, which fails in its own ways where it does not take these inputs
        return {"not_run": (str(error).strip() or type(error).__name__).splitlines()[0]}
    return {"milliseconds": asdict(time), "speedup": time.median / ours.median}


def clock_on_cuda(run: Run) -> Time:
    """Time `run` on the current GPU, with a cold L2 cache each time."""
    flushed = torch.empty(FLUSHED_BYTES, dtype=torch.int8, device="cuda")
    for _ in range(WARM_UPS):
        run()
    times = []
    for _ in range(REPETITIONS):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        flushed.zero_()
        start.record()
        run()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop))
    low, median, high = quantiles(times, n=4)
    return Time(median, low, high)


def device_at_hand() -> torch.device:
    """The GPU. Raises CannotMeasureError where there is none, or no Triton for it."""
    if not torch.cuda.is_available():
        raise CannotMeasureError("no GPU that PyTorch can use: kernels are timed on CUDA devices alone")
    if importlib.util.find_spec("triton") is None:
        raise CannotMeasureError("Triton is not installed beside PyTorch: there is no kernel to time")
    return torch.device("cuda")


def circumstances() -> dict[str, Any]:
    """What a reader must know besides the figures: device, date, versions."""
    versions: dict[str, str] = {"python": platform.python_version(), "cuda": torch.version.cuda or "none"}
    for name in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "device": torch.cuda.get_device_name(),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": versions,
        "repetitions": REPETITIONS,
        "shape": {"query_heads": QUERY_HEADS, "kv_heads": KV_HEADS, "head_dim": HEAD_DIM, "dtype": "bfloat16"},
    }


def dense_prefill(q: Tensor, k: Tensor, v: Tensor, scaling: float) -> dict[str, Run | str]:
    """The dense causal attention that people use for a whole prompt, [1, heads, n, head_dim] each."""

    def sdpa(backend: SDPBackend) -> Tensor:
        with sdpa_kernel(backend):
            return scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=True)

    runs: dict[str, Run | str] = {
        "dense SDPA flash": partial(sdpa, SDPBackend.FLASH_ATTENTION),
        "dense SDPA cuDNN": partial(sdpa, SDPBackend.CUDNN_ATTENTION),
    }
    by_token = [x.transpose(1, 2) for x in (q, k, v)]
    for package, _, attend in flash.usable(q.device):
        runs[f"dense {package.distribution}"] = partial(attend, *by_token, softmax_scale=scaling, causal=True)
    return runs if len(runs) > 2 else runs | {"dense flash-attn": "flash-attn is not installed"}
