"""The methods that compress or load run their kernels where there is a GPU, and get what they get without one."""

import importlib
from unittest.mock import patch

import pytest
import torch

from kernels import dispatch
from scbench.methods import make
from scbench.methods.loading.host_index import HostIndex
from tests.conformance.drive import Drive

TOKENS = 124
"""A first prompt after which KIVI packs the next 32 tokens within a few."""
KIVI = {"bits": 2, "group": 32, "residual": 32}

CASES = {
    # method, settings, what is launched
    "KIVI": ("kivi", KIVI, "launch launch_pack resident"),
    "KIVI that grows": ("kivi", KIVI | {"grow": True}, "launch launch_pack resident"),
    "Quest": ("quest", {"token_budget": 24, "page": 8}, "attend launch_extremes launch_scores resident"),
    "Quest by KV head": (
        "quest",
        {"token_budget": 24, "page": 8, "selection": "kv_head"},
        "attend launch_extremes launch_scores resident",
    ),
    "the oracle": ("oracle_topk", {"top_k": 20}, "attend resident"),
    "MagicPIG": ("magicpig", {"sink": 3, "local": 7, "bits": 3, "tables": 6}, "attend resident"),
    # What it retrieves lies in the host's memory, and is attended to there.
    "RetrievalAttention": ("retrieval_attention", {"sink": 4, "recent": 9, "top_k": 17}, "resident"),
    "SnapKV": ("snapkv", {"capacity": 40, "window": 8}, "scores"),
    "PyramidKV": ("pyramidkv", {"capacity": 40, "window": 8, "beta": 2}, "scores"),
}

LAUNCHES = {
    "attend": ("gather_decode_triton", "launch"),
    "resident": ("dense_decode_triton", "launch"),
    "launch": ("quantized_decode_triton", "launch"),
    "launch_pack": ("quantized_decode_triton", "launch_pack"),
    "launch_extremes": ("paged_decode_triton", "launch_extremes"),
    "launch_scores": ("paged_decode_triton", "launch_scores"),
    "scores": ("window_scores_triton", "launch"),
}


def fed(name, settings):
    """What rows after the first prompt get, several at a time and one alone, and what the store counted and holds."""
    run = Drive(make(name, settings, 1024), TOKENS, dim=64)
    run.prefill([TOKENS])
    run.store.seal()
    out = torch.cat([run.feed(5), run.feed(1)], dim=2)
    return out, run.store.counters, run.store.resident_bytes


def fed_by_kernels(name, settings):
    """`fed` as if all but what a method moves to the host lay on a GPU, and the kernels that were launched; runs in the
    interpreter's process."""
    host = set()

    def moved(index, *args):
        host.update((index.k.data_ptr(), index.v.data_ptr()))
        return attend(index, *args)

    attend = HostIndex.attend
    modules = {name: importlib.import_module(f"kernels.{module}") for name, (module, _) in LAUNCHES.items()}
    on_gpu = patch.object(dispatch, "_on_gpu", lambda tensor: tensor.data_ptr() not in host)
    with on_gpu, patch.object(HostIndex, "attend", moved):
        launches = {
            name: patch.object(module, LAUNCHES[name][1], wraps=getattr(module, LAUNCHES[name][1])).start()
            for name, module in modules.items()
        }
        found = fed(name, settings)
        patch.stopall()
    return found, " ".join(sorted(name for name, launch in launches.items() if launch.called))


@pytest.mark.parametrize("case", CASES)
def test_the_kernels_find_what_the_cpu_finds(case, interpreter):
    name, settings, kernels = CASES[case]
    (out, counters, held), launched = interpreter(fed_by_kernels, name, settings)
    expected, expected_counters, expected_held = fed(name, settings)
    assert launched == kernels
    assert torch.allclose(out, expected, atol=2e-5)
    assert counters == expected_counters
    assert held == expected_held


def test_a_page_that_no_kernel_takes_is_attended_key_by_key(interpreter):
    (out, *_), launched = interpreter(fed_by_kernels, "quest", {"token_budget": 24, "page": 6})
    assert launched == "attend launch_extremes launch_scores resident"
    assert torch.allclose(out, fed("quest", {"token_budget": 24, "page": 6})[0], atol=2e-5)


def test_sizes_without_a_kernel_are_restored(interpreter):
    settings = KIVI | {"group": 8, "residual": 8}
    (out, *_), launched = interpreter(fed_by_kernels, "kivi", settings)
    assert launched == ""
    assert torch.allclose(out, fed("kivi", settings)[0], atol=2e-5)
