"""flash-attn is asked as its packages want it, where they serve, and dense attention is the same with and without."""

import sys
from importlib import metadata
from types import ModuleType

import pytest
import torch

from kernels import flash
from kernels.dense_decode import reference
from kernels.reference import TOLERANCE, drawn
from scbench import cellkey
from scbench.kv import dense as module
from scbench.kv.dense import dense
from scbench.places import ROOT
from scbench.study import read_study

F16, F32, BF16 = torch.float16, torch.float32, torch.bfloat16
SCALING = 0.1
SHAPES = [(1, 63), (5, 63), (63, 63), (40, 111)]


def attention(q, k, v, softmax_scale, causal):
    """What both packages compute, of [batch, tokens, heads, head_dim]."""
    assert causal and q.dim() == k.dim() == v.dim() == 4
    assert q.shape[0] == k.shape[0] == 1 and k.shape == v.shape and k.shape[2] == 2
    out, _ = reference(*(x.transpose(1, 2) for x in (q, k, v)), softmax_scale)
    return out.transpose(1, 2).to(q.dtype)


def flash_attn_2(
    q,
    k,
    v,
    dropout_p=0.0,
    softmax_scale=None,
    causal=False,
    window_size=(-1, -1),
    softcap=0.0,
    alibi_slopes=None,
    deterministic=False,
    return_attn_probs=False,
):
    """The signature of flash-attn 2.8."""
    return attention(q, k, v, softmax_scale, causal)


def flash_attn_4(q, k, v, softmax_scale=None, causal=False, window_size=(None, None), **others):
    """The signature of flash-attn-4, which returns a log-sum-exp or None beside the output."""
    assert q.shape[1] > 1 and not others
    return attention(q, k, v, softmax_scale, causal), None


@pytest.fixture
def installed(monkeypatch):
    """installed(capability, <distribution>=<version>): as if these packages were there, on a GPU of that capability."""

    def install(capability, **versions):
        versions = {name.replace("_", "-"): version for name, version in versions.items()}
        calls = []
        for name, place, function in (
            ("flash-attn", "flash_attn", flash_attn_2),
            ("flash-attn-4", "flash_attn.cute", flash_attn_4),
        ):
            if name in versions:
                package = ModuleType(place)
                package.flash_attn_func = lambda *args, name=name, function=function, **others: (
                    calls.append(name),
                    function(*args, **others),
                )[1]
                monkeypatch.setitem(sys.modules, place, package)
        if "flash_attn" not in sys.modules:
            monkeypatch.setitem(sys.modules, "flash_attn", ModuleType("flash_attn"))  # flash-attn-4 has no more of it
        known = metadata.version
        monkeypatch.setattr(flash.metadata, "version", lambda name: versions.get(name) or known(name))
        monkeypatch.setattr(flash, "_capability", lambda device: capability)
        monkeypatch.setattr(flash, "FEW_ROWS", 4)
        flash._serving.cache_clear()
        return calls

    yield install
    monkeypatch.undo()
    flash._serving.cache_clear()


def inputs(rows, keys, dtype=BF16, dim=64):
    return drawn(8, 2, rows, keys, dim, dtype)


@pytest.mark.parametrize("dtype", [F16, BF16])
@pytest.mark.parametrize(("rows", "keys"), SHAPES)
def test_flash_attn_2_serves_any_rows(rows, keys, dtype, installed):
    calls = installed((8, 0), flash_attn="2.8.3.post2")
    q, k, v = inputs(rows, keys, dtype)
    out = dense(q, k, v, SCALING)
    assert calls == ["flash-attn"]
    assert out.shape == q.shape and out.dtype == dtype
    assert float((out.double() - reference(q, k, v, SCALING)[0]).abs().max()) < TOLERANCE[dtype]


