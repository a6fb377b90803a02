"""flash-attn, where it is installed: exact attention in 16 bits on NVIDIA GPUs, by kernels of its authors.

Two packages offer a function `flash_attn_func`: flash-attn 2, and flash-attn-4 as `flash_attn.cute`. Both take q
[batch, rows, query_heads, head_dim] and k, v [batch, keys, kv_heads, head_dim], not repeated, and align a causal mask
to the last keys (flash-attn before 2.1: to the first ones). FlashAttention-2 (Dao, 2023).
"""

import importlib
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata

import torch
from torch import Tensor

DTYPES = (torch.float16, torch.bfloat16)

FEW_ROWS = 512
"""Fewer rows make fewer programs than a chip has multiprocessors: 32 query heads, 128 rows each, 132 of an H100."""


@dataclass(frozen=True, slots=True)
class Package:
    """What a package serves: head dims; GPUs by the major of their compute capability; releases from a version on.

    splits: whether it splits keys over programs where there are fewer rows than `FEW_ROWS`, without which these over a
    long context keep most of a chip idle.
    """

    distribution: str
    module: str
    since: tuple[int, int]
    majors: Collection[int]
    head_dims: Collection[int]
    splits: bool


PACKAGES = (
    Package("flash-attn-4", "flash_attn.cute", (4, 0), (9, 10, 11), (64, 96, 128), splits=False),
    Package("flash-attn", "flash_attn", (2, 1), range(8, 13), range(8, 257, 8), splits=True),
)
"""In the order in which they are asked."""


def flash_attention(q: Tensor, k: Tensor, v: Tensor, scaling: float) -> Tensor | None:
    """Causal attention of q [1, query_heads, T, head_dim] to k, v [1, kv_heads, S, head_dim], the last T keys being the
    rows' own: [1, query_heads, T, head_dim]. None where no installed package serves these tensors."""
    attend = _serving(q.device, q.shape[3], q.shape[2] < FEW_ROWS) if q.dtype in DTYPES else None
    if attend is None:
        return None
    out = attend(*(x.transpose(1, 2) for x in (q, k, v)), softmax_scale=scaling, causal=True)
    # flash-attn-4 returns the log-sum-exp too, or None in its place.
    return (out[0] if isinstance(out, tuple) else out).transpose(1, 2)


def backend(dtype: torch.dtype, device: torch.device) -> str:
    """What dense attention in `dtype` runs with on `device`, for records: `flash-attn 2.8.3, SDPA`, or `SDPA` alone."""
    found = usable(device) if dtype in DTYPES else []
    return ", ".join([*(f"{package.distribution} {version}" for package, version, _ in found), "SDPA"])


def usable(device: torch.device) -> list[tuple[Package, str, Callable[..., Tensor]]]:
    """The installed packages that run on `device`, in the order of `PACKAGES`: each with its version and function."""
    major = _capability(device)[0]
    return [found for package in PACKAGES if major in package.majors and (found := _installed(package))]


@lru_cache(maxsize=16)
def _serving(device: torch.device, head_dim: int, few_rows: bool) -> Callable[..., Tensor] | None:
    for package, _, attend in usable(device):
        if head_dim in package.head_dims and (package.splits or not few_rows):
            return attend
    return None


def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else (0, 0)


def _installed(package: Package) -> tuple[Package, str, Callable[..., Tensor]] | None:
    try:
        version = metadata.version(package.distribution)
        attend = importlib.import_module(package.module).flash_attn_func
    except (metadata.PackageNotFoundError, ImportError, AttributeError):
        return None  # not there, or built for another PyTorch
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    return (package, version, attend) if numbers >= package.since else None
