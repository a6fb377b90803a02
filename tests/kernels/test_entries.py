"""Whatever does not fit is refused by the entry it was given to, by the argument's name, before a kernel is asked for.

Each entry's own tests hold what is special to it; this table goes through all entries and all of their tensors.
"""

import importlib
import inspect
import pkgutil
from dataclasses import replace

import pytest
import torch

import kernels
from kernels import dispatch
from kernels.block_sparse_prefill import band, block_sparse_prefill
from kernels.dense_decode import dense_decode
from kernels.gather_decode import gather_decode
from kernels.line_scores import line_scores
from kernels.paged_decode import extremes_reference, page_extremes, page_scores, paged_decode
from kernels.quantized_decode import pack_reference, quantized_decode, quantized_pack
from kernels.reference import drawn
from kernels.vertical_slash_prefill import vertical_slash_prefill
from kernels.window_scores import window_scores

TOKENS, DIM = 96, 64
Q, K, V = drawn(4, 2, TOKENS, TOKENS, DIM, torch.float32)
ROWS = Q[:, :, -3:]
INDEX = torch.arange(40).expand(2, 3, -1).contiguous()
LINES = torch.ones(4, TOKENS, dtype=torch.bool)
LOW, HIGH = extremes_reference(K, 16)
PACKED = pack_reference(K, V, 2, 32, 32)
HEADS = torch.arange(4)

ENTRIES = {
    block_sparse_prefill: dict(q=Q, k=K, v=V, lists=band(0, TOKENS, 4, 9, TOKENS, Q.device), scaling=0.1, heads=HEADS),
    vertical_slash_prefill: dict(q=Q, k=K, v=V, columns=LINES, diagonals=LINES, scaling=0.1, heads=HEADS),
    line_scores: dict(q=ROWS, k=K, scaling=0.1, heads=HEADS),
    dense_decode: dict(q=ROWS, k=K, v=V, scaling=0.1, visible=LINES[:3]),
    quantized_pack: dict(k=K, v=V, bits=2, group=32, channels=32),
    quantized_decode: dict(q=ROWS, packed=PACKED, recent_k=K[:, :, :5], recent_v=V[:, :, :5], scaling=0.1),
    page_extremes: dict(k=K, page=16),
    page_scores: dict(q=ROWS, low=LOW, high=HIGH),
    paged_decode: dict(q=ROWS, k=K, v=V, index=INDEX[..., :4], page=16, scaling=0.1),
    gather_decode: dict(q=ROWS, k=K, v=V, index=INDEX, scaling=0.1, bias=torch.zeros(INDEX.shape)),
    window_scores: dict(q=ROWS, k=K, scaling=0.1, kernel=5),
}
FLOATS = (torch.float32,)
STRIDED = {"q", "k", "v", "recent_k", "recent_v", "low", "high"}
"""Tensors that kernels read by their strides; of others they take a contiguous copy."""


def spoiled(given):
    """What is wrong in turn: words for it, the arguments, and the names that the message may begin with."""
    tensors = {name: value for name, value in given.items() if isinstance(value, torch.Tensor)}
    for name, value in tensors.items():
        yield f"{name} without its first dimension", {name: value[0]}, {name}
        another = torch.int32 if value.dtype in (torch.int64, torch.bool) else torch.float64
        yield f"{name} in {another}", {name: value.to(another)}, {name}
        if name in STRIDED:
            apart = value.transpose(-1, -2).contiguous().transpose(-1, -2)
            yield f"{name} whose last dimension is not contiguous", {name: apart}, {name}
        if value.dtype == torch.int64:
            for wrong in (value.max() + 10**6, torch.tensor(-1)):
                out = value.clone()
                out.flatten()[-1] = wrong
                yield f"{name} that holds {int(wrong)}", {name: out}, {name}
    wide = {name: value for name, value in tensors.items() if value.dtype in FLOATS and name != "bias"}
    yield "a head_dim without a kernel", {name: value[..., :48] for name, value in wide.items()}, {*wide, "head_dim"}
    if "scaling" in given:
        for value in (0.0, -1.0, float("nan"), float("inf")):
            yield f"a scaling of {value}", {"scaling": value}, {"scaling"}
    if "q" in given:
        yield "query heads that are no whole groups", {"q": given["q"][:, :3]}, {"q"}
    if "packed" in given:
        elsewhere = {name: getattr(PACKED, name).to("meta") for name in PACKED.__slots__[:6]}
        yield "what is packed on another device", {"packed": elsewhere}, {"packed"}


CASES = [
    pytest.param(entry, changed, names, id=f"{entry.__name__}: {words}")
    for entry, given in ENTRIES.items()
    for words, changed, names in spoiled(given)
]


@pytest.fixture
def launching(monkeypatch):
    """Every tensor seems to lie on a GPU; what comes to ask whether it does has passed the checks."""
    asked = []
    monkeypatch.setattr(dispatch, "_on_gpu", lambda tensor: asked.append(tensor) or False)
    return asked


@pytest.mark.parametrize(("entry", "changed", "names"), CASES)
def test_it_is_refused_before_a_kernel_is_asked_for(entry, changed, names, launching):
    if "packed" in changed:
        with torch.device("meta"):
            changed = {"packed": _without_checks(changed["packed"])}
    # Arguments that have to fit each other are named together: "q, k, v: ...".
    with pytest.raises(ValueError, match=rf"^([\w, ]*\b)?({'|'.join(names)})\b[\w, ]*:"):
        entry(**ENTRIES[entry] | changed)
    assert not launching


def _without_checks(tensors):
    """PACKED with other tensors, as somebody might leave it who moves them."""
    moved = replace(PACKED)
    for name, value in tensors.items():
        object.__setattr__(moved, name, value)
    return moved


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.__name__)
def test_what_fits_comes_to_a_kernel(entry, launching):
    entry(**ENTRIES[entry])
    assert launching


def test_every_entry_is_in_the_table():
    """An entry is a function that asks whether a kernel serves its tensors."""
    found = set()
    for module in pkgutil.iter_modules(kernels.__path__, "kernels."):
        if not module.ispkg and not module.name.endswith(("_triton", ".dispatch")):
            loaded = importlib.import_module(module.name)
            functions = filter(inspect.isfunction, vars(loaded).values())
            own = [function for function in functions if function.__module__ == module.name]
            found |= {function for function in own if "use_triton(" in inspect.getsource(function)}
    assert found == set(ENTRIES)