@pytest.mark.parametrize(("rows", "keys"), SHAPES)
def test_flash_attn_4_comes_first_but_for_few_rows(rows, keys, installed):
    calls = installed((9, 0), flash_attn="2.8.3", flash_attn_4="4.0.0b4")
    q, k, v = inputs(rows, keys)
    out = dense(q, k, v, SCALING)
    assert calls == ["flash-attn-4" if rows > 3 else "flash-attn"]
    assert float((out.double() - reference(q, k, v, SCALING)[0]).abs().max()) < TOLERANCE[BF16]


NOT_SERVED = {
    "float32": ((9, 0), {"flash_attn": "2.8.3"}, F32, 64, 5),
    "a head_dim that is no multiple of 8": ((9, 0), {"flash_attn": "2.8.3"}, BF16, 12, 5),
    "a head_dim of flash-attn 2 alone": ((9, 0), {"flash_attn_4": "4.0.0"}, BF16, 32, 5),
    "few rows of flash-attn-4 alone": ((9, 0), {"flash_attn_4": "4.0.0"}, BF16, 64, 3),
    "a causal mask aligned to the first keys": ((9, 0), {"flash_attn": "2.0.9"}, BF16, 64, 5),
    "an older GPU": ((7, 5), {"flash_attn": "2.8.3"}, F16, 64, 5),
    "flash-attn-4 on Ampere": ((8, 0), {"flash_attn_4": "4.0.0"}, BF16, 64, 5),
    "flash-attn-4 on a GPU that it has no kernels for": ((12, 0), {"flash_attn_4": "4.0.0"}, BF16, 64, 5),
    "no package": ((9, 0), {}, BF16, 64, 5),
}


@pytest.mark.parametrize("case", NOT_SERVED)
def test_what_no_package_serves_goes_through_sdpa(case, installed):
    capability, versions, dtype, dim, rows = NOT_SERVED[case]
    calls = installed(capability, **versions)
    q, k, v = inputs(rows, 63, dtype, dim)
    out = dense(q, k, v, SCALING)
    assert not calls
    assert float((out.double() - reference(q, k, v, SCALING)[0]).abs().max()) < TOLERANCE[dtype]


def test_a_package_that_cannot_be_imported_is_left_alone(installed, monkeypatch):
    installed((9, 0), flash_attn="2.8.3")
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    assert flash.flash_attention(*inputs(5, 63), SCALING) is None


@pytest.mark.parametrize(("rows", "keys"), [(5, 63), (40, 111)])
def test_the_mask_that_pytorch_knows_is_aligned_to_the_last_keys(rows, keys, monkeypatch):
    monkeypatch.setattr(module, "_has_flash", lambda *tensors: True)
    monkeypatch.setattr(module, "_causal_bias", lambda *_: pytest.fail("a mask was made"))
    q, k, v = inputs(rows, keys, F32)
    assert torch.allclose(dense(q, k, v, SCALING).double(), reference(q, k, v, SCALING)[0], atol=1e-5)


def test_what_runs_is_on_record_and_in_a_cells_key(installed, monkeypatch):
    cpu, study = torch.device("cpu"), read_study(ROOT / "studies" / "paper.yaml")
    assert flash.backend(BF16, cpu) == "SDPA"
    monkeypatch.setattr(cellkey, "device_name", lambda wanted: "cuda")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    installed((9, 0), flash_attn="2.8.3")
    assert flash.backend(BF16, cpu) == "flash-attn 2.8.3, SDPA"
    assert flash.backend(F32, cpu) == "SDPA"
    assert cellkey.machine(study)["attention"] == "flash-attn 2.8.3, SDPA"


@pytest.mark.parametrize(("rows", "keys"), [(1, 1111), (77, 1111), (1111, 1111)])
def test_on_a_gpu(rows, keys, cuda):
    q, k, v = drawn(8, 2, rows, keys, 128, BF16, cuda)
    out = dense(q, k, v, SCALING)
    assert float((out.double() - reference(q, k, v, SCALING)[0]).abs().max()) < TOLERANCE[BF16]
