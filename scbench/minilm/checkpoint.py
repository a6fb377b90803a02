"""Checkpoints: weights, optimizer state and progress in one safetensors file, written atomically."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from scbench.canonical import canonical_json, write_atomically
from scbench.errors import UserError
from scbench.minilm.model import MiniLlama

Optimizers = dict[str, torch.optim.Optimizer]


def write_checkpoint(path: str | Path, model: MiniLlama, optimizers: Optimizers, progress: dict) -> None:
    """Write everything a run needs to go on; `progress` is JSON and travels in the file's header."""
    tensors = {f"weights/{name}": tensor for name, tensor in model.state_dict().items()}
    for kind, optimizer in optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{kind}/{index}/{name}": tensor for name, tensor in state.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(tensors, metadata={"progress": canonical_json(progress)}))


def read_progress(path: str | Path) -> dict:
    """The progress in a checkpoint. Raises UserError on a file that cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads(file.metadata()["progress"])
    except (OSError, SafetensorError, TypeError, KeyError, ValueError) as error:
        raise UserError(f"{path}: not a readable checkpoint ({error}); delete it to start afresh") from error


def read_checkpoint(path: str | Path, model: MiniLlama, optimizers: Optimizers) -> dict:
    """Load weights and optimizer state in place and return the progress.

    Raises UserError on a file that cannot be read or that holds a model of other sizes.
    """
    progress = read_progress(path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    own = model.state_dict()
    stored = {name.removeprefix("weights/"): tensor for name, tensor in tensors.items() if name.startswith("weights/")}
    if {name: tensor.shape for name, tensor in own.items()} != {name: tensor.shape for name, tensor in stored.items()}:
        raise UserError(f"{path}: weights of other sizes than recipe and tokenizer give; delete it or change --out")
    model.load_state_dict(stored)
    for kind, optimizer in optimizers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith(f"{kind}/"):
                _, index, key = name.split("/")
                state.setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    return progress
