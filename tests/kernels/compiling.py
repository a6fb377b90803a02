"""Kernels compiled for Hopper without a GPU, and what the binary takes of the chip."""

import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import triton
from pytest import MonkeyPatch
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

SHARED_LIMIT = 227 * 1024
"""Bytes of shared memory a block may have on H100 and H200 (CUDA C++ Programming Guide, compute capability 9.0)."""

POINTEES = {
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
    torch.float32: "fp32",
    torch.bool: "i1",
    torch.uint8: "u8",
    torch.int32: "i32",
    torch.int64: "i64",
}
DOCUMENT = Path(__file__).parents[2] / "docs" / "kernels.md"
PTXAS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"
USAGE = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")


@dataclass(frozen=True, slots=True)
class Compiled:
    """What one program of a kernel takes: registers a thread, and bytes; ptx is the code that was assembled."""

    shared_bytes: int
    registers: int
    stack_bytes: int
    spill_bytes: int
    ptx: str


@dataclass(frozen=True, slots=True)
class Launch:
    """A kernel with the types, constants and options of a launch: what `compile_for_sm90` takes."""

    kernel: triton.JITFunction
    signature: dict[str, str]
    constants: dict[str, Any]
    num_warps: int = 4
    num_stages: int = 3

    def compile(self) -> Compiled:
        """Compile it for sm_90a, and assert that it fits."""
        return compile_for_sm90(
            self.kernel, self.signature, self.constants, num_warps=self.num_warps, num_stages=self.num_stages
        )


@contextmanager
def recorded(module: ModuleType) -> Iterator[dict[str, Launch]]:
    """Within it, the kernels of `module` are not launched; what they would be launched with is found by their names."""
    launches: dict[str, Launch] = {}
    with MonkeyPatch.context() as patch:
        for name, kernel in vars(module).copy().items():
            if isinstance(kernel, triton.JITFunction):
                patch.setattr(module, name, _Recorder(kernel, launches))
        yield launches


@dataclass(frozen=True, slots=True)
class _Recorder:
    kernel: triton.JITFunction
    launches: dict[str, Launch]

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        return self._record

    def _record(self, *args: Any, **others: Any) -> None:
        options = {name: others.pop(name) for name in ("num_warps", "num_stages") if name in others}
        signature = {name: _type(value) for name, value in zip(self.kernel.arg_names, args, strict=False)}
        self.launches[self.kernel.fn.__name__] = Launch(self.kernel, signature, others, **options)


def _type(value: Any) -> str:
    """The type that Triton gives a run-time argument."""
    if isinstance(value, torch.Tensor):
        return f"*{POINTEES[value.dtype]}"
    return "fp32" if isinstance(value, float) else "i32" if abs(value) < 2**31 else "i64"


def documented(kernel: str) -> tuple[int, int]:
    """Registers and bytes of shared memory that docs/kernels.md gives in the row of `kernel`."""
    row = re.search(rf"^\| {re.escape(kernel)} \|.* (\d+), (\d+) bytes \|", DOCUMENT.read_text(), re.MULTILINE)
    return int(row[1]), int(row[2])


def compile_for_sm90(
    kernel: triton.JITFunction,
    signature: Mapping[str, str],
    constants: Mapping[str, Any],
    *,
    num_warps: int = 4,
    num_stages: int = 2,
) -> Compiled:
    """Compile `kernel` for sm_90a and assert that it fits: shared memory within the limit, no stack frame, no spills.

    signature: the type of each argument that is no constant, "*bf16", "i32", "fp32"; constants: the others. Pointers
    and strides (s_...) are taken to be multiples of 16, as those of a launch are, and specialised for that, strides
    that the kernel does not specialise excepted.
    """
    varying = {param.name for param in kernel.params if param.do_not_specialize}
    types = {name: signature.get(name, "constexpr") for name in kernel.arg_names}
    missing = [name for name, kind in types.items() if kind == "constexpr" and name not in constants]
    assert not missing, f"no type and no value for {missing}"
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, (name, kind) in enumerate(types.items())
        if kind.startswith("*") or (name.startswith("s_") and kind != "constexpr" and name not in varying)
    }
    source = ASTSource(fn=kernel, signature=types, constexprs=dict(constants), attrs=aligned)
    options = {"num_warps": num_warps, "num_stages": num_stages}
    binary = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    compiled = Compiled(binary.metadata.shared, *_assembled(binary.asm["ptx"]), binary.asm["ptx"])
    assert compiled.shared_bytes <= SHARED_LIMIT, f"{compiled.shared_bytes} bytes of shared memory"
    assert compiled.stack_bytes == 0, f"a stack frame of {compiled.stack_bytes} bytes"
    assert compiled.spill_bytes == 0, f"{compiled.spill_bytes} bytes of spilled registers"
    return compiled


def _assembled(ptx: str) -> tuple[int, int, int]:
    """Registers a thread, bytes of the stack frame and bytes spilled, as Triton's assembler counts them."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernel.ptx")
        source.write_text(ptx)
        command = [PTXAS, "-v", "--gpu-name=sm_90a", source, "-o", Path(folder, "kernel.cubin")]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    stack, stored, loaded = map(int, USAGE.search(report).groups())
    return int(re.search(r"Used (\d+) registers", report)[1]), stack, stored + loaded
