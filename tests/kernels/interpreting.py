"""Kernels run by Triton's interpreter, on the CPU.

Triton decides at its import whether it interprets or compiles. So the interpreter lives in a process of its own, and
this one can compile.
"""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch


class Interpreter:
    """A process in which `@triton.jit` interprets; started by the first call."""

    def __init__(self) -> None:
        self._process: ProcessPoolExecutor | None = None

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """function(*args, **kwargs) there; what is passed and returned is pickled, what is raised is raised here.

        What `torch.empty` makes there is filled with NaN (integers: their largest value), so that an output that no
        program wrote shows.
        """
        if self._process is None:
            self._process = ProcessPoolExecutor(1, get_context("spawn"), initializer=_start)
        return self._process.submit(_run, function, args, kwargs).result()

    def close(self) -> None:
        if self._process is not None:
            self._process.shutdown()


def _start() -> None:
    os.environ["TRITON_INTERPRET"] = "1"
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True


def _run(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return function(*args, **kwargs)
