"""The entries of the benchmark, `BENCHMARKS` of each module here: kernels know nothing of how they are timed."""

from kernels.benchmark import Benchmark
from kernels.benchmarks import decode, prefill

BENCHMARKS: tuple[Benchmark, ...] = (*prefill.BENCHMARKS, *decode.BENCHMARKS)
