"""Every kernel that is launched fits on Hopper: no stack frame, no spilled register, and no more shared memory than
there is (`compile_for_sm90` asserts it), at the head dims and 16-bit dtypes that models have."""

import importlib
import pkgutil
import re
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import torch

import kernels
from kernels.block_sparse_prefill import band, chosen_blocks
from kernels.quantized_decode import pack_reference
from kernels.reference import drawn
from tests.kernels.compiling import documented, recorded

BF16, F16 = torch.bfloat16, torch.float16
TOKENS, SCALING = 257, 0.1
MODULES = {
    name.removesuffix("_triton"): importlib.import_module(f"kernels.{name}")
    for _, name, _ in pkgutil.iter_modules(kernels.__path__)
    if name.endswith("_triton")
}
SHAPES = [(128, BF16), (64, F16)]
"""Each head_dim and each dtype once; the other pairs, tried by hand, fit too, and the fullest of them is tested."""

WITH_TENSOR_CORES = {
    *("block_sparse_prefill.attend", "vertical_slash_prefill.attend"),
    *("line_scores.normalisers", "line_scores.line_sums", "window_scores.normalisers"),
}
"""Whose tiles are tall enough for the instructions of Hopper's tensor cores (wgmma)."""


def block_sparse_prefill(triton, q, k, v):
    triton.launch(q, k, v, band(0, TOKENS, 16, 40, 200, q.device), SCALING, torch.arange(q.shape[1]))


def small_blocks(triton, q, k, v):
    count = -(-TOKENS // 16)
    lists = chosen_blocks(torch.ones(q.shape[1], count, count, dtype=torch.bool), 16, TOKENS)
    triton.launch(q, k, v, lists, SCALING, torch.arange(q.shape[1]))


def vertical_slash_prefill(triton, q, k, v):
    lines = torch.ones(q.shape[1], TOKENS, dtype=torch.bool)
    triton.launch(q, k, v, lines, lines, SCALING, torch.arange(q.shape[1]))


def line_scores(triton, q, k, v):
    triton.launch(q[:, :, -64:], k, SCALING, torch.arange(q.shape[1]))


def dense_decode(triton, q, k, v):
    triton.launch(q[:, :, -1:], k, v, SCALING, None)


def dense_decode_of_many_rows(triton, q, k, v):
    triton.launch(q[:, :, -40:], k, v, SCALING, torch.ones(40, 50, dtype=torch.bool))


def quantized_decode(bits, triton, q, k, v):
    packed = pack_reference(k[:, :, :256], v[:, :, :256], bits, 32, 32)
    triton.launch(q[:, :, -1:], packed, k[:, :, 256:], v[:, :, 256:], SCALING)


def packing(triton, q, k, v):
    triton.launch_pack(k[:, :, :256], v[:, :, :256], 2, 32, 32)


def pages(triton, q, k, v):
    triton.launch_scores(q[:, :, -1:], *triton.launch_extremes(k, 16))


def paged_decode(triton, q, k, v):
    triton.launch(q[:, :, -1:], k, v, torch.zeros(2, 1, 8, dtype=torch.int64), SCALING, None, 16, TOKENS)


def gather_decode(triton, q, k, v):
    index = torch.zeros(2, 1, 100, dtype=torch.int64)
    triton.launch(q[:, :, -1:], k, v, index, SCALING, torch.zeros(index.shape))


def window_scores(triton, q, k, v):
    triton.launch(q[:, :, -32:], k, SCALING)


LAUNCHES = {
    # what is launched: by which module, how, and the kernels that this compiles with their rows in docs/kernels.md
    "block_sparse_prefill": (
        "block_sparse_prefill",
        block_sparse_prefill,
        {"block_sparse_prefill.attend": "`block_sparse_prefill`"},
    ),
    "small blocks": ("block_sparse_prefill", small_blocks, {"block_sparse_prefill.attend": None}),
    "vertical_slash_prefill": (
        "vertical_slash_prefill",
        vertical_slash_prefill,
        {"vertical_slash_prefill.attend": "`vertical_slash_prefill`"},
    ),
    "line_scores": (
        "line_scores",
        line_scores,
        {
            "line_scores.normalisers": "`line_scores`: normalisers",
            "line_scores.line_sums": "`line_scores`: line sums",
        },
    ),
    "dense_decode": (
        "dense_decode",
        dense_decode,
        {"dense_decode.attend": "`dense_decode`", "split.combine": "merging of split keys"},
    ),
    "dense_decode of many rows": ("dense_decode", dense_decode_of_many_rows, {"dense_decode.attend": None}),
    **{
        f"quantized_decode, {bits} bits": (
            "quantized_decode",
            partial(quantized_decode, bits),
            {"quantized_decode.attend": f"`quantized_decode`: attention, {bits} bits"},
        )
        for bits in (2, 4, 8)
    },
    "packing": (
        "quantized_decode",
        packing,
        {
            "quantized_decode.pack_keys": "`quantized_decode`: packing of keys",
            "quantized_decode.pack_values": "`quantized_decode`: packing of values",
        },
    ),
    "pages": (
        "paged_decode",
        pages,
        {
            "paged_decode.extremes": "`paged_decode`: extremes of pages",
            "paged_decode.scores": "`paged_decode`: scores of pages",
        },
    ),
    "paged_decode": (
        "gather_decode",
        paged_decode,
        {"gather_decode.attend": "`paged_decode`: attention to chosen pages"},
    ),
    "gather_decode": ("gather_decode", gather_decode, {"gather_decode.attend": "`gather_decode`"}),
    "window_scores": (
        "window_scores",
        window_scores,
        {
            "window_scores.normalisers": "`window_scores`: normalisers",
            "window_scores.column_sums": "`window_scores`: column sums",
        },
    ),
}


def launched(name, dim, dtype):
    """What a launch would run: `<module>.<kernel>` -> how."""
    module, launch, _ = LAUNCHES[name]
    with ExitStack() as stack:
        found = {place: stack.enter_context(recorded(loaded)) for place, loaded in MODULES.items()}
        launch(MODULES[module], *drawn(8, 2, TOKENS, TOKENS, dim, dtype))
    return {f"{place}.{kernel}": how for place, kernels_of in found.items() for kernel, how in kernels_of.items()}


CASES = [(name, dim, dtype) for dim, dtype in SHAPES for name in LAUNCHES]


@pytest.mark.parametrize(("name", "dim", "dtype"), [*CASES, ("quantized_decode, 2 bits", 128, F16)])
def test_it_fits_as_documented(name, dim, dtype):
    launches = launched(name, dim, dtype)
    for kernel, row in LAUNCHES[name][2].items():
        compiled = launches[kernel].compile()
        if kernel in WITH_TENSOR_CORES and name != "small blocks":
            assert "wgmma.mma_async" in compiled.ptx
        if row and (dim, dtype) == SHAPES[0]:
            assert (compiled.registers, compiled.shared_bytes) == documented(row), kernel


def test_every_kernel_that_is_launched_is_compiled():
    """A launch is written `kernel[grid](...)`."""
    launch = re.compile(r"^ +(\w+)\[\(", re.MULTILINE)
    there = {f"{name}.{kernel}" for name, module in MODULES.items() for kernel in launch.findall(source_of(module))}
    assert len(there) > 12
    assert there == {kernel for _, _, kernels_of in LAUNCHES.values() for kernel in kernels_of}


def source_of(module):
    return Path(module.__file__).read_text(encoding="utf-8")
