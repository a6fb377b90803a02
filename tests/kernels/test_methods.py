"""The methods that encode sparsely run their kernels where there is a GPU, and get what they get without one."""

import pytest
import torch

from kernels import dispatch
from kernels.reference import drawn
from scbench import cellkey
from scbench.codedigest import closure
from scbench.engines import CORE_MODULES
from scbench.kv.hooks import Chunk, Counters
from scbench.kv.sparse_prefill import Blocks, attend
from scbench.methods import METHODS, make
from scbench.places import ROOT
from scbench.study import read_study
from scbench.versions import version

TOKENS = 111

SETTINGS = {
    "a_shape": ({"sink": 4, "local": 20}, "block_sparse_prefill"),
    "tri_shape": ({"sink": 4, "local": 20, "last": 30}, "block_sparse_prefill"),
    "trianglemix": ({"sink": 4, "local": 20, "last": 30, "dense_share": 0}, "block_sparse_prefill"),
    "xattention": ({"kept": 48, "block": 16, "stride": 4}, "block_sparse_prefill"),
    "minference": ({"vertical": 8, "slash": 24}, "line_scores vertical_slash_prefill"),
}


def chunk(start, stop, total=TOKENS):
    """Rows [start, stop) of a first prompt, always the same one."""
    q, k, v = drawn(4, 2, total, total, 32, torch.float32)
    return Chunk(q[:, :, start:stop], k[:, :, :stop], v[:, :, :stop], 0, 2, total, 0.2, Counters())


def encoded_by_kernels(method, some):
    """What `method` makes of a chunk as if that lay on a GPU, its counters, and the kernels that were launched."""
    import importlib
    from unittest.mock import patch

    names = ("block_sparse_prefill", "vertical_slash_prefill", "line_scores")
    modules = [importlib.import_module(f"kernels.{name}_triton") for name in names]
    with patch.object(dispatch, "_on_gpu", lambda tensor: True):
        launches = [patch.object(module, "launch", wraps=module.launch).start() for module in modules]
        out = method.encode(some)
        patch.stopall()
    launched = " ".join(sorted(name for name, launch in zip(names, launches, strict=True) if launch.called))
    return out, some.counters, launched


@pytest.mark.parametrize("name", SETTINGS)
def test_the_kernels_encode_what_the_cpu_encodes(name, interpreter):
    settings, kernels = SETTINGS[name]
    method = make(name, settings, 1024)
    here, there = chunk(0, TOKENS), chunk(0, TOKENS)
    expected = method.encode(here)
    out, counters, launched = interpreter(encoded_by_kernels, method, there)
    assert launched == kernels
    assert torch.allclose(out, expected, atol=1e-5)
    assert counters == here.counters


@pytest.mark.parametrize("name", ["a_shape", "tri_shape"])
def test_a_later_chunk_too(name, interpreter):
    method = make(name, SETTINGS[name][0], 1024)
    expected = method.encode(chunk(64, TOKENS))
    out, _, launched = interpreter(encoded_by_kernels, method, chunk(64, TOKENS))
    assert launched == "block_sparse_prefill"
    assert torch.allclose(out, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("dim", "dtype", "size"),
    [(32, torch.float64, 16), (24, torch.float32, 16), (32, torch.float32, 4)],
    ids=["float64", "a head_dim without a kernel", "blocks smaller than a tile"],
)
def test_what_no_kernel_takes_is_attended_without_one(dim, dtype, size, monkeypatch):
    q, k, v = (x.to(dtype) for x in drawn(4, 2, TOKENS, TOKENS, dim, torch.float32))
    count = -(-TOKENS // size)
    mask = Blocks(torch.arange(4), torch.ones(4, count, count, dtype=torch.bool), size, TOKENS)
    expected = attend(q, k, v, mask, 0.2)
    # On a CPU a Triton kernel would fail outside the interpreter.
    monkeypatch.setattr(dispatch, "_on_gpu", lambda tensor: True)
    assert torch.equal(attend(q, k, v, mask, 0.2), expected)


def test_cpu_tensors_need_no_triton():
    assert not dispatch.use_triton(torch.zeros(1))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_method_declares_the_kernels_that_decide_its_results(name):
    declared = set(METHODS[name].modules)
    reached = closure(module for module in declared if module.startswith(("scbench.kv.", "kernels.")))
    # The lazily imported Triton halves are found by their import statements, too.
    kernels = {module for module in reached if module.startswith("kernels.")}
    assert "kernels.block_sparse_prefill_triton" in kernels
    assert kernels - {"kernels.reference"} <= declared | set(CORE_MODULES)


def test_tritons_version_is_in_a_key_where_it_compiles_what_runs(monkeypatch):
    study = read_study(ROOT / "config.yaml")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    on = {}
    for device in ("cpu", "cuda"):
        monkeypatch.setattr(cellkey, "device_name", lambda wanted, device=device: device)
        on[device] = cellkey.machine(study)
    assert on["cuda"] == {"device": "NVIDIA H200", "triton": version("triton"), "attention": "SDPA"}
    assert "triton" not in {*on["cpu"], *cellkey.LIBRARIES}
