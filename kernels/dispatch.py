"""Where a Triton kernel runs, and what is refused before it is launched: a kernel reads wherever it is pointed to."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.util import find_spec

import torch
from torch import Tensor

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
HEAD_DIMS = (16, 32, 64, 128)

MAX_ROW_STRIDE = 2**22
"""Elements between neighbouring rows: within a tile of up to 256 rows, offsets are 32 bits wide."""


def use_triton(*tensors: Tensor) -> bool:
    """Whether Triton kernels serve these tensors: all of them on CUDA, and Triton installed."""
    return all(_on_gpu(tensor) for tensor in tensors) and _installed()


def _on_gpu(tensor: Tensor) -> bool:
    return tensor.is_cuda


def serves(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether there are kernels for attention of this dtype and head_dim, besides `use_triton`."""
    return use_triton(q, k, v) and q.dtype in DTYPES and q.shape[-1] in HEAD_DIMS


@lru_cache(maxsize=1)
def _installed() -> bool:
    return find_spec("triton") is not None


def check_attention(q: Tensor, k: Tensor, v: Tensor, names: Sequence[str] = ("q", "k", "v")) -> None:
    """Raise ValueError unless a kernel can attend from q [1, query_heads, T, head_dim] to k, v [1, kv_heads, S,
    head_dim]: T <= S, whole groups of query heads, one floating dtype and device, rows that are contiguous.

    names: what the caller knows them by."""
    of_q, of_k, of_v = names
    all_of_them = ", ".join(dict.fromkeys(names))
    for name, tensor in zip(names, (q, k, v), strict=True):
        if tensor.dim() != 4 or tensor.shape[0] != 1:
            raise ValueError(f"{name}: shape {list(tensor.shape)}, expected [1, heads, tokens, head_dim]")
        check_rows(name, tensor)
    check_shape(of_v, v, k.shape)
    check_same(all_of_them, (q, k, v))
    if q.dtype not in DTYPES:
        raise ValueError(f"{all_of_them}: {_listed([q.dtype])} is not supported; give one of {_listed(DTYPES)}")
    if q.shape[3] != k.shape[3]:
        raise ValueError(
            f"{of_q}, {of_k}: head_dim is {q.shape[3]} in {of_q} and {k.shape[3]} in {of_k}, expected the same"
        )
    if q.shape[3] not in HEAD_DIMS:
        raise ValueError(f"{all_of_them}: head_dim {q.shape[3]} is not supported; give one of {_listed(HEAD_DIMS)}")
    if not k.shape[1] or not q.shape[1] or q.shape[1] % k.shape[1]:
        raise ValueError(f"{of_q}: {q.shape[1]} query heads are not whole groups over {k.shape[1]} KV heads")
    if not 0 < q.shape[2] <= k.shape[2]:
        raise ValueError(
            f"{of_q}: {q.shape[2]} rows over {k.shape[2]} keys, expected 1 to {k.shape[2]}: the last keys are the "
            "rows' own"
        )


def check_heads(q: Tensor, heads: Tensor | None) -> Tensor:
    """Raise ValueError unless `heads` are query heads of q [1, query_heads, T, head_dim]; None stands for all."""
    if heads is None:
        return torch.arange(q.shape[1], device=q.device)
    check_shape("heads", heads, (None,))
    check_dtype("heads", heads, torch.int64)
    check_device("heads", heads, q.device)
    check_range("heads", heads, 0, q.shape[1])
    return heads


def check_scaling(scaling: float) -> None:
    """Raise ValueError unless `scaling` is a positive finite number."""
    if not 0 < scaling < float("inf"):
        raise ValueError(f"scaling: {scaling}, expected a positive number")


def check_shape(name: str, tensor: Tensor, expected: Sequence[int | None]) -> None:
    """Raise ValueError unless `tensor` has the shape `expected`, where None stands for any length."""
    fits = tensor.dim() == len(expected) and all(
        want in (None, length) for want, length in zip(expected, tensor.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in expected)
        raise ValueError(f"{name}: shape {list(tensor.shape)}, expected [{wanted}]")


def check_dtype(name: str, tensor: Tensor, *allowed: torch.dtype) -> None:
    """Raise ValueError unless `tensor` has one of these dtypes."""
    if tensor.dtype not in allowed:
        raise ValueError(f"{name}: {_listed([tensor.dtype])}, expected {_listed(allowed)}")


def check_same(names: str, tensors: Iterable[Tensor]) -> None:
    """Raise ValueError unless all `tensors` have one dtype and lie on one device."""
    dtypes, devices = zip(*((tensor.dtype, tensor.device) for tensor in tensors), strict=True)
    if len(set(dtypes)) > 1 or len(set(devices)) > 1:
        raise ValueError(f"{names}: dtypes {_listed(dtypes)} on {_listed(devices)}, expected one dtype and one device")


def check_device(name: str, tensor: Tensor, device: torch.device) -> None:
    """Raise ValueError unless `tensor` lies on `device`."""
    if tensor.device != device:
        raise ValueError(f"{name}: on {tensor.device}, expected {device}")


def check_contiguous(name: str, tensor: Tensor) -> None:
    """Raise ValueError unless `tensor` is contiguous."""
    if not tensor.is_contiguous():
        raise ValueError(f"{name}: strides {list(tensor.stride())}, expected contiguous; call .contiguous() on it")


def check_rows(name: str, tensor: Tensor) -> None:
    """Raise ValueError unless the last dimension of `tensor` is contiguous and the one before within MAX_ROW_STRIDE."""
    if tensor.stride(-1) != 1:
        raise ValueError(f"{name}: strides {list(tensor.stride())}, expected 1 for the last; call .contiguous() on it")
    if not 0 <= tensor.stride(-2) <= MAX_ROW_STRIDE:
        raise ValueError(f"{name}: strides {list(tensor.stride())}, expected at most {MAX_ROW_STRIDE} between rows")


def check_range(name: str, index: Tensor, low: int, high: int) -> None:
    """Raise ValueError unless every entry of `index` lies in [low, high). Waits for the device."""
    if index.numel():
        least, most = torch.stack(index.aminmax()).tolist()
        if least < low or most >= high:
            raise ValueError(f"{name}: holds {least if least < low else most}, expected values in [{low}, {high})")


def _listed(things: Iterable[object]) -> str:
    return ", ".join(str(thing).removeprefix("torch.") for thing in things)
